"""How often two variants answer live rows differently: added up from anywhere, told like `compare`."""

import json

import pytest

from service.errors import UnclearAnswer
from service.experiments.agreement import MOST_EXAMPLES, disagreement
from service.experiments.live_agreement import LiveAgreement, LiveTally, count_rows, rows_of_both

PAIR = ("a", "b")


def tally_of(*said: tuple[str, str], inference_id: str | None = None) -> LiveTally:
    tally = LiveTally()
    tally.meet(said, 0.0, inference_id)
    return tally


def test_it_is_told_as_compare_tells_of_rows_of_a_file() -> None:
    said = [("0", "0"), ("0", "1"), ("2", "1"), ("0", "1")]
    document = tally_of(*said, inference_id="id-1").document(PAIR, "a")
    (wanted,) = disagreement({"a": [one for one, _ in said], "b": [two for _, two in said]}, None)

    assert (document["rows"], document["differing"]) == (4, wanted["rows"])
    same = ("control", "variant", "share", "lower", "upper", "pairs", "mean_distance", "largest_distance")
    assert {name: document[name] for name in same} == {name: wanted[name] for name in same}
    assert document["examples"][0] == {
        "at": "1970-01-01T00:00:00+00:00",
        "inference_id": "id-1",
        "row": 4,
        "control": "0",
        "challenger": "1",
    }


def test_the_control_comes_first_whatever_its_name_is() -> None:
    document = tally_of(("0", "1"), ("0", "0")).document(PAIR, "b")

    assert (document["control"], document["variant"]) == ("b", "a")
    assert document["pairs"] == [{"control": "1", "challenger": "0", "rows": 1}]
    assert (document["examples"][0]["control"], document["examples"][0]["challenger"]) == ("1", "0")


def test_of_numbers_it_is_told_how_far_they_are_apart() -> None:
    document = tally_of(("1.5", "1.0"), ("2.0", "2.0"), ("3.25", "4.75")).document(PAIR, "a")

    assert document["pairs"] == []
    assert document["mean_distance"] == pytest.approx(2.0 / 3)
    assert document["largest_distance"] == 1.5
    assert tally_of(("1", "3")).document(PAIR, "a")["mean_distance"] is None  # classes that are numbered


def test_what_gateways_found_is_added_up_and_survives_being_written() -> None:
    one, two = LiveAgreement(7, dropped=2), LiveAgreement(7, dropped=3)
    one.tally(PAIR).add(tally_of(("0", "1"), ("1", "1")))
    two.tally(PAIR).add(tally_of(("0", "1"), inference_id="later"))
    two.tally(PAIR).failed = 4
    one.add(LiveAgreement.of_told(json.loads(json.dumps(two.told()))))

    assert one.dropped == 5
    document = one.tally(PAIR).document(PAIR, "a")
    assert (document["rows"], document["differing"], document["failed"]) == (3, 2, 4)
    assert document["pairs"] == [{"control": "0", "challenger": "1", "rows": 2}]
    assert [each["inference_id"] for each in document["examples"]] == ["later", None]


def test_it_takes_no_more_room_however_much_differs() -> None:
    tally = LiveTally()
    for number in range(5_000):
        tally.add(tally_of((f"{'x' * 1000}{number}", f"{number}{'y' * 1000}")))

    assert tally.differing == 5_000
    assert len(tally.examples) == MOST_EXAMPLES
    assert len(json.dumps(tally.told())) < 50_000


@pytest.mark.parametrize(
    ("body", "content_type", "rows"),
    [
        (b"1,2\n3,4\n", "text/csv", 2),
        (b"1,2", "text/csv; charset=utf-8", 1),
        (b"", "text/csv", 1),
        (b"[[1,2],[3,4],[5,6]]", "application/json", 3),
        (b"[1,2,3]", "application/json", 1),
        (b'{"instances": [{"a": 1}, {"a": 2}]}', "application/json", 2),
        (b'{"a": 1, "b": [1, 2]}', "application/json", 1),
        (b"no json", None, 1),
    ],
)
def test_rows_are_counted_from_outside(body: bytes, content_type: str | None, rows: int) -> None:
    assert count_rows(body, content_type) == rows


def test_answers_are_put_side_by_side_row_by_row() -> None:
    assert rows_of_both(b"1\n2", "text/csv", b"[0, 1]", b"0\n2\n") == [("0", "0"), ("1", "2")]
    assert rows_of_both(b"a\n1\n2", "text/csv", b"[0, 1]", b"[0, 1]") == [("0", "0"), ("1", "1")]  # a head
    probabilities = b"[0.25, 0.75]"
    assert rows_of_both(b"1,2", "text/csv", probabilities, b"[0.5, 0.5]") == [("class 1", "class 0")]
    with pytest.raises(UnclearAnswer):
        rows_of_both(b"1\n2\n3", "text/csv", b'"unclosed', b"")
