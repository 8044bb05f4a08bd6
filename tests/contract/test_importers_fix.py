"""FIX logs: framing, requests and their answers, drop copies, hops, and what is no operation."""

from __future__ import annotations

from pathlib import Path

import pytest

from drills.errors import DefinitionError
from loadgen import trace
from loadgen.importers import Options
from tests.contract.imports import DATA, Imported, fix, import_, skipped

D = ("35=D", "49=CLI", "56=EX", "11=A1", "1=ACC", "55=BTC-USD", "54=1", "38=2", "40=2", "44=100.5")
F = ("35=F", "49=CLI", "56=EX", "11=A2", "41=A1", "55=BTC-USD", "54=1")
REPORT = ("35=8", "49=EX", "56=CLI", "37=X1", "55=BTC-USD", "54=1", "38=2", "40=2", "44=100.5", "14=0", "151=2")
FLOW = ("session", "account", "op", "symbol", "side", "type", "tif", "price", "qty", "client_id", "parent")


def log(folder: Path, *lines: str, options: Options | None = None) -> Imported:
    file = folder / "x.log"
    file.write_bytes("\n".join(lines).encode("latin-1"))
    return import_("fix", file, folder, options)


def report(*fields: str, at: str = "20260105-09:00:01.000") -> str:
    return fix(*REPORT, *fields, at=at)


def replaced(message: tuple[str, ...], **by_tag: str) -> tuple[str, ...]:
    """The fields with others by tag (`t38="3"`); "" leaves one out."""
    new = {tag[1:]: value for tag, value in by_tag.items()}
    fields = [(tag, new.pop(tag, value)) for tag, _, value in (field.partition("=") for field in message)]
    return tuple(f"{tag}={value}" for tag, value in [*fields, *new.items()] if value)


def test_the_flow_of_a_log(tmp_path: Path) -> None:
    made = import_("fix", DATA / "fix-sample.log", tmp_path)
    assert made.rows(*FLOW) == [
        (0, "ACC7", "place", "BTC-USD", "Buy", "Limit", "GTC", "100.50", "2.0", "CLI/A1", None),
        (0, "ACC7", "place", "BTC-USD", "Sell", "Market", "IOC", None, "1.5", "CLI/A2", None),
        (0, "ACC7", "amend", "BTC-USD", None, None, None, "100.25", "3.0", None, "CLI/A1"),
        (0, "ACC7", "cancel", "BTC-USD", None, None, None, None, None, None, "CLI/A1"),
        # a drop copy: known by its reports only
        (1, "FUND", "place", "ETH-USD", "Sell", "Limit", "GTC", "20", "10", "COPY/B1", None),
        (1, "FUND", "amend", "ETH-USD", None, None, None, "21", "8", None, "COPY/B1"),
        (2, "COPY", "place", "ETH-USD", "Buy", "Market", "IOC", None, "4", "COPY/B9", None),
        (2, "COPY", "cancel", "ETH-USD", None, None, None, None, None, None, "COPY/B9"),
        (1, "FUND", "cancel", "ETH-USD", None, None, None, None, None, None, "COPY/B1"),
    ]
    assert made.rows("rec_status", "rec_latency_us") == [
        ("New", 750),
        ("Rejected 3", 10_000),
        ("New", 3_000),
        ("Rejected 0", 4_000),  # a cancel reject
        ("New", None),
        (None, None),
        (None, None),
        ("Cancelled", None),
        ("Cancelled", None),
    ]
    assert trace.first_problem(made.trace) is None


@pytest.mark.parametrize("sep", ["\x01", "|", "^A"])
@pytest.mark.parametrize("prefix", ["", "2026-01-05 09:00:00.000 in: ", "<20260105> FIX.4.4:CLI->EX: ", "é\x00 "])
def test_a_message_is_found_whatever_separates_and_precedes_it(sep: str, prefix: str, tmp_path: Path) -> None:
    both = prefix + fix(*D, sep=sep) + prefix + fix(*F, at="20260105-09:00:01.5", sep=sep) + " ."
    made = log(tmp_path, both)
    assert made.rows("t_ns", "op") == [(0, "place"), (1_500_000_000, "cancel")]
    assert not made.report.skipped


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda text: text.replace("38=2", "38=3"), "wrong checksum"),
        (lambda text: text.replace("10=", "10=9")[:-2] + "\x01", "wrong checksum"),
        (lambda text: text[:-8], "cut message: it has no checksum"),
        (lambda text: text[:10], "cut message: it has no checksum"),
        (lambda text: text[:9], "cut message: no fields"),
        (lambda text: framed(text, "9=7"), "wrong body length"),
        (lambda text: framed(text, "9=x"), "wrong body length"),
        (lambda text: fix("35=D", "garbage", "49=CLI"), "a field without a tag"),
        (lambda text: fix(*replaced(D, t11="")), "a message lacks tag 11"),
        (lambda text: fix(*replaced(D, t44="")), "a message lacks tag 44"),
        (lambda text: fix(*replaced(D, t44="-5")), "a time, price or quantity of no use"),
        (lambda text: fix(*replaced(D, t38="1e999999")), "a time, price or quantity of no use"),
        (lambda text: fix(*D, at="20260230-00:00:00"), "a time, price or quantity of no use"),
        (lambda text: fix(*D, at=""), "a time, price or quantity of no use"),
    ],
)
def test_a_damaged_message_is_corrupt_and_the_rest_of_its_log_is_not(damage, reason: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    made = log(tmp_path, fix(*replaced(D, t11="B1")), damage(fix(*D)), fix(*replaced(D, t11="B3")))
    assert skipped(made.report) == {f"corrupt: {reason}": [2]}
    assert made.rows("client_id") == [("CLI/B1",), ("CLI/B3",)]


def framed(text: str, length: str) -> str:
    """The message with another body length, and the checksum that goes with it."""
    begin, _, rest = text.split("\x01", 2)
    counted = f"{begin}\x01{length}\x01{rest[:-7]}"
    return f"{counted}10={sum(counted.encode()) % 256:03d}\x01"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (replaced(D, t40="3", t99="90"), "stop, pegged or other order (40 is not 1 or 2)"),
        (replaced(D, t40="P"), "stop, pegged or other order (40 is not 1 or 2)"),
        (replaced(D, t54="B"), "side (54) other than 1 to 6"),
        (replaced(D, t38="", t152="1000"), "quantity in cash (152)"),
        (replaced(D, t55="btc usd"), "symbol (55, 48) is not 1 to 32 of A-Z 0-9 . _ / -"),
        (replaced(D, t1="x" * 129), "id longer than 128 characters"),
        (("35=AB", "49=CLI", "56=EX"), "multileg order (35=AB)"),
        (("35=s", "49=CLI", "56=EX"), "cross order (35=s)"),
        (("35=H", "49=CLI", "56=EX"), "status request (35=H)"),
        (("35=ZZTOP", "49=CLI", "56=EX"), "message type ZZT"),
        (("35=0", "49=CLI", "56=EX"), "session message"),
    ],
)
def test_what_is_no_plain_order_is_skipped_with_its_reason(
    message: tuple[str, ...], reason: str, tmp_path: Path
) -> None:
    made = log(tmp_path, fix(*replaced(D, t11="B1")), fix(*message))
    assert skipped(made.report) == {reason: [2]}


def test_changes_and_reports_of_an_order_that_was_left_out_are_left_out_too(tmp_path: Path) -> None:
    stop = fix(*replaced(D, t40="3", t11="S1"))
    made = log(tmp_path, fix(*D), stop, fix(*replaced(F, t41="S1")), report("11=S1", "17=E", "150=4", "39=4"))
    assert skipped(made.report)["names an order that was left out"] == [3]
    assert made.rows("op", "client_id") == [("place", "CLI/A1")]
    assert not made.result.collected.orphans


def test_an_order_keeps_its_identity_through_replacements(tmp_path: Path) -> None:
    again = replaced(F, t35="G", t38="5", t44="101")
    lines = [fix(*D), fix(*again), fix(*replaced(again, t11="A3", t41="A2")), fix(*replaced(F, t11="A4", t41="A3"))]
    made = log(tmp_path, *lines)
    assert made.rows("op", "client_id", "parent") == [
        ("place", "CLI/A1", None),
        *[("amend", None, "CLI/A1")] * 2,
        ("cancel", None, "CLI/A1"),
    ]


def test_a_request_on_an_order_from_before_the_log_is_an_orphan_and_its_reports_place_nothing(tmp_path: Path) -> None:
    made = log(tmp_path, fix(*D), fix(*replaced(F, t11="A9", t41="OLD")), report("11=A9", "41=OLD", "150=4", "39=4"))
    assert made.rows("op") == [("place",)]
    assert made.result.collected.first_orphans == ["cancel of CLI/OLD"]


def test_the_first_answer_that_is_not_pending_counts_and_only_in_time(tmp_path: Path) -> None:
    lines = [
        fix(*D),
        report("11=A1", "17=1", "150=A", "39=A", at="20260105-09:00:00.001"),
        report("11=A1", "17=2", "150=F", "39=2", at="20260105-09:00:00.002500"),
        report("11=A1", "17=3", "150=4", "39=4", at="20260105-09:00:00.003"),
        fix(*replaced(D, t11="B1"), at="20260105-09:00:05"),
        report("11=B1", "17=4", "150=0", "39=0", at="20260105-09:00:04.999"),  # by another clock
    ]
    assert log(tmp_path, *lines).rows("rec_status", "rec_latency_us") == [("Filled", 2_500), ("New", None)]
    many = [fix(*replaced(D, t11=f"M{n}")) for n in range(4_097)]
    late = [report(f"11=M{n}", f"17=x{n}", "150=0", "39=0") for n in (0, 1)]
    assert log(tmp_path, *many, *late).rows("rec_status")[:2] == [(None,), ("New",)]


def test_one_thing_logged_often_counts_once(tmp_path: Path) -> None:
    sent, cancel = fix(*D, "34=7"), fix(*F, "34=8")
    passed_on = fix(*replaced(D, t49="EX", t56="EX2", t1="ACC", t34="90"))
    cancel_on = fix(*replaced(F, t49="EX", t56="EX2", t34="91"))
    resent = fix(*D, "34=7", "43=Y", at="20260105-09:03:00")
    done = report("11=A1", "17=E1", "150=0", "39=0")
    done_on = fix(*replaced(REPORT, t49="EX2", t56="EX", t11="A1", t17="E1", t150="0", t39="0"))
    made = log(tmp_path, sent, sent, passed_on, resent, cancel, cancel_on, done, done_on)
    assert made.rows("op", "client_id", "parent") == [("place", "CLI/A1", None), ("cancel", None, "CLI/A1")]
    assert skipped(made.report) == {
        "the same message again": [2, 4],
        "passed on by the next hop": [3, 6],
        "execution report: what came of an order": [7],
        "the same execution at another hop": [8],
    }


def test_two_clients_may_use_the_same_id(tmp_path: Path) -> None:
    other = fix(*replaced(D, t49="CLI2"))
    made = log(tmp_path, fix(*D), other, fix(*replaced(F, t49="CLI2")), fix(*D))
    assert made.rows("session", "client_id", "parent") == [
        (0, "CLI/A1", None),
        (1, "CLI2/A1", None),
        (1, None, "CLI2/A1"),
    ]
    assert skipped(made.report) == {"client id a second time": [4]}


def test_a_session_is_a_pair_and_an_account(tmp_path: Path) -> None:
    accounts = [{"t1": "X"}, {"t1": "", "t109": "Y"}, {"t1": "", "t115": "Z"}, {"t1": ""}, {"t1": "X"}, {"t56": "E2"}]
    made = log(tmp_path, *(fix(*replaced(D, t11=f"O{n}", **changed)) for n, changed in enumerate(accounts)))
    assert made.rows("session", "account") == [(0, "X"), (1, "Y"), (2, "Z"), (3, "CLI"), (0, "X"), (4, "ACC")]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"t59": "0"}, ("Limit", "GTC")),
        ({"t59": "1", "t18": "6"}, ("Limit", "PostOnly")),
        ({"t59": "3"}, ("Limit", "IOC")),
        ({"t59": "4"}, ("Limit", "IOC")),
        ({"t40": "1"}, ("Market", "IOC")),
        ({"t40": ""}, ("Limit", "GTC")),
    ],
)
def test_type_and_time_in_force(fields: dict[str, str], expected: tuple[str, str], tmp_path: Path) -> None:
    made = log(tmp_path, fix(*replaced(D, **fields)))
    assert made.rows("type", "tif") == [expected]


def test_a_drop_copy_names_an_order_by_any_of_its_ids(tmp_path: Path) -> None:
    made = log(
        tmp_path,
        report("11=B1", "17=E1", "150=0", "39=0"),
        report("11=B2", "41=B1", "17=E2", "150=5", "39=0"),
        fix(*replaced(REPORT, t56="OTHER", t11="B2", t17="E3", t150="F", t39="1")),  # another hop: 37 with 11
        fix(*replaced(REPORT, t56="OTHER", t11="B3", t41="B2", t17="E4", t150="4", t39="4")),
        report("11=B3", "41=B2", "17=E5", "150=4", "39=4"),  # once an order
        report("11=B4", "17=E6", "150=1", "39=1", "20=2"),
    )
    assert made.rows("op", "parent") == [("place", None), ("amend", "CLI/B1"), ("cancel", "CLI/B1")]
    assert skipped(made.report) == {
        "execution report: what came of an order": [3, 5],
        "report that corrects or repeats another (20 is not 0)": [6],
    }


def test_an_operation_is_not_before_the_one_on_its_order_that_the_log_names_first(tmp_path: Path) -> None:
    made = log(tmp_path, fix(*D, at="20260105-09:00:02"), fix(*F, at="20260105-09:00:01"))
    assert made.rows("t_ns", "op") == [(0, "place"), (0, "cancel")]
    assert made.report.notes["time goes back"].lines == [2]


def test_a_report_of_an_older_protocol_has_no_exec_type_and_may_lack_the_quantity(tmp_path: Path) -> None:
    made = log(tmp_path, fix(*replaced(REPORT, t11="B1", t39="1", t38="", t40="", t14="0.5", t151="1.5")))
    assert made.rows("op", "type", "qty", "rec_status") == [("place", "Limit", "2", "PartiallyFilled")]


@pytest.mark.parametrize(
    ("prefix", "date", "expected"),
    [
        ("2026-01-05 09:00:01,250 out: ", None, 1_767_603_601_250_000_000),
        ("<20260105-09:00:01.25> ", None, 1_767_603_601_250_000_000),
        ("1767603601.25 ", None, 1_767_603_601_250_000_000),
        ("[1767603601250] ", None, 1_767_603_601_250_000_000),
        ("out 09:00:01.25 INFO ", "2026-01-05", 1_767_603_601_250_000_000),
    ],
)
def test_without_a_sending_time_the_log_tells_it(prefix: str, date: str | None, expected: int, tmp_path: Path) -> None:
    made = log(tmp_path, prefix + fix(*D, at=""), options=Options(date=date))
    assert made.report.first_ns == expected


def test_a_log_without_one_message_is_no_fix(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"in 2 lines: 2 × no FIX message \(line 1\); is it a fix recording\?"):
        log(tmp_path, "hello", "world 35=D|49=CLI|")
