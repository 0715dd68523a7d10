"""A client for PostgreSQL, so that the hosts need no driver.

Protocol 3.0 over TCP, authentication by SCRAM-SHA-256. Every statement goes
through the extended protocol with its parameters beside it (`$1`, `$2`, …):
no value is ever pasted into SQL, so there is nothing to quote. Results are
text. There is no TLS, no COPY, no cursor and no transaction longer than a
statement: the example does not need them.
"""

import base64
import hashlib
import hmac
import secrets
import socket
import struct
import threading
import unicodedata
from typing import Any, Iterator, NamedTuple
from urllib.parse import SplitResult, unquote

Row = tuple[str | None, ...]
_PROTOCOL = 3 << 16


class PgError(Exception):
    """The server refused something; `code` is the SQLSTATE."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Place(NamedTuple):
    """Where a database is, and as whom to use it."""

    host: str
    port: int
    database: str
    user: str
    password: str

    @classmethod
    def of_url(cls, url: SplitResult, user: str = "", password: str = "") -> "Place":
        """From `SCHEME://USER:PASSWORD@HOST:PORT/DATABASE`, or with user and password beside it."""
        return cls(
            url.hostname or "",
            url.port or 5432,
            unquote(url.path.strip("/")),
            unquote(url.username or user),
            unquote(url.password) if url.password is not None else password,
        )


class Scram:
    """The client's half of SCRAM-SHA-256 (RFC 5802, RFC 7677)."""

    def __init__(self, password: str, user: str = "", nonce: str = "") -> None:
        # NFKC is the part of SASLprep that real passwords ever meet.
        self._password = unicodedata.normalize("NFKC", password).encode()
        self._nonce = nonce or secrets.token_urlsafe(18)
        # PostgreSQL takes the user from the start-up message and ignores this one.
        self._bare = f"n={user},r={self._nonce}"
        self._server_signature = b""

    def first(self) -> str:
        return "n,," + self._bare

    def final(self, challenge: str) -> str:
        """Answer the server's first message."""
        fields = dict(field.split("=", 1) for field in challenge.split(","))
        if not fields["r"].startswith(self._nonce):
            raise PgError("08P01", "SCRAM: the server did not continue our nonce")
        salted = hashlib.pbkdf2_hmac(
            "sha256", self._password, base64.b64decode(fields["s"]), int(fields["i"])
        )
        without_proof = f"c=biws,r={fields['r']}"
        covered = f"{self._bare},{challenge},{without_proof}".encode()
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        signature = hmac.digest(hashlib.sha256(client_key).digest(), covered, "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        server_key = hmac.digest(salted, b"Server Key", "sha256")
        self._server_signature = hmac.digest(server_key, covered, "sha256")
        return f"{without_proof},p={base64.b64encode(proof).decode()}"

    def verify(self, outcome: str) -> None:
        """Check that the server knows the password, too."""
        sent = base64.b64decode(outcome.removeprefix("v=").split(",")[0])
        if not hmac.compare_digest(sent, self._server_signature):
            raise PgError("08P01", "SCRAM: the server could not prove that it knows the password")


class Connection:
    """One session with the server."""

    def __init__(
        self, host: str, port: int, database: str, user: str, password: str, timeout: float
    ) -> None:
        self._socket = socket.create_connection((host, port), timeout=timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._input = self._socket.makefile("rb")
        try:
            options = ("user", user, "database", database, "client_encoding", "UTF8", "")
            start = struct.pack("!I", _PROTOCOL) + b"".join(_text(word) for word in options)
            self._socket.sendall(struct.pack("!I", len(start) + 4) + start)
            self._authenticate(password)
            for _ in self._until_ready():
                pass
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._input.close()
        self._socket.close()

    def execute(self, sql: str, *parameters: Any) -> list[Row]:
        """Run one statement and return its rows; it is committed by itself."""
        values = [None if value is None else str(value).encode() for value in parameters]
        bound = b"".join(
            struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value
            for value in values
        )
        self._socket.sendall(
            _message(b"P", _text("") + _text(sql) + struct.pack("!H", 0))
            + _message(b"B", b"\0\0" + struct.pack("!HH", 0, len(values)) + bound + b"\0\0")
            + _message(b"E", _text("") + struct.pack("!I", 0))
            + _message(b"S", b"")
        )
        return [_row(body) for kind, body in self._until_ready() if kind == b"D"]

    def _authenticate(self, password: str) -> None:
        scram = Scram(password)
        while True:
            kind, body = self._receive()
            if kind == b"E":
                raise _error(body)
            if kind != b"R":
                raise PgError("08P01", "the server does not speak PostgreSQL's protocol")
            (method,), rest = struct.unpack("!I", body[:4]), body[4:]
            if method == 0:
                return
            if method == 10 and b"SCRAM-SHA-256\0" in rest:
                first = scram.first().encode()
                head = _text("SCRAM-SHA-256") + struct.pack("!I", len(first))
                self._socket.sendall(_message(b"p", head + first))
            elif method == 11:
                self._socket.sendall(_message(b"p", scram.final(rest.decode()).encode()))
            elif method == 12:
                scram.verify(rest.decode())
            else:
                raise PgError("28000", "the server wants another authentication than SCRAM-SHA-256")

    def _until_ready(self) -> Iterator[tuple[bytes, bytes]]:
        """The messages up to ReadyForQuery; an error is raised at its end."""
        error = None
        while True:
            kind, body = self._receive()
            if kind == b"E":
                error = _error(body)
                if error.code.startswith("57P"):  # the server is going away
                    raise error
            elif kind == b"Z":
                if error:
                    raise error
                return
            else:
                yield kind, body

    def _receive(self) -> tuple[bytes, bytes]:
        head = self._input.read(5)
        if len(head) == 5:
            (length,) = struct.unpack("!I", head[1:])
            body = self._input.read(length - 4)
            if len(body) == length - 4:
                return head[:1], body
        raise ConnectionError("the server closed the connection")


class Database:
    """A connection shared by threads that is made anew when it is lost."""

    def __init__(self, host: str, port: int, database: str, user: str, password: str) -> None:
        self._where = (host, port, database, user, password)
        self._connection: Connection | None = None
        self._lock = threading.Lock()

    def execute(self, sql: str, *parameters: Any) -> list[Row]:
        with self._lock:
            fresh = self._connection is None
            try:
                return self._attempt(sql, parameters)
            except (OSError, PgError) as error:
                # An old connection may have died since its last use; a new
                # one that fails means that the server is really not there.
                # Never twice after a time-out: the statement may be at work.
                # (One that reached the server and lost its answer does run
                # twice; the example's statements bear that.)
                if fresh or self._connection is not None or isinstance(error, TimeoutError):
                    raise
            return self._attempt(sql, parameters)

    def _attempt(self, sql: str, parameters: tuple[Any, ...]) -> list[Row]:
        try:
            if self._connection is None:
                self._connection = Connection(*self._where, timeout=5.0)
            return self._connection.execute(sql, *parameters)
        except (OSError, PgError) as error:
            if self._connection and not (isinstance(error, PgError) and error.code[:3] != "57P"):
                self._connection.close()
                self._connection = None
            raise


def _text(value: str) -> bytes:
    return value.encode() + b"\0"


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def _row(body: bytes) -> Row:
    (count,), at = struct.unpack("!H", body[:2]), 2
    values: list[str | None] = []
    for _ in range(count):
        (length,) = struct.unpack("!i", body[at : at + 4])
        at += 4
        values.append(None if length < 0 else body[at : at + length].decode())
        at += max(length, 0)
    return tuple(values)


def _error(body: bytes) -> PgError:
    fields = {part[:1]: part[1:].decode("utf-8", "replace") for part in body.split(b"\0") if part}
    return PgError(fields.get(b"C", ""), fields.get(b"M", "unknown error"))
