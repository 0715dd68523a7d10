"""mysql_gateway: offers MySQL databases to the users of the cloud controller.

It registers the service there, with a token from uaa, and goes on doing so:
a cloud controller that lost its database learns of it again. A request for a
database comes from the cloud controller by the bus and is passed on to the
mysql nodes, of which one takes it. There are no plans, quotas or bindings.
"""

import sys
import time
from pathlib import Path
from typing import Iterable

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from paas import http, log, nats, service
from paas.settings import Settings
from paas.uaa_client import Uaa, UaaError, at

_LABEL = "mysql"
_REGISTER_SECONDS = 30
_RETRY_SECONDS = 2
_NODE_SECONDS = 25  # less than the cloud controller waits for us


class Gateway(service.Service):
    component = "mysql_gateway"
    bus_key = "mbus"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.cloud_controller = settings.url("cloud_controller_url", "http")
        self.uaa = Uaa(
            settings.url("uaa_url", "http"),
            settings.filled("client_id"),
            settings.filled("client_secret"),
        )
        self.problem = "not registered yet"
        self.next_time = 0.0

    def start(self) -> None:
        # One of several gateways answers.
        self.bus.subscribe(f"{_LABEL}_gateway.provision", self._provision, group="gateways")
        self.in_background(self._stay_registered, _RETRY_SECONDS)

    def problems(self) -> Iterable[str]:
        if self.problem:
            yield self.problem

    def _stay_registered(self) -> None:
        if time.monotonic() < self.next_time:
            return
        try:
            self._register()
            self.problem = ""
            self.next_time = time.monotonic() + _REGISTER_SECONDS
        except UaaError as error:
            self.problem = f"no token (key 'uaa_url'): {error}"
        except http.Unreachable as error:
            self.problem = f"not registered (key 'cloud_controller_url'): {error}"
        if self.problem:
            raise RuntimeError(self.problem)

    def _register(self) -> None:
        offer = {"label": _LABEL, "gateway": f"http://{self.address()}:{self.port}"}
        token = self.uaa.token()
        status, answer = http.call("POST", at(self.cloud_controller, "/services"), offer, token=token)
        if status == 401:
            # uaa may have lost its database, and with it the token.
            self.uaa.forget_token()
        if status != 200:
            raise http.Unreachable(
                f"the cloud controller answers {status}: {answer.get('error', 'no reason given')}"
            )

    def _provision(self, message: nats.Message) -> None:
        if not message.reply:
            return
        try:
            answer = self.bus.ask(f"{_LABEL}_node.provision", message.json(), _NODE_SECONDS)
        except nats.NoAnswer as error:
            answer = {"error": f"no mysql node took the request: {error}"}
        outcome = answer.get("error") or f"made by {answer.get('node_id')}"
        log.info(f"a database was asked for: {outcome}")
        self.bus.publish(message.reply, answer)


if __name__ == "__main__":
    service.main(Gateway)
