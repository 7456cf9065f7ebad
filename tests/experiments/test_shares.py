import pytest

from service.experiments.shares import ALARM, Picks, mismatch_p_value


def test_picks_that_keep_the_weights_are_no_alarm() -> None:
    assert mismatch_p_value([]) == 1.0
    assert mismatch_p_value([Picks({"a": 9.0, "b": 1.0}, {"a": 9_012, "b": 988})]) == 1.0
    assert mismatch_p_value([Picks({"a": 1.0}, {"a": 10**9})]) == 1.0


def test_weights_that_changed_are_held_against_the_picks_of_their_time() -> None:
    periods = [
        Picks({"a": 9.0, "b": 1.0}, {"a": 9_000, "b": 1_000}),
        Picks({"a": 1.0, "b": 1.0}, {"a": 500, "b": 500}),
    ]
    whole = Picks({"a": 1.0, "b": 1.0}, {"a": 9_500, "b": 1_500})

    assert mismatch_p_value(periods) == 1.0
    assert mismatch_p_value([whole]) < 1e-9


def test_a_small_loss_over_many_changes_is_found() -> None:
    kept = [
        Picks({"a": 100.0 - share, "b": share}, {"a": 1_000 - 10 * share, "b": 10 * share})
        for share in range(10, 60)
    ]
    lost = [
        Picks(period.weights, {**period.counts, "b": round(period.counts["b"] * 0.95)}) for period in kept
    ]

    assert mismatch_p_value(kept) == 1.0
    assert mismatch_p_value(lost) < ALARM


def test_a_variant_of_no_weight_that_was_picked_is_certain() -> None:
    assert mismatch_p_value([Picks({"a": 1.0, "b": 0.0}, {"a": 5, "b": 1})]) == 0.0
    assert mismatch_p_value([Picks({"a": 1.0}, {"a": 5, "b": 1})]) == 0.0
    assert mismatch_p_value([Picks({"a": 0.0}, {"a": 1})]) == 0.0


@pytest.mark.parametrize("count", [10**6, 10**9])
def test_very_many_picks_overflow_nothing(count: int) -> None:
    assert mismatch_p_value([Picks({"a": 1.0, "b": 1.0}, {"a": count, "b": count})]) == 1.0
    assert mismatch_p_value([Picks({"a": 1.0, "b": 1.0}, {"a": count, "b": 0})]) == 0.0
