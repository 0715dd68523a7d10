"""A small memcached client: get, set and delete of the text protocol."""

import socket
import threading
import time

# After a failure the server is left alone this long, so that a machine that
# is away costs one timeout now and then, not one for every request.
PAUSE = 2


class Memcached:
    def __init__(self, address, timeout=1.0):
        host, _, port = address.rpartition(":")
        self.address = address
        self._place = (host, int(port))
        self._timeout = timeout
        self._lock = threading.Lock()
        self._stream = None
        self._down_until = 0.0
        self._failure = ""

    def get(self, key):
        """The value, or None where there is none; OSError when not reached."""
        return self._ask(f"get {key}\r\n".encode(), self._value)

    def set(self, key, value):
        data = value.encode()
        command = f"set {key} 0 0 {len(data)}\r\n".encode() + data + b"\r\n"
        self._ask(command, lambda: self._line((b"STORED",)))

    def delete(self, key):
        self._ask(f"delete {key}\r\n".encode(), lambda: self._line((b"DELETED", b"NOT_FOUND")))

    def _ask(self, command, answer):
        with self._lock:
            if time.monotonic() < self._down_until:
                raise OSError(self._failure)
            try:
                if self._stream is None:
                    with socket.create_connection(self._place, self._timeout) as link:
                        self._stream = link.makefile("rwb")
                self._stream.write(command)
                self._stream.flush()
                return answer()
            except (OSError, ValueError) as error:
                self._drop()
                self._down_until = time.monotonic() + PAUSE
                self._failure = f"memcached {self.address}: {error}"
                raise OSError(self._failure) from None

    def _line(self, wanted):
        line = self._stream.readline(1024)
        if not line.endswith(b"\r\n") or line.split()[0] not in wanted:
            raise OSError(f"unexpected answer {line[:60]!r}")
        return line.split()

    def _value(self):
        words = self._line((b"VALUE", b"END"))
        if words[0] == b"END":
            return None
        data = self._stream.read(int(words[3]) + 2)[:-2]
        self._line((b"END",))
        return data.decode()

    def _drop(self):
        stream, self._stream = self._stream, None
        try:
            if stream is not None:
                stream.close()
        except OSError:
            pass  # closing flushes, which fails on a broken connection
