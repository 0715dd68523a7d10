"""JSON over HTTP, both sides.

The server is the standard library's with a thread for each connection: right
for an example, and for nothing that the internet can reach.
"""

import base64
import hmac
import http.client
import json
import re
import socketserver
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Mapping, NamedTuple
from urllib.parse import SplitResult, parse_qs, urlsplit

from paas import log

_MAX_BODY = 1 << 20


class HttpError(Exception):
    """Answer the request with this status and reason."""

    def __init__(self, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = dict(headers or {})


class Request(NamedTuple):
    """What a handler is told."""

    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        try:
            value = json.loads(self.body or b"{}")
        except ValueError:
            raise HttpError(400, "the body is not JSON") from None
        if not isinstance(value, dict):
            raise HttpError(400, "the body is not a JSON object")
        return value

    def form(self) -> dict[str, str]:
        fields = parse_qs(self.body.decode("utf-8", "replace"))
        return {key: values[0] for key, values in fields.items()}

    def word(self, key: str) -> str:
        """A field of the JSON body that is to serve as a name."""
        value = self.json().get(key)
        if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", value):
            raise HttpError(400, f"'{key}' must be 1 to 63 letters, digits, '-' or '_'")
        return value

    def bearer(self) -> str:
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        return token.strip() if kind.lower() == "bearer" else ""

    def basic(self) -> tuple[str, str]:
        kind, _, encoded = self.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "basic":
            return "", ""
        try:
            user, _, password = base64.b64decode(encoded).decode().partition(":")
        except ValueError:
            return "", ""
        return user, password


Handler = Callable[..., tuple[int, Any]]


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: str, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__((address, port), handler)

    def server_bind(self) -> None:
        # Without HTTPServer's reverse look-up of the address, which can hang.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that hung up is not our failure


def json_handler(routes: Mapping[str, Handler]) -> type[BaseHTTPRequestHandler]:
    """A handler for routes such as `{"GET /apps/{}": handler}`.

    Each `{}` is handed to the handler after the request; it returns a status
    and what to send: a text as it is, anything else as JSON.
    """
    compiled = []
    for route, call in routes.items():
        method, _, path = route.partition(" ")
        pattern = re.escape(path).replace(re.escape("{}"), "([^/]+)")
        compiled.append((method, re.compile(pattern), call))

    class JsonHandler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def _answer(self) -> None:
            headers: dict[str, str] = {}
            try:
                status, value = self._dispatch()
            except HttpError as error:
                status, value, headers = error.status, {"error": str(error)}, error.headers
            except Exception as error:
                log.info(f"{self.command} {self.path}: {type(error).__name__}: {error}")
                status, value = 500, {"error": f"{type(error).__name__}: {error}"}
            kind = "text/plain" if isinstance(value, str) else "application/json"
            body = value.encode() if isinstance(value, str) else json.dumps(value, indent=2).encode() + b"\n"
            self.send_response(status)
            self.send_header("Content-Type", kind)
            for name, text in headers.items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _dispatch(self) -> tuple[int, Any]:
            body = self._body()
            path = urlsplit(self.path).path
            known = [(m, match, call) for m, p, call in compiled if (match := p.fullmatch(path))]
            for method, match, call in known:
                if method == self.command:
                    return call(Request(self.headers, body), *match.groups())
            if known:
                raise HttpError(405, f"{path} does not take {self.command}")
            raise HttpError(404, f"there is no {path} here")

        def _body(self) -> bytes:
            length = self.headers.get("Content-Length") or "0"
            if not length.isdigit() or int(length) > _MAX_BODY:
                self.close_connection = True
                raise HttpError(413, "a body needs a Content-Length of at most 1 MiB")
            return self.rfile.read(int(length))

        do_GET = do_POST = do_PUT = do_DELETE = _answer

        def log_message(self, format: str, *args: Any) -> None:
            pass  # health checks would fill the log

    return JsonHandler


def behind_login(login: tuple[str, str], routes: Mapping[str, Handler]) -> dict[str, Handler]:
    """The same routes for whoever shows this user and password (HTTP Basic)."""

    def guarded(handler: Handler) -> Handler:
        def answer(request: Request, *parts: str) -> tuple[int, Any]:
            shown, wanted = (":".join(pair).encode() for pair in (request.basic(), login))
            if not hmac.compare_digest(shown, wanted):
                challenge = {"WWW-Authenticate": 'Basic realm="status"'}
                raise HttpError(401, "this needs a user and a password", challenge)
            return handler(request, *parts)

        return answer

    return {route: guarded(handler) for route, handler in routes.items()}


class Unreachable(Exception):
    """There was no HTTP answer; the text says from where and why."""


def call(
    method: str,
    url: SplitResult | str,
    body: Mapping[str, Any] | None = None,
    *,
    token: str = "",
    client: tuple[str, str] | None = None,
    seconds: float = 5.0,
) -> tuple[int, dict[str, Any]]:
    """Send JSON, get status and JSON. No proxies, no redirects."""
    url = urlsplit(url) if isinstance(url, str) else url
    headers = {"Accept": "application/json"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if client:
        pair = base64.b64encode(":".join(client).encode()).decode()
        headers["Authorization"] = f"Basic {pair}"
    where = f"{url.hostname}:{url.port or 80}"
    connection = http.client.HTTPConnection(url.hostname or "", url.port or 80, timeout=seconds)
    try:
        payload = None if body is None else json.dumps(body)
        connection.request(method, url.path or "/", payload, headers)
        response = connection.getresponse()
        raw = response.read(_MAX_BODY)
    except (OSError, http.client.HTTPException) as error:
        reason = str(error) or type(error).__name__
        raise Unreachable(f"no answer from {where}: {reason}") from None
    finally:
        connection.close()
    try:
        value = json.loads(raw or b"{}")
    except ValueError:
        value = {}
    return response.status, value if isinstance(value, dict) else {}
