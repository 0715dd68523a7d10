"""warden: starts, watches and stops the processes of apps, for the dea beside it.

    GET    /apps          what is running
    POST   /apps/NAME     {"env": {"APP_…": "…"}}: have it running, with these
    GET    /apps/NAME     whether it runs, and on which port
    DELETE /apps/NAME     stop it

It starts only what lies in the release's folder apps/, by its script `start`,
and hands over only variables that begin with APP_, so that the users of this
host can't have it run anything else. Each app is a process group of its own;
that is all the isolation there is, where the real one makes containers.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from paas import http, log, places, service
from paas.settings import Settings

_STOP_SECONDS = 5


class App:
    """A running (or just ended) app."""

    def __init__(self, name: str, env: dict[str, str]) -> None:
        self.name = name
        self.env = env
        self.port = _free_port()
        self.process = subprocess.Popen(
            ["/bin/sh", "start"],
            cwd=places.APPS / name,
            env={"PATH": "/usr/bin:/bin", **env, "APP_PORT": str(self.port)},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        log.info(f"app {name} was started on port {self.port} as process {self.process.pid}")

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
        log.info(f"app {self.name} was stopped")

    def report(self) -> dict[str, Any]:
        running = self.running()
        report = {"name": self.name, "running": running, "port": self.port, "env": self.env}
        return report if running else report | {"exit_status": self.process.returncode}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        return probe.getsockname()[1]


class Warden(service.Service):
    component = "warden"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.listen = settings.filled("listen")
        self.lock = threading.Lock()
        self.apps: dict[str, App] = {}

    def routes(self) -> dict[str, http.Handler]:
        return {
            "GET /apps": self._list,
            "GET /apps/{}": self._show,
            "POST /apps/{}": self._run,
            "DELETE /apps/{}": self._stop,
        }

    def stop(self) -> None:
        with self.lock:
            for app in self.apps.values():
                app.stop()

    def details(self) -> dict[str, Any]:
        return {"apps": len(self.apps)}

    def _list(self, _: http.Request) -> tuple[int, Any]:
        with self.lock:
            return 200, [app.report() for app in self.apps.values()]

    def _find(self, name: str) -> App:
        if name not in self.apps:
            raise http.HttpError(404, f"no app {name} was started here")
        return self.apps[name]

    def _show(self, _: http.Request, name: str) -> tuple[int, Any]:
        with self.lock:
            return 200, self._find(name).report()

    def _run(self, request: http.Request, name: str) -> tuple[int, Any]:
        if name not in {path.parent.name for path in places.APPS.glob("*/start")}:
            raise http.HttpError(404, f"there is no app {name} in the release")
        env = request.json().get("env", {})
        if not isinstance(env, dict) or any(
            not key.startswith("APP_") or not isinstance(value, str) or "\0" in value
            for key, value in env.items()
        ):
            raise http.HttpError(400, "'env' must be texts whose names begin with APP_")
        with self.lock:
            app = self.apps.get(name)
            if app and app.running():
                if app.env == env:
                    return 200, app.report()
                app.stop()
            self.apps[name] = App(name, env)
            return 201, self.apps[name].report()

    def _stop(self, _: http.Request, name: str) -> tuple[int, Any]:
        with self.lock:
            self._find(name).stop()
            return 200, self.apps.pop(name).report()


if __name__ == "__main__":
    service.main(Warden)
