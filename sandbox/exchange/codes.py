"""Return codes of the exchange, their messages, and the words for the state of an order."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class RetCode(IntEnum):
    """Codes of the client interface, numbered as Bybit V5 does."""

    OK = 0
    TIMEOUT = 10000
    BAD_REQUEST = 10001
    BAD_TIMESTAMP = 10002
    BAD_KEY = 10003
    BAD_SIGNATURE = 10004
    UNAVAILABLE = 10016
    ORDER_NOT_FOUND = 110001
    DUPLICATE_ID = 110072
    POST_ONLY_WOULD_TRADE = 110301


MESSAGES: dict[int, str] = {
    RetCode.OK: "OK",
    RetCode.TIMEOUT: "no answer in time, the outcome is unknown: ask for the status by id",
    RetCode.BAD_REQUEST: "bad request",
    RetCode.BAD_TIMESTAMP: "timestamp outside the receive window",
    RetCode.BAD_KEY: "no such API key",
    RetCode.BAD_SIGNATURE: "the signature does not match",
    RetCode.UNAVAILABLE: "the matching engine has no leader, nothing was executed",
    RetCode.ORDER_NOT_FOUND: "order not found or already closed",
    RetCode.DUPLICATE_ID: "this id was used before: ask for its status",
    RetCode.POST_ONLY_WOULD_TRADE: "the post-only order would trade at once",
}


class Status(StrEnum):
    """State of an order; `REJECTED` also for a command that had no effect."""

    NEW = "New"
    PARTIAL = "PartiallyFilled"
    FILLED = "Filled"
    CANCELLED = "Cancelled"
    REJECTED = "Rejected"


def outcome_of(code: int) -> str:
    """How the journal calls a return code of the market: ok, duplicate or reject."""
    if code == RetCode.OK:
        return "ok"
    return "duplicate" if code == RetCode.DUPLICATE_ID else "reject"
