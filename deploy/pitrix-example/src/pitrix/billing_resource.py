"""Prices of resources; holds all leases in memory, as the real one does."""

import threading
from decimal import Decimal

from .service import Service, answered
from .web import wanted

START_PRICE = Decimal("0.01")


class BillingResource(Service):
    def __init__(self):
        super().__init__("billing_resource")
        self.leases = None
        self.reload = threading.Event()
        self.reload.set()

    def load(self):
        self.reload.wait()
        # Cleared first: a SIGHUP during the load makes another one.
        self.reload.clear()
        try:
            self.leases = dict(self.database.rows("SELECT resource, price FROM leases"))
        except BaseException:
            self.reload.set()
            raise
        self.log(f"{len(self.leases)} leases loaded")

    def price(self, query):
        resource = wanted(query, "resource")
        refusal = self.refusal()
        if refusal:
            return 503, {"error": refusal}

        def work(cursor):
            cursor.execute(
                "INSERT INTO leases (resource, price, at) VALUES (%s, %s, now())"
                " ON CONFLICT DO NOTHING",
                (resource, START_PRICE),
            )
            cursor.execute("SELECT price FROM leases WHERE resource = %s", (resource,))
            return cursor.fetchone()[0]

        price = self.database.transaction(work)
        if self.leases is not None:
            self.leases[resource] = price
        return 200, {"resource": resource, "price": None if price is None else float(price)}

    def health(self, query):
        loaded = self.leases is not None
        refusal = self.refusal()
        error = refusal if loaded else "the leases aren't loaded yet"
        answer = {
            "room": self.room,
            "serving": refusal is None,
            "leases": len(self.leases) if loaded else None,
            "error": error,
        }
        return (503 if error else 200), answer


def main():
    server = BillingResource()
    server.repeat("leases", 1, server.load)
    server.run(
        ["billing_resource"],
        {"GET /price": answered(server.price), "GET /health": answered(server.health)},
        on_hangup=server.reload.set,
    )
