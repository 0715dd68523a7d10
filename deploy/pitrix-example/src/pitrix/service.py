"""What all services share: configuration, log, cache, database, signals."""

import os
import signal
import sys
import threading
import time

from . import config
from .database import Database, DatabaseError
from .memcached import Memcached
from .web import Web

ZONE_KEY = "ks_master_zone"
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Service:
    def __init__(self, name, connections=2):
        self.name = name
        self.config, self.client = config.server_or_exit()
        # Before any thread is started, so that all of them leave the signals
        # to run(): one that another thread received could go unnoticed.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        self.room = self.config["room"]
        self.active_active = self.config["mode"] == "active-active"
        self.database = Database(self.config["database"], f"pitrix-{name}", connections)
        self.caches = [Memcached(address) for address in self.config["memcached"]]
        self._told = {}

    def log(self, text):
        # One write of one line, so that threads' lines don't mix. A line
        # break that came from outside mustn't fake a line.
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        line = " ".join(str(text).splitlines())
        try:
            os.write(2, f"{stamp} {self.name} {line}\n".encode(errors="replace"))
        except OSError:
            pass  # nobody keeps the log; that is no reason to stop serving

    def tell(self, subject, text):
        """Logs a state only when it changed; None is the good state."""
        if self._told.get(subject) != text:
            self._told[subject] = text
            self.log(f"{subject}: {text or 'ok'}")

    def master_zone(self):
        """The serving room as far as this room knows.

        The cache comes first and never expires, as in the real system: what
        it says can be old until zone_watcher has corrected it.
        """
        for cache in self.caches:
            try:
                zone = cache.get(ZONE_KEY)
            except OSError:
                continue
            if zone:
                return zone
        zone = self.database.setting(ZONE_KEY)
        if zone:
            for cache in self.caches:
                try:
                    cache.set(ZONE_KEY, zone)
                except OSError:
                    pass  # the next one who asks reads the database again
        return zone

    def refusal(self):
        """Why this room doesn't serve now, or None when it does."""
        if self.active_active:
            return None
        return self.refusal_by(self.master_zone())

    def refusal_by(self, zone):
        if self.active_active or zone == self.room:
            return None
        return f"room {self.room} is standby; {zone or 'no room'} serves"

    def repeat(self, subject, seconds, work):
        """Runs work every so many seconds until it returns True; never dies."""

        def loop():
            while True:
                try:
                    done = work()
                    self.tell(subject, None)
                    if done:
                        return
                except (DatabaseError, OSError) as error:
                    self.tell(subject, str(error))
                except Exception as error:
                    self.tell(subject, f"{type(error).__name__}: {error}")
                time.sleep(seconds)

        threading.Thread(target=loop, name=subject, daemon=True).start()

    def run(self, ports, routes, on_hangup=None, on_stop=None):
        """Serves until SIGTERM."""
        web = Web(routes, self.log)
        for name in ports:
            port = config.port(self.config, name)
            try:
                web.listen(port)
            except OSError as error:
                sys.exit(f"pitrix: can't listen on port {port}: {error}")
            self.log(f"listening on port {port} ({name})")
        self.repeat("tables", 3, self.database.make_tables)
        while signal.sigwait(SIGNALS) == signal.SIGHUP:
            if on_hangup is not None:
                on_hangup()
        self.log("stopping")
        if on_stop is not None:
            # Others needn't wait for a timeout when this one says goodbye;
            # but whoever doesn't listen isn't waited for.
            goodbye = threading.Thread(target=on_stop, daemon=True)
            goodbye.start()
            goodbye.join(1)
        os._exit(0)


def answered(route):
    """A route whose database errors become 503."""

    def safe(query):
        try:
            return route(query)
        except DatabaseError as error:
            return 503, {"error": str(error)}

    return safe
