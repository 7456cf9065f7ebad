"""What labels make of a load test: which variant's answers are better, and how good each one's are."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from service.cli.labelled import LabelledRows
from service.cli.refusal import fail
from service.errors import UnclearAnswer
from service.experiments.answers import read_items, tell_task
from service.experiments.grading import Grades, grade
from service.experiments.guards import failure_warnings, latency_warnings
from service.experiments.shares import ALARM, Picks, mismatch_p_value
from service.experiments.sums import count_up, sum_up
from service.experiments.verdict import Question, judge

Answers = Mapping[str, Mapping[int, bytes]]


def judge_load(report: Mapping[str, Any], answers: Answers, rows: LabelledRows) -> dict[str, Any] | None:
    """The verdict of a run, from what each variant first answered to each row; None if nothing was answered.

    A row counts once per variant however often it was sent: to ask the same again says nothing new. The
    control is the variant of the most weight.
    """
    if not answers:
        return None
    is_class, grades = _grade(answers, rows)
    weights = {variant["name"]: variant["weight"] or 0.0 for variant in report["variants"]}
    names = sorted((name for name in weights if name in grades), key=lambda name: -weights[name])
    found = sum(len(each.outcomes) for each in grades.values())
    per_second = found / report["duration_s"] if report["duration_s"] else None
    question = Question(names[0], is_class, is_class, None, per_second, "labelled rows")
    outcomes = {name: [sum_up(grades[name].outcomes.values())] for name in names}
    verdict = judge(question, outcomes)
    if any(each["more"] > len(names) * len(rows.rows) - found for each in verdict["comparisons"]):
        verdict = judge(replace(question, per_second=None), outcomes)  # it takes more rows, not more time
    return {
        "rows": len(rows.rows),
        "quality": {name: grades[name].quality.document() for name in names},
        "verdict": verdict,
        "warnings": [*_warnings(report, names[0])],
    }


def _grade(answers: Answers, rows: LabelledRows) -> tuple[bool, dict[str, Grades]]:
    labels = rows.labels or ()
    try:
        items = {
            name: {row: read_items(body, 1)[0] for row, body in sorted(found.items())}
            for name, found in answers.items()
        }
        task = tell_task(labels, [item for found in items.values() for item in found.values()])
        return bool(task.classes), {name: grade(task, labels, found) for name, found in items.items()}
    except UnclearAnswer as error:
        fail(f"The answers cannot be held against the labels: {error}")


def _warnings(report: Mapping[str, Any], control: str) -> Iterator[str]:
    """What a reader should know before the verdict: who fails, who is late, whether weights were kept."""
    variants = {variant["name"]: variant for variant in report["variants"] if variant["name"]}
    weights = {name: variant["weight"] for name, variant in variants.items()}
    if report["plan"]["target_variant"] is None and None not in weights.values():
        picks = Picks(weights, {name: variant["requests"] for name, variant in variants.items()})
        p_value = mismatch_p_value([picks])
        if p_value < ALARM:
            yield (
                f"Traffic is not shared out as the weights say (p = {p_value:.2g}): find out why before you "
                "trust a comparison."
            )
    failures = {name: [count_up(each["failed"], each["requests"])] for name, each in variants.items()}
    yield from failure_warnings(control, failures).values()
    latencies = {name: each["latency"]["histogram"] for name, each in variants.items()}
    yield from latency_warnings(control, latencies).values()
