"""Train every sample model that is missing or out of date; each folder here with a train.py is one.

A model is up to date while the stamp beside it (`.built`) names the same sources and library versions.
Nothing heavy is imported here: the check costs milliseconds, so it may run before every start of the server.
"""

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("scikit-learn", "numpy", "joblib")  # a pickle is only as good as the versions that wrote it


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is stale, print one line per model, return 1 if any of them failed."""
    parser = argparse.ArgumentParser(description="Train every sample model that is missing or out of date.")
    parser.add_argument("--force", action="store_true", help="train all of them, up to date or not")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(__file__).resolve().parent,
        metavar="DIR",
        help="folder of the samples (default: where this file is)",
    )
    options = parser.parse_args(arguments)
    samples = sorted(script.parent for script in options.folder.glob("*/train.py"))
    stamps = {sample: stamp(sample) for sample in samples}
    stale = [sample for sample in samples if options.force or not is_fresh(sample, stamps[sample])]
    for sample in samples:
        if sample not in stale:
            print(f"{sample.name}: up to date")
    # each training is a process of its own; these threads only wait for them
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        outcomes = list(pool.map(lambda sample: train(sample, stamps[sample]), stale))
    return 0 if all(outcomes) else 1


def stamp(sample: Path) -> str:
    """Return what the model depends on: library versions, and a hash of the code and data in its folder."""
    digest = hashlib.sha256()
    for source in sorted([*sample.glob("*.py"), *sample.glob("data.*")]):
        content = source.read_bytes()
        digest.update(f"{source.name} {len(content)}\n".encode() + content)
    versions = {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}
    return json.dumps({**versions, "sources": digest.hexdigest()}, indent=2) + "\n"


def is_fresh(sample: Path, expected: str) -> bool:
    """Tell whether the model is there and was built from exactly what `stamp` sees now."""
    built = sample / ".built"
    return (sample / "model.joblib").is_file() and built.is_file() and built.read_text() == expected


def train(sample: Path, built: str) -> bool:
    """Run the sample's train.py and leave its stamp; pass on the line that it prints, or its last words."""
    command = [sys.executable, str(sample / "train.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  our own script
    if done.returncode != 0:
        print(f"{sample.name}: failed\n{done.stderr.rstrip()}", file=sys.stderr, flush=True)
        return False
    unfinished = sample / f".built.{os.getpid()}"
    unfinished.write_text(built)
    os.replace(unfinished, sample / ".built")
    print(done.stdout.strip(), flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
