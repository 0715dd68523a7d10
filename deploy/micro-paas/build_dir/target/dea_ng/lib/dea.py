"""dea_ng: has an application run on its host, and makes it known to the routers.

Warden runs the process; the dea looks after it, registers its route on the bus every few seconds and
sends a heartbeat. There is one application, `hello`, which comes with the package: every dea serves it
as hello.DOMAIN, where the routers share the requests out, and as dea-INDEX.DOMAIN, where they don't.
The real one takes applications from the cloud controller.
"""

import http.client
import json
import shutil
import socket
import sys
import time
from pathlib import Path
from typing import Any, Iterable

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "stand_ins"))

from paas import http as web
from paas import log, service
from paas.settings import Settings

_APP = "hello"
_APPS = Path(__file__).resolve().parent.parent / "apps"
_EVERY_SECONDS = 5


class Warden:
    """Warden's HTTP on its socket."""

    def __init__(self, path: str) -> None:
        self._path = path

    def call(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("warden", timeout=10)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(10)
        try:
            connection.sock.connect(self._path)
            connection.request(method, path, json.dumps(body))
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise web.Unreachable(f"no answer from warden at {self._path}: {error}") from None
        finally:
            connection.close()


class Dea(service.Service):
    component = "dea_ng"
    bus_key = "nats_uri"
    pid_key = "pid_filename"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        domain = settings.text("domain")
        self.uris = [f"{_APP}.{domain}", f"dea-{self.index}.{domain}"]
        self.warden = Warden(settings.text("warden_socket"))
        self.droplet = Path(settings.text("base_dir")) / "droplets" / _APP
        self.app_env = {"APP_INDEX": str(self.index), "APP_HOST": self.host}
        self.app_port = 0
        self.app_problem = "the application was not started yet"

    def listen(self) -> None:
        key = "directory_server.file_api_port"
        routes = {"GET /healthz": self.healthz, "GET /varz": self.varz, "GET /apps": self._apps}
        self.port = self.serve(routes, self.settings.port(key), key, listen="127.0.0.1")

    def start(self) -> None:
        shutil.copytree(_APPS / _APP, self.droplet, dirs_exist_ok=True)
        # A router that starts asks for all routes, and is asked for its name by those who start.
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

    def _apps(self, _: web.Request) -> tuple[int, Any]:
        """Where the directory server finds each application's files."""
        return 200, {_APP: str(self.droplet)}

    def _look_after_app(self) -> None:
        """Has the application running, and tells so: routers and health manager count on it."""
        files = {path.name: path.read_text(encoding="utf-8") for path in self.droplet.iterdir()}
        wanted = {"files": files, "env": self.app_env}
        try:
            # Warden leaves one alone that already runs so.
            status, answer = self.warden.call("POST", f"/containers/{_APP}", wanted)
            if status not in (200, 201):
                raise web.Unreachable(f"warden answers {status}: {answer.get('error')}")
            if self.app_port not in (0, answer["port"]):
                # It was started anew, elsewhere: what the routers know is stale.
                self.bus.publish("router.unregister", self._route())
            self.app_port = int(answer["port"])
            self._await_app()
            self.app_problem = ""
        except web.Unreachable as error:
            self.app_problem = f"application {_APP}: {error}"
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
        raise web.Unreachable(f"it does not listen on port {self.app_port}: {problem}")

    def _register(self) -> None:
        if not self.app_problem:
            self.bus.publish("router.register", self._route())
            log.debug("registered with the routers", source="cf.registrar", uris=self.uris)

    def _route(self) -> dict[str, Any]:
        return {"host": self.address(), "port": self.app_port, "uris": self.uris}

    def _me(self) -> dict[str, Any]:
        return {"index": self.index, "host": self.host, "address": self.address()}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: dea FILE")
    service.main(Dea, Path(sys.argv[1]))
