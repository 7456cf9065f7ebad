"""When people are told that a container's processes end again and again."""

from service.hosting.containers.deaths import Deaths, ReplacementPace


def test_some_deaths_within_a_minute_are_told_by_the_last_one_and_forgotten_later() -> None:
    now_s = 0.0
    deaths = Deaths(lambda: now_s)
    for at_s in (0.0, 50.0):
        now_s = at_s
        deaths.note("exit code 1")
        assert deaths.trouble() == ""
    now_s = 60.0
    deaths.note("killed by signal 11")
    words = "its processes end again and again, the last one by this: killed by signal 11"
    assert deaths.trouble() == words
    now_s = 61.0
    assert deaths.trouble() == ""
    deaths.note("killed by signal 11")
    assert deaths.trouble() == words


def test_deaths_that_are_far_apart_are_not_told() -> None:
    now_s = 0.0
    deaths = Deaths(lambda: now_s)
    for _ in range(9):
        now_s += 31.0
        deaths.note("exit code 1")
        assert deaths.trouble() == ""


def test_others_come_at_once_but_one_by_one_where_very_many_died_in_a_row() -> None:
    now_s = 100.0
    pace = ReplacementPace(lambda: now_s)

    def waits(number: int) -> list[float]:
        return [round(pace.wait_s(), 3) for _ in range(number)]

    assert waits(10) == [0.0] * 10
    assert waits(3) == [0.1, 0.2, 0.3]
    now_s = 101.3  # those have come, and all is as it was in the beginning
    assert waits(10) == [0.0] * 10
    assert waits(1) == [0.1]
    now_s = 1000.0
    assert waits(10) == [0.0] * 10
    assert waits(2) == [0.1, 0.2]
