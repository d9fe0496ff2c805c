"""Quantities as people write them."""

import pytest

from joinlab.units import DURATION, RATE, SIZE, Quantity, at_least, parse_percent


@pytest.mark.parametrize(
    ("quantity", "text", "value"),
    [
        (RATE, "100 Mbit/s", 100_000_000),
        (RATE, "1.5kbit/s", 1_500),
        (RATE, "1 bit/s", 1),
        (DURATION, "10 ms", 10_000),
        (DURATION, "0.1 s", 100_000),
        (DURATION, " 2 min ", 120_000_000),
        (SIZE, "15 kB", 15_000),
        (SIZE, "1 KiB", 1_024),
    ],
)
def test_quantity_is_read_in_its_smallest_unit(quantity: Quantity, text: str, value: int) -> None:
    assert quantity.parse(text) == value


@pytest.mark.parametrize("text", ["100", 100, "", None, True, "-1 Mbit/s", "1 Mb", "1e6 bit/s", "Mbit/s", "1 mbit/s"])
def test_what_is_no_rate_is_refused_with_an_example(text: object) -> None:
    with pytest.raises(ValueError, match=r"expected a rate such as '100 Mbit/s'"):
        RATE.parse(text)


def test_fraction_of_the_smallest_unit_is_refused() -> None:
    with pytest.raises(ValueError, match="in whole us"):
        DURATION.parse("0.5 us")


@pytest.mark.parametrize(("text", "value"), [("1 %", 1.0), ("0.5%", 0.5), ("100 %", 100.0)])
def test_percentage_is_read(text: str, value: float) -> None:
    assert parse_percent(text) == value


@pytest.mark.parametrize("text", ["101 %", "1", 1, "-1 %", "1 percent"])
def test_what_is_no_percentage_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="expected a percentage"):
        parse_percent(text)


@pytest.mark.parametrize("text", ["0.99 s", "1.005 s"])
def test_too_little_and_odd_steps_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected at least 1 s, in steps of 10 ms"):
        at_least(DURATION, "1 s", step="10 ms")(text)
