"""requirements.txt against what is installed."""

from importlib import metadata
from pathlib import Path

import pytest

from service.errors import ModelFailure
from service.hosting.artifacts.requirements import missing_requirements

NUMPY = metadata.version("numpy")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    return folder / "requirements.txt"


def refusal(file: Path, text: str) -> str:
    file.write_text(text)
    with pytest.raises(ModelFailure) as caught:
        missing_requirements([file.parent])
    return caught.value.message


def warning(file: Path, text: str) -> str:
    file.write_text(text)
    (said,) = missing_requirements([file.parent])
    return said


def test_no_file_asks_for_nothing(file: Path) -> None:
    assert missing_requirements([file.parent]) == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\ufeffnumpy\n",
        "# comment only\n\n   \nnumpy>=1  # why\n",
        "NumPy\nscikit_learn\n",
        "numpy>=1, \\\n  <99\n",
        "numpy \\",
        "uvicorn[standard]>=0.1",
        "-r other.txt\n-c limits.txt\n--pre\n-e ./here\n",
        "numpy>=1 --hash=sha256:00 --hash=sha256:11",
        "absent-package; python_version < '3'",
        "absent-package>=1; extra == 'gpu'",
        "git+https://example.org/x.git#egg=absent\nhttps://example.org/absent.zip\n./absent\nwheels/absent.whl\nabsent.whl",
        "numpy @ https://example.org/numpy-1.0.whl",
    ],
)
def test_what_is_installed_or_cannot_be_told_is_accepted(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")

    assert missing_requirements([file.parent]) == ()


def test_every_missing_or_wrong_package_is_named_in_one_sentence(file: Path) -> None:
    assert warning(file, "absent-one>=2\nnumpy==1.0\nabsent-two[a,b]\nabsent-one>=2\n") == (
        f"code/requirements.txt asks for absent-one>=2 (not installed), numpy==1.0 ({NUMPY} is installed) "
        "and absent-two[a,b] (not installed): install them beside sagebird if the model's code needs them."
    )


def test_one_missing_package_is_it(file: Path) -> None:
    assert warning(file, "absent @ https://example.org/absent-1.0.whl") == (
        "code/requirements.txt asks for absent (not installed): "
        "install it beside sagebird if the model's code needs it."
    )


def test_a_malformed_line_is_named_with_the_number_of_its_first_part(file: Path) -> None:
    assert refusal(file, "numpy\nfoo \\\n ==== bar\n") == (
        "code/requirements.txt, line 2: 'foo   ==== bar' is not a requirement."
    )


def test_a_file_that_is_not_text_is_refused(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelFailure, match=r"code/requirements\.txt cannot be read"):
        missing_requirements([file.parent])


def test_an_installed_version_that_is_no_version_does_not_fit(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "oddone-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: oddone\nVersion: one\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    assert "oddone>=1 (one is installed)" in warning(file, "oddone>=1")
