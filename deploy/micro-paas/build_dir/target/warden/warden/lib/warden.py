"""warden: starts, watches and stops the processes of applications, for the dea beside it.

By HTTP on its socket, which others on this host can use as well:

    GET    /containers          what is running
    POST   /containers/NAME     {"files": {"start": "…"}, "env": {"APP_…": "…"}}: have it running so
    GET    /containers/NAME     whether it runs, and on which port
    DELETE /containers/NAME     stop it

An application is its script `start` and the files beside it. Each is a process group of its own, of a
user that owns nothing else; that is all the isolation there is, where the real one makes containers.
"""

import os
import re
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "stand_ins"))

from paas import http, log, service
from paas.settings import Settings

_STOP_SECONDS = 5
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
# Where warden listens unless it is told otherwise.
_SOCKET = "/tmp/warden.sock"


class Container:
    """A running (or just ended) application."""

    def __init__(self, folder: Path, wanted: dict[str, Any], user: int) -> None:
        self.wanted = wanted
        self.port = _free_port()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, text in wanted["files"].items():
            (folder / name).write_text(text, encoding="utf-8")
        self.process = subprocess.Popen(
            ["/bin/sh", "start"],
            cwd=folder,
            env={"PATH": "/usr/bin:/bin", **wanted["env"], "APP_PORT": str(self.port)},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            **({"user": user, "group": user, "extra_groups": []} if os.getuid() == 0 else {}),
        )
        log.info(f"{folder.name} was started on port {self.port}", pid=self.process.pid, user=user)

    def running(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
                self.process.wait(_STOP_SECONDS)
                break
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue

    def report(self) -> dict[str, Any]:
        running = self.running()
        report = {"running": running, "port": self.port, "env": self.wanted["env"]}
        return report if running else report | {"exit_status": self.process.returncode}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        return probe.getsockname()[1]


def _texts(value: Any, name: re.Pattern[str]) -> bool:
    return isinstance(value, dict) and all(
        name.fullmatch(key) and isinstance(text, str) and "\0" not in text for key, text in value.items()
    )


class SocketServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """HTTP on a socket of this host."""

    daemon_threads = True

    def get_request(self) -> tuple[Any, Any]:
        # Whoever calls by a socket has no address; the handler expects one.
        return super().get_request()[0], ("local", 0)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that hung up is not our failure


class Warden(service.Service):
    component = "warden"
    pid_key = "server.pid_file"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.depot = Path(settings.text("server.container_depot_path"))
        self.first_user = settings.integer("user.pool_start_uid")
        self.users = settings.integer("user.pool_size")
        self.lock = threading.Lock()
        self.containers: dict[str, Container] = {}
        rootfs = Path(settings.text("server.container_rootfs_path"))
        if not rootfs.is_dir():
            raise settings.wrong("server.container_rootfs_path", f"{rootfs} is no folder")

    def listen(self) -> None:
        port = self.settings.port("health_check_server.port")
        self.port = self.serve({"GET /": self.healthz}, port, "health_check_server.port")
        routes = {
            "GET /containers": self._list,
            "GET /containers/{}": self._show,
            "POST /containers/{}": self._run,
            "DELETE /containers/{}": self._stop,
        }
        path = Path(self.settings.text("server.unix_domain_path", _SOCKET))
        # One that is left from before would keep the place taken.
        path.unlink(missing_ok=True)
        try:
            server = SocketServer(str(path), http.json_handler(routes))
        except OSError as error:
            log.fatal(f"can't listen on {path}: {error.strerror}")
        path.chmod(self.settings.integer("server.unix_domain_permissions", 0o755))
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        with self.lock:
            for container in self.containers.values():
                container.stop()

    def _list(self, _: http.Request) -> tuple[int, Any]:
        with self.lock:
            return 200, {name: container.report() for name, container in self.containers.items()}

    def _find(self, name: str) -> Container:
        if name not in self.containers:
            raise http.HttpError(404, f"there is no container {name} here")
        return self.containers[name]

    def _show(self, _: http.Request, name: str) -> tuple[int, Any]:
        with self.lock:
            return 200, self._find(name).report()

    def _run(self, request: http.Request, name: str) -> tuple[int, Any]:
        asked = request.json()
        wanted = {"files": asked.get("files", {}), "env": asked.get("env", {})}
        if not _NAME.fullmatch(name):
            raise http.HttpError(400, "that can't be a container's name")
        if not _texts(wanted["files"], _NAME) or "start" not in wanted["files"]:
            raise http.HttpError(400, "'files' must be texts by their names, one of them 'start'")
        if not _texts(wanted["env"], re.compile(r"APP_[A-Z0-9_]+")):
            raise http.HttpError(400, "'env' must be texts whose names begin with APP_")
        with self.lock:
            there = self.containers.get(name)
            if there and there.running():
                if there.wanted == wanted:
                    return 200, there.report()
                there.stop()
            elif not there and len(self.containers) >= self.users:
                raise http.HttpError(503, "key 'user.pool_size': every user has a container")
            number = list(self.containers).index(name) if there else len(self.containers)
            self.containers[name] = Container(self.depot / name, wanted, self.first_user + number)
            return 201, self.containers[name].report()

    def _stop(self, _: http.Request, name: str) -> tuple[int, Any]:
        with self.lock:
            self._find(name).stop()
            return 200, self.containers[name].report()


if __name__ == "__main__":
    service.main(Warden, Path(sys.argv[1]))
