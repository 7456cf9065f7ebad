import pytest

from service.errors import StartupError
from service.faces.users import users_by
from service.http import known_heads
from service.settings import load_settings


@pytest.mark.parametrize(
    ("setting", "headers", "user"),
    [
        ("X-Sagebird-User", [(b"accept", b"*/*"), (b"x-sagebird-user", b" anna ")], b"anna"),
        ("X-Sagebird-User", [(b"x-sagebird-user", b"anna"), (b"x-sagebird-user", b"bert")], b"anna"),
        ("X-Sagebird-User", [(b"x-sagebird-user", b"  ")], None),
        ("X-Sagebird-User", [(b"x-other", b"anna")], None),
        ("x-account", [(b"x-account", b"\xc3\xa9"), (b"x-sagebird-user", b"anna")], b"\xc3\xa9"),
        ("cookie:sid", [(b"cookie", b"a=1; sid=7=8;b=2")], b"7=8"),
        ("Cookie:sid", [(b"cookie", b"a=1"), (b"cookie", b"sid=9")], b"9"),
        ("cookie:sid", [(b"cookie", b"SID=1; xsid=2; sid="), (b"sid", b"3")], None),
    ],
)
def test_the_user_is_who_the_header_or_cookie_names(
    setting: str, headers: list[tuple[bytes, bytes]], user: bytes | None
) -> None:
    assert users_by(setting)(headers) == user


@pytest.mark.parametrize("name", sorted(known_heads.PASSING))
def test_a_header_that_requests_are_not_known_by_names_no_user(name: bytes) -> None:
    with pytest.raises(StartupError, match=r"SAGEBIRD_USER_HEADER: .* differs from call to call"):
        load_settings(user_header=name.decode().title())


@pytest.mark.parametrize("name", ["", "two words", "cookie:", "a:b"])
def test_what_is_no_header_is_refused(name: str) -> None:
    with pytest.raises(StartupError, match="SAGEBIRD_USER_HEADER"):
        load_settings(user_header=name)
