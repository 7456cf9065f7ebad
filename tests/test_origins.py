"""Origins and hosts: the many ways in which people and browsers write them, and what they are compared by."""

import pytest

from service.origins import host_name, is_loopback, is_unspecified, read_host_pattern, read_origin, same_place


@pytest.mark.parametrize(
    ("written", "origin"),
    [
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://localhost:3000/", "http://localhost:3000"),
        ("HTTP://LocalHost:3000", "http://localhost:3000"),
        ("http://page.example:80", "http://page.example"),
        ("https://page.example:443/", "https://page.example"),
        ("https://page.example:80", "https://page.example:80"),
        ("http://page.example.:3000", "http://page.example:3000"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("http://[0:0::1]", "http://[::1]"),
        ("https://Bücher.example", "https://xn--bcher-kva.example"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("*", "*"),
    ],
)
def test_an_origin_is_brought_into_the_form_that_browsers_send(written: str, origin: str) -> None:
    assert read_origin(written) == origin


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("localhost:3000", "begins with http:// or https://, as http://localhost:3000"),
        ("page.example/", "as http://page.example"),
        ("//page.example", "begins with http://"),
        (
            "http://page.example/app",
            "no path, query or user, only scheme, host and port: http://page.example",
        ),
        ("http://page.example//", "no path"),
        ("http://page.example?x", "no path"),
        ("http://me@page.example", "no path, query or user"),
        ("null", "http://localhost:3000"),
        ("file://", "http://localhost:3000"),
        ("ftp://page.example", "http:// or https://"),
        ("ws://page.example", "http:// or https://"),
        ("file:///home/me/page.html", "http://localhost:3000"),
        ("https://*.page.example", "each is named by itself"),
        ("http://", "is written as"),
        ("http://page.example:port", "is written as"),
        ("http://page.example:99999", "is written as"),
        ("http://[::1", "is written as"),
        (
            "http://localhost:3000 http://localhost:3001",
            "separated by commas, as in http://localhost:3000,http://localhost:3001",
        ),
        ("http://localhost:3000;http://localhost:3001", "separated by commas"),
        ("'http://localhost:3000'", "the quotes are part of the value here"),
        ('"http://localhost:3000', "write it without them"),
    ],
)
def test_what_is_no_origin_is_refused_by_a_sentence_that_says_how_it_is_written(
    written: str, said: str
) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        read_origin(written)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("written", "host"),
    [
        ("Models.Example.com", "models.example.com"),
        ("models.example.com.", "models.example.com"),
        ("models.example.com:8080", "models.example.com"),
        ("*.Example.com", "*.example.com"),
        ("server", "server"),
        ("my_service", "my_service"),
        ("10.0.0.5", "10.0.0.5"),
        ("fe80::1", "fe80::1"),
        ("[FE80::1]:8080", "fe80::1"),
        ("*", "*"),
    ],
)
def test_an_allowed_host_is_brought_into_one_form(written: str, host: str) -> None:
    assert read_host_pattern(written) == host


@pytest.mark.parametrize(
    "written", ["http://models.example.com", "a/b", "", "*.", "a.*.b", "*.10.0.0.1", "two words"]
)
def test_what_is_no_host_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="a host is a name or an address"):
        read_host_pattern(written)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("LOCALHOST:8080", "localhost"),
        ("localhost.", "localhost"),
        ("127.0.0.1:1", "127.0.0.1"),
        ("[::1]:8080", "::1"),
        ("[0:0::1]", "::1"),
        ("", None),
        (":8080", None),
        ("a b", None),
        ("a,b", None),
        ("a:b", None),
        ("::1", None),
        ("[localhost]", None),
        ("evil.example@localhost", None),
        ("localhost/x", None),
    ],
)
def test_the_name_in_a_host_header(header: str, name: str | None) -> None:
    assert host_name(header) == name


def test_which_names_are_always_this_machine() -> None:
    for name in ("localhost", "app.localhost", "127.0.0.1", "127.9.8.7", "::1", "::ffff:7f00:1"):
        assert is_loopback(name), name
    for name in ("localhost.example", "notlocalhost", "128.0.0.1", "0.0.0.0", "::2", "127.0.0.1.example"):
        assert not is_loopback(name), name
    assert [is_unspecified(name) for name in ("0.0.0.0", "::", "", "127.0.0.1", "a")] == [True] * 3 + [
        False
    ] * 2


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("http://localhost:8080", "localhost:8080", True),
        ("http://LOCALHOST:8080", "localhost:8080", True),
        ("https://models.example", "models.example", True),
        ("https://models.example", "models.example:443", True),
        ("http://localhost:3000", "localhost:8080", False),
        ("http://localhost", "localhost:8080", False),
        ("http://elsewhere.example:8080", "localhost:8080", False),
        ("null", "localhost:8080", False),
        ("null", "null", False),
        ("file://", "", False),
    ],
)
def test_when_a_page_and_a_call_are_of_the_same_place(origin: str, host: str, same: bool) -> None:
    assert same_place(origin, host) is same
