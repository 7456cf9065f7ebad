"""Batch transform beside a hand-written script and beside the floor: rows/s and memory, as ratios of one run.

The models are a regression, a forest, and the two pipelines of words, gaps and numbers that the speed tables
have too. The script is what people write: pandas in chunks, joblib on all processors, pandas out again. The
floor is the fastest that libraries do with numbers, without any job around them: every processor parses,
predicts and formats its share of the file, and nothing is checked; `tuned` lets it keep freed memory as
sagebird does. Rounds are interleaved; medians count. Memory is watched in a round of its own, for to look
takes time.
"""

import argparse
import io
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

# Processes are the parallelism, for all contestants.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = os.environ["POLARS_MAX_THREADS"] = "1"

import joblib
import numpy as np
import orjson
import pandas as pd
import psutil
import simdjson
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from service.hosting.memory import keep_freed_memory
from tests.bench.records import NAMES, fit_boosting, fit_logistic, make_table
from tests.harness.family import ROOT, memory_bytes

COLUMNS = 10
TABLES = {"records": fit_logistic, "boosting": fit_boosting}
_CHUNK_ROWS = 100_000
_FLOOR_BYTES = 2**20
_SAMPLE_S = 0.1
_READERS: dict[str, Callable[[bytes], Any]] = {}


def main() -> int:
    """Make data and models, measure, print."""
    options = _options()
    if options.contestant:
        _CONTESTANTS[options.contestant](Path(options.model), Path(options.input), Path(options.output))
        return 0
    with tempfile.TemporaryDirectory(prefix="sagebird-bench-", dir=options.folder) as name:
        folder = Path(name)
        rows = {"logistic": options.rows, "forest": options.forest_rows}
        figures = {
            model: _measure(
                folder,
                model,
                options.rounds,
                rows.get(model, options.table_rows),
                [] if model in TABLES or options.no_floors else _floors(),
            )
            for model in options.models
        }
        if options.files:
            figures["small files"] = _measure_small_files(folder, options.files)
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000, help="rows for the regression (5,000,000)")
    parser.add_argument("--forest-rows", type=int, default=5_000_000, help="rows for the forest (5,000,000)")
    parser.add_argument("--table-rows", type=int, default=2_000_000, help="rows of words (2,000,000)")
    parser.add_argument("--no-floors", action="store_true", help="measure nothing but the script beside it")
    parser.add_argument(
        "--rounds", type=int, default=3, help="interleaved rounds, of which medians count (3)"
    )
    models = ["logistic", "forest", *TABLES]
    parser.add_argument("--models", nargs="*", default=models, choices=models, help="which models to measure")
    parser.add_argument("--files", type=int, default=0, help="also this many files of ten rows (100,000)")
    parser.add_argument("--folder", type=Path, help="where to put the data")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    for hidden in ("--contestant", "--model", "--input", "--output"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    return parser.parse_args()


def _measure(folder: Path, kind: str, rounds: int, rows: int, floors: Sequence[str]) -> dict[str, Any]:
    model = _make_model(folder, kind)
    source = folder / f"{kind}-in"
    source.mkdir()
    data = source / "rows.csv"
    (_make_table if kind in TABLES else _make_rows)(data, rows)
    script = "script of words" if kind in TABLES else "script"
    seconds: dict[str, list[float]] = {name: [] for name in ("sagebird", script, *floors)}
    memory: dict[str, float] = {}
    expected = None
    for number in range(rounds + 1):
        for name in seconds:
            sys.stderr.write(f"bench: {kind}, round {number} of {rounds}, {name}\n")
            target = folder / f"{kind}-{name}"
            took_s, peak_mib = _run(name, model, source if name == "sagebird" else data, target, not number)
            if number:
                seconds[name].append(took_s)
            else:
                memory[name] = peak_mib
            text = (target / "rows.csv.out" if name == "sagebird" else target).read_bytes()
            expected = text if expected is None else expected
            if text != expected:
                raise SystemExit(f"{name} gave other answers than sagebird")
    figures = {
        name: {"seconds": median(times), "memory_mib": memory[name]} for name, times in seconds.items()
    }
    for each in figures.values():
        each["rows_per_s"] = rows / each["seconds"]
    _show(kind, rows, data.stat().st_size, figures)
    for path in (data, *folder.glob(f"{kind}-*/*.out")):
        path.unlink()
    return figures


def _show(kind: str, rows: int, size_bytes: int, figures: dict[str, dict[str, float]]) -> None:
    ours = figures["sagebird"]["seconds"]
    floors = [each["seconds"] for name, each in figures.items() if name.startswith("floor")]
    script = next(each["seconds"] for name, each in figures.items() if name.startswith("script"))
    lines = [f"{kind}: {rows:,} rows, {size_bytes / 2**20:,.0f} MiB"]
    for name, each in figures.items():
        lines.append(
            f"  {name:16} {each['seconds']:8.2f} s {each['rows_per_s']:12,.0f} rows/s "
            f"{each['memory_mib']:6.0f} MiB at most, sagebird is {each['seconds'] / ours:.2f} x as fast"
        )
    floor = f", {min(floors) / ours:.2f} of the floor" if floors else ""
    lines.append(f"  {script / ours:.2f} x the script{floor}")
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _run(name: str, model: Path, source: Path, target: Path, watched: bool) -> tuple[float, float]:
    """Seconds of work without start-up and, if watched, the most MiB of the whole process tree."""
    if name == "sagebird":
        command = [
            *("-m", "service.cli", "transform", "--model", str(model.parent), "--input", str(source)),
            *("--output", str(target), "--content-type", "text/csv", "--accept", "text/csv", "--report"),
            *("--split-type", "Line", "--assemble-with", "Line", "--data", str(target.parent / "data")),
        ]
    else:
        command = [
            *(__file__, "--contestant", name, "--model", str(model), "--input", str(source)),
            *("--output", str(target)),
        ]
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE)
    peak = 0
    while watched and process.poll() is None:
        peak = max(peak, _memory(process.pid))
        time.sleep(_SAMPLE_S)
    output = process.stdout.read() if process.stdout is not None else b""
    if process.wait():
        raise SystemExit(f"{name} failed")
    if name == "sagebird":
        seconds = json.loads((target / "_report.json").read_bytes())["seconds"]
    else:
        seconds = float(output.split()[-1])
    return seconds, peak / 2**20


def _memory(pid: int) -> int:
    try:
        return memory_bytes(pid)
    except psutil.Error:  # it left a moment ago
        return 0


def _make_model(folder: Path, kind: str) -> Path:
    random = np.random.default_rng(7)
    rows = random.normal(size=(2000, COLUMNS))
    labels = (rows @ random.normal(size=COLUMNS) + random.normal(size=2000) > 0).astype(int)
    model: Any = LogisticRegression()
    if kind == "forest":
        model = RandomForestClassifier(100, max_depth=10, random_state=7)
    path = folder / kind / "model.joblib"
    path.parent.mkdir()
    joblib.dump(TABLES[kind]() if kind in TABLES else model.fit(rows, labels), path)
    return path


def _make_rows(path: Path, rows: int) -> None:
    random = np.random.default_rng(11)
    with path.open("wb") as file:
        for start in range(0, rows, 50_000):
            block = random.normal(size=(min(50_000, rows - start), COLUMNS)).round(6)
            file.write(
                orjson.dumps(block, option=orjson.OPT_SERIALIZE_NUMPY)[2:-2].replace(b"],[", b"\n") + b"\n"
            )


def _make_table(path: Path, rows: int) -> None:
    with path.open("w") as file:
        for start in range(0, rows, 50_000):
            make_table(min(50_000, rows - start), start).to_csv(file, header=False, index=False)


# ---- the scripts that people write


def _script(model: Path, source: Path, target: Path) -> None:
    estimator = joblib.load(model)
    cpus = os.cpu_count() or 1
    with target.open("w") as out, joblib.Parallel(n_jobs=cpus) as parallel:
        warm_up = np.zeros((10, COLUMNS))  # start-up counts for none of the contestants
        parallel(joblib.delayed(estimator.predict)(warm_up) for _ in range(4 * cpus))
        begun = time.perf_counter()
        for chunk in pd.read_csv(source, header=None, chunksize=_CHUNK_ROWS):
            parts = np.array_split(chunk.to_numpy(), cpus)
            answers = parallel(joblib.delayed(estimator.predict)(part) for part in parts)
            pd.Series(np.concatenate(answers)).to_csv(out, header=False, index=False)
    sys.stdout.write(f"{time.perf_counter() - begun}\n")


def _script_of_words(model: Path, source: Path, target: Path) -> None:
    estimator = joblib.load(model)
    cpus = os.cpu_count() or 1
    with target.open("w") as out, joblib.Parallel(n_jobs=cpus) as parallel:
        warm_up = make_table(10, 0)
        parallel(joblib.delayed(estimator.predict)(warm_up) for _ in range(4 * cpus))
        begun = time.perf_counter()
        for chunk in pd.read_csv(source, header=None, names=NAMES, chunksize=_CHUNK_ROWS):
            size = -(-len(chunk) // cpus)
            parts = [chunk.iloc[start : start + size] for start in range(0, len(chunk), size)]
            answers = parallel(joblib.delayed(estimator.predict)(part) for part in parts)
            pd.Series(np.concatenate(answers)).to_csv(out, header=False, index=False)
    sys.stdout.write(f"{time.perf_counter() - begun}\n")


# ---- the floor


def _floors() -> Sequence[str]:
    names = ["floor simdjson", "floor tuned", "floor pandas"]
    for library in ("pyarrow", "polars"):
        try:
            __import__(library)
        except ImportError:
            continue
        names.append(f"floor {library}")
    return names


def _floor(reader: Callable[[bytes], Any], *, tuned: bool = False) -> Callable[[Path, Path, Path], None]:
    def run(model: Path, source: Path, target: Path) -> None:
        if tuned:
            keep_freed_memory()
        cpus = os.cpu_count() or 1
        context = multiprocessing.get_context("fork")
        size = source.stat().st_size
        estimator = joblib.load(model)
        estimator.predict(reader(b",".join([b"0.5"] * COLUMNS)))  # whatever is imported late
        begun = time.perf_counter()
        edges = [size * part // cpus for part in range(cpus + 1)]
        parts = [Path(f"{target}.{part}") for part in range(cpus)]
        workers = [
            context.Process(target=_floor_share, args=(reader, estimator, source, part, *edges[at : at + 2]))
            for at, part in enumerate(parts)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        with target.open("wb") as out:
            for part in parts:
                out.write(part.read_bytes())
                part.unlink()
        sys.stdout.write(f"{time.perf_counter() - begun}\n")

    return run


def _floor_share(
    reader: Callable[[bytes], Any], estimator: Any, source: Path, target: Path, start: int, end: int
) -> None:
    """The rows that begin in [start, end)."""
    with source.open("rb") as file, target.open("wb") as out:
        if start:
            file.seek(start - 1)
            file.readline()
        while file.tell() < end:
            body = file.read(min(_FLOOR_BYTES, end - file.tell())) + file.readline()
            answer = estimator.predict(reader(body.removesuffix(b"\n")))
            text = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
            out.write(text[1:-1].replace(b",", b"\n") + b"\n")


def _read_simdjson(body: bytes) -> Any:
    listed = simdjson.Parser().parse(b"[" + body.replace(b"\n", b",") + b"]")
    return np.frombuffer(listed.as_buffer(of_type="d"), np.float64).reshape(-1, COLUMNS)  # type: ignore[union-attr]


def _read_pandas(body: bytes) -> Any:
    return pd.read_csv(io.BytesIO(body), header=None, dtype=np.float64).to_numpy()


def _read_pyarrow(body: bytes) -> Any:
    from pyarrow import csv

    options = csv.ReadOptions(autogenerate_column_names=True, use_threads=False)
    table = csv.read_csv(io.BytesIO(body), read_options=options)
    return np.column_stack([column.to_numpy() for column in table.columns])


def _read_polars(body: bytes) -> Any:
    import polars

    schema = {f"f{column}": polars.Float64 for column in range(COLUMNS)}
    return polars.read_csv(body, has_header=False, schema=schema).to_numpy()


_CONTESTANTS: dict[str, Callable[[Path, Path, Path], None]] = {
    "script": _script,
    "script of words": _script_of_words,
    "floor simdjson": _floor(_read_simdjson),
    "floor tuned": _floor(_read_simdjson, tuned=True),
    "floor pandas": _floor(_read_pandas),
    "floor pyarrow": _floor(_read_pyarrow),
    "floor polars": _floor(_read_polars),
}


# ---- many small files


def _measure_small_files(folder: Path, count: int) -> dict[str, Any]:
    model = folder / "logistic" / "model.joblib"
    if not model.exists():
        _make_model(folder, "logistic")
    source = folder / "small"
    source.mkdir()
    row = b",".join([b"0.25"] * COLUMNS) + b"\n"
    for number in range(count):
        (source / f"{number:06}.csv").write_bytes(row * 10)
    seconds, memory_mib = _run("sagebird", model, source, folder / "small-out", True)
    written = sum(1 for path in (folder / "small-out").iterdir() if path.suffix == ".out")
    if written != count:
        raise SystemExit(f"{written} outputs of {count} inputs")
    sys.stdout.write(
        f"{count:,} files of ten rows: {seconds:.1f} s, {count / seconds:,.0f} files/s, "
        f"{memory_mib:.0f} MiB at most\n"
    )
    return {"files": count, "seconds": seconds, "memory_mib": memory_mib}


if __name__ == "__main__":
    sys.exit(main())
