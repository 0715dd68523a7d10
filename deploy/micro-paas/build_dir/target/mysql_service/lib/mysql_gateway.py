"""mysql_gateway: offers MySQL databases to the users of the cloud controller.

It registers the service there, with a token from uaa, and goes on doing so: a cloud controller that
lost its database learns of it again. A request for a database comes from the cloud controller by the
bus, is kept in the queue of its jobs, and is passed on to the mysql nodes, of which one takes it.
"""

import json
import socket
import sys
import time
from pathlib import Path
from typing import Any, Iterable

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "stand_ins"))

from paas import http, log, nats, service
from paas.settings import Settings
from paas.uaa_client import Uaa, UaaError, at

_REGISTER_SECONDS = 30
_RETRY_SECONDS = 2
_NODE_SECONDS = 25  # less than the cloud controller waits for us


class QueueError(Exception):
    """The Redis of the jobs could not be used; the text says why."""


class Queue:
    """A list in Redis of the jobs that are under way."""

    def __init__(self, host: str, port: int, name: str) -> None:
        self._place = (host, port)
        self._name = name

    def add(self, job: str) -> None:
        self._call("RPUSH", self._name, job)

    def done(self, job: str) -> None:
        self._call("LREM", self._name, "1", job)

    def ping(self) -> None:
        self._call("PING")

    def _call(self, *words: str) -> None:
        parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
        try:
            with socket.create_connection(self._place, timeout=5) as connection:
                connection.sendall(f"*{len(words)}\r\n{''.join(parts)}".encode())
                answer = connection.makefile("rb").readline().decode("utf-8", "replace").strip()
        except OSError as error:
            raise QueueError(f"no redis at {self._place[0]}:{self._place[1]}: {error}") from None
        if answer[:1] not in ("+", ":"):
            raise QueueError(f"redis says: {answer or 'nothing'}")


class Gateway(service.Service):
    component = "mysql_gateway"
    bus_key = "mbus"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.label = settings.text("service.name")
        self.cloud_controller = settings.url("cloud_controller_uri", "http")
        self.uaa = Uaa(
            settings.url("uaa_endpoint", "http"),
            settings.text("uaa_client_id"),
            settings.text("uaa_client_auth_credentials.username"),
            settings.text("uaa_client_auth_credentials.password"),
        )
        resque = settings.text("resque.host"), settings.port("resque.port")
        self.queue = Queue(*resque, f"resque:queue:{self.label}")
        self.problem = "not registered yet"
        self.next_time = 0.0

    def listen(self) -> None:
        # The configuration names no port: the cloud controller is told which one it is.
        self.port = self.serve({"GET /healthz": self.healthz, "GET /varz": self.varz}, 0, "port")

    def start(self) -> None:
        # One of several gateways answers.
        self.bus.subscribe(f"{self.label}_gateway.provision", self._provision, group="gateways")
        self.in_background(self._stay_registered, _RETRY_SECONDS)

    def problems(self) -> Iterable[str]:
        if self.problem:
            yield self.problem
        try:
            self.queue.ping()
        except QueueError as error:
            yield f"the queue (key 'resque'): {error}"

    def _stay_registered(self) -> None:
        if time.monotonic() < self.next_time:
            return
        try:
            self.queue.ping()
            self._register()
            self.problem = ""
            self.next_time = time.monotonic() + _REGISTER_SECONDS
            log.info("the cloud controller knows this gateway")
        except UaaError as error:
            self.problem = f"no token (key 'uaa_endpoint'): {error}"
        except http.Unreachable as error:
            self.problem = f"not registered (key 'cloud_controller_uri'): {error}"
        except QueueError as error:
            self.problem = f"the queue (key 'resque'): {error}"
        if self.problem:
            raise RuntimeError(self.problem)

    def _register(self) -> None:
        offer = {"label": self.label, "gateway": f"http://{self.address()}:{self.port}"}
        token = self.uaa.token()
        status, answer = http.call("POST", at(self.cloud_controller, "/services"), offer, token=token)
        if status == 401:
            # Another secret may sign the tokens by now.
            self.uaa.forget_token()
        if status != 200:
            reason = answer.get("error", "no reason given")
            raise http.Unreachable(f"the cloud controller answers {status}: {reason}")

    def _provision(self, message: nats.Message) -> None:
        if not message.reply:
            return
        self.bus.publish(message.reply, self._asked_of_a_node(message.json()))

    def _asked_of_a_node(self, request: dict[str, Any]) -> dict[str, Any]:
        job = json.dumps({"provision": request, "asked": time.time()})
        try:
            self.queue.add(job)
            answer = self.bus.ask(f"{self.label}_node.provision", request, _NODE_SECONDS)
            self.queue.done(job)
        except QueueError as error:
            answer = {"error": f"the queue: {error}"}
        except nats.NoAnswer as error:
            answer = {"error": f"no {self.label} node took the request: {error}"}
        outcome = answer.get("error") or f"made by {answer.get('node_id')}"
        log.info(f"a database was asked for: {outcome}")
        return answer


if __name__ == "__main__":
    service.main(Gateway, service.configuration_argument())
