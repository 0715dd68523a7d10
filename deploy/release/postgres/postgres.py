"""postgres: a PostgreSQL of the release's own, with Debian's programs.

The data is in ~/build_dir/data/postgres and is made at the first start. Over
the network everybody needs a password (SCRAM). On this host the login user
and root are superusers by the socket, in /tmp and in /var/run/postgresql, as
role `postgres` or as the login user's own: that is how databases and roles
are made, which this component leaves to others.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from paas import log, places, service

_PROGRAMS = Path("/usr/lib/postgresql")
_SOCKETS = (Path("/tmp"), Path("/var/run/postgresql"))


def programs(version: str = "") -> Path:
    """The folder with the server's programs: of one version, or the newest."""
    found = [
        server.parent
        for server in _PROGRAMS.glob("*/bin/postgres")
        if server.parts[-3].isdigit() and version in ("", server.parts[-3])
    ]
    if not found:
        log.fatal(f"postgres: PostgreSQL {version} is not installed (package postgresql)")
    return max(found, key=lambda path: int(path.parts[-2]))


def create(data: Path) -> None:
    """Make a new, empty cluster, or none at all if this is interrupted."""
    unfinished = data.with_name(data.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    bin_dir = programs()
    initdb = [
        bin_dir / "initdb", "--pgdata", unfinished, "--username", places.LOGIN,
        "--encoding", "UTF8", "--locale", "C.UTF-8", "--auth-local", "peer",
        "--auth-host", "scram-sha-256",
    ]
    done = subprocess.run(initdb, stdin=subprocess.DEVNULL)
    if done.returncode:
        log.fatal("postgres: initdb failed; what it said is above")
    if places.LOGIN != "postgres":
        # Without a server: nobody can connect before this is in place.
        subprocess.run(
            [bin_dir / "postgres", "--single", "-D", unfinished, "postgres"],
            input=b"CREATE ROLE postgres SUPERUSER CREATEDB CREATEROLE LOGIN REPLICATION\n",
            stdout=subprocess.DEVNULL,
            check=True,
        )
    unfinished.rename(data)


def write_access_rules(data: Path) -> None:
    (data / "pg_hba.conf").write_text(
        "# Written at each start by postgres.py.\n"
        "local  all          all                peer map=paas\n"
        "local  replication  all                peer map=paas\n"
        "host   all          all          all   scram-sha-256\n"
        "host   replication  all          all   scram-sha-256\n"
    )
    (data / "pg_ident.conf").write_text(
        "# Written at each start by postgres.py.\n"
        "# Everybody is himself; root and the login user may be superusers, too.\n"
        "paas  /^(.*)$  \\1\n"
        + "".join(
            f'paas  "{system}"  "{role}"\n'
            for system in sorted({"root", places.LOGIN})
            for role in sorted({"postgres", places.LOGIN})
        )
    )


def run() -> None:
    settings = service.load("postgres")
    listen, port = settings.filled("listen"), settings.port("port")
    data, user = places.data_dir("postgres", "postgres")
    places.become(user)
    os.umask(0o077)
    os.chdir(data.parent)
    if not data.exists():
        create(data)
    write_access_rules(data)
    version = (data / "PG_VERSION").read_text().strip()
    sockets = [path for path in _SOCKETS if os.access(path, os.W_OK | os.X_OK)]
    options = {
        "listen_addresses": listen,
        "port": str(port),
        "unix_socket_directories": ", ".join(map(str, sockets)),
        "password_encryption": "scram-sha-256",
        "logging_collector": "off",  # standard error is the log
    }
    server = programs(version) / "postgres"
    log.info(f"postgres: version {version} listens on {listen}, port {port}")
    arguments = [str(server), "-D", str(data)]
    for name, value in options.items():
        arguments += ["-c", f"{name}={value}"]
    os.execv(server, arguments)


def health() -> tuple[bool, str]:
    port = service.load("postgres").port("port")
    ask = [programs() / "pg_isready", "-h", "/tmp", "-p", str(port)]
    done = subprocess.run(ask, capture_output=True, text=True)
    return done.returncode == 0, f"port {port}" if done.returncode == 0 else done.stdout.strip()


if __name__ == "__main__":
    try:
        run() if service.verb() == "run" else service.report(*health())
    except service.SettingsError as error:
        log.fatal(str(error))
