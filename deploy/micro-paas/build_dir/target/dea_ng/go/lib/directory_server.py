"""directory_server: tells which files the applications on this host have.

    GET /apps          the names of the applications
    GET /apps/NAME     the files of one, with their sizes

It asks the dea beside it where they are; both read one configuration. The real one also sends the
files to their owners; this one shows only names and sizes.
"""

import argparse
import sys
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "stand_ins"))

from paas import http, log
from paas.settings import Settings, SettingsError


class DirectoryServer:
    def __init__(self, settings: Settings) -> None:
        self._dea = f"http://127.0.0.1:{settings.port('directory_server.file_api_port')}"
        self._port = settings.port("directory_server.v2_port")

    def run(self) -> NoReturn:
        routes = {"GET /healthz": self._healthz, "GET /apps": self._apps, "GET /apps/{}": self._files}
        try:
            server = http.Server("0.0.0.0", self._port, http.json_handler(routes))
        except OSError as error:
            log.fatal(f"key 'directory_server.v2_port': can't listen on {self._port}: {error.strerror}")
        log.info(f"directory_server listens on {self._port}")
        server.serve_forever()
        raise AssertionError("it serves until it is killed")

    def _places(self) -> dict[str, Any]:
        try:
            status, places = http.call("GET", f"{self._dea}/apps")
        except http.Unreachable as error:
            raise http.HttpError(503, f"the dea: {error}") from None
        if status != 200:
            raise http.HttpError(503, f"the dea answers {status}")
        return places

    def _healthz(self, _: http.Request) -> tuple[int, Any]:
        self._places()
        return 200, "ok\n"

    def _apps(self, _: http.Request) -> tuple[int, Any]:
        return 200, sorted(self._places())

    def _files(self, _: http.Request, name: str) -> tuple[int, Any]:
        places = self._places()
        # Compared with the names that there are: no path is made of the request.
        if name not in places:
            raise http.HttpError(404, f"there is no application {name} here")
        folder = Path(places[name])
        return 200, {
            "app": name,
            "files": [
                {"path": str(path.relative_to(folder)), "bytes": path.stat().st_size}
                for path in sorted(folder.rglob("*"))
                if path.is_file() and not path.is_symlink()
            ],
        }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="runner")
    parser.add_argument("-conf", required=True)
    try:
        settings = Settings.load(Path(parser.parse_args().conf))
        log.begin("directory_server", "", settings.text("directory_server.logging.level", "info"))
        DirectoryServer(settings).run()
    except SettingsError as error:
        log.fatal(str(error))
