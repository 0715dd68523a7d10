"""mysql_node's MariaDB: a server of the release's own, with Debian's programs.

The data is in ~/build_dir/data/mysql and is made at the first start. The login
user is the superuser, by the socket in that folder and without a password;
over the network there are only the users that mysql_node makes. Debian's own
configuration is not read: it belongs to Debian's own server.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from paas import log, places, service

_SERVERS = ("/usr/sbin/mariadbd", "/usr/sbin/mysqld", "/usr/libexec/mariadbd")


def create(data: Path) -> None:
    """Make the system tables, or none at all if this is interrupted."""
    unfinished = data.with_name(data.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    done = subprocess.run(
        [
            "mariadb-install-db", "--no-defaults", f"--datadir={unfinished}",
            "--auth-root-authentication-method=socket",
            f"--auth-root-socket-user={places.LOGIN}", "--skip-test-db",
        ],
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        log.fatal("mysql_node: mariadb-install-db failed; what it said is above")
    unfinished.rename(data)


def run() -> None:
    settings = service.load("mysql_node")
    port = settings.port("mysql_port")
    server = next((path for path in _SERVERS if os.access(path, os.X_OK)), None)
    if server is None:
        log.fatal("mysql_node: MariaDB is not installed (package mariadb-server)")
    data, user = places.data_dir("mysql", "mysql")
    places.become(user)
    os.umask(0o077)
    os.chdir(data.parent)
    if not data.exists():
        create(data)
    log.info(f"mysql_node: {server} listens on port {port}")
    os.execv(
        server,
        [
            server, "--no-defaults", f"--datadir={data}", f"--socket={data}/mariadb.sock",
            f"--pid-file={data}/mariadb.pid", f"--port={port}", "--bind-address=0.0.0.0",
            "--skip-name-resolve",
        ],
    )


if __name__ == "__main__":
    try:
        # Only ever called to run: whether it is well, mysql_node can tell.
        run()
    except service.SettingsError as error:
        log.fatal(str(error))
