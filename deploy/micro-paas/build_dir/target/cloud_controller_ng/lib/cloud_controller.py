"""cloud_controller_ng: keeps what there is, and lets who has a token change it.

    GET  /info                        what this is, and where uaa is
    GET  /healthz                     whether it works
    GET  /apps        POST /apps      the apps that somebody named
    GET  /services    POST /services  the services; gateways register here
    GET  /services/LABEL/instances    what was made of a service
    POST /services/LABEL/instances    have one made: asks the gateway by the bus
    GET  /bulk/apps                   the apps, for health_manager and who else has the bulk password

Reading is free, writing takes a token that uaa has signed with the secret that both know. An app is
no more than its name: nothing is staged or started for it.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any, Iterable

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "stand_ins"))

import tables
from paas import http, log, nats, pg, service, tokens, uaa_client
from paas.settings import Settings

_PROVISION_SECONDS = 30
_UNIQUE_VIOLATION = "23505"
_MAY_WRITE = {"cloud_controller.admin", "cloud_controller.write"}


class CloudController(service.Service):
    component = "cloud_controller_ng"
    bus_key = "message_bus_uri"
    pid_key = "pid_filename"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.domains = settings.texts("external_domain")
        self.uaa_url = settings.url("uaa.url", "http")
        self.token_secret = settings.text("uaa.symmetric_secret").encode()
        self.bulk_login = settings.text("bulk_api.auth_user"), settings.text("bulk_api.auth_password")
        self.place = tables.place(settings)

    def listen(self) -> None:
        routes = {
            "GET /info": self._info,
            "GET /healthz": self.healthz,
            "GET /apps": self._apps,
            "POST /apps": self._add_app,
            "GET /services": self._services,
            "POST /services": self._register_service,
            "GET /services/{}/instances": self._instances,
            "POST /services/{}/instances": self._add_instance,
        }
        routes |= http.behind_login(self.bulk_login, {"GET /bulk/apps": self._bulk_apps})
        self.port = self.serve(routes, self.settings.port("port"), "port")

    def start(self) -> None:
        self.database = self.open_database(self.place, tables.KEY)
        if _makes_tables():
            try:
                tables.make(self.database)
            except tables.TablesError as error:
                log.fatal(f"key '{tables.KEY}': {error}")
        partition = self.settings.text("cc_partition", "default")
        self.bus.subscribe(f"cloudcontroller.bulk.credentials.{partition}", self._tell_bulk_login)
        self.register_routes(self.port, self.domains)

    def stop(self) -> None:
        if self.ready:
            self.unregister_routes()

    def problems(self) -> Iterable[str]:
        try:
            self.database.execute("SELECT 1 FROM apps LIMIT 1")
        except (OSError, pg.PgError) as error:
            yield f"postgres (key '{tables.KEY}'): {error}"
        if problem := uaa_client.problem(self.uaa_url):
            yield f"uaa (key 'uaa.url'): {problem}"

    def _tell_bulk_login(self, message: nats.Message) -> None:
        """Whoever is on the bus may know it, as in the real one."""
        user, password = self.bulk_login
        if message.reply:
            self.bus.publish(message.reply, {"user": user, "password": password})

    def _who(self, request: http.Request) -> str:
        """The user behind a request that wants to change something."""
        self._must_be_ready()
        token = request.bearer()
        if not token:
            raise http.HttpError(401, "this needs a token from uaa (Authorization: Bearer …)")
        claims = tokens.claims_of(token, self.token_secret, time.time())
        if claims is None:
            raise http.HttpError(401, "the token isn't signed with the secret 'uaa.symmetric_secret', or is over")
        if not _MAY_WRITE.intersection(claims.get("scope", [])):
            raise http.HttpError(403, "the token's scopes don't allow to change anything")
        return str(claims.get("user_name", ""))

    def _must_be_ready(self) -> None:
        if not self.ready:
            raise http.HttpError(503, f"cloud_controller_ng is not ready: {self.waiting_for}")

    def _info(self, _: http.Request) -> tuple[int, Any]:
        if problems := self.all_problems():
            raise http.HttpError(503, "; ".join(problems))
        info = self.settings.mapping("info")
        return 200, info | {
            "api": f"http://{self.domains[0]}",
            "authorization_endpoint": self.uaa_url.geturl(),
        }

    def _bulk_apps(self, _: http.Request) -> tuple[int, Any]:
        self._must_be_ready()
        rows = self.database.execute("SELECT name FROM apps ORDER BY name")
        return 200, {"results": {name: {"state": "STOPPED"} for (name,) in rows}, "bulk_token": {}}

    def _rows(self, keys: str, rest: str, *parameters: Any) -> tuple[int, Any]:
        self._must_be_ready()
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


def _makes_tables() -> bool:
    """Whether it was told to (`-m`)."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("-m", action="store_true")
    return parser.parse_known_args()[0].m


if __name__ == "__main__":
    service.main(CloudController, service.configuration_argument())
