"""nats: the message bus, which is Debian's nats-server.

This only translates the configuration file into the server's options and then
becomes the server. Like the real one of old, the bus has no password: whoever
reaches its port may speak on it.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from paas import http, log, service

_SERVERS = ("/usr/sbin/nats-server", "/usr/bin/nats-server", "/usr/local/bin/nats-server")


def run() -> None:
    settings = service.load("nats")
    address, port = settings.filled("net"), settings.port("port")
    monitor = settings.port("monitor_port")
    server = next((path for path in _SERVERS if os.access(path, os.X_OK)), None)
    if server is None:
        log.fatal("nats: nats-server is not installed (package nats-server)")
    log.info(f"nats: {server} listens on {address}:{port}, monitor on {monitor}")
    # The server logs to standard error, which has the same file.
    os.execv(server, [server, "-a", address, "-p", str(port), "-m", str(monitor)])


def health() -> tuple[bool, str]:
    settings = service.load("nats")
    # Not /healthz, which the nats-server of older distributions lacks.
    # Connecting to 0.0.0.0 is connecting to this host.
    url = f"http://{settings.filled('net')}:{settings.port('monitor_port')}/varz"
    try:
        status, answer = http.call("GET", url)
    except http.Unreachable as error:
        return False, str(error)
    return status == 200, f"port {settings.port('port')}" if status == 200 else str(answer)


if __name__ == "__main__":
    try:
        run() if service.verb() == "run" else service.report(*health())
    except service.SettingsError as error:
        log.fatal(str(error))
