"""How long a provider asks to wait: whatever it says, it is no error, and never longer than an hour."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.providers.failures import LONGEST_RETRY_AFTER, limit_reset, retry_after

LONG = "9" * 400
LONGER = "9" * 5000  # of which Python makes no int
NUMBERS = st.one_of(st.integers(), st.integers(10**300, 10**500), st.floats()).map(str)
UNITS = st.sampled_from(["", "h", "m", "s", "ms", " seconds", "h1m", "m0s", "e9"])
DATES = st.builds(
    "{}, {} {} {} {}:{}:{} {}".format,
    st.sampled_from(["Mon", "Fri", ""]),
    st.integers(-1, 10**20),
    st.sampled_from(["Jan", "Dec", "Foo"]),
    st.integers(-1, 10**20),
    st.integers(-1, 99),
    st.integers(-1, 10**20),
    st.integers(-1, 99),
    st.sampled_from(["GMT", "-2300", "+9999999999999", "-0000", "X", ""]),
)
WISHES = st.one_of(st.text(max_size=40), st.builds("{}{}".format, NUMBERS, UNITS), DATES)
NAMES = st.sampled_from(
    [
        "retry-after",
        "retry-after-ms",
        "date",
        *(f"x-ratelimit-{what}-{of}" for what in ("reset", "remaining") for of in ("tokens", "requests")),
    ]
)


@given(st.dictionaries(NAMES, st.one_of(st.just("0"), WISHES)), WISHES)
def test_no_wish_is_an_error_or_longer_than_an_hour(headers: dict[str, str], wish: str) -> None:
    for wait in (retry_after(headers), limit_reset(headers, f"Please try again in {wish}.")):
        assert wait is None or timedelta(0) <= wait <= LONGEST_RETRY_AFTER


@pytest.mark.parametrize("wish", [f"{LONG}h", f"{LONGER}h", f"{LONG}m0s", f"{LONGER}s", f"{LONG}", f"1h{LONG}ms"])
def test_a_wish_of_more_digits_than_any_number_has_is_an_hour(wish: str) -> None:
    assert limit_reset({"x-ratelimit-reset-tokens": wish}, "") == LONGEST_RETRY_AFTER
    assert limit_reset({}, f"Please try again in {wish}.") == LONGEST_RETRY_AFTER


@pytest.mark.parametrize(
    "date",
    [
        f"Fri, 31 Dec {LONG} 23:59:59 GMT",
        f"Fri, 31 Dec {LONGER} 23:59:59 GMT",
        f"Fri, 31 Dec 2026 23:59:59 +{LONG}",
        "Fri, 31 Dec 9999 23:59:59 +9999999999999",
    ],
)
def test_a_date_that_no_calendar_has_is_no_wish(date: str) -> None:
    assert retry_after({"retry-after": date}) is None
