"""`sagebird compare`: all variants asked the same rows. Over the samples: test_cli.py."""

import json
from pathlib import Path
from typing import Any

import pytest
from sklearn.metrics import accuracy_score
from typer.testing import CliRunner, Result

from service.cli import make_app
from tests.load.stub import Asked, Reply, serving


def run(*arguments: str) -> Result:
    """The command, in this process."""
    return CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(
        make_app("compare"), ["compare", *arguments]
    )


def two_variants(answer: dict[str, Any], weights: tuple[float, ...] = (1.0, 9.0)) -> Any:
    """A server whose endpoint e has the variants a and b; `answer` has what each says to a body."""

    def script(asked: Asked) -> Reply:
        if asked.path.startswith("/status"):
            cards = [
                {"name": name, "weight": weight, "pending": False}
                for name, weight in zip("ab", weights, strict=False)
            ]
            endpoint = {"name": "e", "variants": cards, "example": None}
            return Reply(body=json.dumps({"endpoints": [endpoint], "models": []}).encode())
        reply = answer[asked.headers["x-amzn-sagemaker-target-variant"]](asked)
        return Reply(reply.status, reply.body, {"x-amzn-RequestId": "1"})

    return serving(script)


def rows_of(asked: Asked) -> list[float]:
    """The first cell of each row that was sent."""
    return [float(line.split(",")[0]) for line in asked.body.decode().splitlines()]


def says(function: Any) -> Any:
    """A variant that answers each row by its first cell."""
    return lambda asked: Reply(body=json.dumps([function(row) for row in rows_of(asked)]).encode())


def test_a_better_variant_is_named_with_its_lead(tmp_path: Path) -> None:
    truth = [number % 2 for number in range(1_200)]
    (tmp_path / "a.csv").write_text("".join(f"{row},{label}\n" for row, label in enumerate(truth)))
    answers = {
        "a": says(lambda row: int(row) % 2),
        "b": says(lambda row: int(row) % 2 if row % 10 else 1 - int(row) % 2),
    }
    with two_variants(answers) as stub:
        done = run(
            "e", str(tmp_path / "a.csv"), "--label", "-1", "--rows-per-request", "250", "--url", stub.url
        )

    assert done.exit_code == 0, done.output
    assert "b and a answer differently on 120 of 1,200 rows, 10.0%" in done.stdout
    assert "  row 1: b 1, a 0, label 0" in done.stdout
    assert (
        "a: true positives 600, false positives 0, true negatives 600, false negatives 0 (1 is positive)"
        in done.stdout
    )
    assert done.stdout.splitlines()[-1].startswith("a is better than b by ")
    invocations = [asked for asked in stub.asked if asked.method == "POST"]
    assert len(invocations) == 2 * 5
    guesses = [label if row % 10 else 1 - label for row, label in enumerate(truth)]
    assert f"{accuracy_score(truth, guesses):.1%}" in done.stdout


def test_numbers_are_compared_by_how_far_off_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("size,target\n" + "".join(f"{row},{row + 0.5}\n" for row in range(300)))
    answers = {"a": says(lambda row: row + 0.6), "b": says(lambda row: row + 1.0 + (row % 3) / 10)}
    with two_variants({name: refusing_head(answer) for name, answer in answers.items()}) as stub:
        done = run("e", str(tmp_path / "a.csv"), "--url", stub.url)

    assert done.exit_code == 0, done.output
    assert "mean error" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("a is better than b by 0.")


def refusing_head(answer: Any) -> Any:
    """A variant that takes no names of columns."""
    return lambda asked: Reply(400, b'{"Message": "no head"}') if asked.body[:1].isalpha() else answer(asked)


@pytest.mark.parametrize(
    ("with_head", "without", "told"),
    [
        (
            "the header has the unknown column 'kind'; the model's columns are size",
            "Row 1 has 2",
            "unknown column 'kind'; the model's columns are size --label COLUMN says which column has labels",
        ),
        ("the header lacks the column 'age'", "Row 1 has 2", "the header lacks the column 'age'\n"),
        ("Row 1, column 1: 'size' is not a number", "Row 2, column 2: 'x' is", "Row 2, column 2: 'x' is\n"),
    ],
)
def test_the_refusal_that_tells_what_is_wrong_is_shown(
    tmp_path: Path, with_head: str, without: str, told: str
) -> None:
    def refuse(asked: Asked) -> Reply:
        said = with_head if asked.body[:1].isalpha() else without
        return Reply(400, json.dumps({"Message": said}).encode())

    (tmp_path / "a.csv").write_text("size,kind\n1,x\n2,x\n")
    with two_variants({"a": refuse, "b": refuse}) as stub:
        done = run("e", str(tmp_path / "a.csv"), "--url", stub.url)

    assert done.exit_code == 1
    assert told in done.stderr


def test_rows_have_the_numbers_that_they_have_in_the_file(tmp_path: Path) -> None:
    def refuse(asked: Asked) -> Reply:
        if "bad" not in asked.body.decode():
            return Reply(body=b"[0, 0]")
        return Reply(400, b'{"Message": "Row 2 has 1 column, but row 1 has 2."}')

    (tmp_path / "a.csv").write_text("1,0\n2,0\n3,0\n4,0\n5,0\nbad,0\n")
    with two_variants({"a": refuse, "b": refuse}) as stub:
        done = run("e", str(tmp_path / "a.csv"), "--rows-per-request", "2", "--url", stub.url)

    assert "refused rows 5 to 6: Row 6 has 1 column, but row 5 has 2." in done.stderr


def test_without_labels_only_the_disagreement_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1\n2\n3\n")
    with two_variants({"a": says(lambda row: 0), "b": says(lambda row: 0)}) as stub:
        done = run("e", str(tmp_path / "a.csv"), "--url", stub.url)

    assert done.exit_code == 0, done.output
    assert "b and a answer differently on 0 of 3 rows" in done.stdout
    assert "--label says where they are" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("e", "none.csv"), "none.csv cannot be read"),
        (("e", "FILE", "--control", "c"), "There is no variant c: there are a, b."),
        (("nobody", "FILE"), "There is no endpoint nobody"),
        (("e", "FILE", "--label", "7"), "has no column 7"),
        (("e", "FILE"), "refused rows 1 to 2: 424"),
        (("e", "FILE", "--rows-per-request", "1"), "refused rows 1 to 1: 424"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    (tmp_path / "a.csv").write_text("1,0\n2,1\n")
    broken = {"a": lambda asked: Reply(424, b'{"Message": "broken"}'), "b": lambda asked: Reply(424, b"{}")}
    with two_variants(broken) as stub:
        done = run(
            *(str(tmp_path / "a.csv") if each == "FILE" else each for each in arguments), "--url", stub.url
        )

    assert done.exit_code == 1
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[1]", "The answer to 2 rows has 1 parts"),
        (b'[{"scores": [1, 2, 3]}, 0]', "names none of the classes 0, 1"),
    ],
)
def test_answers_that_cannot_be_read_are_one_sentence(tmp_path: Path, body: bytes, words: str) -> None:
    (tmp_path / "a.csv").write_text("1,0\n2,1\n")
    with two_variants({name: lambda asked: Reply(body=body) for name in "ab"}) as stub:
        done = run("e", str(tmp_path / "a.csv"), "--label", "-1", "--url", stub.url)

    assert done.exit_code == 1
    assert words in done.stderr


def test_one_variant_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1\n")
    with two_variants({}, weights=(1.0,)) as stub:
        done = run("e", str(tmp_path / "a.csv"), "--url", stub.url)

    assert done.exit_code == 1
    assert "There is one variant, a: nothing to compare it with." in done.stderr
