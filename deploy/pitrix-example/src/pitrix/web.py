"""A small threaded HTTP server.

Python's http.server would do, but its imports alone (email, ssl, html) cost
a third of the memory a service may use.
"""

import json
import socket
import threading
import time
from urllib.parse import parse_qs

REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
HEAD_BYTES = 16 * 1024
BODY_BYTES = 64 * 1024
CLIENT_SECONDS = 5
THREADS = 64
# Asked every second or so by whoever watches: only their changes are told.
QUIET = ("/alive", "/health")


class BadRequest(Exception):
    pass


class Web:
    """Routes: {"GET /alive": function(query) -> (status, answer)}.

    An answer that is a string is sent as text, anything else as JSON.
    """

    def __init__(self, routes, log):
        self._routes = dict(routes)
        self._routes.setdefault("GET /alive", lambda query: (200, {"alive": True}))
        self._log = log
        self._slots = threading.BoundedSemaphore(THREADS)
        self._health = None

    def listen(self, port):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("0.0.0.0", port))
        listener.listen(128)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener):
        while True:
            self._slots.acquire()
            try:
                client, _ = listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()
            except (OSError, RuntimeError) as error:
                # Out of files or threads: both come back when others end.
                self._slots.release()
                self._log(f"can't accept: {error}")
                time.sleep(0.5)

    def _serve(self, client):
        try:
            with client:
                client.settimeout(CLIENT_SECONDS)
                try:
                    method, path, query = read_request(client)
                except BadRequest as error:
                    send(client, 400, {"error": str(error)}, True)
                    return
                status, answer = self._answer(method, path, query)
                send(client, status, answer, method != "HEAD")
        except OSError:
            pass  # the client went away
        finally:
            self._slots.release()

    def _answer(self, method, path, query):
        route = self._routes.get(f"{'GET' if method == 'HEAD' else method} {path}")
        if route is None:
            known = any(name.endswith(f" {path}") for name in self._routes)
            self._log(f"no {method} {path}"[:300])
            return (405 if known else 404), {"error": f"no {method} {path}"[:300]}
        try:
            status, answer = route(query)
        except BadRequest as error:
            status, answer = 400, {"error": str(error)}
        except Exception as error:
            self._log(f"{method} {path}: {type(error).__name__}: {error}")
            status, answer = 500, {"error": "internal error"}
        error = answer.get("error") if isinstance(answer, dict) else None
        if path not in QUIET:
            self._log(f"{method} {path} {query}"[:300] + f" {status} {error or ''}".rstrip())
        elif path == "/health" and self._health != (status, error):
            self._health = (status, error)
            self._log(f"health {status}{': ' + error if error else ''}")
        return status, answer


def read_request(client):
    data = b""
    while b"\r\n\r\n" not in data:
        part = client.recv(4096)
        if not part:
            raise OSError("closed")
        data += part
        if len(data) > HEAD_BYTES:
            raise BadRequest("the request's head is too long")
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise BadRequest("not HTTP/1")
    length = 0
    for line in lines[1:]:
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-length":
            if not value.strip().isdecimal():
                raise BadRequest("bad Content-Length")
            length = int(value)
    if length > BODY_BYTES:
        raise BadRequest("the request's body is too long")
    # No route wants a body. It is read all the same: closing a socket with
    # unread bytes resets it, and the client could lose the answer.
    left = length - len(body)
    while left > 0:
        part = client.recv(min(left, 4096))
        if not part:
            break
        left -= len(part)
    path, _, query = words[1].partition("?")
    return words[0], path, {name: values[0] for name, values in parse_qs(query).items()}


def send(client, status, answer, with_body):
    text = isinstance(answer, str)
    body = (answer if text else json.dumps(answer) + "\n").encode()
    head = (
        f"HTTP/1.1 {status} {REASONS[status]}\r\n"
        f"Content-Type: {'text/plain; charset=utf-8' if text else 'application/json'}\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    client.sendall(head.encode() + (body if with_body else b""))


def wanted(query, name):
    value = query.get(name, "")
    # A NUL can't be stored in PostgreSQL's text.
    if not value or len(value) > 200 or "\0" in value:
        raise BadRequest(f"{name}=… is needed, of at most 200 characters")
    return value
