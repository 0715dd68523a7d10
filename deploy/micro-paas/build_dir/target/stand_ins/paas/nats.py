"""A client for the NATS message bus.

It does what the components need: subscribe (also in a queue group), publish,
ask a question and wait for its answer, and come back by itself whenever the
server went away, with all subscriptions in place. It knows nothing of TLS,
clusters of servers, headers or JetStream.

Two threads for each client: one reads the socket, the other runs the
callbacks, so that a slow callback does not keep PINGs from being answered and
may itself ask questions.
"""

import contextlib
import itertools
import json
import queue
import secrets
import socket
import threading
import time
from typing import Any, Callable, NamedTuple
from urllib.parse import SplitResult, unquote

from paas import log

_RETRY_SECONDS = 1.0
_PING_SECONDS = 5.0
_MAX_LINE = 4096


class ProtocolError(Exception):
    """The server said something that is not the NATS protocol."""


class NoAnswer(Exception):
    """A question found no answer in time."""


class Message(NamedTuple):
    """A message from a subject, or (subject empty) another word of the server."""

    verb: str
    subject: str = ""
    sid: int = 0
    reply: str = ""
    payload: bytes = b""

    def json(self) -> Any:
        """The payload's JSON object; an empty one if it is anything else."""
        try:
            value = json.loads(self.payload or b"{}")
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


class Parser:
    """Turns the bytes of a connection, however they are cut, into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._pending: Message | None = None  # a MSG whose payload is to come
        self._size = 0

    def feed(self, data: bytes) -> list[Message]:
        self._buffer += data
        messages = []
        while (message := self._next()) is not None:
            messages.append(message)
        return messages

    def _next(self) -> Message | None:
        if self._pending is None:
            end = self._buffer.find(b"\r\n")
            if end < 0:
                if len(self._buffer) > 16 * _MAX_LINE:  # INFO can be long
                    raise ProtocolError("a control line without an end")
                return None
            line = self._buffer[:end].decode("utf-8", "replace")
            del self._buffer[: end + 2]
            verb, _, rest = line.partition(" ")
            verb = verb.upper()
            if verb != "MSG":
                return Message(verb, payload=rest.encode())
            words = rest.split()
            if len(words) not in (3, 4) or not (words[1] + words[-1]).isdigit():
                raise ProtocolError(f"a malformed MSG line: {line[:80]!r}")
            reply = words[2] if len(words) == 4 else ""
            self._pending = Message(verb, words[0], int(words[1]), reply)
            self._size = int(words[-1])
        if len(self._buffer) < self._size + 2:
            return None
        message = self._pending._replace(payload=bytes(self._buffer[: self._size]))
        del self._buffer[: self._size + 2]
        self._pending = None
        return message


Callback = Callable[[Message], None]


class Client:
    """A connection to the bus that outlives the server's absences."""

    def __init__(self, url: SplitResult, name: str) -> None:
        self._url = url
        self._name = name
        self._address = (url.hostname or "", url.port or 4222)
        self._socket: socket.socket | None = None
        self._send_lock = threading.Lock()
        self._sids = itertools.count(1)
        self._subscriptions: dict[int, tuple[str, str, Callback]] = {}
        self._answers: dict[str, queue.Queue[Message]] = {}
        self._inbox = f"_INBOX.{secrets.token_hex(11)}"
        self._callbacks: queue.Queue[Callable[[], None]] = queue.Queue()
        self._on_connect: list[Callable[[], None]] = []
        self._state = log.Changes(f"nats at {self._address[0]}:{self._address[1]}")
        self.problem = "not connected yet"  # empty while connected
        self.subscribe(self._inbox + ".*", self._answered, inline=True)

    # What components use

    def on_connect(self, hook: Callable[[], None]) -> None:
        """Run `hook` after every connect; to be called before `start`."""
        self._on_connect.append(hook)

    def start(self) -> None:
        threading.Thread(target=self._stay_connected, daemon=True).start()
        threading.Thread(target=self._run_callbacks, daemon=True).start()

    def subscribe(
        self, subject: str, callback: Callback, group: str = "", inline: bool = False
    ) -> None:
        """Call `callback` for each message; with a `group`, one member gets it."""
        sid = next(self._sids)
        if not inline:
            wanted = callback
            callback = lambda message: self._callbacks.put(lambda: wanted(message))
        # Under the lock by which `_connect` sends all subscriptions there are:
        # this one is among those, or is sent here.
        with self._send_lock:
            self._subscriptions[sid] = (subject, group, callback)
            self._send_now(self._sub_line(sid))

    def publish(self, subject: str, payload: dict[str, Any], reply: str = "") -> bool:
        """Send one message; False when there is no connection to send it by."""
        body = json.dumps(payload).encode()
        head = " ".join(filter(None, ("PUB", subject, reply, str(len(body)))))
        return self._send(head.encode() + b"\r\n" + body + b"\r\n")

    def ask(self, subject: str, payload: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Publish a question and wait for the first answer."""
        inbox = f"{self._inbox}.{secrets.token_hex(6)}"
        answers: queue.Queue[Message] = queue.Queue()
        self._answers[inbox] = answers
        try:
            if not self.publish(subject, payload, inbox):
                raise NoAnswer(f"{subject}: nats: {self.problem or 'the connection was lost'}")
            return answers.get(timeout=seconds).json()
        except queue.Empty:
            raise NoAnswer(f"{subject}: no answer within {seconds:g} seconds") from None
        finally:
            del self._answers[inbox]

    # How it stays connected

    def _stay_connected(self) -> None:
        while True:
            try:
                self._connect()
                self._read()
            except (OSError, ProtocolError) as error:
                self.problem = str(error) or type(error).__name__
            finally:
                with self._send_lock:
                    if self._socket:
                        self._socket.close()
                        self._socket = None
            self._state.note(f"no connection ({self.problem}); trying again")
            time.sleep(_RETRY_SECONDS)

    def _connect(self) -> None:
        connection = socket.create_connection(self._address, timeout=_PING_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        options = {"verbose": False, "pedantic": False, "lang": "python", "name": self._name}
        if self._url.username:
            options["user"] = unquote(self._url.username)
            options["pass"] = unquote(self._url.password or "")
        hello = f"CONNECT {json.dumps(options)}\r\n".encode()
        with self._send_lock:
            self._socket = connection
            hello += b"".join(map(self._sub_line, self._subscriptions))
            # The PONG to this PING proves that the server took all before it.
            connection.sendall(hello + b"PING\r\n")

    def _read(self) -> None:
        parser, last_heard = Parser(), time.monotonic()
        while True:
            try:
                data = self._socket.recv(65536)
                if not data:
                    raise ProtocolError("the server closed the connection")
                last_heard = time.monotonic()
            except TimeoutError:
                # A silent server is asked; one that stays silent is gone,
                # even though TCP has not noticed yet.
                if time.monotonic() - last_heard > 3 * _PING_SECONDS:
                    raise ProtocolError("the server fell silent") from None
                self._send(b"PING\r\n")
                continue
            for message in parser.feed(data):
                self._handle(message)

    def _handle(self, message: Message) -> None:
        if message.verb == "MSG":
            if subscription := self._subscriptions.get(message.sid):
                subscription[2](message)
        elif message.verb == "PING":
            self._send(b"PONG\r\n")
        elif message.verb == "PONG":
            if self.problem:
                self.problem = ""
                self._state.note("connected")
                for hook in self._on_connect:
                    self._callbacks.put(hook)
        elif message.verb == "-ERR":
            raise ProtocolError(f"the server refused: {message.payload.decode()}")

    def _run_callbacks(self) -> None:
        while True:
            callback = self._callbacks.get()
            try:
                callback()
            except Exception as error:  # one bad message must not end the service
                log.info(f"a message could not be handled: {type(error).__name__}: {error}")

    def _answered(self, message: Message) -> None:
        if answers := self._answers.get(message.subject):
            answers.put(message)

    def _sub_line(self, sid: int) -> bytes:
        subject, group, _ = self._subscriptions[sid]
        return " ".join(filter(None, ("SUB", subject, group, str(sid)))).encode() + b"\r\n"

    def _send(self, data: bytes) -> bool:
        with self._send_lock:
            return self._send_now(data)

    def _send_now(self, data: bytes) -> bool:
        """Send by whoever holds the lock; False when there is no connection."""
        if self._socket is None:
            return False
        try:
            self._socket.sendall(data)
            return True
        except OSError:
            # Half a message may be out: this connection is of no more use.
            # Closing it wakes the reading thread, which reconnects.
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            return False
