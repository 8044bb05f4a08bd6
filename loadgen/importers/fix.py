"""FIX logs (4.2, 4.4, and what is like them) to an order flow.

Any line may hold any number of messages, with anything before `8=FIX`: see fix_text. A message with a wrong checksum or
body length is corrupt and left out, as is one that lacks what its type needs. What counts, by MsgType (35):

* **D** is a place, **F** a cancel, **G** an amend, at SendingTime (52), else at the time in the log's own prefix. A
  client is its CompID (49); a session is one client, its counterparty (56) and its account: Account (1), else ClientID
  (109), else OnBehalfOfCompID (115), else the client itself. F and G belong to the session of their order.
* **8** and **9** answer them: the first report on a request that is not merely pending gives its rec_status (OrdStatus,
  or the reason of a reject) and rec_latency_us, by SendingTime, where it comes within the next 4,096 operations.
* **8 on an order that no D, F or G named** (a drop copy) tells the flow itself. Its first report stands for the order,
  whatever it reports: a place at its time (side 54, quantity 38, type 40 with price 44, TimeInForce 59; without 40 it
  is limit where there is a price, without 38 the quantity is 14 + 151). An order older than the log is so placed when
  the log first names it. ExecType (150) 4 is then a cancel, once an order, also in that first report; 5 is an amend,
  unless it is the first report. Fills and all else are evidence, no operation. The client is the receiver (56).
* An order keeps its identity through replacements: OrigClOrdID (41) names it under its last ClOrdID (11), which both
  sides know. A report finds its order by 41, by 11, or by OrderID (37) together with either of them.
* The operations on one order keep the order of the log: none is before the one above it, whatever its clock says.
* One thing logged often counts once: the same message (49, 56, 34, 35, 11, 17) at both ends or sent again, the same
  order or request passed on by the counterparty that got it, the same execution (17, 37, 11, 150) at another hop.
* Skipped: stop and pegged orders (40 not 1 or 2), sides other than 1 to 6, quantities in cash, corrections (20 not 0),
  session messages, and any other type: status requests (H), multileg orders (AB), crosses (s), lists (E), quotes.
* TimeInForce 3 and 4 (FOK) are IOC, ExecInst (18) 6 is PostOnly, all else GTC; a market order is IOC.
* A symbol is 55, else 48; one that is not A-Z 0-9 . _ / - (1 to 32) is skipped.

Ids are remembered for 65,536 further ones at least.
"""

from __future__ import annotations

from collections.abc import Iterator

from loadgen.builder import Row
from loadgen.importers import Options, Report, Source
from loadgen.importers.fix_flow import Flow, LeftOut
from loadgen.importers.fix_text import messages

_HELD = 4_096


def rows(source: Source, report: Report, options: Options) -> Iterator[Row]:
    """The operations of a log, in its order; holds the last few thousand for their answers, and recent ids."""
    flow = Flow()
    for number, line in source.lines():
        found = False
        for message in messages(line):
            found = True
            if isinstance(message, str):
                report.skip(number, message, corrupt=True)
                continue
            try:
                flow.take(message.fields, report.at(number, message.t_ns(options.date)))
            except LeftOut as reason:
                report.skip(number, str(reason))
            except KeyError as error:
                report.skip(number, f"a message lacks tag {error.args[0]}", corrupt=True)
            except ValueError:
                report.skip(number, "a time, price or quantity of no use", corrupt=True)
            yield from flow.settled(_HELD)
        if not found and line.strip():
            cut = b"8=FIX" in line
            report.skip(number, "cut message: no fields" if cut else "no FIX message", corrupt=cut)
    yield from flow.settled(0)
