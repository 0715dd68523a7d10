"""router: passes HTTP requests on to the apps, by their Host header.

Whoever wants requests registers on the bus (`router.register`) and does so
again every few seconds; who stops doing that is forgotten. Several backends of
one name take turns. It speaks plain HTTP with bodies of known length: no TLS,
no websockets, no chunked uploads.
"""

import http.client
import itertools
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Iterable
from urllib.parse import SplitResult, quote, urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "stand_ins"))

from paas import http as pages
from paas import log, nats, service
from paas.settings import Settings

_REFRESH_SECONDS = 5  # how often backends are asked to register again
_CONNECT_SECONDS = 5  # how long one may take to be reached before the next is tried
_BACKEND_SECONDS = 30  # how long a backend may take to answer
# These are about one connection and so not for passing on (RFC 9110, 7.6.1).
_HOP_BY_HOP = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization",
    "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
}

Backend = tuple[str, int]


class Routes:
    """Which backends serve which name, and when each was last heard of."""

    def __init__(self, forget_seconds: int) -> None:
        self._forget_seconds = forget_seconds
        self._lock = threading.Lock()
        self._heard: dict[str, dict[Backend, float]] = {}
        self._turn = itertools.count()

    def register(self, uri: str, backend: Backend) -> None:
        with self._lock:
            backends = self._heard.setdefault(uri.lower(), {})
            if backend not in backends:
                log.info(f"route {uri.lower()} -> {backend[0]}:{backend[1]}")
            backends[backend] = time.monotonic()

    def unregister(self, uri: str, backend: Backend, why: str) -> None:
        with self._lock:
            backends = self._heard.get(uri.lower(), {})
            if backends.pop(backend, None) is not None:
                log.info(f"route {uri.lower()} -> {backend[0]}:{backend[1]} is gone: {why}")
            if not backends:
                self._heard.pop(uri.lower(), None)

    def prune(self) -> None:
        limit = time.monotonic() - self._forget_seconds
        for uri, backends in self.snapshot().items():
            for backend, heard in backends.items():
                if heard < limit:
                    self.unregister(uri, backend, f"not heard of for {self._forget_seconds} seconds")

    def backends(self, host: str) -> list[Backend]:
        """Those that serve `host`; each call begins with another one."""
        with self._lock:
            found = list(self._heard.get(host, {}))
        start = next(self._turn) % len(found) if found else 0
        return found[start:] + found[:start]

    def snapshot(self) -> dict[str, dict[Backend, float]]:
        with self._lock:
            return {uri: dict(backends) for uri, backends in self._heard.items()}


class Proxy(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    timeout = 60
    routes: Routes
    access: "AccessLog"

    def _pass_on(self) -> None:
        host = self.headers.get("Host", "").rsplit(":", 1)[0].lower()
        self.access.write(self, host)
        length = self.headers.get("Content-Length") or "0"
        if "Transfer-Encoding" in self.headers or not length.isdigit():
            self.close_connection = True
            return self._say(411, "router: a request's body needs a Content-Length")
        body = self.rfile.read(int(length))
        backends = self.routes.backends(host)
        if not backends:
            return self._say(404, f"router: there is no route for the host {host!r}")
        for backend in backends:
            connection = http.client.HTTPConnection(*backend, timeout=_CONNECT_SECONDS)
            try:
                try:
                    connection.connect()
                    connection.sock.settimeout(_BACKEND_SECONDS)
                except OSError as error:
                    # Nothing was sent yet, so the next one may have it.
                    self.routes.unregister(host, backend, f"no connection: {error}")
                    continue
                return self._exchange(connection, body)
            except (OSError, http.client.HTTPException) as error:
                self.close_connection = True
                return self._say(502, f"router: {backend[0]}:{backend[1]} failed: {error}")
            finally:
                connection.close()
        self._say(502, f"router: no backend of {host!r} takes connections")

    def _exchange(self, connection: http.client.HTTPConnection, body: bytes) -> None:
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in _HOP_BY_HOP:
                connection.putheader(name, value)
        connection.putheader("X-Forwarded-For", self.client_address[0])
        connection.endheaders(body or None)
        response = connection.getresponse()
        content = response.read()
        self.send_response_only(response.status, response.reason)
        for name, value in response.getheaders():
            if name.lower() not in _HOP_BY_HOP and name.lower() != "content-length":
                self.send_header(name, value)
        if self.command == "HEAD":
            # The length is that of the page that was not asked for.
            if (length := response.getheader("Content-Length")) is not None:
                self.send_header("Content-Length", length)
        elif response.status not in (204, 304):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _say(self, status: int, text: str) -> None:
        body = text.encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _pass_on

    def log_message(self, format: str, *args: Any) -> None:
        pass


class AccessLog:
    """One line for each request, in the file that the configuration names."""

    def __init__(self, file: str) -> None:
        self._file = open(file, "a", encoding="utf-8") if file else None

    def write(self, request: BaseHTTPRequestHandler, host: str) -> None:
        if self._file:
            moment = time.strftime("%d/%m/%Y:%H:%M:%S +0000", time.gmtime())
            self._file.write(f"{host} - [{moment}] {request.requestline!r} {request.client_address[0]}\n")
            self._file.flush()


class Router(service.Service):
    component = "router"
    pid_key = "pidfile"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.table = Routes(settings.integer("droplet_stale_threshold", 120))
        self.access = AccessLog(settings.text("access_log", ""))

    def bus_url(self) -> SplitResult:
        text = self.settings.text
        host, port = text("nats.host"), self.settings.port("nats.port")
        login = text("nats.user", "")
        if login:
            login = f"{quote(login, safe='')}:{quote(text('nats.pass', ''), safe='')}@"
        return urlsplit(f"nats://{login}[{host}]:{port}" if ":" in host else f"nats://{login}{host}:{port}")

    def listen(self) -> None:
        """Its status page; what it is for comes when those who have routes could tell them."""
        port = self.settings.port("status.port")
        login = (self.settings.text("status.user"), self.settings.text("status.pass"))
        routes = pages.behind_login(login, {"GET /routes": self._show})
        self.port = self.serve({**self.status_page("status.pass"), **routes}, port, "status.port")

    def start(self) -> None:
        self.bus.subscribe("router.register", self._register)
        self.bus.subscribe("router.unregister", self._unregister)
        self.bus.subscribe("router.greet", lambda message: self._introduce(message.reply))
        self.bus.on_connect(self._introduce)
        self._introduce()
        self.stopping.wait(self.settings.integer("publish_start_message_interval", 30))
        handler = type("BoundProxy", (Proxy,), {"routes": self.table, "access": self.access})
        self.serve_with(handler, self.settings.port("port"), "port")
        self.in_background(self._prune, self.settings.integer("prune_stale_droplets_interval", 30))

    def _introduce(self, subject: str = "router.start") -> None:
        """Ask everybody (or whoever greeted) to register."""
        if subject:
            me = {"id": f"router-{self.index}", "minimumRegisterIntervalInSeconds": _REFRESH_SECONDS}
            self.bus.publish(subject, me)

    def _prune(self) -> None:
        # While the bus is away nobody can register: old routes are better than none.
        if not self.bus.problem:
            self.table.prune()

    def _register(self, message: nats.Message) -> None:
        for uri, backend in _routes_in(message.json()):
            self.table.register(uri, backend)

    def _unregister(self, message: nats.Message) -> None:
        for uri, backend in _routes_in(message.json()):
            self.table.unregister(uri, backend, "it said so")

    def _show(self, _: Any) -> tuple[int, Any]:
        now = time.monotonic()
        return 200, {
            uri: [
                {"host": host, "port": port, "seconds_ago": round(now - heard, 1)}
                for (host, port), heard in backends.items()
            ]
            for uri, backends in sorted(self.table.snapshot().items())
        }

    def details(self) -> dict[str, Any]:
        return {"routes": len(self.table.snapshot())}


def _routes_in(body: dict[str, Any]) -> Iterable[tuple[str, Backend]]:
    host, port, uris = body.get("host"), body.get("port"), body.get("uris")
    if isinstance(host, str) and isinstance(port, int) and isinstance(uris, list):
        for uri in uris:
            if isinstance(uri, str) and uri:
                yield uri, (host, port)


if __name__ == "__main__":
    service.main(Router, service.configuration_argument())
