"""A FIX 4.4 acceptor that checks every rule of the session it can see."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from tests.contract.fakes import Book, Seen
from tests.contract.fakes.http import NOW_MS, SECRETS

_MESSAGE = re.compile(rb"8=FIX\.4\.4\x019=(\d+)\x01(.*?)10=(\d\d\d)\x01", re.DOTALL)
KINDS = {"D": "place", "F": "cancel", "G": "amend"}
SIDES, TYPES, TIFS = {"1": "Buy", "2": "Sell"}, {"1": "Market", "2": "Limit"}, {"1": "GTC", "3": "IOC"}


def stamp() -> str:
    return datetime.fromtimestamp(NOW_MS / 1000, UTC).strftime("%Y%m%d-%H:%M:%S.%f")[:-3]


def message(kind: str, seq: int, *fields: str, target: str = "key-0") -> bytes:
    """A message of the venue, its length and checksum counted here once more."""
    parts = [f"35={kind}", "49=VENUE", f"56={target}", f"34={seq}", "52=20231114-22:13:20.123", *fields]
    body = "".join(f"{part}\x01" for part in parts)
    text = f"8=FIX.4.4\x019={len(body)}\x01{body}"
    return f"{text}10={sum(map(ord, text)) % 256:03d}\x01".encode()


class FixFake:
    """One connection."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.next_in = self.next_out = 1
        self.client = ""
        self.taken: list[dict[str, str]] = []
        self._rest = b""

    def receive(self, data: bytes) -> bytes:
        self._rest += data
        out = b""
        while found := _MESSAGE.match(self._rest):
            body = found[2]
            if len(body) != int(found[1]) or sum(self._rest[: found.start(3) - 3]) % 256 != int(found[3]):
                self.book.problems.append("length or checksum")
            self._rest = self._rest[found.end() :]
            fields: dict[str, str] = {}
            for part in body.decode().rstrip("\x01").split("\x01"):
                tag, _, value = part.partition("=")
                if tag in fields or not value:
                    self.book.problems.append(f"tag {tag} twice or empty")
                fields[tag] = value
            out += self._take(fields)
        return out

    def send(self, kind: str, *fields: str) -> bytes:
        seq, self.next_out = self.next_out, self.next_out + 1
        return message(kind, seq, *fields, target=self.client)

    def _take(self, fields: dict[str, str]) -> bytes:
        self.taken.append(fields)
        if fields.get("43") != "Y":
            if int(fields["34"]) != self.next_in:
                self.book.problems.append(f"sequence number {fields['34']}, not {self.next_in}")
            self.next_in += 1
        if fields["52"] != stamp() or fields["56"] != "VENUE":
            self.book.problems.append(f"header {fields['52']} {fields['56']}")
        kind = fields["35"]
        if kind == "A":
            return self._logon(fields)
        if fields["49"] != self.client:
            self.book.problems.append(f"sender {fields['49']}")
        if kind == "1":
            return self.send("0", f"112={fields['112']}")
        if kind == "H":
            return self._status(fields)
        return self._order(KINDS[kind], fields) if kind in KINDS else b""

    def _logon(self, fields: dict[str, str]) -> bytes:
        self.client = fields["49"]
        if fields["554"] != SECRETS.get(fields["553"]) or fields["141"] != "Y" or fields["98"] != "0":
            self.book.problems.append("signature")  # the password is what proves who it is
        return self.send("A", "98=0", f"108={fields['108']}", "141=Y")

    def _order(self, kind: str, fields: dict[str, str]) -> bytes:
        tif = "PostOnly" if fields.get("18") == "6" else TIFS.get(fields.get("59", ""), "")
        seen = Seen(kind, fields["11"], fields.get("41", ""), fields["55"], SIDES[fields["54"]])
        seen.type, seen.tif = TYPES.get(fields.get("40", ""), ""), tif
        seen.price, seen.qty = fields.get("44", ""), fields.get("38", "")
        if fields["60"] != stamp():
            self.book.problems.append(f"transact time {fields['60']}")
        word = self.book.take(seen)
        own = (f"11={seen.id}", "37=o-1", "17=e-1")
        if word == "silent":
            return b""
        if word == "ok":
            done = {"place": "0", "cancel": "4", "amend": "5"}[kind]
            pending = {"place": "A", "cancel": "6", "amend": "E"}[kind]
            return self.send("8", *own, f"150={pending}", f"39={pending}") + self.send("8", *own, f"150={done}", "39=0")
        if word == "unavailable":
            return self.send("j", f"45={fields['34']}", f"372={fields['35']}", "380=4")
        reason = {"reject": "1", "duplicate": "6", "unknown": "99"}[word]
        if kind == "place":
            return self.send("8", *own, "150=8", "39=8", f"103={reason}")
        return self.send("9", *own, "39=8", f"102={reason}", f"434={'1' if kind == 'cancel' else '2'}")

    def _status(self, fields: dict[str, str]) -> bytes:
        ident = fields["11"]
        self.book.asked.append(ident)
        if self.book.refuse_questions:
            return self.send("j", f"45={fields['34']}", "372=H", "380=3")
        done = self.book.done.get(ident)
        own = (f"11={ident}", f"790={fields['790']}", "37=o-1", "17=0", "150=I")
        if done is None:
            return self.send("8", *own, "39=8", "103=5")
        return self.send("8", *own, "39=0") if done else self.send("8", *own, "39=8", "103=1")
