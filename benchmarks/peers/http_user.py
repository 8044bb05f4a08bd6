"""A stock Locust user over HTTP: one signed order after the other, on its own keep-alive connection."""

from __future__ import annotations

import os
import time

from locust import FastHttpUser, task

from benchmarks.peers import orders
from benchmarks.peers.names import ADDRESS


class OrderUser(FastHttpUser):
    """Places orders in a closed loop."""

    host = os.environ.get(ADDRESS)
    wait_time = orders.wait_time()

    @task
    def place(self) -> None:
        """One order and its answer."""
        _, fields = orders.order()
        body, stamp = orders.dumps(fields), str(int(time.time() * 1000))
        headers = {
            "X-BAPI-API-KEY": "acct-0",
            "X-BAPI-TIMESTAMP": stamp,
            "X-BAPI-RECV-WINDOW": orders.WINDOW,
            "X-BAPI-SIGN": orders.sign(f"{stamp}acct-0{orders.WINDOW}{body}"),
            "Content-Type": "application/json",
        }
        with self.client.post(orders.PATH, data=body, headers=headers, catch_response=True) as response:
            if orders.loads(response.content)["retCode"] != 0:
                response.failure("refused")
