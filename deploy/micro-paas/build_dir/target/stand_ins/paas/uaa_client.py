"""Fetching tokens from uaa, as a user of one of its clients."""

import threading
import time
from urllib.parse import SplitResult

from paas import http


def at(url: SplitResult, path: str) -> SplitResult:
    """`path` below the base URL from a configuration file."""
    return url._replace(path=url.path.rstrip("/") + path)


class UaaError(Exception):
    """uaa did not answer, or said no; the text says which."""


class Uaa:
    """uaa as one of its users sees it; `url` is that of its configuration: http://HOST:8080/uaa."""

    def __init__(self, url: SplitResult, client_id: str, username: str, password: str) -> None:
        self._url = url
        self._client = (client_id, "")
        self._user = {"grant_type": "password", "username": username, "password": password}
        self._lock = threading.Lock()
        self._token = ""
        self._fresh_until = 0.0

    def token(self) -> str:
        """A token, renewed when a tenth of its life is left."""
        with self._lock:
            if time.monotonic() >= self._fresh_until:
                self._renew()
            return self._token

    def forget_token(self) -> None:
        """Do not use the present token again: somebody refused it."""
        with self._lock:
            self._fresh_until = 0.0

    def _renew(self) -> None:
        url = at(self._url, "/oauth/token")
        try:
            status, answer = http.call("POST", url, self._user, client=self._client)
        except http.Unreachable as error:
            raise UaaError(str(error)) from None
        if status != 200:
            raise UaaError(f"uaa answers {status}: {answer.get('error', 'no reason given')}")
        self._token = str(answer["access_token"])
        self._fresh_until = time.monotonic() + 0.9 * float(answer["expires_in"])


def problem(url: SplitResult) -> str:
    """Why the uaa of this URL can't be used just now; empty when it can."""
    try:
        status, answer = http.call("GET", at(url, "/healthz"))
    except http.Unreachable as error:
        return str(error)
    return "" if status == 200 else str(answer.get("error", f"it answers {status}"))
