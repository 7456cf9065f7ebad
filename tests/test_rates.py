import pytest

from service.rates import RequestRate, read_named_rate, read_rate, split_rates


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("50/s", RequestRate(50.0, 50)),
        ("50", RequestRate(50.0, 50)),
        ("600/m", RequestRate(10.0, 10)),
        ("36/h", RequestRate(0.01, 1)),
        ("0.5/s", RequestRate(0.5, 1)),
        (" 50 / s : 20 ", RequestRate(50.0, 20)),
        ("100/s:1", RequestRate(100.0, 1)),
    ],
)
def test_a_rate_is_read_as_people_write_it(text: str, rate: RequestRate) -> None:
    assert read_rate(text) == rate
    assert read_rate(str(rate)) == rate


@pytest.mark.parametrize("text", ["", "fast", "0/s", "-1/s", "1/d", "1/s:0", "1/s:", "1/s:x", "1e9/s", "٣/s"])
def test_anything_else_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match="is no rate such as 50/s"):
        read_rate(text)


def test_endpoints_are_named_with_their_rates() -> None:
    assert read_named_rate("demo-*=5/s:2") == ("demo-*", RequestRate(5.0, 2))
    assert split_rates("iris=5/s, demo-*=1/m ,") == ("iris=5/s", "demo-*=1/m")
    assert split_rates(("iris=5/s",)) == ("iris=5/s",)
    for text in ("5/s", "a/b=5/s", "=5/s", "iris=", "iris=5/s,b"):
        with pytest.raises(ValueError, match=r"is no rate|names no endpoint"):
            split_rates(text)
