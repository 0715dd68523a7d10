"""The cloud controller's tables. As a program: makes them, for `rake db:migrate`.

Names are `citext` columns (Shop and shop are one app), so the database must have that extension; it
is not made here, because in a real cluster this user may not.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "stand_ins"))

from paas import pg, service
from paas.settings import Settings, SettingsError

KEY = "db.database"

_SCHEMA = (
    "SELECT pg_advisory_lock(8181)",
    "CREATE TABLE IF NOT EXISTS apps ("
    " name citext PRIMARY KEY, created_by text NOT NULL,"
    " created_at timestamptz NOT NULL DEFAULT now())",
    "CREATE TABLE IF NOT EXISTS services ("
    " label citext PRIMARY KEY, gateway text NOT NULL, registered_by text NOT NULL,"
    " registered_at timestamptz NOT NULL DEFAULT now())",
    "CREATE TABLE IF NOT EXISTS service_instances ("
    " name citext PRIMARY KEY, label citext NOT NULL REFERENCES services,"
    " node_id text, database text, created_by text NOT NULL,"
    " created_at timestamptz NOT NULL DEFAULT now())",
    "SELECT pg_advisory_unlock(8181)",
)


class TablesError(Exception):
    """They can't be made; the text says why."""


def place(settings: Settings) -> pg.Place:
    return pg.Place.of_url(settings.url(KEY, "postgres"))


def make(database: pg.Database) -> None:
    """Makes what isn't there."""
    if not database.execute("SELECT 1 FROM pg_extension WHERE extname = 'citext'"):
        raise TablesError("the database has no extension citext; a superuser must say there: CREATE EXTENSION citext")
    try:
        for statement in _SCHEMA:
            database.execute(statement)
    except pg.PgError as error:
        raise TablesError(f"the tables can't be made: {error}") from None


def main() -> None:
    try:
        make(pg.Database(*place(Settings.load(service.configuration_argument()))))
    except SettingsError as error:
        sys.exit(f"db:migrate: {error}")
    except (OSError, pg.PgError, TablesError) as error:
        sys.exit(f"db:migrate: key '{KEY}': {error}")


if __name__ == "__main__":
    main()
