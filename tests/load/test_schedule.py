from collections.abc import Iterator
from itertools import islice, pairwise
from time import monotonic

from service.load.plan import RateStage
from service.load.schedule import Pacer, even_times, random_times, staged_times


def test_the_parts_of_processes_make_up_the_whole_rate() -> None:
    whole = list(islice(even_times(10.0, 50.0, 0, 1), 30))
    parts = [islice(even_times(10.0, 50.0, part, 3), 10) for part in range(3)]

    assert sorted(due_s for part in parts for due_s in part) == whole
    assert whole[0] == 10.0
    assert abs(whole[25] - 10.5) < 1e-9


def test_random_times_ascend_at_the_rate_on_average_and_repeat_with_their_seed() -> None:
    times = list(islice(random_times(0.0, 100.0, 7), 20_000))

    assert times == sorted(times)
    assert abs(times[-1] - 200.0) < 10.0
    assert times == list(islice(random_times(0.0, 100.0, 7), 20_000))
    gaps = [later - earlier for earlier, later in pairwise(times)]
    shorter = sum(gap < 0.01 for gap in gaps) / len(gaps)
    assert abs(shorter - 0.632) < 0.02  # 1 - 1/e of exponential gaps are shorter than their mean


def test_a_pacer_ends_by_itself_or_when_it_is_stopped() -> None:
    done = Pacer(iter([0.0, 1.0]), 0.5, lambda: None)
    done.start()
    done.join(30)
    endless = Pacer(even_times(1e6 + monotonic(), 1.0, 0, 1), 1e9, lambda: None)
    endless.start()
    endless.stop()

    assert not done.is_alive()
    assert not endless.is_alive()


def test_stages_follow_each_other_with_a_rate_each() -> None:
    stages = (RateStage(10.0, 1.0), RateStage(100.0, 0.5))

    def even(part: int, parts: int) -> list[float]:
        return list(
            staged_times(5.0, stages, lambda _, start_s, rate: even_times(start_s, rate, part, parts))
        )

    whole = even(0, 1)
    assert len(whole) == 10 + 50
    assert (whole[0], whole[10]) == (5.0, 6.0)
    assert whole[-1] < 6.5
    assert sorted(even(0, 2) + even(1, 2)) == whole


def test_a_stage_knows_its_number() -> None:
    seen = []

    def times_of(number: int, start_s: float, rate: float) -> Iterator[float]:
        seen.append((number, start_s, rate))
        return random_times(start_s, rate, number)

    times = list(staged_times(0.0, (RateStage(50.0, 2.0), RateStage(5.0, 2.0)), times_of))

    assert seen == [(0, 0.0, 50.0), (1, 2.0, 5.0)]
    assert times == sorted(times)
    assert times[-1] < 4.0
