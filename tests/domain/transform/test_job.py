from datetime import UTC, datetime

from service.domain.transform.job import JobState, JobStatus

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def test_a_state_comes_back_as_it_was_written() -> None:
    state = JobState("s3://b/m", {"A": "1"}, "why not", "v", "m/a.csv", 1.5, 2.5, 3, 4, 5, 6, 7)

    assert JobState.read(state.write()) == state
    assert JobState.read(state.write(files=9)).files == 9


def test_times_are_told_once_they_are_known() -> None:
    assert (JobState().began, JobState().ended) == (None, None)
    state = JobState(started_at=NOON.timestamp(), ended_at=NOON.timestamp())
    assert (state.began, state.ended) == (NOON, NOON)


def test_a_job_has_ended_or_not() -> None:
    ended = {status.value for status in JobStatus if status.is_final}

    assert ended == {"Completed", "Failed", "Stopped"}
