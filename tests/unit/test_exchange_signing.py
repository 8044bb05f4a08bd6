"""Signatures and receive windows; the expected digests come from hashlib and hmac used the long way."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.exchange.codes import RetCode
from sandbox.exchange.signing import Keyring, account_secret, check_window, milliseconds, sign

MASTER = b"0f" * 32
NOW = 1_795_255_000_000


def signed(payload: str, *, key: str = "acct-7", stamp: str = str(NOW), window: str | None = "5000") -> RetCode:
    text = f"{stamp}{key}{window or ''}{payload}"
    return Keyring(MASTER).check_request(key, stamp, window, sign(account_secret(MASTER, key), text), payload, NOW)


def test_the_secret_and_the_signature_are_plain_hmac() -> None:
    secret = hmac.new(MASTER, b"acct-7", hashlib.sha256).hexdigest()
    assert account_secret(MASTER, "acct-7") == secret
    assert sign(secret, "text") == hmac.new(secret.encode(), b"text", hashlib.sha256).hexdigest()


@given(st.text(max_size=50))
def test_any_payload_signed_by_its_account_is_accepted_and_no_other(payload: str) -> None:
    payload = payload.encode("utf-8", "ignore").decode()
    assert signed(payload) == RetCode.OK
    signature = sign(account_secret(MASTER, "acct-7"), f"{NOW}acct-75000{payload}")
    ring = Keyring(MASTER)
    assert ring.check_request("acct-7", str(NOW), "5000", signature, payload + "x", NOW) == RetCode.BAD_SIGNATURE
    assert ring.check_request("acct-8", str(NOW), "5000", signature, payload, NOW) == RetCode.BAD_SIGNATURE


def test_an_absent_window_is_signed_as_nothing() -> None:
    assert signed("{}", window=None) == RetCode.OK


@pytest.mark.parametrize("key", [None, "", "acct 7", "ACCT-7", "a" * 33, "acct-7\n", "ä"])
def test_what_is_no_account_name_is_a_bad_key(key: str | None) -> None:
    assert Keyring(MASTER).check_request(key, str(NOW), "5000", "00", "", NOW) == RetCode.BAD_KEY


@pytest.mark.parametrize("signature", [None, "", "00", "ä", "A" * 64])
def test_a_wrong_signature_is_named_so(signature: str | None) -> None:
    assert Keyring(MASTER).check_request("a", str(NOW), "5000", signature, "", NOW) == RetCode.BAD_SIGNATURE


@pytest.mark.parametrize(
    ("stamp", "window", "code"),
    [
        (NOW, 5000, RetCode.OK),
        (str(NOW - 5000), "5000", RetCode.OK),
        (NOW - 5001, 5000, RetCode.BAD_TIMESTAMP),
        (NOW + 999, None, RetCode.OK),
        (NOW + 1000, 60_000, RetCode.BAD_TIMESTAMP),
        (NOW - 5000, None, RetCode.OK),
        (NOW, 0, RetCode.BAD_TIMESTAMP),
        (NOW, 60_001, RetCode.BAD_TIMESTAMP),
        (None, 5000, RetCode.BAD_TIMESTAMP),
        ("soon", 5000, RetCode.BAD_TIMESTAMP),
        (float(NOW), 5000, RetCode.BAD_TIMESTAMP),
        (True, 5000, RetCode.BAD_TIMESTAMP),
        (NOW, "-1", RetCode.BAD_TIMESTAMP),
    ],
)
def test_the_receive_window(stamp: object, window: object, code: RetCode) -> None:
    assert check_window(stamp, window, NOW) == code


@pytest.mark.parametrize("value", ["٣", "9" * 17, "", [], {}, 1.5])
def test_only_plain_integers_are_times(value: object) -> None:
    assert milliseconds(value) is None


def test_a_login_is_signed_and_expires() -> None:
    ring, secret = Keyring(MASTER), account_secret(MASTER, "acct-1")
    good = sign(secret, f"GET/realtime{NOW + 1}")
    assert ring.check_login("acct-1", NOW + 1, good, NOW) == RetCode.OK
    assert ring.check_login("acct-1", str(NOW + 1), good, NOW) == RetCode.OK
    assert ring.check_login("acct-1", NOW + 1, good, NOW + 2) == RetCode.BAD_TIMESTAMP
    assert ring.check_login("acct-2", NOW + 1, good, NOW) == RetCode.BAD_SIGNATURE
    assert ring.check_login(["acct-1"], NOW + 1, good, NOW) == RetCode.BAD_KEY
    assert ring.check_login("acct-1", NOW + 1, 5, NOW) == RetCode.BAD_SIGNATURE


def test_the_table_of_secrets_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.exchange.signing._KEPT_KEYS", 3)
    ring = Keyring(MASTER)
    for n in range(10):
        key = f"acct-{n}"
        signature = sign(account_secret(MASTER, key), f"{NOW}{key}")
        assert ring.check_request(key, str(NOW), None, signature, "", NOW) == RetCode.OK
    assert len(ring._secrets) <= 3
