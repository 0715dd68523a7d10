"""mysql_node: makes databases on request, on the server that its configuration names.

A request comes from the gateway by the bus. All nodes are in one queue group, so one of them takes it,
makes a database and a user of its own for it, and answers with what an application needs to use it.
"""

import os
import re
import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterable

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "stand_ins"))

from paas import log, nats, service
from paas.settings import Settings

_CLIENT_SECONDS = 10


class MysqlError(Exception):
    """The server could not be reached or refused a statement."""


class RefusedError(MysqlError):
    """The server doesn't let the node in: waiting would not help."""


class Server:
    """A server as the configuration describes it, in the entry of its version."""

    def __init__(self, settings: Settings) -> None:
        version = settings.text("default_version")
        entry = ("mysql", version)
        self.host = settings.text((*entry, "host"))
        self.port = settings.port((*entry, "port"))
        self._user = settings.text((*entry, "user"))
        self._password = settings.text((*entry, "pass"))
        self._client = settings.text((*entry, "mysql_bin"))

    def run(self, statements: str) -> None:
        """Runs SQL; by standard input, and the password by the environment, where no ps sees them."""
        command = [
            self._client, "--no-defaults", f"--host={self.host}", f"--port={self.port}",
            f"--user={self._user}", "--batch", "--connect-timeout=5",
        ]
        environment = os.environ | {"MYSQL_PWD": self._password}
        try:
            done = subprocess.run(
                command, input=statements, capture_output=True, text=True, timeout=_CLIENT_SECONDS,
                env=environment,
            )
        except OSError as error:
            raise MysqlError(f"{self._client}: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            raise MysqlError(f"no answer within {_CLIENT_SECONDS} seconds") from None
        if done.returncode:
            said = re.sub(r"\s+", " ", done.stderr).strip() or "it failed without a word"
            raise RefusedError(said) if "Access denied" in said else MysqlError(said)


class MysqlNode(service.Service):
    component = "mysql_node"
    bus_key = "mbus"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.node_id = settings.text("node_id")
        self.plan = settings.text("plan")
        self.server = Server(settings)

    def start(self) -> None:
        self._await_server()
        self.bus.subscribe("mysql_node.provision", self._provision, group="mysql_nodes")

    def problems(self) -> Iterable[str]:
        try:
            self.server.run("SELECT 1;")
        except MysqlError as error:
            yield f"mysql: {error}"

    def details(self) -> dict[str, Any]:
        return {"node_id": self.node_id, "plan": self.plan}

    def _await_server(self) -> None:
        state = log.Changes(f"mysql at {self.server.host}")
        while True:
            try:
                self.server.run("SELECT 1;")
                state.note("connected")
                return
            except RefusedError as error:
                log.fatal(f"key 'mysql': {error}")
            except MysqlError as error:
                self.waiting_for = f"mysql: {error}"
                state.note(f"not usable ({error}); trying again")
            time.sleep(1)

    def _provision(self, message: nats.Message) -> None:
        if not message.reply:
            return
        try:
            answer = self._make()
            log.info(f"database {answer['database']} was made for {message.json().get('name')!r}")
        except MysqlError as error:
            log.warn(f"no database could be made: {error}")
            answer = {"node_id": self.node_id, "error": f"{self.node_id}: mysql: {error}"}
        self.bus.publish(message.reply, answer)

    def _make(self) -> dict[str, Any]:
        # All three are made here, of hex digits: nothing of the request is in the SQL.
        name, user = f"d{secrets.token_hex(8)}", f"u{secrets.token_hex(7)}"
        password = secrets.token_hex(16)
        self.server.run(
            f"CREATE DATABASE {name} CHARACTER SET utf8;"
            f"GRANT ALL PRIVILEGES ON {name}.* TO '{user}'@'%' IDENTIFIED BY '{password}';"
        )
        return {
            "node_id": self.node_id,
            "host": self.server.host,
            "port": self.server.port,
            "database": name,
            "user": user,
            "password": password,
        }


if __name__ == "__main__":
    service.main(MysqlNode, service.configuration_argument())
