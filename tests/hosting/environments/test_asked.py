"""What a model asks of its environment."""

from importlib import metadata
from pathlib import Path

import pytest

from service.errors import ModelFailure
from service.hosting.environments.asked import EnvironmentSpec, what_is_lacking

HERE = {name: metadata.version(name) for name in ("scikit-learn", "numpy")}
OLD = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"


def asked(tmp_path: Path, text: str | None, image: str = "") -> EnvironmentSpec | None:
    file = None if text is None else tmp_path / "code" / "requirements.txt"
    if file is not None and text is not None:
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    return what_is_lacking(file, image, "the version")


def packages(tmp_path: Path, text: str | None, image: str = "") -> tuple[str, ...]:
    found = asked(tmp_path, text, image)
    assert found is not None
    return found.packages


@pytest.mark.parametrize("text", [None, "", "numpy\npandas>=1\n", f"scikit-learn=={HERE['scikit-learn']}\n"])
def test_what_is_here_needs_no_environment(tmp_path: Path, text: str | None) -> None:
    assert asked(tmp_path, text) is None


def test_an_image_of_the_version_that_is_here_needs_none(tmp_path: Path) -> None:
    here = ".".join(HERE["scikit-learn"].split(".")[:2])
    assert asked(tmp_path, None, f"sagemaker-scikit-learn:{here}-1-cpu-py3") is None
    assert asked(tmp_path, "numpy", "sagebird/sklearn") is None


def test_a_package_comes_with_what_the_image_has_of_this_scikit_learn(tmp_path: Path) -> None:
    here = f"scikit-learn=={HERE['scikit-learn']}"
    assert packages(tmp_path, "absent\n") == (here, "numpy", "scipy", "pandas", "joblib")


def test_what_the_file_names_is_left_to_it(tmp_path: Path) -> None:
    assert packages(tmp_path, "absent\nNumPy<3\nscikit_learn\n") == ("scipy", "pandas", "joblib")


@pytest.mark.parametrize("wanted", ["scikit-learn==1.2.2", "scikit-learn~=1.2.0", "scikit-learn>1,<1.3"])
def test_an_old_scikit_learn_comes_with_what_was_new_then(tmp_path: Path, wanted: str) -> None:
    assert packages(tmp_path, f"{wanted}\n") == ("numpy<1.25", "scipy<1.11", "pandas<2.1", "joblib<1.3")


def test_one_of_which_nothing_is_known_comes_without_limits(tmp_path: Path) -> None:
    assert packages(tmp_path, "scikit-learn==99\n") == ("numpy", "scipy", "pandas", "joblib")


def test_the_tag_of_an_image_asks_for_its_version(tmp_path: Path) -> None:
    found = asked(tmp_path, None, OLD)
    assert found is not None
    assert found.packages == ("scikit-learn==1.2.*", "numpy<1.25", "scipy<1.11", "pandas<2.1", "joblib<1.3")
    assert found.shown == "scikit-learn==1.2.* (of the image sagemaker-scikit-learn:1.2-1-cpu-py3)"


@pytest.mark.parametrize(
    ("tag", "wanted"),
    [("sagemaker-xgboost:1.7-1", "xgboost==1.7.*"), ("pytorch-inference:2.1.0-cpu-py310", "torch==2.1.0")],
)
def test_the_framework_of_an_image_is_installed(tmp_path: Path, tag: str, wanted: str) -> None:
    image = f"683313688378.dkr.ecr.us-east-1.amazonaws.com/{tag}"
    assert packages(tmp_path, None, image)[-1] == wanted
    assert wanted not in packages(tmp_path, f"{wanted.partition('=')[0]}<1\n", image)


@pytest.mark.parametrize(
    ("wanted", "numpy"),
    [
        ("onnxruntime==1.17.3", "numpy<2"),
        ("onnxruntime<1.19", "numpy<2"),
        ("onnxruntime~=1.18.0", "numpy<2"),
        ("torch==2.1.*", "numpy<2"),
        ("catboost==1.2.3", "numpy<2"),
        ("onnxruntime>=1.10,<99", "numpy"),
        ("onnxruntime==1.20", "numpy"),
        ("onnxruntime===odd", "numpy"),
        ("onnx==1.10", "numpy"),
    ],
)
def test_an_old_library_comes_with_the_numpy_that_it_knows(tmp_path: Path, wanted: str, numpy: str) -> None:
    assert packages(tmp_path, f"absent\n{wanted}\n")[1] == numpy


def test_the_file_wins_over_the_image(tmp_path: Path) -> None:
    assert packages(tmp_path, "absent\n", OLD)[0] == "scikit-learn==1.2.*"
    assert packages(tmp_path, "scikit-learn==1.4.0\n", OLD)[0] == "numpy<2"


def test_equal_files_of_two_models_ask_for_the_same_unless_they_name_places(tmp_path: Path) -> None:
    first, second = asked(tmp_path, "absent\n"), asked(tmp_path, "./here\n")
    assert first is not None
    assert second is not None
    assert (first.version, first.texts) == ("", ("absent\n",))
    assert second.version == "the version"


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFailure, match=r"code/requirements.txt, line 1"):
        asked(tmp_path, "foo ==== bar\n")
