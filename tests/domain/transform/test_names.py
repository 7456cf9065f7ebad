"""Which output belongs to which input."""

import pytest

from service.domain.transform.names import check_distinct, read_manifest, relative_name
from service.errors import ValidationFault


@pytest.mark.parametrize(
    ("key", "prefix", "name"),
    [
        ("in/a.csv", "in/", "a.csv"),
        ("in/a.csv", "in", "a.csv"),
        ("in/sub/a.csv", "in/", "sub/a.csv"),
        ("in/2024-01.csv", "in/2024", "2024-01.csv"),
        ("in/2024/x.csv", "in/2024", "x.csv"),
        ("in/a.csv", "in/a.csv", "a.csv"),
        ("a.csv", "", "a.csv"),
        ("sub/a.csv", "", "sub/a.csv"),
        ("data.csv", "da", "data.csv"),
    ],
)
def test_an_output_keeps_the_path_below_the_prefix(key: str, prefix: str, name: str) -> None:
    assert relative_name(key, prefix) == name


def test_two_inputs_for_one_output_are_refused() -> None:
    check_distinct(["a", "b"])
    with pytest.raises(ValidationFault, match=r"same output, b\.out"):
        check_distinct(["a", "b", "b"])


@pytest.mark.provenance("documented")
def test_a_manifest_lists_names_below_a_prefix() -> None:
    text = b'[{"prefix": "s3://b/p/"}, "a.csv", "sub/b.csv"]'

    assert list(read_manifest(text)) == [("s3://b/p/", "a.csv"), ("s3://b/p/", "sub/b.csv")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"a.csv\nb.csv", "not JSON"),
        (b"[]", "begins with"),
        (b'["a.csv"]', "begins with"),
        (b'{"prefix": "s3://b/"}', "begins with"),
        (b'[{"prefix": 1}, "a"]', "begins with"),
        (b'[{"prefix": "s3://b/"}, 1]', "Entry 2"),
        (b'[{"prefix": "s3://b/"}, "a", ""]', "Entry 3"),
    ],
)
def test_a_manifest_that_is_none_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(ValidationFault, match=reason):
        list(read_manifest(text))
