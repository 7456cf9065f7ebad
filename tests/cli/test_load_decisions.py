"""What `sagebird load` decides: limits kept, what has changed since a saved run, which variant is better."""

import json
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from service.cli import make_app
from tests.load.stub import Asked, Reply, serving


def run(*arguments: str) -> Result:
    """The command; the processes that send are real ones."""
    environment = {"COLUMNS": "300", "NO_COLOR": "1", "AWS_ENDPOINT_URL": None, "SAGEBIRD_URL": None}
    return CliRunner(env=environment).invoke(make_app("load"), ["load", *arguments])


def status(*weights: float) -> Reply:
    """An endpoint e whose variants are a, b, …"""
    cards = [
        {"name": chr(97 + number), "weight": weight, "pending": False}
        for number, weight in enumerate(weights)
    ]
    endpoint = {
        "name": "e",
        "variants": cards,
        "example": {"body": "1", "content_type": "text/csv", "target_model": None},
    }
    return Reply(body=json.dumps({"endpoints": [endpoint], "models": []}).encode())


def answer(variant: str, body: bytes = b"[0]", code: int = 200) -> Reply:
    """An answer of a variant."""
    return Reply(code, body, {"x-Amzn-Invoked-Production-Variant": variant})


def sound(asked: Asked) -> Reply:
    """A server that answers everything."""
    return status(1.0) if asked.path == "/status" else answer("a")


# ---- stages


def test_each_stage_has_its_rate_and_its_figures(tmp_path: Path) -> None:
    file = tmp_path / "load.json"
    with serving(sound) as stub:
        done = run("e", "--stages", "20:500ms,100:1s", "--json", str(file), "--url", stub.url)

    assert done.exit_code == 0, done.output
    report = json.loads(file.read_text())
    first, second = report["stages"]
    assert (first["rate"], first["length_s"], first["requests"]) == (20.0, 0.5, 10)
    assert (second["rate"], second["at_s"], second["requests"]) == (100.0, 0.5, 100)
    assert report["total"]["requests"] == 110
    assert "due per s" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--stages", "50"), "is no stage, such as 50:10s"),
        (("--stages", "0:1s"), "is no stage"),
        (("--stages", "x:1s"), "is no stage"),
        (("--stages", "50:soon"), "soon is no duration"),
        (("--stages", "50:0s"), "0s is no duration"),
        (("--stages", ",".join(["1:1s"] * 101)), "101 stages are too many"),
        (("--stages", "1:13h,1:13h"), "at most a day"),
        (("--stages", "1:1s", "--rate", "1"), "Give either --rate or --stages"),
        (("--stages", "1:1s", "--duration", "1"), "leave --duration"),
        (("--max-p99", "fast"), "fast is no duration"),
        (("--max-errors", "some"), "some is no share of requests"),
        (("--max-errors", "120%"), "120% is no share of requests"),
        (("--label", "1"), "--label goes with --outcomes"),
        (("--outcomes", "a.csv", "--body", "b.csv"), "leave --body out"),
    ],
)
def test_what_makes_no_sense_is_exit_code_2(arguments: tuple[str, ...], words: str) -> None:
    done = run("e", *arguments)

    assert done.exit_code == 2
    assert words in done.stderr


# ---- limits


@pytest.mark.parametrize(
    ("limits", "code", "words"),
    [
        ((), 1, ""),
        (("--max-errors", "50%"), 0, ""),
        (("--max-errors", "0.5"), 0, ""),
        (("--max-errors", "10%"), 1, "sagebird: 50.000% failed, more than 10%."),
        (("--max-errors", "50%", "--max-p99", "1h"), 0, ""),
        (("--max-errors", "50%", "--max-p99", "0.001ms"), 1, "more than 0.001 ms."),
    ],
)
def test_limits_decide_the_exit_code(limits: tuple[str, ...], code: int, words: str) -> None:
    turns = count()

    def every_second_fails(asked: Asked) -> Reply:
        return status(1.0) if asked.path == "/status" else answer("a", code=200 if next(turns) % 2 else 500)

    with serving(every_second_fails) as stub:
        options = ("--concurrency", "1", "--requests", "20", "--allow-failures")
        done = run("e", *options, *limits, "--url", stub.url)

    assert done.exit_code == code
    assert words in done.stderr


def test_a_limit_holds_in_each_stage_and_needs_answers() -> None:
    def failing(asked: Asked) -> Reply:
        return status(1.0) if asked.path == "/status" else answer("a", code=500)

    with serving(failing) as stub:
        options = ("--stages", "20:250ms,40:250ms", "--max-errors", "5%", "--max-p99", "1s")
        done = run("e", *options, "--url", stub.url)

    assert done.exit_code == 1
    assert "failed at 20/s, more than 5%." in done.stderr
    assert "failed at 40/s, more than 5%." in done.stderr
    assert "Nothing was answered" in done.stderr


# ---- what has changed


def test_a_saved_run_is_what_the_next_is_held_against(tmp_path: Path) -> None:
    saved, now = str(tmp_path / "saved.json"), tmp_path / "now.json"

    def slow(asked: Asked) -> Reply:
        reply = sound(asked)
        return reply if asked.path == "/status" else Reply(200, reply.body, reply.headers, delay_s=0.1)

    options = ("--concurrency", "8", "--requests", "120")
    with serving(sound) as stub:
        before = run("e", *options, "--save", saved, "--url", stub.url)
    with serving(slow) as stub:
        after = run("e", *options, "--compare", saved, "--json", str(now), "--url", stub.url)

    assert (before.exit_code, after.exit_code) == (0, 0), before.output + after.output
    assert "a since the earlier run: p50 1" in after.stdout
    assert "p50 is longer: " in after.stdout
    compared = json.loads(now.read_text())["compared"]
    assert [row["name"] for row in compared] == ["total", "a"]


@pytest.mark.parametrize("text", [None, "[]", "nothing", '{"version": 1, "total": {}}'])
def test_what_no_run_has_saved_is_refused(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "saved.json"
    if text is not None:
        file.write_text(text)
    done = run("e", "--compare", str(file))

    assert done.exit_code == 1
    assert done.stderr.startswith(f"sagebird: {file} ")


# ---- outcomes


def labelled(folder: Path, rows: int) -> str:
    """A file of rows whose label is whether the number is odd."""
    file = folder / "rows.csv"
    file.write_text("number,label\n" + "".join(f"{row},{row % 2}\n" for row in range(rows)))
    return str(file)


def guesser(*, head: bool = True) -> Any:
    """Variants a, which knows, and b, which is wrong for every third; they take turns after the trial."""
    turns = count()

    def script(asked: Asked) -> Reply:
        if asked.path == "/status":
            return status(1.0, 1.0)
        lines = asked.body.decode().splitlines()
        if lines[0] == "number" and not head:
            return answer("", b"{}", 400)
        row, name = int(lines[-1]), "ab"[next(turns) % 2]
        wrong = name == "b" and row % 3 == 0
        return answer(name, json.dumps([(row + wrong) % 2]).encode())

    return script


@pytest.mark.parametrize("head", [True, False])
def test_a_labelled_file_gives_the_verdict_between_variants(tmp_path: Path, head: bool) -> None:
    file = tmp_path / "load.json"
    options = ("--outcomes", labelled(tmp_path, 601), "--concurrency", "2", "--requests", "1202")
    with serving(guesser(head=head)) as stub:
        done = run("e", *options, "--json", str(file), "--url", stub.url)

    assert done.exit_code == 0, done.output
    outcomes = json.loads(file.read_text())["outcomes"]
    counts = {variant["name"]: variant["count"] for variant in outcomes["verdict"]["variants"]}
    assert sum(counts.values()) > 601
    assert max(counts.values()) <= 601
    assert outcomes["quality"]["a"]["accuracy"] == 1.0
    assert outcomes["quality"]["b"]["accuracy"] == pytest.approx(2 / 3, abs=0.02)
    assert outcomes["verdict"]["comparisons"][0]["decision"] == "worse"
    assert "b is worse than a by " in done.stdout
    assert "601 rows" in done.stdout


def test_a_row_counts_once_however_often_it_is_sent(tmp_path: Path) -> None:
    file = tmp_path / "load.json"
    options = ("--outcomes", labelled(tmp_path, 10), "--concurrency", "1", "--requests", "500")
    with serving(guesser()) as stub:
        done = run("e", *options, "--json", str(file), "--url", stub.url)

    assert done.exit_code == 0, done.output
    outcomes = json.loads(file.read_text())["outcomes"]
    assert {variant["count"] for variant in outcomes["verdict"]["variants"]} <= {5, 10}
    assert "Keep going: " in done.stdout


def test_a_file_with_rows_left_says_how_long_it_takes(tmp_path: Path) -> None:
    def nearly_equal(asked: Asked) -> Reply:
        if asked.path == "/status":
            return status(1.0, 1.0)
        row = int(asked.body.decode().splitlines()[-1])
        name = "ab"[row // 2 % 2]
        wrong = row % 3 == 0 or (name == "a" and row % 7 == 0)
        return answer(name, json.dumps([(row + wrong) % 2]).encode())

    options = ("--outcomes", labelled(tmp_path, 3_000), "--rate", "200", "--duration", "1")
    with serving(nearly_equal) as stub:
        done = run("e", *options, "--url", stub.url)

    assert done.exit_code == 0, done.output
    (said,) = (line for line in done.stdout.splitlines() if line.startswith("Keep going: about "))
    assert said.endswith(" at this rate.")


def test_traffic_that_does_not_keep_the_weights_is_told_before_anything_is_believed(tmp_path: Path) -> None:
    def only_a(asked: Asked) -> Reply:
        return status(1.0, 1.0) if asked.path == "/status" else answer("a")

    options = ("--outcomes", labelled(tmp_path, 50), "--concurrency", "1", "--requests", "50")
    with serving(only_a) as stub:
        done = run("e", *options, "--url", stub.url)

    assert done.exit_code == 0, done.output
    assert "Traffic is not shared out as the weights say (p = " in done.stdout


def test_nothing_answered_is_no_verdict(tmp_path: Path) -> None:
    def failing(asked: Asked) -> Reply:
        return status(1.0) if asked.path == "/status" else answer("a", code=500)

    options = ("--outcomes", labelled(tmp_path, 5), "--concurrency", "1", "--requests", "5")
    with serving(failing) as stub:
        done = run("e", *options, "--url", stub.url)

    assert done.exit_code == 1
    assert "nothing is known about the answers" in done.stdout


@pytest.mark.parametrize(
    ("name", "words"), [("rows.csv", "has no labels: --label COLUMN"), ("none.csv", "cannot be read")]
)
def test_a_file_without_labels_is_refused_before_anything_is_sent(
    tmp_path: Path, name: str, words: str
) -> None:
    (tmp_path / "rows.csv").write_text("1\n2\n")
    with serving(sound) as stub:
        done = run("e", "--outcomes", str(tmp_path / name), "--url", stub.url)
        assert stub.asked == []

    assert done.exit_code == 1
    assert words in done.stderr


def test_answers_that_say_nothing_of_the_labels_are_one_sentence(tmp_path: Path) -> None:
    def odd(asked: Asked) -> Reply:
        return status(1.0) if asked.path == "/status" else answer("a", b'{"scores": [[1, 2, 3]]}')

    options = ("--outcomes", labelled(tmp_path, 5), "--concurrency", "1", "--requests", "5")
    with serving(odd) as stub:
        done = run("e", *options, "--url", stub.url)

    assert done.exit_code == 1
    assert "The answers cannot be held against the labels: " in done.stderr
