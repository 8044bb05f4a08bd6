"""What a master and its workers say to each other, in Locust's own messages; times are ns of the sender's clock.

worker: HELLO who I am · PONG what my clock says · READY my sessions are connected · LINES live counts · FILE a piece of
a file · DONE all is written.   master: PING · CLOCK which share is yours, and how your clock stands to mine · START ·
STOP · GOT the file is whole · BYE.
"""

from __future__ import annotations

HELLO = "muster-hello"
PING = "muster-ping"
PONG = "muster-pong"
CLOCK = "muster-clock"
READY = "muster-ready"
START = "muster-start"
LINES = "muster-lines"
STOP = "muster-stop"
FILE = "muster-file"
GOT = "muster-got"
DONE = "muster-done"
BYE = "muster-bye"

PIECE = 1 << 20
"""Most bytes of a file in one message."""
