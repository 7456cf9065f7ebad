"""Documents of XML: texts between elements cost what they hold, however many pieces they come in."""

import re

import pytest

from service.wire.xml_tree import read_tree


def test_texts_around_children_belong_to_their_parents() -> None:
    root = read_tree(b"<a>one<b>two</b>three<b/>four<c><d>five</d></c></a>")

    assert (root.name, root.text) == ("a", "onethreefour")
    assert [(child.name, child.text) for child in root.children] == [("b", "two"), ("b", ""), ("c", "")]
    assert root.children[2].children[0].text == "five"


def test_a_text_in_many_pieces_is_whole() -> None:
    """To copy what there is at each piece would take half a minute here."""
    pieces = 100_000

    root = read_tree(b"<a>" + b"a text of some length and<b/>" * pieces + b"</a>")

    assert root.text == "a text of some length and" * pieces
    assert len(root.children) == pieces


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"<a>" * 40 + b"</a>" * 40, "too deep"),
        (b"<!DOCTYPE a><a/>", "a document type is declared"),
        (b"<a><b></a>", "mismatched tag"),
        (b"", "no element found"),
    ],
)
def test_what_is_no_document_is_refused(document: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        read_tree(document)
