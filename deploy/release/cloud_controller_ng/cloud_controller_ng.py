"""cloud_controller_ng: keeps what there is, and lets who has a token change it.

    GET  /info                        what this is, and where uaa is
    GET  /apps        POST /apps      the apps that somebody named
    GET  /services    POST /services  the services; gateways register here
    GET  /services/LABEL/instances    what was made of a service
    POST /services/LABEL/instances    have one made: asks the gateway by the bus

Reading is free, writing takes a token that uaa vouches for. Names are
`citext` columns (Shop and shop are one app), so the database must have that
extension; it is not made here, because in a real cluster this user may not.
An app is no more than its name: nothing is staged or started for it.
"""

import sys
from pathlib import Path
from typing import Any, Iterable

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from paas import http, log, nats, pg, service
from paas.settings import Settings
from paas.uaa_client import Uaa, UaaError

_PROVISION_SECONDS = 30
_UNIQUE_VIOLATION = "23505"

_SCHEMA = (
    "SELECT pg_advisory_lock(9022)",
    "CREATE TABLE IF NOT EXISTS apps ("
    " name citext PRIMARY KEY, created_by text NOT NULL,"
    " created_at timestamptz NOT NULL DEFAULT now())",
    "CREATE TABLE IF NOT EXISTS services ("
    " label citext PRIMARY KEY, gateway text NOT NULL, registered_by text NOT NULL,"
    " registered_at timestamptz NOT NULL DEFAULT now())",
    "CREATE TABLE IF NOT EXISTS service_instances ("
    " name citext PRIMARY KEY, label citext NOT NULL REFERENCES services,"
    " node_id text, database text, created_by text NOT NULL,"
    " created_at timestamptz NOT NULL DEFAULT now())",
    "SELECT pg_advisory_unlock(9022)",
)


class CloudController(service.Service):
    component = "cloud_controller_ng"
    bus_key = "message_bus_uri"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.domain = settings.filled("external_domain")
        self.uaa_url = settings.url("uaa.url", "http")
        self.uaa = Uaa(
            self.uaa_url, settings.filled("uaa.client_id"), settings.filled("uaa.client_secret")
        )

    def routes(self) -> dict[str, http.Handler]:
        return {
            "GET /info": self._info,
            "GET /apps": self._apps,
            "POST /apps": self._add_app,
            "GET /services": self._services,
            "POST /services": self._register_service,
            "GET /services/{}/instances": self._instances,
            "POST /services/{}/instances": self._add_instance,
        }

    def start(self) -> None:
        self.database = self.open_database()
        name = self.settings.text("database.name")
        if not self.database.execute("SELECT 1 FROM pg_extension WHERE extname = 'citext'"):
            log.fatal(
                f"cloud_controller_ng: key 'database.name': the database {name} has no extension"
                f" citext; a superuser must say there: CREATE EXTENSION citext"
            )
        try:
            for statement in _SCHEMA:
                self.database.execute(statement)
        except pg.PgError as error:
            log.fatal(f"cloud_controller_ng: key 'database.user': its tables can't be made: {error}")
        self.bus.subscribe("router.start", lambda _: self._route())
        self.in_background(self._route, 5)

    def stop(self) -> None:
        self.bus.publish("router.unregister", self._my_route())

    def problems(self) -> Iterable[str]:
        try:
            self.database.execute("SELECT 1 FROM apps LIMIT 1")
        except (OSError, pg.PgError) as error:
            yield f"postgres (key 'database.host'): {error}"
        if problem := self.uaa.problem():
            yield f"uaa (key 'uaa.url'): {problem}"

    def _my_route(self) -> dict[str, Any]:
        return {"host": self.address(), "port": self.port, "uris": [self.domain]}

    def _route(self) -> None:
        self.bus.publish("router.register", self._my_route())

    def _who(self, request: http.Request) -> str:
        """The client behind a request that wants to change something."""
        if not self.ready:
            raise http.HttpError(503, f"cloud_controller_ng is not ready: {self.waiting_for}")
        token = request.bearer()
        if not token:
            raise http.HttpError(401, "this needs a token from uaa (Authorization: Bearer …)")
        try:
            claims = self.uaa.check(token)
        except UaaError as error:
            raise http.HttpError(503, f"the token can't be checked: {error}") from None
        if claims is None:
            raise http.HttpError(401, "uaa does not vouch for this token")
        return str(claims["client_id"])

    def _info(self, _: http.Request) -> tuple[int, Any]:
        return 200, {
            "name": "example release",
            "api": f"http://{self.domain}",
            "authorization_endpoint": self.uaa_url.geturl(),
        }

    def _rows(self, keys: str, rest: str, *parameters: Any) -> tuple[int, Any]:
        if not self.ready:
            raise http.HttpError(503, f"cloud_controller_ng is not ready: {self.waiting_for}")
        rows = self.database.execute(f"SELECT {keys} FROM {rest}", *parameters)
        return 200, [dict(zip(keys.split(", "), row)) for row in rows]

    def _apps(self, _: http.Request) -> tuple[int, Any]:
        return self._rows("name, created_by, created_at", "apps ORDER BY name")

    def _services(self, _: http.Request) -> tuple[int, Any]:
        return self._rows("label, gateway, registered_by, registered_at", "services ORDER BY label")

    def _instances(self, _: http.Request, label: str) -> tuple[int, Any]:
        return self._rows(
            "name, label, node_id, database, created_by, created_at",
            "service_instances WHERE label = $1 AND node_id IS NOT NULL ORDER BY name",
            label,
        )

    def _add_app(self, request: http.Request) -> tuple[int, Any]:
        who, name = self._who(request), request.word("name")
        self._insert(
            f"there is an app {name} already",
            "INSERT INTO apps (name, created_by) VALUES ($1, $2)", name, who,
        )
        return 201, {"name": name, "created_by": who}

    def _register_service(self, request: http.Request) -> tuple[int, Any]:
        who, label = self._who(request), request.word("label")
        gateway = str(request.json().get("gateway", ""))
        self.database.execute(
            "INSERT INTO services (label, gateway, registered_by) VALUES ($1, $2, $3)"
            " ON CONFLICT (label) DO UPDATE SET gateway = excluded.gateway,"
            " registered_by = excluded.registered_by, registered_at = now()",
            label, gateway, who,
        )
        return 200, {"label": label, "gateway": gateway}

    def _add_instance(self, request: http.Request, label: str) -> tuple[int, Any]:
        who, name = self._who(request), request.word("name")
        found = self.database.execute("SELECT label FROM services WHERE label = $1", label)
        if not found:
            raise http.HttpError(404, f"no gateway has registered a service {label!r}")
        # The name is taken first, so that two requests can't both have one made.
        self._insert(
            f"there is an instance {name} already",
            "INSERT INTO service_instances (name, label, created_by) VALUES ($1, $2, $3)",
            name, label, who,
        )
        made: dict[str, Any] = {}
        try:
            # The registered label, not the caller's text, goes into the subject.
            made = self.bus.ask(f"{found[0][0]}_gateway.provision", {"name": name}, _PROVISION_SECONDS)
            if "error" in made or "database" not in made:
                raise http.HttpError(502, str(made.get("error", "the gateway's answer was empty")))
            self.database.execute(
                "UPDATE service_instances SET node_id = $2, database = $3 WHERE name = $1",
                name, made["node_id"], made["database"],
            )
        except nats.NoAnswer as error:
            raise http.HttpError(504, str(error)) from None
        finally:
            self.database.execute(
                "DELETE FROM service_instances WHERE name = $1 AND node_id IS NULL", name
            )
        # The password is told this once and kept nowhere here.
        return 201, {"name": name, "label": label, "credentials": made}

    def _insert(self, if_taken: str, sql: str, *parameters: Any) -> None:
        try:
            self.database.execute(sql, *parameters)
        except pg.PgError as error:
            if error.code == _UNIQUE_VIOLATION:
                raise http.HttpError(409, if_taken) from None
            raise


if __name__ == "__main__":
    service.main(CloudController)
