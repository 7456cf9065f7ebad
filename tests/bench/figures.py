"""How benches print what they measured."""

import sys
from collections.abc import Mapping
from typing import Any


def show_figures(title: str, cases: Mapping[str, Mapping[str, Any]]) -> None:
    """Print a table of figures, case by case."""
    lines = ["", title]
    for case, figures in cases.items():
        lines.append(f"  {case}")
        for name, value in figures.items():
            shown = f"{value:.2f}" if isinstance(value, float) else str(value)
            lines.append(f"    {name:50} {shown:>12}")
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
