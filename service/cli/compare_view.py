"""How `sagebird compare` and the verdict of `sagebird load` show themselves."""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from service.cli.told import cell, open_console, print_table, told

_MOST_CLASSES = 12
_ERRORS = ("mean_absolute_error", "root_mean_squared_error", "r2")


def show_comparison(document: Mapping[str, Any]) -> None:
    """Print where variants disagree, how good they are, and the sentence."""
    console = open_console()
    for each in document["disagreement"]:
        _show_disagreement(console, document["rows"], each)
    if document["quality"] is None:
        _say(console, "Without labels nobody knows which one is right: --label says where they are.")
    else:
        show_verdict(console, document["quality"], document["verdict"])


def show_verdict(console: Console, quality: Mapping[str, Any], verdict: Mapping[str, Any]) -> None:
    """Print the quality of each variant, and what follows from it."""
    print_table(
        console, _class_table(quality, verdict) if verdict["binary"] else _number_table(quality, verdict)
    )
    if verdict["binary"]:
        for name, figures in quality.items():
            _show_confusion(console, name, figures)
    for comparison in verdict["comparisons"]:
        _say(console, comparison["sentence"], "bold")


def quality_table(quality: Mapping[str, Any]) -> Table:
    """How good the predictions of variants are: of classes, or of numbers."""
    if any("mean_absolute_error" in figures for figures in quality.values()):
        table = _table("variant", "labels", "mean error", "RMSE", "R2")
        for name, figures in quality.items():
            table.add_row(cell(name), f"{figures['count']:,}", *(_figure(figures[each]) for each in _ERRORS))
        return table
    table = _table("variant", "labels", "right", "precision", "recall", "F1", "ROC AUC", "log loss")
    for name, figures in quality.items():
        named = figures["classes"].get(figures["positive"], figures["macro"])
        table.add_row(
            cell(name),
            f"{figures['count']:,}",
            f"{figures['accuracy']:.1%}",
            *(f"{named[each]:.3f}" for each in ("precision", "recall", "f1")),
            _figure(figures["roc_auc"]),
            _figure(figures["log_loss"]),
        )
    return table


def _show_disagreement(console: Console, rows: int, each: Mapping[str, Any]) -> None:
    differ = (
        f"{each['control']} and {each['variant']} answer differently on {each['rows']:,} of {rows:,} rows"
    )
    if each["mean_distance"] is None:
        _say(
            console, f"{differ}, {each['share']:.1%} (95 %: {each['lower'] * 100:.1f} to {each['upper']:.1%})"
        )
    else:
        apart = f"by {each['mean_distance']:.4g} on average and {each['largest_distance']:.4g} at most"
        _say(console, f"{differ}, {apart}")
    for pair in each["pairs"]:
        said = f"{each['control']} {pair['control']}, {each['variant']} {pair['challenger']}"
        _say(console, f"  {pair['rows']:,} times {said}")
    for example in each["examples"]:
        label = f", label {example['label']}" if "label" in example else ""
        said = f"{each['control']} {example['control']}, {each['variant']} {example['challenger']}"
        _say(console, f"  row {example['row']}: {said}{label}")


def _class_table(quality: Mapping[str, Any], verdict: Mapping[str, Any]) -> Table:
    titles = (
        "variant",
        "rows",
        "right",
        "at any time, 95 %",
        "precision",
        "recall",
        "F1",
        "ROC AUC",
        "log loss",
    )
    table = _table(*titles)
    for variant in verdict["variants"]:
        figures = quality[variant["name"]]
        named = figures["classes"].get(figures["positive"], figures["macro"])
        table.add_row(
            cell(variant["name"]),
            f"{figures['count']:,}",
            f"{figures['accuracy']:.1%}",
            f"{variant['lower'] * 100:.1f} to {variant['upper']:.1%}",
            *(f"{named[name]:.3f}" for name in ("precision", "recall", "f1")),
            _figure(figures["roc_auc"]),
            _figure(figures["log_loss"]),
        )
    return table


def _number_table(quality: Mapping[str, Any], verdict: Mapping[str, Any]) -> Table:
    table = _table("variant", "rows", "mean error", "at any time, 95 %", "RMSE", "R2")
    for variant in verdict["variants"]:
        figures = quality[variant["name"]]
        known = variant["lower"] is not None
        table.add_row(
            cell(variant["name"]),
            f"{figures['count']:,}",
            _figure(figures["mean_absolute_error"]),
            f"{variant['lower']:.4g} to {variant['upper']:.4g}" if known else "",
            _figure(figures["root_mean_squared_error"]),
            _figure(figures["r2"]),
        )
    return table


def _show_confusion(console: Console, name: str, figures: Mapping[str, Any]) -> None:
    positive = figures["positive"]
    if positive is not None:
        of = figures["classes"][positive]
        parts = ("true positives", "false positives", "true negatives", "false negatives")
        counts = ", ".join(f"{part} {of[part.replace(' ', '_')]:,}" for part in parts)
        _say(console, f"{name}: {counts} ({positive} is positive)")
        return
    classes = [*figures["classes"]][:_MOST_CLASSES]
    table = _table(f"{cell(name)}: label", *(f"said {cell(said)}" for said in classes))
    counts_of = {(each["label"], each["predicted"]): each["count"] for each in figures["confusion"]}
    for label in classes:
        table.add_row(cell(label), *(f"{counts_of.get((label, said), 0):,}" for said in classes))
    print_table(console, table)


def _table(*titles: str) -> Table:
    table = Table(*titles, box=box.SIMPLE_HEAD, show_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def _figure(number: float | None) -> str:
    return "" if number is None else f"{number:.4g}"


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(told(text), markup=False, style=style, soft_wrap=True)
