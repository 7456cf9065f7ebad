"""`sagebird experiment` and `promote`: what they ask a server, and how they say what it answers."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from service.cli import make_app
from service.errors import ValidationFault
from service.experiments.class_quality import ClassQuality
from service.experiments.live_agreement import LiveTally
from service.experiments.number_quality import NumberQuality
from service.experiments.reports import read_reports
from service.store.outcome_tables import Receipt
from tests.load.stub import Asked, Reply, serving

_RAMP = {
    **{"variant": "b", "steps": [10, 100], "step": 0, "pause_s": 60, "next_at": "2026-01-02T12:00:00+00:00"},
    **{"state": "stopped", "why": "thompson decides from now on."},
}
_ALLOCATION = {
    **{"policy": "thompson", "outcome": None, "less": False, "floor": 1.0, "pause_s": 60},
    **{"weights": {"a": 78.6, "b": 21.4}, "changes": 3, "next_at": "2026-01-02T12:00:00+00:00"},
    **{"state": "running", "why": ""},
}


def run(command: str, *arguments: str) -> Result:
    """The command, in this process."""
    return CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(make_app(command), [command, *arguments])


def answering(document: Any) -> Any:
    """A server that answers everything by one document."""
    body = json.dumps(document).encode()
    return serving(lambda _asked: Reply(body=body, headers={"x-amzn-RequestId": "1"}))


def told(asked: Asked) -> Any:
    return json.loads(asked.body)


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("b",), {"variant": "b"}),
        (("b", "--ramp", "5,50", "--reason", "won"), {"variant": "b", "ramp": [5, 50], "reason": "won"}),
        (
            ("b", "--ramp", "5,100", "--outcome", "refund", "--less"),
            {"variant": "b", "ramp": [5, 100], "outcome": "refund", "less": True},
        ),
        (("b", "--ramp", "5,100", "--pause", "5"), {"variant": "b", "ramp": [5, 100], "pause_s": 5}),
        (("--policy", "top-two"), {"policy": "top-two"}),
        (
            ("--policy", "thompson", "--outcome", "fee", "--less", "--floor", "2", "--pause", "60"),
            {"policy": "thompson", "outcome": "fee", "less": True, "floor": 2, "pause_s": 60},
        ),
        (("--stop",), {"stop": True}),
    ],
)
def test_a_promotion_asks_for_what_was_given(arguments: tuple[str, ...], wanted: dict[str, Any]) -> None:
    with answering({"endpoint": "e", "ramp": None, "allocation": None}) as stub:
        done = run("promote", "e", *arguments, "--url", stub.url)

    assert (done.exit_code, done.stdout) == (0, "e has no ramp and no policy\n")
    (asked,) = stub.asked
    usual = {} if "stop" in wanted else {"reason": ""}
    assert (asked.path, told(asked)) == ("/endpoints/e/promote", {**usual, **wanted})


def test_a_variant_and_the_end_of_what_is_under_way_are_not_both_asked_for() -> None:
    with answering({}) as stub:
        assert "not both" in run("promote", "e", "b", "--stop", "--url", stub.url).stderr
        assert "not both" not in run("promote", "e", "--url", stub.url).stderr


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("b", "--stop"),
        ("b", "--policy", "thompson"),
        ("--stop", "--ramp", "5,100"),
        ("--policy", "thompson", "--ramp", "5,100"),
        ("b", "--floor", "2"),
        ("--stop", "--less"),
        ("b", "--ramp", "few"),
        ("b", "--pause", "5"),
        ("--stop", "--pause", "5"),
    ],
)
def test_what_says_nothing_together_is_refused_before_anybody_is_asked(arguments: tuple[str, ...]) -> None:
    with answering({}) as stub:
        done = run("promote", "e", *arguments, "--url", stub.url)

    assert done.exit_code != 0
    assert not stub.asked


def test_a_pause_without_steps_is_refused_in_a_sentence() -> None:
    with answering({}) as stub:
        said = run("promote", "e", "b", "--pause", "5", "--url", stub.url).stderr

    assert (
        said == "sagebird: --pause goes with --ramp or --policy: without them there is one step, at once.\n"
    )


def test_people_are_told_how_a_policy_goes_and_how_it_ended() -> None:
    for allocation, said in (
        (
            _ALLOCATION,
            "Traffic follows the most frequent outcome by thompson: a 78.6%, b 21.4%; changed 3 times, the "
            "next look is due at 2026-01-02 12:00:00 UTC\n",
        ),
        (
            {**_ALLOCATION, "state": "stopped", "why": "b was promoted.", "outcome": "click"},
            "The ramp of b was stopped at 10 %: thompson decides from now on.\n"
            "Traffic followed click by thompson, and was left at a 78.6%, b 21.4%: b was promoted.\n",
        ),
    ):
        with answering({"ramp": _RAMP, "allocation": allocation}) as stub:
            assert run("promote", "e", "--stop", "--url", stub.url).stdout == said


def test_it_is_said_which_steps_would_have_taken_traffic_away_and_that_nothing_was_under_way() -> None:
    ramp = {**_RAMP, "steps": [100], "state": "done"}
    with answering({"ramp": ramp, "allocation": None, "skipped": [5.0, 25.0]}) as stub:
        assert run("promote", "e", "b", "--ramp", "5,25,100", "--url", stub.url).stdout == (
            "b has 100 % of the traffic\nLeft out, since b had as much already: 5, 25 %\n"
        )
    note = "It stays at 50 % for 1 minute first, then 100 %."
    held = {**_RAMP, "steps": [50, 100], "state": "running", "holds": True}
    with answering({"ramp": held, "allocation": None, "skipped": [5.0, 25.0], "note": note}) as stub:
        assert run("promote", "e", "b", "--ramp", "5,25,50,100", "--url", stub.url).stdout == (
            "b stays at 50 %, the next step is due at 2026-01-02 12:00:00 UTC\n"
            f"Left out, since b had as much already: 5, 25 %\n{note}\n"
        )
    with answering({"ramp": _RAMP, "allocation": None, "stopped": False}) as stub:
        stopped = run("promote", "e", "--stop", "--url", stub.url).stdout
    assert stopped == "e keeps its weights: nothing was under way\n"


def test_it_is_said_that_a_policy_follows_an_outcome_that_nobody_has_reported() -> None:
    note = "No outcome named 'clik' was reported and counted yet: there is click."
    with answering({"ramp": None, "allocation": {**_ALLOCATION, "outcome": "clik"}, "note": note}) as stub:
        said = run("promote", "e", "--policy", "thompson", "--outcome", "clik", "--url", stub.url).stdout

    assert said.startswith("Traffic follows clik by thompson:")
    assert said.endswith(f"\n{note}\n")


def refusing(status: int, **headers: str) -> Any:
    """A server that refuses everything in the same words."""
    body = b'{"__type": "MissingAuthenticationTokenException", "message": "No."}'
    return serving(lambda _asked: Reply(status, body, headers={"x-amzn-RequestId": "1", **headers}))


def test_a_refusal_has_no_colon_in_the_air_and_says_where_a_command_has_its_key_from() -> None:
    with refusing(400) as stub:
        assert run("promote", "e", "b", "--url", stub.url).stderr == "sagebird: No.\n"
    with refusing(400, **{"x-amzn-ErrorType": "ValidationError"}) as stub:
        assert run("promote", "e", "b", "--url", stub.url).stderr == "sagebird: 400 ValidationError: No.\n"
    hint = "No. Commands send the API key that SAGEBIRD_API_KEY holds: set it to a good one."
    with refusing(401) as stub:
        assert run("promote", "e", "b", "--url", stub.url).stderr == f"sagebird: {hint}\n"
    with refusing(403) as stub:  # as AWS words it
        assert hint in run("logs", "e", "--url", stub.url).stderr


def test_a_key_that_may_only_invoke_is_told_what_was_wrong_with_its_call() -> None:
    def answer(asked: Asked) -> Reply:
        wrong = Reply(400, b'{"Message": "3 columns"}', headers={"x-amzn-RequestId": "1"})
        unread = Reply(403, b'{"Message": "It may not read."}', headers={"x-amzn-RequestId": "1"})
        return unread if asked.path == "/status" else wrong

    with serving(answer) as stub:
        done = CliRunner().invoke(make_app("invoke"), ["invoke", "e", "-", "--url", stub.url], input="1,2")

    assert done.stderr.startswith("sagebird: 3 columns")


def taking(asked: Asked) -> Reply:
    """What a server says to outcomes: it keeps them, or refuses them whole."""
    ids = {"x-amzn-RequestId": "1"}
    try:
        reports = read_reports(asked.headers["content-type"], asked.body)
    except ValidationFault as fault:
        return Reply(400, json.dumps({"message": fault.message}).encode(), headers=ids)
    receipt = Receipt(len(reports), 0, 0, 0)
    return Reply(body=json.dumps(receipt._asdict()).encode(), headers=ids)


def test_a_bad_record_of_a_large_file_is_named_with_how_many_were_reported(tmp_path: Path) -> None:
    file = tmp_path / "clicks.jsonl"
    good = [json.dumps({"inference_id": f"id-{number}", "click": 1}) for number in range(40_000)]
    file.write_text("\n".join([*good, good[0].replace("1", '"?"')]))
    with serving(taking) as stub:
        done = run("outcomes", "e", str(file), "--url", stub.url)
    kept = sum(asked.body.count(b"click") for asked in stub.asked[:-1])

    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        "sagebird: Record 40001: click is no number, nor true or false.\n"
        f"The first {kept:,} records were reported before. To report the whole file again does no harm: each "
        "counts once.\n"
    )


def test_of_a_file_that_goes_whole_only_the_bad_record_is_named(tmp_path: Path) -> None:
    file = tmp_path / "clicks.csv"
    file.write_text("inference_id,click\na,1\nb,?\n")
    with serving(taking) as stub:
        done = run("outcomes", "e", str(file), "--url", stub.url)
        file.write_text("inference_id,click\na,1\nb,0\n")
        fine = run("outcomes", "e", str(file), "--url", stub.url)

    assert done.stderr == "sagebird: Record 2: click is no number, nor true, false, yes or no.\n"
    assert fine.stdout == "2 counted, 0 wait for their prediction, 0 were known\n"


def test_what_was_reported_is_told_where_the_server_goes_away_in_the_midst(tmp_path: Path) -> None:
    file = tmp_path / "clicks.csv"
    file.write_text("inference_id,click\n" + "".join(f"id-{number:06},1\n" for number in range(60_000)))
    with serving(
        lambda asked: taking(asked) if asked.body.count(b"id-000000") else Reply(raw=b"", close=True)
    ) as stub:
        done = run("outcomes", "e", str(file), "--url", stub.url)
    kept = stub.asked[0].body.count(b"id-")

    assert done.exit_code == 1
    assert f"The first {kept:,} records were reported before." in done.stderr


def _document(window: Any) -> dict[str, Any]:
    latency = {"p50_ms": 1.0, "p90_ms": 1.0, "p99_ms": 2.0}
    variants = [
        {
            **{"name": name, "weight": 1.0, "share": 0.5, "requests": 10, "client_errors": 0},
            **{
                "server_errors": 0,
                "latency": latency,
                "calls": 10,
                "users": 0,
                "outcome": None,
                "quality": None,
            },
        }
        for name in "ab"
    ]
    return {
        **{
            "variants": variants,
            "endpoint": "e",
            "outcome": "label",
            "outcomes": {"label": 20},
            "verdict": None,
            "sentence": "Keep going.",
            "warnings": [],
        },
        **{
            "tallies": dict.fromkeys(("waiting", "unknown", "contradicting", "refused", "dropped"), 0),
            "changes": [],
        },
        **{"ramp": None, "allocation": _ALLOCATION, "window": window},
    }


def test_a_window_has_the_quality_of_its_predictions() -> None:
    classes, numbers = ClassQuality(("no", "yes")), NumberQuality()
    for number in range(4):
        classes.add("yes", "yes" if number else "no", None)
        numbers.add(1.0, 1.0 + number)
    window = {"last": "day", "since": "2026-01-02T12:00:00+00:00", "labels": 4, "whole": True}
    shown = []
    for quality, whole in ((classes, True), (numbers, False)):
        found = {**window, "whole": whole, "quality": {"a": quality.document(), "b": None}}
        with answering(_document(found)) as stub:
            shown.append(run("experiment", "e", "--window", "day", "--url", stub.url).stdout)
        assert "window=day" in stub.asked[0].path

    assert "Predictions of the last day: 4 with a label.\n" in shown[0]
    assert "75.0%" in shown[0]
    assert "Traffic follows the most frequent outcome" in shown[0]
    assert "4 with a label, the newest of them.\n" in shown[1]
    assert "1.5" in shown[1]


def test_changes_of_weights_are_told_as_shares_whatever_weights_sum_up_to() -> None:
    moments = {"at": "2026-01-02T12:00:00+00:00", "reason": "won"}
    changes = [{**moments, "weights": weights} for weights in ({"a": 0.9, "b": 0.1}, {"a": 75, "b": 25})]
    with answering({**_document(None), "changes": changes}) as stub:
        shown = run("experiment", "e", "--url", stub.url).stdout

    for shares in ("a 90.0%, b 10.0%", "a 75.0%, b 25.0%"):
        assert f"12:00:00+00:00: {shares} of traffic (won)\n" in shown


def test_outcomes_beside_the_judged_one_are_named_with_how_to_ask_for_them() -> None:
    document = {**_document(None), "outcome": "amount", "outcomes": {"amount": 250, "click": 240}}
    with answering(document) as stub:
        both = run("experiment", "e", "--url", stub.url).stdout
    with answering(_document(None)) as stub:
        alone = run("experiment", "e", "--url", stub.url).stdout

    assert "Keep going.\nAlso reported: click (240): sagebird experiment e --outcome click\n" in both
    assert "Also reported" not in alone


def test_columns_without_a_number_are_left_out() -> None:
    nobody = _document(None)
    users = _document(None)
    for variant in users["variants"]:
        variant |= {"calls": 0, "users": 7}
    shown = []
    for found in (nobody, users):
        with answering(found) as stub:
            shown.append(run("experiment", "e", "--url", stub.url).stdout)

    assert [("without" in each, "users" in each) for each in shown] == [(True, False), (False, True)]


def test_live_rows_are_asked_of_two_and_it_is_told_where_they_differ() -> None:
    tally = LiveTally(failed=1)
    tally.meet([("0", "1"), ("1", "1"), ("0", "0"), ("2", "2")], 0.0, "id-1")
    agreement = {"ask_both": 5.0, "dropped": 1_200, "pairs": [tally.document(("a", "b"), "a")]}
    with answering({**_document(None), "agreement": agreement}) as stub:
        said = run("experiment", "e", "--ask-both", "5", "--url", stub.url).stdout

    assert [each.method for each in stub.asked] == ["POST", "GET"]
    assert json.loads(stub.asked[0].body) == {"ask_both": 5.0}
    assert "5 % of calls are asked of a second variant, too.\n" in said
    assert "b and a differ on 1 of 4 live rows: 25.0% (" in said
    assert "  a says 0, b 1: 1\n" in said
    assert "  1970-01-01T00:00:00+00:00 id-1, row 1: 0 against 1\n" in said
    assert "1,200 calls were not asked of two" in said
    assert "1 failed at the second one, 0 pairs" in said


def test_no_window_is_told_unless_it_is_asked_for() -> None:
    with answering(_document(None)) as stub:
        done = run("experiment", "e", "--url", stub.url)

    assert done.exit_code == 0, done.output
    assert "last" not in done.stdout
    assert "window" not in stub.asked[0].path
