"""The API: takes requests and answers whether this room can take them."""

from .database import PRIMARY, DatabaseError
from .service import Service, answered
from .web import wanted

# One statement with pg_is_in_recovery(), which is volatile: pgpool sends the
# whole of it to the primary. The timeline is that of the WAL being written;
# the control file's is older for a while after a promotion.
STATE = (
    PRIMARY + "SELECT pg_is_in_recovery(), host(inet_server_addr()),"
    " CASE WHEN NOT pg_is_in_recovery() THEN"
    " ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END"
)


class WsServer(Service):
    def __init__(self):
        super().__init__("ws_server", connections=8)

    def health(self, query):
        answer = {
            "room": self.room,
            "serving": self.active_active,
            "writable": False,
            "ks_master_zone": None,
            "primary": None,
            "timeline": None,
            "billing_master": None,
            "error": None,
        }
        try:
            # First: the cache can know the zone while the database is away.
            answer["ks_master_zone"] = zone = self.master_zone()
            refusal = self.refusal_by(zone)
            answer["serving"] = refusal is None
            answer["error"] = refusal
            self.database.transaction(lambda cursor: self._probe(cursor, answer))
            answer["billing_master"] = self.database.setting("billing_daemon_master")
        except DatabaseError as error:
            answer["writable"] = False
            answer["error"] = str(error)
        return (200 if answer["serving"] and answer["writable"] else 503), answer

    @staticmethod
    def _probe(cursor, answer):
        cursor.execute(STATE)
        recovering, answer["primary"], answer["timeline"] = cursor.fetchone()
        if recovering:
            answer["error"] = answer["error"] or "the database is a standby"
            return
        # Changes nothing and writes no WAL, but fails where writing would:
        # a read-only database, missing tables, missing rights.
        cursor.execute("UPDATE ks_settings SET value = value WHERE false")
        answer["writable"] = True

    def write(self, query):
        request = wanted(query, "id")
        refusal = self.refusal()
        if refusal:
            return 503, {"error": refusal}

        def work(cursor):
            cursor.execute(
                "INSERT INTO requests (id, room) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                (request, self.room),
            )
            # A repeated request may have been committed locally only the
            # first time. A COMMIT that wrote nothing waits for no standby
            # and would acknowledge it: so write something that waits.
            if cursor.rowcount == 0:
                cursor.execute("UPDATE requests SET id = id WHERE id = %s", (request,))

        self.database.transaction(work)
        return 200, {"id": request}

    def read(self, query):
        request = wanted(query, "id")
        row = self.database.row("SELECT id, room FROM requests WHERE id = %s", (request,))
        if row is None:
            return 404, {"error": f"no request {request}"}
        return 200, {"id": row[0], "room": row[1]}

    def count(self, query):
        return 200, self.database.row("SELECT count(*) FROM requests")[0]


def main():
    server = WsServer()
    server.run(
        ["api", "ws"],
        {
            "GET /health": server.health,
            "POST /write": answered(server.write),
            "GET /read": answered(server.read),
            "GET /count": answered(server.count),
        },
    )
