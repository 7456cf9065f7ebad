"""A run beside an earlier one."""

from typing import Any

from service.load.comparison import compare_runs


def run(*parts: tuple[str, int, int, int]) -> dict[str, Any]:
    """A document with what is compared: name, first millisecond, answers in each of ten, failures."""
    variants = [part(*each) for each in parts]
    return {"total": variants[0] | {"name": ""}, "variants": variants}


def part(name: str, first_ms: int, answers: int, failed: int) -> dict[str, Any]:
    rows = [(at / 1e3, (at + 1) / 1e3, answers) for at in range(first_ms, first_ms + 10)]
    latency = {"p50_s": first_ms / 1e3, "p99_s": (first_ms + 9) / 1e3, "histogram": rows}
    figures = {
        "requests": 10 * answers + failed,
        "failed": failed,
        "answers_per_second": 1.0,
        "latency": latency,
    }
    return {"name": name} | figures


def test_what_is_surely_slower_and_fails_more_is_said() -> None:
    total, variant = compare_runs(run(("a", 20, 200, 200)), run(("a", 1, 200, 0), ("gone", 1, 1, 0)))

    assert (total["name"], variant["name"]) == ("total", "a")
    assert len(total["changes"]) == 3
    assert total["changes"][0].startswith("p50 is longer: 2")
    assert total["changes"][1].startswith("p99 is longer: ")
    assert total["changes"][2].startswith("fails more often, by ")
    assert total["before"]["p99_s"] == 0.01


def test_what_is_better_is_said_too() -> None:
    total, _ = compare_runs(run(("a", 1, 200, 0)), run(("a", 20, 200, 200)))

    assert [change.split(":")[0].split(",")[0] for change in total["changes"]] == [
        "p50 is shorter",
        "p99 is shorter",
        "fails less often",
    ]


def test_runs_like_each_other_and_empty_ones_have_no_changes() -> None:
    same, _ = compare_runs(run(("a", 1, 200, 3)), run(("a", 1, 190, 2)))
    empty, _ = compare_runs(run(("a", 1, 0, 0)), run(("a", 1, 200, 0)))

    assert same["changes"] == empty["changes"] == []
