"""Records to requests, and answers to outputs."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.transform.batch import assemble, batch_lines, batch_records, read_lines
from service.domain.transform.split import split_lines
from service.errors import RecordError

records = st.lists(st.binary(min_size=1, max_size=30), max_size=30)
lines = records.map(lambda items: [item.replace(b"\n", b" ") + b"\n" for item in items])


@given(records, st.integers(0, 60), st.integers(0, 5))
def test_batches_hold_all_records_in_order_and_as_many_as_fit(
    items: list[bytes], limit: int, most: int
) -> None:
    batches = list(batch_records(items, limit, most))

    assert [record for batch in batches for record in batch] == items
    for batch, following in pairwise(batches):
        size, more = sum(map(len, batch)), len(following[0])
        assert len(batch) == most or (limit and size + more > limit), "one more would have fitted"
    for batch in batches:
        assert len(batch) == 1 or not limit or sum(map(len, batch)) <= limit
        assert not most or len(batch) <= most


@given(lines, st.integers(1, 60), st.integers(1, 40))
def test_bodies_of_lines_are_the_batches_of_these_lines(items: list[bytes], target: int, chunk: int) -> None:
    stream = b"".join(items)
    chunks = [stream[at : at + chunk] for at in range(0, len(stream), chunk)]

    bodies = list(batch_lines(chunks, target, 0))

    assert bodies == [b"".join(batch) for batch in batch_records(split_lines(chunks, 0), target)]


@given(lines, st.integers(1, 60))
def test_a_line_over_the_limit_is_refused_and_those_before_it_are_not(items: list[bytes], limit: int) -> None:
    bodies = batch_lines([b"".join(items)], limit, limit)
    too_long = [number for number, item in enumerate(items, 1) if len(item) > limit]
    if not too_long:
        assert b"".join(bodies) == b"".join(items)
        return

    taken: list[bytes] = []
    with pytest.raises(RecordError) as caught:
        taken.extend(bodies)

    before = sum(body.count(b"\n") for body in taken)
    assert before + caught.value.number == too_long[0]


def test_a_line_over_the_target_is_a_body_of_its_own() -> None:
    assert list(batch_lines([b"1\n", b"234567\n8\n", b"9"], 3, 100)) == [b"1\n", b"234567\n", b"8\n9"]


@pytest.mark.provenance("documented")
def test_line_ends_each_answer_with_a_newline_and_none_changes_nothing() -> None:
    assert assemble(b'{"a":1}', "Line") == b'{"a":1}\n'
    assert assemble(b'{"a":1}', "None") == b'{"a":1}'
    assert assemble(b"", "Line") == b"\n"


def test_an_answer_that_ends_in_a_newline_leaves_no_blank_line() -> None:
    assert assemble(b"0\n1\n", "Line") == b"0\n1\n"


@given(st.binary(max_size=60))
def test_lines_that_are_read_add_up(body: bytes) -> None:
    joined = b"\n".join(read_lines(body))

    assert joined == body.removesuffix(b"\n")
