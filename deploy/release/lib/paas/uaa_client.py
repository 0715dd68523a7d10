"""Fetching tokens from uaa and having them checked."""

import threading
import time
from typing import Any
from urllib.parse import SplitResult

from paas import http


def at(url: SplitResult, path: str) -> SplitResult:
    """`path` below the base URL from a configuration file."""
    return url._replace(path=url.path.rstrip("/") + path)


class UaaError(Exception):
    """uaa did not answer, or said no; the text says which."""


class Uaa:
    """uaa as one of its clients sees it."""

    def __init__(self, url: SplitResult, client_id: str, client_secret: str) -> None:
        self._url = url
        self._client = (client_id, client_secret)
        self._lock = threading.Lock()
        self._token = ""
        self._fresh_until = 0.0

    def token(self) -> str:
        """A token for this client, renewed when a tenth of its life is left."""
        with self._lock:
            if time.monotonic() >= self._fresh_until:
                answer = self._post("/oauth/token", {"grant_type": "client_credentials"})
                self._token = str(answer["access_token"])
                self._fresh_until = time.monotonic() + 0.9 * float(answer["expires_in"])
            return self._token

    def forget_token(self) -> None:
        """Do not use the present token again: somebody refused it."""
        with self._lock:
            self._fresh_until = 0.0

    def check(self, token: str) -> dict[str, Any] | None:
        """The claims of a token; None when uaa does not vouch for it."""
        answer = self._post("/check_token", {"token": token})
        return answer if answer.get("active") else None

    def problem(self) -> str:
        """Why uaa can't be used just now; empty when it can."""
        try:
            status, answer = http.call("GET", at(self._url, "/health"))
        except http.Unreachable as error:
            return str(error)
        return "" if status == 200 else str(answer.get("problem", f"it answers {status}"))

    def _post(self, path: str, body: dict[str, str]) -> dict[str, Any]:
        try:
            status, answer = http.call("POST", at(self._url, path), body, client=self._client)
        except http.Unreachable as error:
            raise UaaError(str(error)) from None
        if status != 200:
            raise UaaError(f"uaa answers {status}: {answer.get('error', 'no reason given')}")
        return answer
