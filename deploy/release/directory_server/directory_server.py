"""directory_server: tells which files the apps on this host have.

    GET /apps          the names of the apps
    GET /apps/NAME     the files of one, with their sizes

The real one also sends the files of running apps to their owners; this one
shows only names and sizes, of what the release brought along.
"""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from paas import http, places, service
from paas.settings import Settings


class DirectoryServer(service.Service):
    component = "directory_server"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.listen = settings.filled("listen")

    def routes(self) -> dict[str, http.Handler]:
        return {"GET /apps": self._apps, "GET /apps/{}": self._files}

    def _apps(self, _: http.Request) -> tuple[int, Any]:
        return 200, sorted(path.name for path in places.APPS.iterdir() if path.is_dir())

    def _files(self, request: http.Request, name: str) -> tuple[int, Any]:
        # Compared with the names that there are: no path is made of the request.
        if name not in self._apps(request)[1]:
            raise http.HttpError(404, f"there is no app {name} here")
        folder = places.APPS / name
        return 200, {
            "app": name,
            "files": [
                {"path": str(path.relative_to(folder)), "bytes": path.stat().st_size}
                for path in sorted(folder.rglob("*"))
                if path.is_file() and not path.is_symlink()
            ],
        }


if __name__ == "__main__":
    service.main(DirectoryServer)
