"""When people are told that a container's processes end again and again."""

from service.hosting.containers.deaths import Deaths


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
