import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from service.hosting.runtimes.preload import limit_threads, preload, reseed


def test_linear_algebra_always_gets_one_thread_and_openmp_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "4")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)

    limit_threads()

    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    assert [os.environ[name] for name in names] == ["3", "1", "1"]


def test_preloading_imports_the_heavy_libraries_and_takes_them_from_the_collector() -> None:
    try:
        preload()
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()

    assert {"sklearn.ensemble", "service.hosting.runtimes.sklearn"} <= sys.modules.keys()


# What no process of a family pays for that does not use it. A row more is welcome, one less wants a reason.
_UNUSED = (
    *("alembic", "jinja2", "pandas", "pygments", "rich", "sqlalchemy.dialects.postgresql", "xgboost"),
    *("scipy.constants", "scipy.fft", "scipy.integrate", "scipy.interpolate", "scipy.optimize"),
    *("scipy.spatial", "scipy.stats", "botocore.client", "lightgbm", "setuptools"),
)

# A process of its own: in this one all of that is used by other tests.
_PUT_OFF = """
import json, sys
import numpy as np
from service.cli.roles import start
from service.hosting.runtimes.preload import preload
from service.settings import load_settings

start(load_settings())
preload()
before = sorted(sys.modules)
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import PowerTransformer, QuantileTransformer
rows = np.random.default_rng(0).lognormal(size=(200, 2))
found = [QuantileTransformer(n_quantiles=20, output_distribution="normal").fit_transform(rows)[:3].tolist()]
after = "scipy.stats" in sys.modules
found.append(PowerTransformer("box-cox").fit_transform(rows)[:3].tolist())
found.append(roc_auc_score(rows[:, 0] > 1, rows[:, 1]))
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import pairwise_distances
from sklearn.preprocessing import SplineTransformer
found.append(SplineTransformer(n_knots=4).fit_transform(rows)[:3].tolist())
found.append(pairwise_distances(rows[:3], metric="canberra").tolist())
found.append(LogisticRegression().fit(rows, rows[:, 0] > 1).coef_.tolist())
import pandas
found.append(PowerTransformer().set_output(transform="pandas").fit_transform(pandas.DataFrame(rows))[:3].to_csv())
import pickle, scipy.stats
from scipy.stats import norm
same = pickle.loads(pickle.dumps(norm(2.0))).mean() == 2.0 and isinstance(norm, scipy.stats.rv_continuous)
print(json.dumps([before, after, same, found]))
"""
_LIBRARIES = "pandas, scipy.integrate, scipy.interpolate, scipy.optimize, scipy.spatial, scipy.stats"
_AT_ONCE = f"import {_LIBRARIES}\n{_PUT_OFF}"


def test_a_fresh_family_has_nothing_that_it_does_not_use_and_what_is_used_later_gives_the_same() -> None:
    runs = [
        json.loads(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True).stdout)
        for script in (_PUT_OFF, _AT_ONCE)
    ]

    (fresh, *later), (whole, *at_once) = runs
    assert not {*_UNUSED} & {*fresh}
    assert {*_LIBRARIES.split(", ")} <= {*whole}
    assert later == at_once
    assert later[:2] == [True, True]


def test_a_library_that_does_more_with_scipy_stats_than_take_names_gets_the_whole(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom service.hosting.runtimes import preload\n"
        "preload._MODULES = ('demanding',)\npreload.preload()\n"
        "print('scipy.stats' in sys.modules, sys.modules['demanding'].taken)"
    )
    (tmp_path / "demanding.py").write_text(
        "from scipy.stats import norm, rv_continuous\nclass Own(rv_continuous): pass\ntaken = norm.cdf(0)\n"
    )

    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True)

    assert done.stdout == b"True 0.5\n"


def test_what_models_are_made_of_is_there_before_processes_are_forked() -> None:
    script = (
        "import sys\nfrom service.hosting.runtimes.preload import preload\n"
        "preload(['pandas', 'sklearn.naive_bayes', 'sklearn.no_such'])\n"
        "print('pandas' in sys.modules, 'sklearn.naive_bayes' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)

    assert done.stdout == b"True True\n"


def test_forked_processes_draw_numbers_of_their_own() -> None:
    np.random.seed(1)
    inherited = np.random.get_state()
    drawn = np.random.random(4)
    np.random.set_state(inherited)

    reseed()

    assert not np.array_equal(np.random.random(4), drawn)
