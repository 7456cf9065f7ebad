"""Floods: the first few are told, the rest is counted, and calm brings all back."""

from service.floods import INTERVAL_S, MOST_WHOLE, Floods, LeftOut, Seldom


class Time:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_the_first_of_a_kind_are_told_and_the_rest_is_counted_at_the_end_of_the_interval() -> None:
    now = Time()
    floods = Floods(now)

    told = [number for number in range(1000) if floods.admit("kind", number)]
    now.seconds += INTERVAL_S / 2
    assert floods.take() == []
    now.seconds += INTERVAL_S / 2

    assert told == list(range(MOST_WHOLE))
    assert floods.take() == [LeftOut(999, 1000 - MOST_WHOLE, INTERVAL_S)]


def test_a_flood_that_goes_on_has_one_line_and_one_count_in_each_interval() -> None:
    now = Time()
    floods = Floods(now)
    told: list[int] = []
    counted: list[int] = []

    for _ in range(3):
        told.append(sum(floods.admit("kind", None) for _ in range(100)))
        now.seconds += INTERVAL_S
        counted += [left_out.count for left_out in floods.take()]

    assert told == [MOST_WHOLE, 1, 1]
    assert counted == [100 - MOST_WHOLE, 99, 99]


def test_after_an_interval_of_calm_all_are_told_again_and_nothing_is_remembered() -> None:
    now = Time()
    floods = Floods(now)
    for _ in range(100):
        floods.admit("kind", None)
    for _ in range(2):
        now.seconds += INTERVAL_S
        floods.take()

    assert len(floods) == 0
    assert all(floods.admit("kind", None) for _ in range(MOST_WHOLE))


def test_what_comes_now_and_then_is_always_told() -> None:
    now = Time()
    floods = Floods(now)
    for _ in range(5 * MOST_WHOLE):
        assert floods.admit("kind", None)
        now.seconds += INTERVAL_S / 2


def test_kinds_do_not_count_against_each_other() -> None:
    floods = Floods(Time())
    for _ in range(100):
        floods.admit("one", None)

    assert floods.admit("other", None)


def test_what_is_counted_can_be_asked_for_before_the_interval_is_over() -> None:
    now = Time()
    floods = Floods(now)
    for number in range(MOST_WHOLE + 2):
        floods.admit("kind", number)
    now.seconds += 1

    assert floods.take(early=True) == [LeftOut(MOST_WHOLE + 1, 2, 1.0)]
    assert floods.take(early=True) == []


def test_what_is_seldom_is_told_once_in_its_time_and_memory_is_bounded() -> None:
    now = Time()
    seldom = Seldom(60, now)

    assert [seldom.admit("a"), seldom.admit("b"), seldom.admit("a")] == [True, True, False]
    now.seconds += 60
    assert seldom.admit("a")
    assert all(seldom.admit(number) for number in range(2000))
