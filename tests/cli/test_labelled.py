"""Files of rows with labels, as people have them."""

from pathlib import Path

import pytest
import typer

from service.cli.labelled import MOST_ROWS, LabelledRows, read_labelled


def read(folder: Path, name: str, text: str, label: str | None = None) -> LabelledRows:
    """What is read of a file of this name."""
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return read_labelled(file, label)


def test_a_column_of_labels_is_not_sent(tmp_path: Path) -> None:
    found = read(tmp_path, "a.csv", 'age,city,label\n50,"Paris, centre",yes\n20,Rome,no\n')

    assert found.head == "age,city\n"
    assert found.rows == ('50,"Paris, centre"\n', "20,Rome\n")
    assert found.labels == ("yes", "no")
    assert found.body(0, 2) == b'age,city\n50,"Paris, centre"\n20,Rome\n'
    assert found.headless().body(1, 2) == b"20,Rome\n"


@pytest.mark.parametrize(
    ("text", "label", "head", "labels"),
    [
        ("5.1,0\n6.7,2\n", "-1", "", ("0", "2")),
        ("5.1,0\n6.7,2\n", "2", "", ("0", "2")),
        ("5.1,0\n6.7,2\n", None, "", None),
        ("size,species\n5.1,0\n6.7,2\n", "species", "size\n", ("0", "2")),
        ("size,species\n5.1,0\n6.7,2\n", "-1", "size\n", ("0", "2")),
        ("size,species\n5.1,0\n6.7,2\n", None, "size,species\n", None),
        ("size,Target\nbig,a\nsmall,b\n", None, "size\n", ("a", "b")),
        ("\ufeffsize,label\n5.1,0\n", None, "size\n", ("0",)),
        ("big,a\nsmall,b\n", "2", "", ("a", "b")),
    ],
)
def test_a_head_is_told_by_its_names_and_by_numbers_below(
    tmp_path: Path, text: str, label: str | None, head: str, labels: tuple[str, ...] | None
) -> None:
    found = read(tmp_path, "a.csv", text, label)

    assert (found.head, found.labels) == (head, labels)


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_records_lose_their_label(tmp_path: Path, name: str) -> None:
    lines = ['{"age": 50, "label": true}', '{"age": null, "label": false}']
    text = f"[{', '.join(lines)}]" if name == "a.json" else "\n".join(lines) + "\n"

    found = read(tmp_path, name, text)

    assert found.labels == ("True", "False")
    assert found.body(0, 2) == b'[{"age": 50}, {"age": null}]'
    assert found.body(1, 2) == b'[{"age": null}]'


def test_lists_have_their_label_by_number(tmp_path: Path) -> None:
    found = read(tmp_path, "a.json", "[[5.1, 0], [6.7, 2]]", "-1")

    assert (found.rows, found.labels) == (("[5.1]", "[6.7]"), ("0", "2"))
    assert read(tmp_path, "a.json", "[[5.1], [6.7]]").labels is None


@pytest.mark.parametrize(
    ("name", "text", "label", "words"),
    [
        ("a.csv", "", None, "has no rows"),
        ("a.csv", "age,label\n", None, "has no rows"),
        ("a.csv", "1,2\n1\n", None, "Row 2 of"),
        ("a.csv", "1,2\n", "3", "has no column 3: it has 1, 2"),
        ("a.csv", "1,2\n", "0", "has no column 0"),
        ("a.csv", "age,city\n1,b\n", "label", "has no column label: it has age, city"),
        ("a.csv", "age,label\n1,a\n2,\n", None, "Row 2 of"),
        ("a.csv", '1,"2\n', None, "is no CSV"),
        ("a.json", "{}", None, "is no list of rows"),
        ("a.json", "[1", None, "is no JSON"),
        ("a.json", '[{"label": 1}, {}]', None, "Row 2 of"),
        ("a.json", "[[1, 2]]", "3", "has no label 3"),
        ("a.csv", "1\n" * (MOST_ROWS + 1), None, "at most 100,000 are taken"),
    ],
)
def test_what_is_no_such_file_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, label: str | None, words: str
) -> None:
    with pytest.raises(typer.Exit):
        read(tmp_path, name, text, label)

    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_what_cannot_be_read_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_bytes(b"a\xff")
    for file in (tmp_path / "a.csv", tmp_path / "none.csv"):
        with pytest.raises(typer.Exit):
            read_labelled(file, None)

    said = capsys.readouterr().err
    assert "is no text in UTF-8 (byte 2)" in said
    assert "none.csv cannot be read" in said
