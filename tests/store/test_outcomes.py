"""Outcomes count once, whenever they come and whoever dies; sums stay when rows go."""

import random
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from service.errors import SagebirdError, StartupError, Unavailable, ValidationFault
from service.experiments.live_agreement import LiveAgreement
from service.experiments.reports import Reported
from service.experiments.sums import Sums, sum_up
from service.store.outcome_messages import pack_predictions, unpack_predictions
from service.store.outcome_tables import Arm, Predicted, Receipt
from service.store.outcomes import OutcomeStore

_WEIGHTS = (("a", 9.0), ("b", 1.0))
A, B = Arm("iris", 1, _WEIGHTS, "a"), Arm("iris", 1, _WEIGHTS, "b")
NAMED = Arm("iris", 1, _WEIGHTS, "b", drawn=False)
HOUR_S = 3600.0


@pytest.fixture
def store(memory_path: Path) -> Iterator[OutcomeStore]:
    opened = OutcomeStore(memory_path / "outcomes.db", HOUR_S, 100_000)
    yield opened
    opened.close()


def predicted(number: int, arm: Arm = A, user: str | None = None, answer: str = "[0]") -> Predicted:
    return Predicted(arm, f"id-{number}", user, 100.0, answer)


def clicked(number: int, value: float = 1.0) -> Reported:
    return Reported(f"id-{number}", "click", value, None)


def sums(store: OutcomeStore, name: str = "click") -> dict[str, Sums]:
    """The sums of each variant."""
    run = store.run("iris")
    assert run is not None
    return {arm.variant: arm.sums[name] for arm in run.arms if name in arm.sums}


def test_an_outcome_counts_for_the_variant_that_earned_it_however_often_it_comes(store: OutcomeStore) -> None:
    store.take_predictions([predicted(1, A), predicted(2, B)])

    for receipt in (Receipt(counted=2), Receipt(repeated=2), Receipt(repeated=1, contradicting=1)):
        second = 0.0 if receipt.contradicting else 1.0
        assert store.take_reports([("iris", [clicked(1), clicked(2, second)])], 101.0) == [receipt]

    assert sums(store) == {"a": Sums(1, 1.0, 1.0), "b": Sums(1, 1.0, 1.0)}
    assert store.tallies("iris") == {"counted": 2, "repeated": 3, "contradicting": 1}


def test_the_same_outcome_twice_in_one_report_counts_once(store: OutcomeStore) -> None:
    store.take_predictions([predicted(1)])

    assert store.take_reports([("iris", [clicked(1), clicked(1)])], 101.0) == [Receipt(counted=1, repeated=1)]
    assert sums(store)["a"].count == 1


def test_an_outcome_that_comes_before_its_prediction_waits_for_it(store: OutcomeStore) -> None:
    assert store.take_reports([("iris", [clicked(1), clicked(2)])], 99.0) == [Receipt(waiting=2)]
    assert store.run("iris") is None

    store.take_predictions([predicted(1)])

    assert sums(store) == {"a": Sums(1, 1.0, 1.0)}
    assert store.tallies("iris") == {"waiting": 1, "counted": 1}
    store.clear(99.0 + 2 * HOUR_S)
    assert store.tallies("iris") == {"waiting": 0, "counted": 1, "unknown": 1}


def test_outcomes_in_any_order_and_often_make_the_same_sums_after_each_start(memory_path: Path) -> None:
    draw = random.Random(7)
    values = [round(draw.random(), 2) for _ in range(500)]
    events: list[Predicted | Reported] = [predicted(n, B if n % 10 == 0 else A) for n in range(500)]
    events += [Reported(f"id-{n}", "reward", value, None) for n, value in enumerate(values) for _ in range(2)]
    draw.shuffle(events)
    for part in range(10):
        store = OutcomeStore(memory_path / "outcomes.db", HOUR_S, 100_000)
        some = events[part::10]
        store.take_predictions([each for each in some if isinstance(each, Predicted)])
        store.take_reports([("iris", [each for each in some if isinstance(each, Reported)])], 101.0)
        store.close()

    found = sums(OutcomeStore(memory_path / "outcomes.db", HOUR_S, 100_000), "reward")

    for name, wanted in (
        ("a", sum_up(v for n, v in enumerate(values) if n % 10)),
        ("b", sum_up(values[::10])),
    ):
        assert found[name].count == wanted.count
        assert found[name].total == pytest.approx(wanted.total)
        assert found[name].squares == pytest.approx(wanted.squares)


def test_a_user_counts_once_as_the_mean_of_what_came_of_him(store: OutcomeStore) -> None:
    store.take_predictions(
        [predicted(number, A, "anna") for number in range(4)] + [predicted(9, A, "bert"), predicted(10)]
    )
    for number, value in ((0, 1.0), (1, 0.0), (2, 0.0), (3, 1.0), (9, 1.0), (10, 0.0)):
        store.take_reports([("iris", [clicked(number, value)])], 101.0)

    assert sums(store) == {"a": Sums(3, 1.5, 1.25)}
    run = store.run("iris")
    assert run is not None
    assert run.outcomes == {"click": (6, True)}
    assert [(arm.calls, arm.users) for arm in run.arms] == [(1, 2)]


def at_a_time(store: OutcomeStore, users: Iterable[str | None]) -> None:
    """Numbers as times since 1970: those of b are 5 more, and both vary by 1."""
    for number, user in enumerate(users):
        arm, more = (A, 0.0) if number % 2 else (B, 5.0)
        store.take_predictions([predicted(number, arm, user)])
        reports = [clicked(number, 1.7e9 + more + number // 2 % 2)]
        store.take_reports([("iris", reports)], 101.0)


@pytest.mark.parametrize("named", [False, True])
def test_numbers_that_are_far_from_0_keep_what_they_differ_in(memory_path: Path, named: bool) -> None:
    users = [f"u{number % 50}" if named else None for number in range(200)]
    opened = OutcomeStore(memory_path / "outcomes.db", HOUR_S, 100_000)
    at_a_time(opened, users[:100])
    opened.close()
    again = OutcomeStore(memory_path / "outcomes.db", HOUR_S, 100_000)
    at_a_time(again, users)
    found = sums(again)
    again.close()

    assert found["b"].mean - found["a"].mean == pytest.approx(5.0, abs=1e-6)
    for each in found.values():
        assert each.count == (25 if named else 100)
        assert each.deviations <= each.count / 4
        if not named:
            assert each.deviations == pytest.approx(25.0)


def test_what_was_summed_up_before_there_were_shifts_goes_on_without_one(memory_path: Path) -> None:
    file = memory_path / "outcomes.db"
    opened = OutcomeStore(file, HOUR_S, 100_000)
    opened.take_predictions([predicted(1), predicted(2)])
    opened.take_reports([("iris", [clicked(1, 0.5)])], 101.0)
    opened.close()
    with sqlite3.connect(file) as database:
        database.execute("UPDATE sums SET total = 20.0, squares = 400.0")
        database.execute("DROP TABLE shifts")

    again = OutcomeStore(file, HOUR_S, 100_000)
    again.take_reports([("iris", [clicked(2, 30.0)])], 101.0)
    found = sums(again)
    again.close()

    assert found == {"a": Sums(2, 50.0, 1300.0)}


def test_calls_that_named_their_variant_prove_nothing_about_it(store: OutcomeStore) -> None:
    store.take_predictions([predicted(1, NAMED), predicted(2, B)])

    store.take_reports([("iris", [clicked(1), clicked(2)])], 101.0)

    assert sums(store) == {"b": Sums(1, 1.0, 1.0)}
    assert [(arm.variant, arm.calls) for arm in store.run("iris").arms] == [("b", 1)]  # type: ignore[union-attr]  # there is one


def test_predictions_that_are_handed_in_twice_are_picked_once(store: OutcomeStore) -> None:
    for _ in range(2):
        store.take_predictions([predicted(1), predicted(2, A, "anna"), predicted(3, A, "anna")], {"iris": 2})

    run = store.run("iris")

    assert run is not None
    assert [(arm.calls, arm.users) for arm in run.arms] == [(1, 1)]
    assert store.tallies("iris") == {"dropped": 4}


def test_labels_become_right_or_wrong_and_stay_so_after_a_start(memory_path: Path) -> None:
    def opened() -> OutcomeStore:
        return OutcomeStore(memory_path / "outcomes.db", HOUR_S, 100_000)

    store = opened()
    store.take_predictions([predicted(n, A if n % 2 else B, answer=f"[{n % 3}]") for n in range(60)])
    for number in range(60):
        if number == 30:
            store.close()
            store = opened()
        label = str(number % 3 if number % 5 else 0)
        store.take_reports([("iris", [Reported(f"id-{number}", "label", label, None)])], 101.0)

    right = {
        name: sum((n % 3 if n % 5 else 0) == n % 3 for n in range(60) if n % 2 == (name == "a"))
        for name in "ab"
    }
    assert {name: each.total for name, each in sums(store, "label").items()} == right
    for again in (store, opened()):
        run = again.run("iris")
        assert run is not None
        assert {
            name: each.document()["accuracy"] * 30 for name, each in run.labels.quality.items()
        } == pytest.approx(right)


def test_labels_that_turn_out_to_be_numbers_are_all_counted_anew(store: OutcomeStore) -> None:
    store.take_predictions([predicted(n, answer="[2.5]") for n in range(4)])
    for number, label in enumerate(("2", "3", "2.5", "4.5")):
        store.take_reports([("iris", [Reported(f"id-{number}", "label", label, None)])], 101.0)

    assert sums(store, "label") == {"a": Sums(4, 0.5 + 0.5 + 2.0, 0.25 + 0.25 + 4.0)}


def test_what_is_old_or_too_much_goes_and_the_sums_stay(memory_path: Path) -> None:
    store = OutcomeStore(memory_path / "outcomes.db", HOUR_S, 1000)
    store.take_predictions([predicted(n) for n in range(1500)])
    for at_s, some in ((101.0, range(500)), (101.5, range(500, 1500))):
        store.take_reports([("iris", [clicked(n) for n in some])], at_s)
    before = sums(store)

    store.clear(102.0)
    assert store.take_reports([("iris", [clicked(5)])], 103.0) == [Receipt(waiting=1)]  # its rows are gone
    store.clear(103.0 + 2 * HOUR_S)

    assert sums(store) == before == {"a": Sums(1500, 1500.0, 1500.0)}
    store.close()
    with sqlite3.connect(memory_path / "outcomes.db") as connection:
        counts = "SELECT (SELECT COUNT(*) FROM predictions), (SELECT COUNT(*) FROM outcomes)"
        assert connection.execute(counts).fetchone() == (0, 0)
    connection.close()


def test_a_repeated_report_counts_no_more_when_its_row_had_to_go_before_its_prediction(
    memory_path: Path,
) -> None:
    store = OutcomeStore(memory_path / "outcomes.db", HOUR_S, 1000)
    store.take_predictions([predicted(n) for n in range(600)])
    names = ("click", "sold")
    for at_s, some in ((101.0, range(100)), (101.5, range(100, 600))):
        reports = [Reported(f"id-{n}", each, 1.0, None) for n in some for each in names]
        store.take_reports([("iris", reports)], at_s)

    store.clear(102.0)  # 1,200 outcomes of 600 predictions
    assert store.take_reports([("iris", [clicked(5)])], 103.0) == [Receipt(waiting=1)]

    assert sums(store) == {"a": Sums(600, 600.0, 600.0)}
    store.close()


def test_ids_that_are_made_up_push_nothing_away_that_others_reported(memory_path: Path) -> None:
    store = OutcomeStore(memory_path / "outcomes.db", HOUR_S, 1000)
    store.take_predictions([predicted(n) for n in range(50)])
    store.take_reports([("iris", [clicked(n) for n in range(50)])], 101.0)
    store.take_reports([("iris", [clicked(n) for n in range(90, 140)])], 102.0)  # before their predictions
    store.take_reports([("other", [clicked(n) for n in range(9000)])], 103.0)
    assert store.is_over()

    while store.clear(104.0):
        pass
    store.take_predictions([predicted(n) for n in range(90, 140)])
    later = [Reported(f"id-{n}", "purchase", 1.0, None) for n in range(50)]

    assert not store.is_over()
    assert store.take_reports([("iris", later)], 105.0) == [Receipt(counted=50)]
    assert sums(store)["a"] == Sums(100, 100.0, 100.0)
    tallies = store.tallies("other")
    assert tallies["unknown"] > 8000
    assert tallies["waiting"] + tallies["unknown"] == 9000
    store.close()


def test_more_than_is_kept_is_refused_until_others_have_gone(memory_path: Path) -> None:
    store = OutcomeStore(memory_path / "outcomes.db", HOUR_S, 1000)
    store.take_reports([("iris", [clicked(n) for n in range(11_000)])], 101.0)

    refused, again = store.take_reports([("iris", [clicked(11_000)]), ("iris", [clicked(1)])], 102.0)
    store.clear(103.0)
    after = store.take_reports([("iris", [clicked(11_000)])], 104.0)
    store.close()

    assert isinstance(refused, Unavailable)
    assert refused.message == "More outcomes are reported than can be kept at once: try again."
    assert again == Receipt(repeated=1)
    assert after == [Receipt(waiting=1)]


def test_of_a_lot_that_is_old_a_part_goes_at_a_time(store: OutcomeStore) -> None:
    store.take_predictions([predicted(n) for n in range(10_001)])

    assert [store.clear(101.0 + HOUR_S) for _ in range(2)] == [True, False]
    assert store.take_reports([("iris", [clicked(10_000)])], 102.0) == [Receipt(waiting=1)]


def test_a_report_costs_no_more_where_many_predictions_are_kept(memory_path: Path) -> None:
    """Counted in steps of SQLite's machine, of a report, a prediction and one that met its outcome."""
    steps = [0]

    def count() -> int:
        steps[0] += 1
        return 0

    def watch(connection: sqlite3.Connection, _record: object) -> None:
        connection.set_progress_handler(count, 100)

    event.listen(Engine, "connect", watch)
    try:
        costs = []
        for kept in (1_000, 8_000):
            store = OutcomeStore(memory_path / f"{kept}.db", HOUR_S, 100_000)
            store.take_predictions([predicted(n, A, f"u{n}") for n in range(kept)])
            store.take_reports([("iris", [clicked(n) for n in range(1, kept)])], 101.0)
            begun = steps[0]
            store.take_reports([("iris", [clicked(0), clicked(kept), clicked(kept + 1)])], 102.0)
            store.take_predictions([predicted(0), predicted(kept), predicted(kept + 1, B, "u1")])
            costs.append(steps[0] - begun)
            store.close()
    finally:
        event.remove(Engine, "connect", watch)

    assert costs[1] < 2 * costs[0] + 10


def test_how_good_predictions_were_of_late_is_told_apart(store: OutcomeStore) -> None:
    store.take_predictions([predicted(n, answer="[0]")._replace(at_s=100.0) for n in range(4)])
    store.take_predictions([predicted(n, B, answer="[1]")._replace(at_s=500.0) for n in range(4, 10)])
    assert store.lately("iris", 0.0) is None
    labels = [Reported(f"id-{n}", "label", str(n % 2), None) for n in range(9)]
    store.take_reports([("iris", [*labels, clicked(9)])], 600.0)

    found, all_of_it, newest = (
        store.lately("iris", 400.0),
        store.lately("iris", 0.0),
        store.lately("iris", 0.0, most=3),
    )

    assert found is not None
    assert (found.count, found.is_whole) == (5, True)
    assert {name: each.document()["accuracy"] for name, each in found.labels.quality.items()} == {"b": 0.4}
    assert all_of_it is not None
    assert {name: each.document()["count"] for name, each in all_of_it.labels.quality.items()} == {
        "a": 4,
        "b": 5,
    }
    assert newest is not None
    assert (newest.count, newest.is_whole) == (3, False)
    assert store.lately("none", 0.0) is None
    nothing = store.lately("iris", 1000.0)
    assert nothing is not None
    assert (nothing.count, nothing.labels.quality) == (0, {})


def test_a_report_that_fails_leaves_nothing_behind(store: OutcomeStore) -> None:
    store.take_predictions([predicted(1)])
    bad = Reported("id-1", "odd", float("nan"), None)

    with pytest.raises(Exception, match="NOT NULL"):
        store.take_reports([("iris", [clicked(1)]), ("iris", [bad._replace(inference_id=None)])], 101.0)  # type: ignore[arg-type]  # a bug's doing

    assert store.take_reports([("iris", [clicked(1)])], 102.0) == [Receipt(counted=1)]


def test_a_file_of_another_release_is_left_alone(memory_path: Path) -> None:
    with sqlite3.connect(memory_path / "outcomes.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()

    with pytest.raises(StartupError, match="another release"):
        OutcomeStore(memory_path / "outcomes.db", HOUR_S, 1000)


def test_predictions_are_the_same_after_their_way() -> None:
    predictions = [predicted(1), predicted(2, B, "ann\xe9"), predicted(3, NAMED)._replace(answer=None)]

    assert unpack_predictions(pack_predictions(predictions, {"iris": 3})) == (predictions, {"iris": 3})


def test_how_an_experiment_has_gone_is_kept_until_another_one_begins(memory_path: Path) -> None:
    file = memory_path / "outcomes.db"
    marks = [{"at": f"2026-01-02T12:00:0{number}+00:00", "outcomes": number} for number in range(3)]
    store = OutcomeStore(file, HOUR_S, 100_000)
    for mark in marks:
        store.mark("iris", "click", mark)
    store.close()

    opened = OutcomeStore(file, HOUR_S, 100_000)
    assert opened.timeline("iris", "click") == marks
    assert opened.timeline("iris", "label") == []
    assert opened.timeline("birds", "click") == []
    opened.mark("iris", "label", marks[0])
    assert opened.timeline("iris", "label") == marks[:1]
    assert opened.timeline("iris", "click") == []
    opened.close()


def named(number: int, names: Iterable[str]) -> list[Reported]:
    return [Reported(f"id-{number}", name, 1.0, None) for name in names]


def test_a_run_has_so_many_names_and_a_report_with_more_changes_nothing(memory_path: Path) -> None:
    store = OutcomeStore(memory_path / "outcomes.db", HOUR_S, 100_000)
    store.take_predictions([predicted(number) for number in range(9)])
    for number in range(5):
        names = [f"x{each}" for each in range(10 * number, 10 * number + 10)]
        assert store.take_reports([("iris", named(number, names))], 101.0) == [Receipt(counted=10)]
    store.close()
    store = OutcomeStore(memory_path / "outcomes.db", HOUR_S, 100_000)  # it knows them after a start, too

    beyond = named(6, ["x0", "more"])
    refused, taken = store.take_reports([("iris", beyond), ("iris", named(7, ["x0", "label"]))], 101.0)
    repeated = store.take_reports([("iris", named(1, ["x10"])), ("iris", named(8, ["x3"]))], 101.0)
    waiting = store.take_reports([("iris", named(77, ["other"]))], 101.0)

    assert isinstance(refused, ValidationFault)
    assert "50 names of outcomes at most" in refused.message
    assert taken == Receipt(counted=2)
    assert repeated == [Receipt(repeated=1), Receipt(counted=1)]
    assert isinstance(waiting[0], ValidationFault)
    run = store.run("iris")
    assert run is not None
    assert len(run.outcomes) == 51  # the label, too
    assert run.outcomes["x0"][0] == 2
    assert store.tallies("iris")["refused"] == 3
    store.close()


def test_names_that_wait_for_their_predictions_are_no_way_around(store: OutcomeStore) -> None:
    for number in range(6):
        names = [f"x{10 * number + each}" for each in range(10)]
        assert store.take_reports([("iris", named(number, names))], 99.0) == [Receipt(waiting=10)]

    store.take_predictions([predicted(number) for number in range(6)])

    run = store.run("iris")
    assert run is not None
    assert len(run.outcomes) == 50
    assert store.tallies("iris") == {"waiting": 0, "counted": 50, "refused": 10}
    (again,) = store.take_reports([("iris", named(5, [f"x{each}" for each in range(50, 60)]))], 101.0)
    assert isinstance(again, ValidationFault)


def by_key(reports: list[Reported], key: str) -> list[Reported]:
    return [report._replace(reporter=key) for report in reports]


def test_a_key_that_may_not_manage_uses_up_no_names_of_others(store: OutcomeStore) -> None:
    store.take_predictions([predicted(number) for number in range(9)])

    def say(number: int, prefix: str, names: int, key: str = "") -> Receipt | SagebirdError:
        reports = by_key(named(number, [f"{prefix}{each}" for each in range(names)]), key)
        return store.take_reports([("iris", reports)], 101.0)[0]

    assert say(0, "a", 10, "AKIA1") == Receipt(counted=10)
    refused = say(1, "b", 1, "AKIA1")
    assert isinstance(refused, ValidationFault)
    assert refused.message.startswith("A key that may not manage brings in 10 names of outcomes at most")
    assert say(1, "a", 10, "AKIA1") == Receipt(counted=10)  # those that it has
    assert [say(n, f"k{n}-", 10, f"AKIA{n}") for n in (2, 3, 4)] == [Receipt(counted=10)] * 3
    beyond = say(5, "k5-", 1, "AKIA5")
    assert isinstance(beyond, ValidationFault)
    assert say(5, "a", 1, "AKIA5") == Receipt(counted=1)  # what is there is for all
    assert say(6, "mine", 10) == Receipt(counted=10)


def test_nor_do_names_that_wait_for_their_predictions(store: OutcomeStore) -> None:
    first = by_key(named(0, [f"x{each}" for each in range(10)]), "AKIA1")
    assert store.take_reports([("iris", first)], 99.0) == [Receipt(waiting=10)]
    (refused,) = store.take_reports([("iris", by_key(named(1, ["more"]), "AKIA1"))], 99.0)
    assert isinstance(refused, ValidationFault)

    store.take_predictions([predicted(number) for number in range(3)])

    run = store.run("iris")
    assert run is not None
    assert len(run.outcomes) == 10
    late = by_key(named(99, ["later"]), "AKIA1")
    assert store.take_reports([("iris", late)], 101.0) == [Receipt(waiting=1)]
    store.take_predictions([predicted(99)])
    run = store.run("iris")
    assert run is not None
    assert "later" not in run.outcomes
    assert store.tallies("iris")["refused"] == 2


def test_what_variants_say_of_the_same_rows_is_added_up_for_the_newest_fleet(memory_path: Path) -> None:
    store = OutcomeStore(memory_path / "outcomes.db", HOUR_S, 100_000)
    assert store.agreement("iris") is None
    for generation, dropped in ((1, 5), (2, 1), (1, 5), (2, 2)):
        store.add_agreements({"iris": LiveAgreement(generation, dropped)})
    store.close()

    opened = OutcomeStore(memory_path / "outcomes.db", HOUR_S, 100_000)
    assert opened.agreement("iris") == LiveAgreement(2, 3)
    assert opened.agreement("birds") is None
    opened.close()


def test_a_prediction_has_so_many_outcomes(store: OutcomeStore) -> None:
    store.take_predictions([predicted(1), predicted(2)])
    names = [f"x{number}" for number in range(20)]
    store.take_reports([("iris", named(1, names))], 101.0)

    refused, fine = store.take_reports(
        [("iris", named(1, ["one-more"])), ("iris", named(1, names[:3]) + named(2, ["one-more"]))], 101.0
    )

    assert isinstance(refused, ValidationFault)
    assert "A prediction has 20 outcomes at most" in refused.message
    assert fine == Receipt(counted=1, repeated=3)
