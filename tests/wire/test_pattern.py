"""Cases marked `observed` were compared with java.util.regex of Java 17."""

import pytest
from botocore.loaders import Loader
from hypothesis import given, settings
from hypothesis import strategies as st

from service.wire.pattern import compile_pattern

_NAME = r"^[a-zA-Z0-9](-*[a-zA-Z0-9])*"
_IMAGE_VERSION = (  # botocore's shape ImageVersionAlias
    r"(^\d+$)|(^\d+.\d+$)|(^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?$)"
)
_HOSTILE_URL = r"https://([.\-_a-zA-Z0-9]+/?){3,1016}"
_HOSTILE_TEXT = r".*(?:[ \r\n\t].*)*"
_HOSTILE_NAME = r"[a-z0-9]([-a-z0-9]*[a-z0-9]){0,39}?"


def _accepts(pattern: str, value: str) -> bool:
    return compile_pattern(pattern).match(value) is not None


@pytest.mark.provenance("botocore")
@pytest.mark.parametrize("service", ["sagemaker", "sagemaker-runtime", "application-autoscaling", "logs"])
def test_every_pattern_of_the_served_models_compiles(service: str) -> None:
    shapes = Loader().load_service_model(service, "service-2")["shapes"].values()
    patterns = {shape["pattern"] for shape in shapes if "pattern" in shape}
    assert patterns
    for pattern in patterns:
        compile_pattern(pattern)


@pytest.mark.provenance("observed")
@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        (_NAME, ["a", "my-endpoint", "a--b"], ["", "-a", "a-", "a_b", "a.b", "a\n", "é"]),
        (r"\p{ASCII}*", ["", "text/csv", "\x00\n"], ["é", "\u2028"]),
        (r"\A\S[\p{Print}]*\z", ["x", "a b", "~"], ["", " a", "a\n", "a\x7f", "aé"]),
        (r".*", ["", "a\tb"], ["\n", "a\r", "a\u0085", "\u2028", "a\n"]),
        (r"^(NEW_SESSION)$|^[a-zA-Z0-9](-*[a-zA-Z0-9])*$", ["NEW_SESSION", "s-1"], ["NEW_", "NEW_SESSION\n"]),
        (r"^(?!.*\..*\.)[a-zA-Z0-9][a-zA-Z0-9-_\.]*$", ["a.csv", "a-b_c"], ["a.b.c", ".a", "a.csv\n"]),
        (r"^(?!s3:|https:)[a-zA-Z0-9!_.*'()/-]+$", ["out/x", "s3"], ["s3:x", "https:", "a b"]),
        (r"^(https|s3)://([^/]+)/?(.*)$", ["s3://b/k", "https://h"], ["http://h", "s3://", "s3://b/k\n"]),
        (r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", ["", "Größe 1", "名前", "a=b@c"], ["a!", "a\n", "\U0001f600"]),
        (r"([\p{L}\p{Z}\p{N}_.:\/=+\-@]*)${1,128}", ["", "a b"], ["a!", "a\n"]),
        (r"[\p{L}\p{M}\p{S}\p{N}\p{P}]+", ["a!", "\U0001f600"], ["", " ", "\n"]),
        (r"arn:[\p{Alnum}\-]+:x", ["arn:aws-cn:x"], ["arn::x", "arn:é:x"]),
        (
            r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\t]*",
            ["", "a\t", "\U0001f600", "\U0010ffff"],
            ["\n", "\ufffe", "\ud800"],
        ),
        (r"[\S]+", ["a", "é", "\u00a0"], ["", "a b", "a\n"]),
        (r"(?!\s*$).+", ["a", " a "], ["", "   ", "a\n"]),
        (r"(?=.{1,32}$)[a-zA-Z0-9](-*[a-zA-Z0-9])*", ["a" * 32], ["", "a" * 33]),
        (r"[!#-\[\]-~]+( [!#-\[\]-~]+)*", ["a b", "[]"], ['"', "a  b", "\\"]),
        (r"([a-zA-Z0-9]([a-zA-Z0-9\-]){0,62})(?<!-)", ["a-b"], ["a-"]),
        (r"\d{12}", ["000000000000"], ["\u0660" * 12]),
        (r"[a-z&&[^aeiou]]+", ["xyz"], ["a", "B"]),
        (r"[^a-c&&b]*", ["acx", ""], ["b"]),
        (r"[a-c[x-z]]+", ["ax"], ["m"]),
        (r"[]a]+[^]]", ["]ab", "a["], ["a]"]),
        (r"[a-]+[+--]", ["a-+", "a,"], ["a/"]),
        (r"[\w.-]+[0-9-_]", ["a.b-_"], ["a b", "a.b="]),
        (r"[\p{Print}&&[^|:/]]+", ["a b"], ["a|b"]),
        (r"[\Qa-\E]+\Qa.b\E+", ["-aa.b", "aa.bb"], ["axb"]),
        (r"\Qa+", ["a+"], ["aa"]),
        (r"a$\s?", ["a", "a\n"], ["a "]),
        (r"\Aa\Z\s*", ["a", "a\r\n"], ["a\u2028", "ab"]),
        (r"^*a\b+", ["a"], ["b"]),
        (r"a++b?+(?>c|cd)", ["aac", "abc"], ["acd"]),
        (r"(?<n>a|b)\k<n>(c)\2", ["aacc", "bbcc"], ["abcc", "aac"]),
        (r"\x{1F600}\x41\0101", ["\U0001f600AA"], ["A", "\U0001f600A"]),
        (r"\012\cA\e\a\f\t\r", ["\n\x01\x1b\x07\x0c\t\r"], ["\n"]),
        (r"\h\v\H\V\D\W", [" \nab!!", "\u2003\u0085ab!!"], ["a\nab!!"]),
        (r"\R+x", ["\r\nx", "\u2028\nx"], [" x"]),
        (r"(?s).+", ["a\nb"], [""]),
        (r"(?i)abc[d-f]", ["ABCE", "abcd"], ["abcg"]),
        (r"(?is)a.", ["A\n"], ["b\n"]),
        (r"\pL\PL\P{Lu}", ["a1b"], ["a1B", "aab"]),
        (r"\p{LC}\p{LD}\p{L1}\p{IsNd}", ["aaé1", "Aaÿ1"], ["1aa1"]),
        (r"a]\}b", ["a]}b"], ["ab"]),
        (r"\uD83D\uDE00", ["\U0001f600"], ["\ud83d"]),
        (r"[\uD83Dx]\uD83D\u0041", ["x\ud83dA"], ["A"]),
        (r"a{2}b{1,}c{1,2}?", ["aabcc"], ["abc"]),
        (_HOSTILE_TEXT, ["", "a\nb \t"], ["\u2028", " \u0085"]),
        (_HOSTILE_URL, ["https://abc", "https://a/b/c/"], ["https://ab", "https://a//bc", "https://abc!"]),
        (_HOSTILE_NAME, ["a", "a1", "a-b"], ["a-", "-a", "A"]),
    ],
)
def test_a_pattern_takes_what_java_takes(pattern: str, good: list[str], bad: list[str]) -> None:
    assert [value for value in good if not _accepts(pattern, value)] == []
    assert [value for value in bad if _accepts(pattern, value)] == []


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        (_HOSTILE_TEXT, " " * 1000 + "\u2028"),
        (_HOSTILE_TEXT + ".*", "\t" * 1000 + "\u0085"),
        (_HOSTILE_URL, "https://" + "a" * 1000 + "!"),
        (_HOSTILE_NAME, "a" * 1000 + "!"),
        (_NAME, "a-" * 1000 + "!"),
        (_IMAGE_VERSION, "0" * 20_000 + "!"),
    ],
)
def test_a_hostile_value_is_refused_without_backtracking_for_ever(pattern: str, value: str) -> None:
    assert not _accepts(pattern, value)


@settings(deadline=None, derandomize=True)
@given(st.text(alphabet="01a.-+\u2028\n", max_size=9))
def test_the_harmless_equal_of_image_versions_takes_what_the_original_takes(text: str) -> None:
    assert _accepts(_IMAGE_VERSION, text) == _accepts(f"(?:{_IMAGE_VERSION})", text)


@settings(deadline=None, derandomize=True)
@given(st.text(alphabet="ab-./\u2028 \n", max_size=9))
def test_the_harmless_equals_take_what_the_originals_take(text: str) -> None:
    # A group around the whole pattern keeps it out of the table of equals.
    for pattern in (_HOSTILE_TEXT, _HOSTILE_TEXT + ".*", _HOSTILE_NAME):
        assert _accepts(pattern, text) == _accepts(f"(?:{pattern})", text)
    assert _accepts(_HOSTILE_URL, f"https://{text}") == _accepts(f"(?:{_HOSTILE_URL})", f"https://{text}")


@settings(deadline=None, derandomize=True)
@given(st.text(max_size=20))
def test_text_in_quotes_stands_for_itself(text: str) -> None:
    if r"\E" not in text and not text.endswith("\\"):
        assert _accepts(rf"\Q{text}\E", text)
        assert not _accepts(rf"\Q{text}\E", text + "x")


@pytest.mark.parametrize(
    "pattern",
    [
        r"a(?i)b",
        r"(?m)^a$",
        r"\X",
        r"\p{IsLatin}",
        r"[z-a]",
        r"(a",
        r"a**",
        r"[a",
        "a\\",
        r"[\q]",
        r"(?<=a+)b",
        r"a{99999999999}",
    ],
)
def test_what_cannot_be_translated_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"pattern|class"):
        compile_pattern(pattern)
