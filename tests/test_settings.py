import os
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from service.cli.unknown import unknown_settings
from service.errors import StartupError
from service.machine import machine_memory_bytes, parse_size
from service.settings import Settings, load_settings

MACHINE = psutil.virtual_memory().total


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("SAGEBIRD_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("500000000", 500_000_000),
        ("500MB", 500 * 2**20),
        (" 2 GiB ", 2 * 2**30),
        ("1.5k", 1536),
        ("3tb", 3 * 2**40),
        ("7B", 7),
        ("9007199254740993", 9007199254740993),
        (12, 12),
        (None, None),
    ],
)
def test_a_size_is_read(text: object, size: object) -> None:
    assert parse_size(text) == size


def test_a_percentage_is_of_the_memory() -> None:
    assert parse_size("50%") == machine_memory_bytes() // 2
    assert parse_size(" 12.5 % ") == machine_memory_bytes() // 8
    assert parse_size("0%") == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "GB",
        "-1",
        "1e3",
        "5ib",
        "5i",
        "1..5",
        "1.",
        "nan%",
        "inf%",
        "-5%",
        "%",
        "5%B",
        "1 2",
        "\N{ARABIC-INDIC DIGIT THREE}",
        "9" * 5000,
    ],
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a size such as 500MB, 2GB or 50%"):
        parse_size(text)


@given(
    st.integers(0, 10**15),
    st.sampled_from(["", "k", "m", "g", "t"]),
    st.sampled_from(["", "B"]),
    st.sampled_from(["", " ", "\t"]),
    st.booleans(),
)
def test_a_size_is_exact_in_any_spelling(number: int, unit: str, b: str, space: str, upper: bool) -> None:
    power = "kmgt".find(unit) + 1 if unit else 0
    written = unit.upper() if upper else unit

    assert parse_size(f"{number}{space}{written}{b}") == number * 1024**power
    if unit:
        assert parse_size(f"{number}{space}{written}i{b}") == number * 1024**power


@given(st.text() | st.from_regex(r"\s*[0-9.]*\s*[%kmgtib]*\s*", fullmatch=True))
@example("1e400%")
@example("9" * 400 + "T")
def test_any_text_is_a_size_or_refused(text: str) -> None:
    try:
        size = parse_size(text)
    except ValueError:
        return
    assert isinstance(size, int)
    assert size >= 0


def test_the_memory_is_the_machines_where_nothing_limits_it(tmp_path: Path) -> None:
    (tmp_path / "max").write_text("max\n")
    (tmp_path / "unlimited").write_text("9223372036854771712\n")
    (tmp_path / "binary").write_bytes(b"\xff")
    files = [tmp_path / name for name in ("max", "unlimited", "binary", "none", ".")]

    assert machine_memory_bytes(files) == MACHINE
    assert machine_memory_bytes([]) == MACHINE
    assert 0 < machine_memory_bytes() <= MACHINE


@pytest.mark.parametrize("order", [("low", "high"), ("high", "low")])
def test_the_memory_is_the_containers_where_that_is_less(tmp_path: Path, order: tuple[str, str]) -> None:
    (tmp_path / "low").write_text("104857600\n")
    (tmp_path / "high").write_text("209715200\n")

    assert machine_memory_bytes([tmp_path / name for name in order]) == 104_857_600


def test_the_defaults_are_those_of_a_first_start() -> None:
    settings = load_settings()

    assert (settings.host, settings.port, settings.auth) == ("127.0.0.1", 8080, "")
    assert settings.gateways == len(os.sched_getaffinity(0))
    assert settings.model_memory == machine_memory_bytes() // 2
    assert settings.models == Path.cwd() / "models"
    assert settings.endpoints_file == Path.cwd() / "models" / "endpoints.yaml"
    assert (settings.account, settings.region) == ("000000000000", "us-east-1")


def test_gateways_follow_the_cpus_where_affinity_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert load_settings().gateways == 5

    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert load_settings().gateways == 1


def test_variables_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in {
        "PORT": "0",
        "MODELS": "~/m",
        "ENDPOINTS": "e.yaml",
        "MODEL_MEMORY": "2GB",
        "GATEWAYS": "3",
        "CORS_ORIGINS": "https://a.example, https://b.example,",
        "PINNED_MODELS": "",
        "MODEL_IDLE_S": "0",
        "MODEL_QUEUE": "0",
        "ACCOUNT": "123456789012",
        "REGION": "eusc-de-east-1",
    }.items():
        monkeypatch.setenv(f"SAGEBIRD_{name}", value)

    settings = load_settings()

    assert settings.port == 0
    assert settings.models == tmp_path / "m"
    assert settings.endpoints_file == Path.cwd() / "e.yaml"
    assert settings.gateway_memory_bytes == 2 * 2**30 // 3
    assert settings.cors_origins == ("https://a.example", "https://b.example")
    assert settings.pinned_models == ()
    assert (settings.model_idle_s, settings.model_queue) == (0, 0)
    assert settings.region == "eusc-de-east-1"


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SAGEBIRD_{name.upper()}", raising=False)
    unset = load_settings()
    for name in Settings.model_fields:
        monkeypatch.setenv(f"SAGEBIRD_{name.upper()}", "")

    assert load_settings() == unset


def test_options_win_unless_they_are_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGEBIRD_PORT", "9000")
    monkeypatch.setenv("SAGEBIRD_GATEWAYS", "2")

    settings = load_settings(port=0, gateways=None, cors_origins=("*",), models="m")

    assert (settings.port, settings.gateways, settings.cors_origins) == (0, 2, ("*",))


def test_settings_never_change() -> None:
    settings = load_settings()

    with pytest.raises(ValidationError):
        settings.port = 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"port": 70_000}, "SAGEBIRD_PORT: Input should be less than or equal to 65535 (got 70000)."),
        ({"model_memory": "0%"}, "SAGEBIRD_MODEL_MEMORY: Input should be greater than 0 (got 0)."),
        (
            {"model_memory": "lots"},
            "SAGEBIRD_MODEL_MEMORY: must be a size such as 500MB, 2GB or 50% (got 'lots').",
        ),
        (
            {"auth": "on", "gateways": 0},
            "SAGEBIRD_AUTH: Input should be '', 'off' or 'keys' (got 'on'); "
            "SAGEBIRD_GATEWAYS: Input should be greater than or equal to 1 (got 0).",
        ),
        (
            {"cors_origins": "http://a.example http://b.example"},
            "SAGEBIRD_CORS_ORIGINS: several are separated by commas, as in "
            "http://a.example,http://b.example (got 'http://a.example http://b.example').",
        ),
        (
            {"allowed_hosts": "'a.example,b.example'"},
            "SAGEBIRD_ALLOWED_HOSTS: the quotes are part of the value here: write it without them "
            "(got \"'a.example,b.example'\").",
        ),
        ({"prot": 1}, "SAGEBIRD_PROT: Extra inputs are not permitted (got 1)."),
        (
            {"data": "~nobody-has-this-name/x"},
            "SAGEBIRD_DATA: Could not determine home directory. (got '~nobody-has-this-name/x').",
        ),
    ],
)
def test_a_bad_value_is_named_with_its_variable(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(StartupError) as caught:
        load_settings(**options)

    assert caught.value.message == sentence


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ACCOUNT", "12345678901"),
        ("ACCOUNT", "\N{ARABIC-INDIC DIGIT ZERO}" * 12),
        ("ACCOUNT", "000000000000\n"),
        ("REGION", "Europe"),
        ("REGION", "us-east-1\n"),
        ("LOG_LEVEL", "loud"),
        ("MODEL_TIMEOUT_S", "0"),
        ("ARCHIVE_MAX_RATIO", "1"),
        ("DRAIN_S", "-1"),
    ],
)
def test_a_bad_variable_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"SAGEBIRD_{name}", value)

    with pytest.raises(StartupError, match=f"^SAGEBIRD_{name}: "):
        load_settings()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_needs_no_permission(host: str) -> None:
    assert load_settings(host=host).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1"])
def test_listening_for_other_machines_is_a_deliberate_choice(host: str) -> None:
    told = r"^settings: host .* set SAGEBIRD_AUTH=keys .* SAGEBIRD_AUTH=off .* or listen on 127\.0\.0\.1\.$"
    with pytest.raises(StartupError, match=told):
        load_settings(host=host)

    assert load_settings(host=host, auth="off").host == host
    assert load_settings(host=host, auth="keys").host == host


def test_every_setting_says_what_it_is() -> None:
    assert all(
        field.description and field.description.endswith(".") for field in Settings.model_fields.values()
    )


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("SAGEBIRD_PROT", "SAGEBIRD_PROT is no setting: perhaps SAGEBIRD_PORT is meant."),
        (
            "SAGEBIRD_MODEL_TIMEOUT",
            "SAGEBIRD_MODEL_TIMEOUT is no setting: perhaps SAGEBIRD_MODEL_TIMEOUT_S is meant.",
        ),
        ("sagebird_prot", "sagebird_prot is no setting: perhaps SAGEBIRD_PORT is meant."),
        ("SAGEBIRD_ZZZZ", "SAGEBIRD_ZZZZ is no setting."),
    ],
)
def test_a_variable_that_looks_like_a_setting_and_is_none_is_named(name: str, sentence: str) -> None:
    assert unknown_settings(["PATH", name]) == [sentence]


def test_settings_and_what_compose_and_commands_read_are_known() -> None:
    others = [
        "SAGEBIRD_URL",
        "SAGEBIRD_IMAGE",
        "SAGEBIRD_UID",
        "SAGEBIRD_GID",
        "SAGEBIRD_COMPILE",
        "sagebird_port",
    ]
    fields = [f"SAGEBIRD_{name.upper()}" for name in Settings.model_fields]
    assert unknown_settings([*others, *fields, "SAGEBIRDS", "HOME"]) == []
