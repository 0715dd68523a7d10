"""uaa: issues tokens to clients and vouches for them.

A client shows id and secret (HTTP Basic, or in the body) and gets a token: a
JWT signed with a key that lies in the database, so that every uaa on that
database accepts it. It is checked by asking (`POST /check_token`), because who
could check an HMAC on his own could also forge it. There are no users, no
scopes and no logins: that is the real one's work.
"""

import base64
import hashlib
import hmac
import json
import secrets
import sys
import time
from pathlib import Path
from typing import Any, Iterable

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from paas import http, log, pg, service
from paas.settings import Settings

# One session at a time makes the tables, however many uaas start together.
_SCHEMA = (
    "SELECT pg_advisory_lock(8080)",
    "CREATE TABLE IF NOT EXISTS oauth_clients ("
    " client_id text PRIMARY KEY, salt text NOT NULL, secret_hash text NOT NULL)",
    "CREATE TABLE IF NOT EXISTS oauth_tokens ("
    " id text PRIMARY KEY, expires_at bigint NOT NULL,"
    " client_id text NOT NULL REFERENCES oauth_clients ON DELETE CASCADE)",
    "CREATE TABLE IF NOT EXISTS signing_keys ("
    " id integer PRIMARY KEY CHECK (id = 1), key text NOT NULL)",
)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def sign(claims: dict[str, Any], key: bytes) -> str:
    """A JWT by HMAC-SHA-256."""
    parts = [_encode(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    signature = hmac.digest(key, ".".join(parts).encode(), "sha256")
    return ".".join((*parts, _encode(signature)))


def claims_of(token: str, key: bytes, now: float) -> dict[str, Any] | None:
    """The claims of a token that we signed and that has not expired."""
    try:
        signed, _, signature = token.rpartition(".")
        # The signature first: nothing of an unsigned token is worth reading.
        if not hmac.compare_digest(hmac.digest(key, signed.encode(), "sha256"), _decode(signature)):
            return None
        claims = json.loads(_decode(signed.partition(".")[2]))
        return claims if claims["exp"] > now else None
    except (ValueError, KeyError, TypeError):
        return None


def _hash(secret: str, salt: str) -> str:
    return hashlib.pbkdf2_hmac("sha256", secret.encode(), salt.encode(), 20_000).hex()


class Uaa(service.Service):
    component = "uaa"
    bus_key = "mbus"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.token_seconds = settings.integer("token_seconds")
        self.clients = settings.mapping("clients")
        if empty := [name for name, secret in self.clients.items() if not secret]:
            raise settings.wrong(f"clients.{empty[0]}", "is empty")

    def routes(self) -> dict[str, http.Handler]:
        return {"POST /oauth/token": self._issue, "POST /check_token": self._check}

    def start(self) -> None:
        if "example-only" in self.clients.values():
            log.info("some clients have the secret 'example-only', which everybody knows")
        self.database = self.open_database()
        try:
            for statement in _SCHEMA:
                self.database.execute(statement)
            for client, secret in self.clients.items():
                self._remember(client, secret)
            self._forget_other_clients()
            self.database.execute(
                "INSERT INTO signing_keys VALUES (1, $1) ON CONFLICT DO NOTHING",
                secrets.token_hex(32),
            )
            self.database.execute("SELECT pg_advisory_unlock(8080)")
        except pg.PgError as error:
            log.fatal(f"uaa: key 'database.user': its tables can't be made: {error}")
        self.key = bytes.fromhex(self.database.execute("SELECT key FROM signing_keys")[0][0] or "")
        self.in_background(self._forget_expired, 60)

    def problems(self) -> Iterable[str]:
        try:
            self.database.execute("SELECT 1 FROM signing_keys")
        except (OSError, pg.PgError) as error:
            yield f"postgres (key 'database.host'): {error}"

    def _remember(self, client: str, secret: str) -> None:
        rows = self.database.execute(
            "SELECT salt, secret_hash FROM oauth_clients WHERE client_id = $1", client
        )
        if rows and hmac.compare_digest(_hash(secret, rows[0][0]), rows[0][1]):
            return
        salt = secrets.token_hex(8)
        self.database.execute(
            "INSERT INTO oauth_clients VALUES ($1, $2, $3) ON CONFLICT (client_id)"
            " DO UPDATE SET salt = excluded.salt, secret_hash = excluded.secret_hash",
            client, salt, _hash(secret, salt),
        )

    def _forget_other_clients(self) -> None:
        """Who was struck from the file loses access, and his tokens with it."""
        for (client,) in self.database.execute("SELECT client_id FROM oauth_clients"):
            if client not in self.clients:
                self.database.execute("DELETE FROM oauth_clients WHERE client_id = $1", client)
                log.info(f"client {client} is no longer in the file and was removed")

    def _forget_expired(self) -> None:
        self.database.execute("DELETE FROM oauth_tokens WHERE expires_at < $1", int(time.time()))

    def _client(self, request: http.Request, client: str = "", secret: str = "") -> str:
        """The client who asks, if he is who he says."""
        if not client:
            client, secret = request.basic()
        rows = self.database.execute(
            "SELECT salt, secret_hash FROM oauth_clients WHERE client_id = $1", client
        )
        if not rows or not hmac.compare_digest(_hash(secret, rows[0][0]), rows[0][1]):
            raise http.HttpError(401, "unknown client or wrong secret")
        return client

    def _must_be_ready(self) -> None:
        if not self.ready:
            raise http.HttpError(503, f"uaa is not ready: {self.waiting_for}")

    def _issue(self, request: http.Request) -> tuple[int, Any]:
        self._must_be_ready()
        is_form = "urlencoded" in request.headers.get("Content-Type", "")
        fields = request.form() if is_form else request.json()
        if fields.get("grant_type") != "client_credentials":
            raise http.HttpError(400, "the only grant_type here is client_credentials")
        client = self._client(
            request, str(fields.get("client_id", "")), str(fields.get("client_secret", ""))
        )
        now, token_id = int(time.time()), secrets.token_hex(16)
        expires = now + self.token_seconds
        self.database.execute(
            "INSERT INTO oauth_tokens (id, expires_at, client_id) VALUES ($1, $2, $3)",
            token_id, expires, client,
        )
        claims = {"jti": token_id, "client_id": client, "iat": now, "exp": expires}
        return 200, {
            "access_token": sign(claims, self.key),
            "token_type": "bearer",
            "expires_in": self.token_seconds,
        }

    def _check(self, request: http.Request) -> tuple[int, Any]:
        self._must_be_ready()
        self._client(request)
        claims = claims_of(str(request.json().get("token", "")), self.key, time.time())
        if claims is None:
            return 200, {"active": False}
        known = self.database.execute("SELECT 1 FROM oauth_tokens WHERE id = $1", claims["jti"])
        return 200, {"active": True, **claims} if known else {"active": False}


if __name__ == "__main__":
    service.main(Uaa)
