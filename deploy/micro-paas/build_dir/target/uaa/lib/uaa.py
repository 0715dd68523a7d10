"""uaa: knows the users, and signs tokens for those who show their password.

    GET  /uaa                sends on to /uaa/login
    GET  /uaa/login          what this is
    GET  /uaa/healthz        whether it works
    POST /uaa/oauth/token    a token for a user of a client (grant_type=password)

Users and clients are those of the configuration; the users' passwords are kept, hashed, in the
database. There are no other grants, no forms and no changes of anything: that is the real one's work.
"""

import hashlib
import hmac
import os
import secrets
import sys
import time
from pathlib import Path
from typing import Any, Iterable, NamedTuple
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "stand_ins"))

from paas import http, log, pg, service, tokens
from paas.settings import Settings

_KEY = "database.url"
_TOKEN_SECONDS = 43200
_SCHEMA = (
    # One session at a time makes the tables, however many uaas start together.
    "SELECT pg_advisory_lock(8080)",
    "CREATE TABLE IF NOT EXISTS users ("
    " user_name text PRIMARY KEY, salt text NOT NULL, password_hash text NOT NULL, scopes text NOT NULL)",
    "SELECT pg_advisory_unlock(8080)",
)


class User(NamedTuple):
    name: str
    password: str
    scopes: list[str]


def users_of(settings: Settings) -> list[User]:
    """Those of the list `scim.users`: NAME|PASSWORD|SCOPE,SCOPE…"""
    users = []
    for line in settings.texts("scim.users"):
        words = line.split("|")
        if len(words) != 3 or not words[0] or not words[1]:
            raise settings.wrong("scim.users", "expected lines of NAME|PASSWORD|SCOPE,SCOPE…")
        users.append(User(words[0], words[1], words[2].split(",")))
    return users


def place_of(settings: Settings) -> pg.Place:
    """The database of the Java URL, with the names and defaults of the real one beside it."""
    url = settings.text(_KEY)
    place = urlsplit(url.removeprefix("jdbc:"))
    if not url.startswith("jdbc:postgresql://") or not place.hostname:
        raise settings.wrong(_KEY, "expected a URL such as jdbc:postgresql://HOST:PORT/uaa")
    text = settings.text
    return pg.Place.of_url(place, text("database.username", "root"), text("database.password", "changeme"))


def _hash(password: str, salt: str) -> str:
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), 20_000).hex()


class Uaa(service.Service):
    component = "uaa"
    bus_key = "mbus"
    plain_log = True

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.place = place_of(settings)
        self.users = users_of(settings)
        self.clients = settings.mapping("oauth.clients")
        self.key = settings.text("jwt.token.signing-key").encode()

    def listen(self) -> None:
        routes = {
            "GET /uaa": self._send_on,
            "GET /uaa/login": self._login,
            "GET /uaa/healthz": self.healthz,
            "POST /uaa/oauth/token": self._issue,
        }
        self.port = self.serve(routes, self.settings.port("uaa.port"), "uaa.port")

    def start(self) -> None:
        self.database = self.open_database(self.place, _KEY)
        try:
            for statement in _SCHEMA:
                self.database.execute(statement)
            for user in self.users:
                self._remember(user)
        except pg.PgError as error:
            log.fatal(f"key '{_KEY}': its tables can't be made: {error}")

    def problems(self) -> Iterable[str]:
        try:
            self.database.execute("SELECT 1 FROM users LIMIT 1")
        except (OSError, pg.PgError) as error:
            yield f"postgres (key '{_KEY}'): {error}"

    def _remember(self, user: User) -> None:
        """The file has the last word, as with `scim.user.override`."""
        salt = secrets.token_hex(8)
        self.database.execute(
            "INSERT INTO users VALUES ($1, $2, $3, $4) ON CONFLICT (user_name) DO UPDATE SET"
            " salt = excluded.salt, password_hash = excluded.password_hash, scopes = excluded.scopes",
            user.name, salt, _hash(user.password, salt), ",".join(user.scopes),
        )

    def _must_work(self) -> None:
        if problems := self.all_problems():
            raise http.HttpError(503, "; ".join(problems))

    def _send_on(self, _: http.Request) -> tuple[int, Any]:
        self._must_work()
        raise http.HttpError(302, "see /uaa/login", {"Location": "/uaa/login"})

    def _login(self, _: http.Request) -> tuple[int, Any]:
        self._must_work()
        return 200, {"app": self.settings.text("name", "UAA"), "prompts": ["username", "password"]}

    def _client(self, request: http.Request) -> str:
        client, secret = request.basic()
        known = self.clients.get(client)
        if known is None or not hmac.compare_digest(secret.encode(), str(known.get("secret", "")).encode()):
            raise http.HttpError(401, "unknown client or wrong secret")
        if "password" not in str(known.get("authorized-grant-types", "")).split(","):
            raise http.HttpError(401, "this client may not use the grant_type password")
        return client

    def _issue(self, request: http.Request) -> tuple[int, Any]:
        self._must_work()
        is_form = "urlencoded" in request.headers.get("Content-Type", "")
        fields = request.form() if is_form else request.json()
        if fields.get("grant_type") != "password":
            raise http.HttpError(400, "the only grant_type here is password")
        client, name = self._client(request), str(fields.get("username", ""))
        rows = self.database.execute("SELECT salt, password_hash, scopes FROM users WHERE user_name = $1", name)
        if not rows or not hmac.compare_digest(_hash(str(fields.get("password", "")), rows[0][0]), rows[0][1]):
            raise http.HttpError(401, "unknown user or wrong password")
        lives = int(self.clients[client].get("access-token-validity", _TOKEN_SECONDS))
        claims = {
            "jti": secrets.token_hex(16),
            "client_id": client,
            "user_name": name,
            "scope": rows[0][2].split(","),
            "exp": int(time.time()) + lives,
        }
        log.info(f"a token for {name}")
        return 200, {"access_token": tokens.sign(claims, self.key), "token_type": "bearer", "expires_in": lives}


if __name__ == "__main__":
    service.main(Uaa, Path(os.environ.get("CLOUD_FOUNDRY_CONFIG_PATH", ".")) / "uaa.yml")
