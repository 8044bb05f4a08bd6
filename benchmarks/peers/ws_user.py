"""A stock Locust user over WebSocket, by the client library that Locust itself depends on."""

from __future__ import annotations

import os
import time

import websocket
from locust import User, task

from benchmarks.peers import orders
from benchmarks.peers.names import ADDRESS


class OrderUser(User):
    """Signs in once and places orders in a closed loop."""

    wait_time = orders.wait_time()

    def on_start(self) -> None:
        """Connect and sign in."""
        self.socket = websocket.create_connection(os.environ[ADDRESS], skip_utf8_validation=orders.TUNED)
        expires = int(time.time() * 1000) + 10_000
        login = {"reqId": "auth", "op": "auth", "args": ["acct-0", expires, orders.sign(f"GET/realtime{expires}")]}
        self.socket.send(orders.dumps(login))
        self.socket.recv()

    @task
    def place(self) -> None:
        """One order and its answer."""
        op_id, fields = orders.order()
        header = {"X-BAPI-TIMESTAMP": str(int(time.time() * 1000)), "X-BAPI-RECV-WINDOW": orders.WINDOW}
        began = time.perf_counter()
        self.socket.send(orders.dumps({"reqId": op_id, "header": header, "op": "order.create", "args": [fields]}))
        received = self.socket.recv()
        took = (time.perf_counter() - began) * 1000
        answer = orders.loads(received)
        wrong = None if answer["reqId"] == op_id and answer["retCode"] == 0 else ValueError("refused")
        self.environment.events.request.fire(
            request_type="WS",
            name="order.create",
            response_time=took,
            response_length=len(received),
            exception=wrong,
            context=self.context(),
        )
