"""The database: few kept connections, no wait without an end, no false OK."""

import select
import threading
import time

import psycopg2
from psycopg2 import extensions

CONNECT_SECONDS = 3
STATEMENT_SECONDS = 5
# The server's statement_timeout doesn't reach a COMMIT that waits for a
# synchronous standby, nor a server that vanished: this limit does.
ANSWER_SECONDS = 6

# pgpool may send a SELECT to a standby, which can lag; this comment forbids it.
PRIMARY = "/*NO LOAD BALANCE*/ "

TABLES = {
    "ks_settings": "name text PRIMARY KEY, value text NOT NULL",
    "zones": "zone_id text PRIMARY KEY, room text, status text NOT NULL DEFAULT 'active'",
    "requests": "id text PRIMARY KEY, room text NOT NULL, at timestamptz NOT NULL DEFAULT now()",
    "leases": "resource text PRIMARY KEY, price numeric, at timestamptz",
}
# Any number that all services share.
SCHEMA_LOCK = 7_777_001


class DatabaseError(Exception):
    """A database error's first line."""


class LocalOnly(DatabaseError):
    """COMMIT returned, but no synchronous standby has confirmed it."""

    def __init__(self):
        super().__init__("committed locally only")


_limit = threading.local()


def _wait(connection):
    """psycopg2 calls this instead of waiting without an end."""
    seconds = getattr(_limit, "seconds", ANSWER_SECONDS)
    deadline = time.monotonic() + seconds
    while True:
        state = connection.poll()
        if state == extensions.POLL_OK:
            return
        left = deadline - time.monotonic()
        if left <= 0:
            raise psycopg2.OperationalError(f"no answer from the database within {seconds} s")
        poll = select.poll()
        reading = state == extensions.POLL_READ
        poll.register(connection.fileno(), select.POLLIN if reading else select.POLLOUT)
        poll.poll(left * 1000)


extensions.set_wait_callback(_wait)


def _first_line(error):
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


class Database:
    def __init__(self, settings, application, size):
        self._settings = {
            "host": settings["host"],
            "port": settings.get("port", 9999),
            "dbname": settings["name"],
            "user": settings["user"],
            "password": settings.get("password"),
            "connect_timeout": CONNECT_SECONDS,
            "application_name": application,
        }
        self._size = size
        self._slots = threading.BoundedSemaphore(size)
        self._idle = []

    def transaction(self, work):
        """What work(cursor) returns, once it is committed beyond doubt."""
        if not self._slots.acquire(timeout=STATEMENT_SECONDS):
            raise DatabaseError(f"all {self._size} database connections are busy")
        connection = None
        try:
            connection = self._take()
            with connection.cursor() as cursor:
                result = work(cursor)
            del connection.notices[:]
            connection.commit()
            # Only warnings are sent (client_min_messages), whatever the
            # server's language: a COMMIT with one isn't a good COMMIT. A
            # cancelled wait for a synchronous standby is such a warning.
            if connection.notices:
                raise LocalOnly()
        except BaseException as error:
            # The idle ones most likely lead to the same server.
            idle, self._idle = self._idle, []
            for other in [connection, *idle]:
                self._close(other)
            if isinstance(error, psycopg2.Error):
                raise DatabaseError(_first_line(error)) from None
            raise
        else:
            self._idle.append(connection)
            return result
        finally:
            self._slots.release()

    def row(self, query, values=()):
        """The first row of a SELECT, or None."""

        def work(cursor):
            cursor.execute(PRIMARY + query, values)
            return cursor.fetchone()

        return self.transaction(work)

    def rows(self, query, values=()):
        def work(cursor):
            cursor.execute(PRIMARY + query, values)
            return cursor.fetchall()

        return self.transaction(work)

    def setting(self, name):
        row = self.row("SELECT value FROM ks_settings WHERE name = %s", (name,))
        return row[0] if row else None

    def put_setting(self, name, value):
        self.transaction(
            lambda cursor: cursor.execute(
                "INSERT INTO ks_settings (name, value) VALUES (%s, %s)"
                " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (name, value),
            )
        )

    def make_tables(self):
        """True when all tables are there."""
        names = ", ".join(f"to_regclass('{name}') IS NOT NULL" for name in TABLES)
        # Looked at first: where they exist, a database that is read-only
        # needn't be asked to create them.
        if all(self.row(f"SELECT {names}")):
            return True

        def work(cursor):
            cursor.execute("SHOW transaction_read_only")
            if cursor.fetchone()[0] != "off":
                return False
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
            for name, columns in TABLES.items():
                cursor.execute(f"CREATE TABLE IF NOT EXISTS {name} ({columns})")
            return True

        return self.transaction(work)

    def _take(self):
        try:
            return self._idle.pop()
        except IndexError:
            pass
        _limit.seconds = CONNECT_SECONDS
        try:
            connection = psycopg2.connect(**self._settings)
        except psycopg2.Error as error:
            place = f"{self._settings['host']}:{self._settings['port']}"
            raise DatabaseError(f"{place}: {_first_line(error)}") from None
        finally:
            _limit.seconds = ANSWER_SECONDS
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"SET statement_timeout = '{STATEMENT_SECONDS}s'")
                cursor.execute("SET client_min_messages = warning")
            connection.commit()
        except BaseException:
            self._close(connection)
            raise
        return connection

    @staticmethod
    def _close(connection):
        try:
            if connection is not None:
                connection.close()
        except psycopg2.Error:
            pass  # it is given up anyway
