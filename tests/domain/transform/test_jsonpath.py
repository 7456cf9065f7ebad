"""The JSONPath subset, judged by a library of RFC 9535 on random documents."""

import json
from contextlib import suppress
from typing import Any

import jsonpath_rfc9535 as judge
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.transform.jsonpath import compile_path
from service.errors import PathError

NAMES = ["a", "b", "key", "Sage_Maker-1", "über", "with space", "q'uote", "x.y"]
plain = [name for name in NAMES if name.isalnum()]

documents = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5), st.dictionaries(st.sampled_from(NAMES), inner, max_size=5)
    ),
    max_leaves=15,
)


def quoted(name: str) -> str:
    return "'" + name.replace("\\", "\\\\").replace("'", "\\'") + "'"


index = st.integers(-4, 4)
steps = st.one_of(
    st.sampled_from(plain).map(lambda name: ("." + name, True)),
    st.sampled_from(NAMES).map(lambda name: (f"[{quoted(name)}]", True)),
    st.lists(st.sampled_from(NAMES), min_size=2, max_size=3, unique=True).map(
        lambda names: (f"[{','.join(map(quoted, names))}]", False)
    ),
    index.map(lambda at: (f"[{at}]", True)),
    st.lists(index, min_size=2, max_size=3).map(lambda at: (f"[{', '.join(map(str, at))}]", False)),
    st.tuples(st.none() | index, st.none() | index).map(
        lambda ends: (f"[{'' if ends[0] is None else ends[0]}:{'' if ends[1] is None else ends[1]}]", False)
    ),
    st.sampled_from([(".*", False), ("[*]", False)]),
)


@given(documents, st.lists(steps, max_size=4))
def test_a_path_finds_what_the_library_finds(document: Any, parts: list[tuple[str, bool]]) -> None:
    text = "$" + "".join(part for part, _ in parts)
    expected = judge.find(text, document).values()

    try:
        found = compile_path(text).find(document)
    except PathError:
        # Ours insists on each name and index that is asked for; the library drops what is not there.
        assert _misses_something(document, [part for part, _ in parts])
        return

    if all(single for _, single in parts):
        assert [found] == expected
    elif "','" in (parts[-1][0] if parts else ""):
        merged = [found] if isinstance(found, dict) else found
        assert [value for item in merged for value in item.values()] == expected
    else:
        assert found == expected


def _misses_something(document: Any, parts: list[str]) -> bool:
    """Whether some step finds fewer things than it asks of each value that it is asked of."""
    values = [document]
    for part in parts:
        wanted = 0 if "*" in part or ":" in part else part.count(",") + 1
        for value in values:
            found = len(judge.find("$" + part, value))
            if found < wanted or (not wanted and not isinstance(value, list | dict)):
                return True
            if ":" in part and not isinstance(value, list):
                return True
        values = [each for value in values for each in judge.find("$" + part, value).values()]
    return False


@pytest.mark.provenance("documented")
@pytest.mark.parametrize(
    ("path", "document", "found"),
    [
        ("$", {"a": 1}, {"a": 1}),
        ("$.a", {"a": {"b": 1}}, {"b": 1}),
        ("$.a.b", {"a": {"b": 1}}, 1),
        ("$.*", {"a": 1, "b": 2}, [1, 2]),
        ("$.a[*]", {"a": [1, 2]}, [1, 2]),
        ("$['a','b']", {"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 2}),
        (
            "$['id','SageMakerOutput']",
            {"id": 7, "x": 0, "SageMakerOutput": 1},
            {"id": 7, "SageMakerOutput": 1},
        ),
        ("$.Sage_Maker-1", {"Sage_Maker-1": 0}, 0),
        ("$.f.['a','b']", {"f": {"a": 1, "b": 2, "c": 3}}, {"a": 1, "b": 2}),
        ('$["a"]', {"a": 1}, 1),
        ("$[1]", [1, 2, 3], 2),
        ("$[1,3,5]", list(range(7)), [1, 3, 5]),
        ("$[-1]", [1, 2, 3], 3),
        ("$[0,-1]", [1, 2, 3], [1, 3]),
        ("$[2:5]", list(range(9)), [2, 3, 4]),
        ("$[:5]", list(range(9)), [0, 1, 2, 3, 4]),
        ("$[2:]", list(range(5)), [2, 3, 4]),
        ("$[:-1]", list(range(5)), [0, 1, 2, 3]),
        ("$[0,5:]", list(range(8)), [0, 5, 6, 7]),
        ("$[1:3,-1]", list(range(8)), [1, 2, 7]),
        ("$[ 0 , 2 : 4 ]", list(range(8)), [0, 2, 3]),
        ("$.features[0:2]", {"features": [1, 2, 3]}, [1, 2]),
    ],
)
def test_the_documented_forms(path: str, document: Any, found: Any) -> None:
    assert compile_path(path).find(document) == found


@pytest.mark.provenance("guess")
@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$[1:4]", [1, 2, 3, 4]),
        ("$[:5]", [0, 1, 2, 3, 4, 5]),
        ("$[:-1]", list(range(9))),
        ("$[:-2]", list(range(8))),
    ],
)
def test_slices_can_be_switched_to_hold_their_end(path: str, found: list[int]) -> None:
    assert compile_path(path, inclusive_slices=True).find(list(range(9))) == found


@pytest.mark.parametrize(
    "path",
    [
        "", "a", "@.a", "$a", "$.", "$..a", "$[", "$[]", "$[1", "$['a]", "$[a]", "$[?(@.a)]", "$[1,'a']",
        "$['a',]",
        "$.a b", "$[1:2:3]", "$[1.5]", "$['a','b'.c]", "$[(@.length-1)]", "$[,1]", "$ ", "$.a..b", "$[1]]",
    ],
)  # fmt: skip
def test_what_is_not_of_the_subset_is_refused(path: str) -> None:
    with pytest.raises(PathError):
        compile_path(path)


@given(st.text(alphabet="$.[]'\"*,:01-ab ?@\\", max_size=12))
def test_any_text_is_compiled_or_refused(text: str) -> None:
    with suppress(PathError):
        compile_path("$" + text)


@pytest.mark.parametrize(
    ("path", "document", "reason"),
    [
        ("$.b", {"a": 1}, "there is no 'b'"),
        ("$['a','b']", {"a": 1}, "there is no 'b'"),
        ("$[3]", [1, 2, 3], "no element 3: there are 3, counted from 0"),
        ("$[-4]", [1, 2, 3], "no element -4"),
        ("$[0]", {"a": 1}, "no list"),
        ("$.a", [1], "no object"),
        ("$.*", 1, "no list"),
        ("$[0,5:]", [1, 2, 3, 4, 5], "no element 5: there are 5"),
        ("$[0:2,246:]", [1], r"Invalid JsonPath: \$\[0:2,246:\]: only single range filters of format"),
    ],
)
def test_what_is_not_there_is_told(path: str, document: Any, reason: str) -> None:
    with pytest.raises(PathError, match=reason):
        compile_path(path).find(document)


@given(st.integers(1, 8), st.lists(index, min_size=1, max_size=4))
def test_columns_are_those_that_the_path_finds_in_a_row(width: int, wanted: list[int]) -> None:
    path = compile_path(json.dumps(wanted).join(["$", ""]))
    row = [f"c{column}" for column in range(width)]

    try:
        columns = path.columns(width)
    except PathError:
        assert any(not -width <= at < width for at in wanted)
    else:
        assert [row[column] for column in columns] == [row[at] for at in wanted]
