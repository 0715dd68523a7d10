"""Hands out what was stored for a request."""

from .service import Service, answered
from .web import wanted


class IoServer(Service):
    def __init__(self):
        super().__init__("io_server")

    def download(self, query):
        request = wanted(query, "id")
        row = self.database.row("SELECT id, room, at FROM requests WHERE id = %s", (request,))
        if row is None:
            return 404, {"error": f"no request {request}"}
        return 200, f"id: {row[0]}\nroom: {row[1]}\nat: {row[2].isoformat()}\n"


def main():
    server = IoServer()
    server.run(["io_server"], {"GET /download": answered(server.download)})
