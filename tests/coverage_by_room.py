"""Prints the coverage of some rooms by statements and by branches; fails if one misses its limit by branches.

Usage: coverage_by_room.py COVERAGE_JSON PERCENT ROOM...
"""

import json
import sys
from pathlib import Path


def main(report: str, limit: str, *rooms: str) -> int:
    """Read coverage.py's JSON report; returns the exit code."""
    files = json.loads(Path(report).read_text())["files"]
    missed = []
    sys.stdout.write(f"{'room':12}{'statements':>20}{'branches':>20}\n")
    for room in rooms:
        own = [files[name]["summary"] for name in files if name.startswith(f"service/{room}/")]
        statements = [sum(file[key] for file in own) for key in ("covered_lines", "num_statements")]
        branches = [sum(file[key] for file in own) for key in ("covered_branches", "num_branches")]
        sys.stdout.write(f"{room:12}{_share(*statements):>20}{_share(*branches):>20}\n")
        if not own or 100 * branches[0] < float(limit) * branches[1]:
            missed.append(room)
    if missed:
        sys.stderr.write(f"less than {limit} % of the branches are covered in: {', '.join(missed)}\n")
    return bool(missed)


def _share(covered: int, total: int) -> str:
    return f"{covered}/{total} {100 * covered / total if total else 0:.1f} %"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
