import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from service.control.declaration import (
    Declaration,
    DeclarationError,
    DeclaredVariant,
    imply,
    read_declaration,
)

ONE = "endpoints: {iris: {variants: {a: {model: one}}}}"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    for name in ("one", "two", "deep/er"):
        (folder / name).mkdir(parents=True)
    (folder / "packed.tar.gz").write_bytes(b"")
    (folder / "short.tgz").write_bytes(b"")
    return folder


def read(models: Path, text: str | bytes) -> Declaration:
    file = models / "endpoints.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_declaration(file, models)


def refusal(models: Path, text: str | bytes) -> str:
    with pytest.raises(DeclarationError) as caught:
        read(models, text)
    sentence = caught.value.message
    assert "\n" not in sentence
    return sentence.removeprefix(f"{models / 'endpoints.yaml'}").removeprefix(": ")


def variant(models: Path, text: str) -> DeclaredVariant:
    (only,) = read(models, f"endpoints: {{e: {{variants: {{v: {text}}}}}}}").endpoints["e"]
    return only


def test_the_sample_of_the_readme_reads(models: Path) -> None:
    text = """
default_endpoint: iris
endpoints:
  iris:                      # A/B: two models, one endpoint
    variants:
      logistic: {model: one, weight: 9}
      forest: {model: two, weight: 1, lazy: true, pin: true, environment: {DEPTH: 3, LOUD: yes, "ON": no}}
  catalogue:
    variants:
      all: {models: ./, weight: 1}
"""

    assert read(models, text) == Declaration(
        {
            "iris": (
                DeclaredVariant("logistic", models / "one", False, 9.0, False, False, {}),
                DeclaredVariant(
                    "forest",
                    models / "two",
                    False,
                    1.0,
                    True,
                    True,
                    {"DEPTH": "3", "LOUD": "true", "ON": "false"},
                ),
            ),
            "catalogue": (DeclaredVariant("all", models, True, 1.0, False, False, {}),),
        },
        "iris",
    )


_SHARED = """
default_endpoint: iris
endpoints:
  iris: {variants: {v: {model: one}}}
  open: {variants: {v: {model: one}}, api_edits: true}
"""


def _both(models: Path, own: str, shared: str = _SHARED) -> Declaration:
    (models / "endpoints.local.yaml").write_text(own)
    return read(models, shared)


def _models_of(declaration: Declaration) -> dict[str, str]:
    return {name: variants[0].path.name for name, variants in declaration.endpoints.items()}


def test_endpoints_of_the_local_file_are_added_and_win(models: Path) -> None:
    both = _both(
        models, "endpoints: {mine: {variants: {v: {model: two}}}, open: {variants: {v: {model: two}}}}"
    )

    assert _models_of(both) == {"iris": "one", "mine": "two", "open": "two"}
    assert both.default_endpoint == "iris"
    assert both.api_edits == frozenset()


def test_the_local_file_may_have_the_default_endpoint(models: Path) -> None:
    own = "{default_endpoint: mine, endpoints: {mine: {variants: {v: {model: two}}}}}"

    assert _both(models, own).default_endpoint == "mine"
    assert _both(models, "default_endpoint: open").default_endpoint == "open"
    assert _both(models, "default_endpoint:").default_endpoint is None


def test_null_in_the_local_file_takes_an_endpoint_away(models: Path) -> None:
    both = _both(models, "endpoints: {iris: null, never-was: null}")

    assert _models_of(both) == {"open": "one"}
    assert both.default_endpoint is None
    assert both.api_edits == {"open"}


@pytest.mark.parametrize("own", ["", "endpoints:", "{}"])
def test_an_empty_local_file_changes_nothing(models: Path, own: str) -> None:
    assert _both(models, own) == read_declaration(models / "endpoints.yaml", models)
    assert _models_of(_both(models, own)) == {"iris": "one", "open": "one"}


def test_the_local_file_alone_will_do(models: Path) -> None:
    (models / "endpoints.local.yaml").write_text("endpoints: {mine: {variants: {v: {model: two}}}}")

    assert _models_of(read_declaration(models / "endpoints.yaml", models)) == {"mine": "two"}


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ("endpoints: [", "is not valid YAML"),
        (
            "endpoints: {a: {variants: {v: {model: missing}}}}",
            "endpoints.a.variants.v.model: there is no model",
        ),
        ("default_endpoint: gone", "default_endpoint: 'gone' is not one of the endpoints (iris, open)"),
        ("surprise: 1", "does not know 'surprise'"),
    ],
)
def test_a_mistake_in_the_local_file_is_named_with_it(models: Path, own: str, words: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        _both(models, own)

    assert caught.value.message.startswith(str(models / "endpoints.local.yaml"))
    assert words in caught.value.message


def test_a_shared_endpoint_without_variants_is_still_a_mistake(models: Path) -> None:
    assert "must have 1 to 10 variants" in refusal(models, "endpoints: {iris: null}")


def test_without_a_file_each_model_is_served_under_its_name(models: Path) -> None:
    for name in ("my_model", "__", "my.model", "sub"):
        (models / name).mkdir()
    names = ["one", "my_model", "my.model", "__", "packed.tar.gz", "sub/deeper", "gone"]

    implied = imply(models / "endpoints.yaml", models, names)

    assert _models_of(implied) == {"one": "one", "my-model": "my_model", "packed": "packed.tar.gz"}
    assert implied.implied
    assert implied.api_edits == {"one", "my-model", "packed"}
    assert implied.default_endpoint is None
    assert str(models / "endpoints.yaml") in implied.notices[0]
    assert [notice.split("'")[1] for notice in implied.notices[1:]] == ["my.model", "__", "gone"]


def test_an_only_model_is_the_default_and_none_is_said_to_be_none(models: Path) -> None:
    assert imply(models / "endpoints.yaml", models, ["one"]).default_endpoint == "one"
    assert "no model in" in imply(models / "endpoints.yaml", models, []).notices[0]


def test_a_missing_file_declares_nothing(models: Path) -> None:
    assert read_declaration(models / "endpoints.yaml", models) == Declaration({}, absent=True)


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "endpoints:\n", "default_endpoint:\n", "{}"])
def test_an_empty_file_declares_nothing(models: Path, text: str) -> None:
    assert read(models, text) == Declaration({})


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ("packed", "packed.tar.gz"),
        ("packed.tar.gz", "packed.tar.gz"),
        ("short", "short.tgz"),
        ("deep/er", "deep/er"),
        ("./deep/../one/", "one"),
    ],
)
def test_a_model_is_a_folder_or_an_archive(models: Path, named: str, found: str) -> None:
    assert variant(models, f"{{model: {named}}}").path == models / found


def test_a_folder_is_preferred_to_the_archive_it_came_from(models: Path) -> None:
    (models / "one.tar.gz").write_bytes(b"")

    assert variant(models, "{model: one}").path == models / "one"


def test_the_models_folder_may_be_reached_by_a_link(models: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(models)
    (models / "alias").symlink_to("two")

    assert variant(tmp_path / "link", "{model: alias}").path == models.resolve() / "two"


def test_an_endpoint_may_be_given_over_to_the_api(models: Path) -> None:
    text = """
endpoints:
  ours: {variants: {a: {model: one}}}
  shared: {api_edits: true, variants: {a: {model: one}}}
  also-ours: {api_edits: false, variants: {a: {model: one}}}
"""

    assert read(models, text).api_edits == {"shared"}
    assert refusal(models, "endpoints: {e: {api_edits: 1, variants: {a: {model: one}}}}") == (
        "endpoints.e.api_edits: must be true or false (is 1)."
    )


def test_a_weight_of_zero_is_a_weight(models: Path) -> None:
    text = "endpoints: {e: {variants: {a: {model: one, weight: 0}, b: {model: two}}}}"

    assert [variant.weight for variant in read(models, text).endpoints["e"]] == [0.0, 1.0]


def test_a_variant_may_borrow_from_another(models: Path) -> None:
    text = """
endpoints:
  iris:
    variants:
      a: &a {model: one, weight: 2, lazy: true}
      b: {<<: *a, model: two}
  deep:
    variants: {c: {<<: {<<: *a, weight: 5}}}
"""

    declared = read(models, text).endpoints
    assert [(v.path.name, v.weight, v.lazy) for v in declared["iris"]] == [("one", 2, True), ("two", 2, True)]
    assert [(v.path.name, v.weight, v.lazy) for v in declared["deep"]] == [("one", 5, True)]


def test_values_of_an_environment_are_texts(models: Path) -> None:
    text = "{model: one, environment: {A: 1.5, B: '007', C: 2026-01-02, D: '', E: off}}"

    assert variant(models, text).environment == {
        "A": "1.5",
        "B": "007",
        "C": "2026-01-02",
        "D": "",
        "E": "false",
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[1, 2]", "the file: must be a mapping (is [1, 2])."),
        ("endpoint: {}", "the file: does not know 'endpoint'; it may have default_endpoint, endpoints."),
        ("endpoints: 0", "endpoints: must be a mapping (is 0)."),
        ("endpoints: false", "endpoints: must be a mapping (is False)."),
        ("endpoints: {iris: one}", "endpoints.iris: must be a mapping (is 'one')."),
        ("endpoints: {iris: }", "endpoints.iris.variants: must have 1 to 10 variants (has 0)."),
        ("endpoints: {iris: {variants: []}}", "endpoints.iris.variants: must be a mapping (is [])."),
        (
            "endpoints: {iris: {models: x}}",
            "endpoints.iris: does not know 'models'; it may have api_edits, variants.",
        ),
        (
            "endpoints: {-iris: {variants: {a: {model: one}}}}",
            "endpoints.-iris: a name has 1 to 63 letters, digits and inner hyphens (is '-iris').",
        ),
        (
            "endpoints: {1: {variants: {a: {model: one}}}}",
            "endpoints.1: a name has 1 to 63 letters, digits and inner hyphens "
            "(is 1; quotes make a text of it).",
        ),
        (
            ONE + "\ndefault_endpoint: irsi",
            "default_endpoint: 'irsi' is not one of the endpoints (iris).",
        ),
        (
            "default_endpoint: [iris]",
            "default_endpoint: ['iris'] is not one of the endpoints (none is declared).",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place(models: Path, text: str, sentence: str) -> None:
    assert refusal(models, text) == sentence


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", ": must have either `model` (one model) or `models` (a folder of models)."),
        (
            "{model: one, models: .}",
            ": must have either `model` (one model) or `models` (a folder of models).",
        ),
        (
            "{model: one, wieght: 1}",
            ": does not know 'wieght'; it may have environment, lazy, model, models, pin, weight.",
        ),
        ("{model: one, weight: -1}", ".weight: must be a number of at least 0 (is -1)."),
        ("{model: one, weight: true}", ".weight: must be a number of at least 0 (is True)."),
        ("{model: one, weight: '1'}", ".weight: must be a number of at least 0 (is '1')."),
        ("{model: one, weight: .inf}", ".weight: must be a number of at least 0 (is inf)."),
        ("{model: one, weight: .nan}", ".weight: must be a number of at least 0 (is nan)."),
        ("{model: one, lazy: 1}", ".lazy: must be true or false (is 1)."),
        ("{model: one, pin: 'yes'}", ".pin: must be true or false (is 'yes')."),
        ("{model: one, environment: [A]}", ".environment: must be a mapping (is ['A'])."),
        (
            "{model: one, environment: {A: {}}}",
            ".environment: must have lines as NAME: value (see 'A').",
        ),
        (
            "{model: one, environment: {A: }}",
            ".environment: must have lines as NAME: value (see 'A').",
        ),
        ("{model: one, environment: {1: A}}", ".environment: must have lines as NAME: value (see 1)."),
        ("{model: 3}", ".model: must be a path below the models folder (is 3)."),
        ("{model: ''}", ".model: must be a path below the models folder (is '')."),
    ],
)
def test_a_mistake_in_a_variant_is_named_with_its_place(models: Path, text: str, sentence: str) -> None:
    assert (
        refusal(models, f"endpoints: {{e: {{variants: {{v: {text}}}}}}}")
        == f"endpoints.e.variants.v{sentence}"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{model: thre}", "there is no model 'thre' in MODELS."),
        ("{models: packed}", "there is no folder 'packed' in MODELS."),
        ("{models: packed.tar.gz}", "there is no folder 'packed.tar.gz' in MODELS."),
        ("{model: ..}", "'..' lies outside of the models folder MODELS."),
        ("{model: /}", "'/' lies outside of the models folder MODELS."),
        ("{models: ../outside}", "'../outside' lies outside of the models folder MODELS."),
        ("{model: way-out}", "'way-out' lies outside of the models folder MODELS."),
        ("{model: packed-way-out}", "'packed-way-out' lies outside of the models folder MODELS."),
    ],
)
def test_models_are_below_the_models_folder(models: Path, text: str, reason: str) -> None:
    outside = models.parent / "outside"
    outside.mkdir()
    (outside / "m.tar.gz").write_bytes(b"")
    (models / "way-out").symlink_to(outside)
    (models / "packed-way-out.tar.gz").symlink_to(outside / "m.tar.gz")

    sentence = refusal(models, f"endpoints: {{e: {{variants: {{v: {text}}}}}}}")

    assert sentence.partition(": ")[2] == reason.replace("MODELS", str(models))


@pytest.mark.parametrize("name", [r"one\0", r"\ud800", "n" * 300, "circle"])
def test_what_cannot_be_a_path_is_refused(models: Path, name: str) -> None:
    (models / "circle").symlink_to("circle")

    assert refusal(models, f'endpoints: {{e: {{variants: {{v: {{model: "{name}"}}}}}}}}').startswith(
        "endpoints.e.variants.v.model: "
    )


def test_variants_that_would_get_no_traffic_are_refused(models: Path) -> None:
    text = "endpoints: {e: {variants: {a: {model: one, weight: 0}, b: {model: two, weight: 0.0}}}}"

    assert refusal(models, text) == (
        "endpoints.e.variants: every weight is 0, so nothing would get the traffic."
    )


def test_one_endpoint_is_either_multi_model_or_not(models: Path) -> None:
    text = "endpoints: {e: {variants: {a: {model: one}, b: {models: .}}}}"

    assert refusal(models, text).startswith("endpoints.e.variants: mixes `model` and `models`")


def test_eleven_variants_are_too_many(models: Path) -> None:
    variants = ", ".join(f"v{number}: {{model: one}}" for number in range(11))

    assert refusal(models, f"endpoints: {{e: {{variants: {{{variants}}}}}}}") == (
        "endpoints.e.variants: must have 1 to 10 variants (has 11)."
    )


@pytest.mark.parametrize(
    "text",
    [
        ONE + "\nendpoints: {}",
        "endpoints: {iris: {variants: {a: {model: one}}}, iris: {variants: {a: {model: two}}}}",
        "endpoints: {iris: {variants: {a: {model: one, model: two}}}}",
        "endpoints: {iris: {variants: {a: {<<: {model: one}, <<: {model: two}}}}}",
    ],
)
def test_a_key_is_there_once(models: Path, text: str) -> None:
    assert re.search(
        r"is not valid YAML: .* is there twice in \"endpoints\.yaml\", line \d+, column \d+",
        refusal(models, text),
    )


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "\t",
        "a: 2024-13-45",
        "a: 2024-01-01 00:00:00 +99:99",
        "a: !!int ''",
        "a: !!int one",
        "a: !!bool maybe",
        "a: !!timestamp soon",
        "a: !!map [1]",
        "a: !!map one",
        "a: !!python/object:os.system {}",
        'a: "\\UFFFFFFFF"',
        "%YAML 1." + "9" * 5000 + "\n---\na: 1",
        "a: 0x" + "f" * 5000,
        "a: " + "9" * 5000,
        "a: " + "[" * 20_000,
        "? [a]: b",
        "a: &a [*a]",
        "a: \0",
        b"a: \xff",
        b"\xff\xfea",
    ],
)
def test_what_is_not_yaml_is_refused_with_a_sentence(models: Path, text: str | bytes) -> None:
    assert refusal(models, text)


def test_a_pipe_and_a_file_without_an_end_are_refused_and_nobody_waits(models: Path) -> None:
    file = models / "endpoints.yaml"
    os.mkfifo(file)
    with pytest.raises(DeclarationError, match=r"endpoints\.yaml cannot be read"):
        read_declaration(models / "endpoints.yaml", models)
    file.unlink()
    file.write_bytes(b"#" * (2 << 20))
    with pytest.raises(DeclarationError, match=r"endpoints\.yaml is larger than 1 MiB\.$"):
        read_declaration(models / "endpoints.yaml", models)


def test_a_linked_file_is_read(models: Path, tmp_path: Path) -> None:
    """As where a cluster mounts a ConfigMap."""
    (tmp_path / "elsewhere").write_text("endpoints: {}\n")
    (models / "endpoints.yaml").symlink_to(tmp_path / "elsewhere")

    assert read_declaration(models / "endpoints.yaml", models).endpoints == {}


def test_a_file_that_cannot_be_read_is_refused(models: Path) -> None:
    (models / "endpoints.yaml").mkdir()

    with pytest.raises(DeclarationError, match=r"endpoints\.yaml cannot be read"):
        read_declaration(models / "endpoints.yaml", models)


def test_a_value_is_shown_shortly_however_big_it_is(models: Path) -> None:
    doubled = ", ".join(f"&a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60))
    bomb = f"endpoints: {{e: {{variants: [&a0 [x, x], {doubled}]}}}}"

    assert refusal(models, bomb).startswith("endpoints.e.variants: must be a mapping (is [[")
    assert len(refusal(models, bomb)) < 1000


NAMES = st.sampled_from(["iris", "a", "model", "models", "variants", "endpoints", "weight", "environment"])
PATHS = st.sampled_from(["one", "packed", "./", "../..", "deep", "", "\0", "/"])
NUMBERS = st.integers() | st.floats() | st.booleans()
VALUES = NAMES | PATHS | NUMBERS | st.none() | st.dates() | st.text(max_size=4) | st.binary(max_size=3)
TREES: st.SearchStrategy[Any] = st.recursive(
    VALUES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(NAMES | VALUES.filter(lambda key: key == key), inner, max_size=4)
    ),
    max_leaves=15,
)
FIELDS = dict.fromkeys(["model", "models", "weight", "lazy", "pin"], VALUES)
VARIANT = st.fixed_dictionaries({}, optional={"environment": TREES, **FIELDS})
VARIANTS = st.dictionaries(NAMES, VARIANT | TREES, max_size=3)
DOCUMENTS = TREES | st.fixed_dictionaries(
    {"endpoints": st.dictionaries(NAMES, st.fixed_dictionaries({"variants": VARIANTS}) | TREES, max_size=3)},
    optional={"default_endpoint": VALUES | TREES},
)


@pytest.fixture(scope="module")
def shared_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    (folder / "one").mkdir()
    (folder / "packed.tar.gz").write_bytes(b"")
    return folder


def read_or_refuse(models: Path, text: bytes) -> None:
    file = models / f"endpoints-{os.getpid()}.yaml"
    file.write_bytes(text)
    try:
        declaration = read_declaration(file, models)
    except DeclarationError:
        return
    for variants in declaration.endpoints.values():
        assert 1 <= len(variants) <= 10
        assert any(variant.weight > 0 for variant in variants)
        assert all(variant.path.is_relative_to(models) for variant in variants)
        assert all(isinstance(text, str) for variant in variants for text in variant.environment.values())
    assert declaration.default_endpoint is None or declaration.default_endpoint in declaration.endpoints


@given(DOCUMENTS)
def test_any_document_is_read_or_refused(shared_models: Path, document: Any) -> None:
    read_or_refuse(shared_models, yaml.safe_dump(document, allow_unicode=True).encode("utf-8", "replace"))


WORDS = "endpoints iris variants model << *a &a !! int 0x 1e9 !!set !!map !!omap 2024-99-99 ---"
YAML_CRUMBS = st.sampled_from([*"{}[]:,&*!|>-?#%@'\"\\\n\t <=", ": ", "- ", "\n  ", *WORDS.split()])


@given(st.lists(YAML_CRUMBS | st.characters(), max_size=25).map("".join))
@example("? !!set [a]\n: b")
def test_any_text_is_read_or_refused(shared_models: Path, text: str) -> None:
    read_or_refuse(shared_models, text.encode("utf-8", "surrogatepass"))


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(shared_models: Path, content: bytes) -> None:
    read_or_refuse(shared_models, content)


def test_what_the_local_file_takes_away_that_is_not_there_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    file = tmp_path / "endpoints.yaml"
    own = tmp_path / "endpoints.local.yaml"
    file.write_text("endpoints: {iris: {variants: {a: {model: one}}}}")
    own.write_text("endpoints: {iris: null, nonesuch: null}")

    found = read_declaration(file, tmp_path)

    assert found.endpoints == {}
    (notice,) = found.notices
    assert notice == f"{own} takes 'nonesuch' away, but no endpoint of that name is declared."
