"""requirements.txt against what is installed."""

from importlib import metadata
from pathlib import Path

import pytest

from service.errors import ModelFailure
from service.hosting.artifacts.requirements import missing_requirements, read_requirements

NUMPY = metadata.version("numpy")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    return folder / "requirements.txt"


def refusal(file: Path, text: str) -> str:
    file.write_text(text)
    with pytest.raises(ModelFailure) as caught:
        missing_requirements(file)
    return caught.value.message


def warning(file: Path, text: str) -> str:
    file.write_text(text)
    (said,) = missing_requirements(file)
    return said


def test_the_same_modules_under_another_name_will_do(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "psycopg2_binary-2.9.9.dist-info"
    there.mkdir()
    (there / "METADATA").write_text("Metadata-Version: 2.1\nName: psycopg2-binary\nVersion: 2.9.9\n")
    monkeypatch.syspath_prepend(tmp_path)
    file.write_text("psycopg2>=2.9\n")

    assert missing_requirements(file) == ()
    assert "(2.9.9 is installed)" in warning(file, "psycopg2<2\n")


def test_no_file_asks_for_nothing() -> None:
    assert missing_requirements(None) == ()


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

    assert missing_requirements(file) == ()


def test_every_missing_or_wrong_package_is_named_in_one_sentence(file: Path) -> None:
    assert warning(file, "absent-one>=2\nnumpy==1.0\nabsent-two[a,b]\nabsent-one>=2\n") == (
        f"code/requirements.txt asks for absent-one>=2 (not installed), numpy==1.0 ({NUMPY} is installed) "
        "and absent-two[a,b] (not installed); if the model's code needs them, "
        "`sagebird install absent-one absent-two` adds what is missing."
    )


def test_one_missing_package_is_it(file: Path) -> None:
    assert warning(file, "absent @ https://example.org/absent-1.0.whl") == (
        "code/requirements.txt asks for absent (not installed); if the model's code needs it, "
        "`sagebird install absent` adds what is missing."
    )


def test_another_version_takes_another_environment(file: Path) -> None:
    assert warning(file, "numpy==1.0") == (
        f"code/requirements.txt asks for numpy==1.0 ({NUMPY} is installed); if the model's code needs it, "
        "SAGEBIRD_ENVIRONMENTS can give it an environment of its own."
    )


def test_files_beside_it_are_read_as_well(file: Path) -> None:
    (file.parent / "more.txt").write_text("-r requirements.txt\n-r deep/most.txt\nabsent-two\n")
    (file.parent / "deep").mkdir()
    (file.parent / "deep" / "most.txt").write_text("absent-three\n")
    file.write_text("absent-one\n-r more.txt\n")

    asked = read_requirements(file)

    assert [each.name for each in asked.needed] == ["absent-one", "absent-two", "absent-three"]
    assert len(asked.texts) == 3
    assert asked.plain


@pytest.mark.parametrize("line", ["-c limits.txt", "-e ./here", "./absent", "-r ../other.txt", "-r gone.txt"])
def test_what_names_places_is_for_an_installer_to_tell(file: Path, line: str) -> None:
    file.write_text(f"numpy\n{line}\n")

    assert not read_requirements(file).plain


@pytest.mark.parametrize("line", ["--index-url https://example.org/simple", "--pre", "-f wheels"])
def test_where_packages_come_from_asks_for_none(file: Path, line: str) -> None:
    file.write_text(f"numpy\n{line}\n")

    assert read_requirements(file).plain


def test_a_malformed_line_is_named_with_the_number_of_its_first_part(file: Path) -> None:
    assert refusal(file, "numpy\nfoo \\\n ==== bar\n") == (
        "code/requirements.txt, line 2: 'foo   ==== bar' is not a requirement."
    )


def test_a_file_that_is_not_text_is_refused(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelFailure, match=r"code/requirements\.txt cannot be read"):
        missing_requirements(file)


def test_an_installed_version_that_is_no_version_does_not_fit(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "oddone-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: oddone\nVersion: one\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    assert "oddone>=1 (one is installed)" in warning(file, "oddone>=1")


def test_a_file_that_asks_for_too_much_is_refused_before_anything_is_looked_up(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("numpy\n" * 2000)
    assert len(read_requirements(file).needed) == 2000
    file.write_text("numpy\n" * 200_000)
    with pytest.raises(ModelFailure, match=r"requirements\.txt asks for more than 2,000 packages"):
        read_requirements(file)
    with file.open("wb") as huge:
        huge.truncate((4 << 20) + 1)
    with pytest.raises(ModelFailure, match="is larger than 4 MiB"):
        read_requirements(file)
