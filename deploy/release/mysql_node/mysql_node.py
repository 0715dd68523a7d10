"""mysql_node: makes databases on request, on the MariaDB beside it.

A request comes from the gateway by the bus. All nodes are in one queue group,
so one of them takes it, makes a database and a user of its own for it, and
answers with what an app needs to use it. The server itself is the other unit
of this component (mysql_node-db.py); it is spoken to by its socket.
"""

import re
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterable

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from paas import log, nats, places, service
from paas.settings import Settings

_SOCKET_SECONDS = 10


class MysqlNode(service.Service):
    component = "mysql_node"
    bus_key = "mbus"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.node_id = settings.filled("node_id")
        self.mysql_port = settings.port("mysql_port")

    def start(self) -> None:
        self.bus.subscribe("mysql_node.provision", self._provision, group="mysql_nodes")

    def problems(self) -> Iterable[str]:
        try:
            self._sql("SELECT 1;")
        except MariaDbError as error:
            yield f"mariadb: {error}"

    def details(self) -> dict[str, Any]:
        return {"node_id": self.node_id, "mysql_port": self.mysql_port}

    def _provision(self, message: nats.Message) -> None:
        if not message.reply:
            return
        try:
            answer = self._make()
            log.info(f"database {answer['database']} was made for {message.json().get('name')!r}")
        except MariaDbError as error:
            log.info(f"no database could be made: {error}")
            answer = {"node_id": self.node_id, "error": f"{self.node_id}: mariadb: {error}"}
        self.bus.publish(message.reply, answer)

    def _make(self) -> dict[str, Any]:
        # All three are made here, of hex digits: nothing of the request is in the SQL.
        name, user = f"d{secrets.token_hex(8)}", f"u{secrets.token_hex(8)}"
        password = secrets.token_hex(16)
        self._sql(
            f"CREATE DATABASE {name} CHARACTER SET utf8mb4;"
            f"CREATE USER '{user}'@'%' IDENTIFIED BY '{password}';"
            f"GRANT ALL PRIVILEGES ON {name}.* TO '{user}'@'%';"
        )
        return {
            "node_id": self.node_id,
            "host": self.address(),
            "port": self.mysql_port,
            "database": name,
            "user": user,
            "password": password,
        }

    def _sql(self, statements: str) -> None:
        """Run SQL as MariaDB's superuser; by standard input, where no ps sees it."""
        socket_file = places.data_dir("mysql", "mysql")[0] / "mariadb.sock"
        client = [
            "mariadb", "--no-defaults", f"--socket={socket_file}", f"--user={places.LOGIN}",
            "--batch", "--connect-timeout=5",
        ]
        try:
            done = subprocess.run(
                client, input=statements, capture_output=True, text=True, timeout=_SOCKET_SECONDS
            )
        except FileNotFoundError:
            raise MariaDbError("its client is not installed (package mariadb-server)") from None
        except subprocess.TimeoutExpired:
            raise MariaDbError(f"no answer within {_SOCKET_SECONDS} seconds") from None
        if done.returncode:
            raise MariaDbError(re.sub(r"\s+", " ", done.stderr).strip() or "it failed without a word")


class MariaDbError(Exception):
    """MariaDB could not be reached or refused a statement."""


if __name__ == "__main__":
    service.main(MysqlNode)
