"""Shows the zones."""

from .service import Service, answered


class FgServer(Service):
    def __init__(self):
        super().__init__("fg_server")

    def zones(self, query):
        # Those of client.yaml that zone_watcher hasn't stored yet are shown
        # too: a zone that is missing here would look like one removed.
        zones = {
            zone: {"room": room, "status": "unknown"}
            for zone, room in (self.client.get("zones") or {}).items()
        }
        for zone, room, status in self.database.rows("SELECT zone_id, room, status FROM zones"):
            zones[zone] = {"room": room, "status": status}
        return 200, dict(sorted(zones.items()))


def main():
    server = FgServer()
    server.run(["fg_server"], {"GET /zones": answered(server.zones)})
