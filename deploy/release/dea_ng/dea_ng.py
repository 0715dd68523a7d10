"""dea_ng: has an app run on its host, and makes it known to the routers.

Warden runs the process; the dea looks after it, registers its route on the
bus every few seconds and sends a heartbeat. There is one app, `hello`, which
comes with the release: every dea serves it as hello.DOMAIN, where the routers
share the requests out, and as dea-INDEX.DOMAIN, where they don't. The real
one takes apps from the cloud controller.
"""

import socket
import sys
import time
from pathlib import Path
from typing import Any, Iterable

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from paas import http, log, service
from paas.settings import Settings
from paas.uaa_client import at

_APP = "hello"
_EVERY_SECONDS = 5
_NEIGHBOURS_SECONDS = 20  # after a reboot all start at once


class Dea(service.Service):
    component = "dea_ng"
    bus_key = "nats_uri"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        domain = settings.filled("domain")
        self.uris = [f"{_APP}.{domain}", f"dea-{self.index}.{domain}"]
        self.warden = settings.url("warden_url", "http")
        self.directory = settings.url("directory_server_url", "http")
        self.app_env = {"APP_INDEX": str(self.index), "APP_HOST": self.host}
        self.app_port = 0
        self.app_problem = "the app was not started yet"

    def start(self) -> None:
        self._await_neighbour("warden", self.warden, "warden_url")
        self._await_neighbour("directory_server", self.directory, "directory_server_url")
        self._check_files()
        self.bus.subscribe("router.start", lambda _: self._register())
        self.bus.on_connect(lambda: self.bus.publish("router.greet", {}, reply="dea.router_greeting"))
        self.bus.subscribe("dea.router_greeting", lambda _: self._register())
        self.in_background(self._look_after_app, _EVERY_SECONDS)

    def stop(self) -> None:
        self.bus.publish("router.unregister", self._route())
        self.bus.publish("dea.shutdown", self._me())

    def problems(self) -> Iterable[str]:
        if self.app_problem:
            yield self.app_problem

    def details(self) -> dict[str, Any]:
        return {"app": _APP, "app_port": self.app_port, "uris": self.uris}

    def _await_neighbour(self, name: str, url: Any, key: str) -> None:
        deadline = time.monotonic() + _NEIGHBOURS_SECONDS
        while True:
            self.waiting_for = f"waiting for {name} (key '{key}')"
            try:
                status, answer = http.call("GET", at(url, "/health"))
                if status == 200 and answer.get("component") == name:
                    return
                problem = f"what answers at {url.geturl()} is no healthy {name}"
            except http.Unreachable as error:
                problem = str(error)
            if time.monotonic() > deadline:
                log.fatal(f"dea_ng: key '{key}': {name} must run before the dea: {problem}")
            time.sleep(0.5)

    def _check_files(self) -> None:
        status, answer = http.call("GET", at(self.directory, f"/apps/{_APP}"))
        if status != 200:
            log.fatal(
                f"dea_ng: key 'directory_server_url': the directory server has no files of"
                f" {_APP}: {answer.get('error', status)}"
            )
        log.info(f"the directory server knows {len(answer['files'])} files of {_APP}")

    def _look_after_app(self) -> None:
        """Have the app running, and tell so: routers and health manager count on it."""
        try:
            # Warden leaves an app alone that already runs with these variables.
            status, answer = http.call(
                "POST", at(self.warden, f"/apps/{_APP}"), {"env": self.app_env}
            )
            if status not in (200, 201):
                raise http.Unreachable(f"warden answers {status}: {answer.get('error')}")
            if self.app_port not in (0, answer["port"]):
                # It was started anew, elsewhere: what the routers know is stale.
                self.bus.publish("router.unregister", self._route())
            self.app_port = int(answer["port"])
            self._await_app()
            self.app_problem = ""
        except http.Unreachable as error:
            self.app_problem = f"app {_APP}: {error}"
            raise
        self._register()
        self.bus.publish("dea.heartbeat", self._me() | {"apps": {_APP: self.app_port}})

    def _await_app(self) -> None:
        for _ in range(20):
            try:
                socket.create_connection(("127.0.0.1", self.app_port), timeout=2).close()
                return
            except OSError as error:
                problem = error
            time.sleep(0.1)
        raise http.Unreachable(f"it does not listen on port {self.app_port}: {problem}")

    def _register(self) -> None:
        if not self.app_problem:
            self.bus.publish("router.register", self._route())

    def _route(self) -> dict[str, Any]:
        return {"host": self.address(), "port": self.app_port, "uris": self.uris}

    def _me(self) -> dict[str, Any]:
        return {"index": self.index, "host": self.host, "address": self.address()}


if __name__ == "__main__":
    service.main(Dea)
