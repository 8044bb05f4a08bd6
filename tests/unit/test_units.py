from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from drills.units import Duration, Percent, format_duration, format_percent, parse_duration, parse_percent, quoted


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5s", 5.0), ("500ms", 0.5), ("2m", 120.0), ("1h", 3600.0), ("35d", 3_024_000.0), ("1.5s", 1.5), ("0s", 0.0)],
)
def test_parse_duration(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("5 sec", '"5 sec" is not a duration; write 5s, 500ms or 2m'),
        (10, "10 is not a duration; write 10s"),
        (2.5, "2.5 is not a duration; write 2.5s"),
        ("10 ms", '"10 ms" is not a duration; write 10ms'),
        ("", '"" is not a duration; write 5s, 500ms or 2m'),
        ("-5s", '"-5s" is not a duration; write 5s, 500ms or 2m'),
        ("5s\n", '"5s\\n" is not a duration; write 5s, 500ms or 2m'),
        ("٥s", '"٥s" is not a duration; write 5s, 500ms or 2m'),
        (None, "nothing is not a duration; write 5s, 500ms or 2m"),
        (True, "true is not a duration; write 5s, 500ms or 2m"),
        ({}, "a mapping is not a duration; write 5s, 500ms or 2m"),
    ],
)
def test_a_wrong_duration_names_the_value_and_a_right_one(value: object, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared whole
        parse_duration(value)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.01, "10ms"), (0.0005, "0.5ms"), (1.5, "1.5s"), (60, "60s"), (120, "2m"), (90, "90s"), (86400, "1d")],
)
def test_format_duration(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(min_value=0, max_value=10**9))
def test_a_formatted_duration_parses_back(microseconds: int) -> None:
    seconds = microseconds / 1_000_000
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.text(max_size=12))
def test_no_text_breaks_the_duration_parser(text: str) -> None:
    with suppress(PydanticCustomError):
        assert parse_duration(text) >= 0


@pytest.mark.parametrize(("text", "share"), [("20%", 0.2), ("0%", 0.0), ("100%", 1.0), ("14.4%", 0.144)])
def test_percent_both_ways(text: str, share: float) -> None:
    assert parse_percent(text) == share
    assert format_percent(share) == text


@pytest.mark.parametrize("value", ["20", 20, "101%", "x%", None])
def test_a_wrong_share_says_how_to_write_one(value: object) -> None:
    with pytest.raises(ValueError, match="is not a share; write 20%"):
        parse_percent(value)


def test_inside_a_model_they_load_from_text_and_dump_to_text() -> None:
    duration: TypeAdapter[float] = TypeAdapter(Duration)
    percent: TypeAdapter[float] = TypeAdapter(Percent)
    assert duration.validate_python("500ms") == 0.5
    assert duration.dump_python(0.5) == "500ms"
    assert percent.dump_python(percent.validate_python("20%")) == "20%"
    with pytest.raises(ValidationError):
        duration.validate_python(10)


@pytest.mark.parametrize(
    ("value", "shown"),
    [("a", '"a"'), (True, "true"), (None, "nothing"), (3, "3"), ([1], "a list"), ("\x1b[31m", '"\\x1b[31m"')],
)
def test_quoted(value: object, shown: str) -> None:
    assert quoted(value) == shown


def test_a_long_value_is_cut() -> None:
    assert len(quoted("x" * 500)) == 62
