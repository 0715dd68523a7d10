"""The frame in which every component lives.

A component is a subclass of `Service`; its program ends with `main(ItsClass, its configuration)`. The
rules that all keep: the configuration is read once, at the start, and something wrong in it is fatal;
the process's id is in the file that the configuration names from the moment on when the component
listens, until it ends; SIGTERM ends it; what is away for a while (the bus, the database, another
component) is waited for, and told by its health page, which says 200 only while it really works.
"""

import argparse
import os
import secrets
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any, Iterable, Mapping, NoReturn
from urllib.parse import SplitResult

from paas import address, http, log, nats, pg
from paas.settings import Key, Settings, SettingsError

# What PostgreSQL says when waiting would not help: no such database, wrong password, no such role.
_HOPELESS = {"3D000", "28P01", "28000"}


class Service:
    """One component; subclasses say what is special about theirs."""

    component = ""
    bus_key: Key = ""  # the key with the bus's URL, if the component talks on it
    pid_key: Key = "pid"  # the key with the file for its process's id
    plain_log = False  # whether its log is of plain lines, not of JSON
    waiting_for = "still starting"  # what the health page says until `start` is through

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.index = settings.integer("index", 0)
        self.host = socket.gethostname()
        self.began = time.time()
        self.ready = False  # whether `start` has come to its end
        self.stopping = threading.Event()
        self.port = 0  # where its own pages are, once it listens
        self.bus: nats.Client | None = None
        if url := self.bus_url():
            self._bus_place = (url.hostname or "", url.port or 4222)
            self.bus = nats.Client(url, f"{self.component}-{self.index}")
            self.bus.subscribe("vcap.component.discover", self._announce)
            self.bus.on_connect(self._announce)

    # For subclasses

    def bus_url(self) -> SplitResult | None:
        """Where the bus is, for those who talk on it."""
        return self.settings.url(self.bus_key, "nats") if self.bus_key else None

    def listen(self) -> None:
        """Opens its ports; what is taken is fatal."""

    def start(self) -> None:
        """Gets going; may wait for others, and may be fatal."""

    def stop(self) -> None:
        """Says goodbye; there are a few seconds for it."""

    def problems(self) -> Iterable[str]:
        """What keeps the component from working right now."""
        return ()

    def details(self) -> dict[str, Any]:
        """What /varz tells beside the usual."""
        return {}

    # For what they do

    def address(self) -> str:
        """This host's address as the others know it: the one towards the bus."""
        return address.towards(*self._bus_place)

    def serve(self, routes: Mapping[str, http.Handler], port: int, key: str, listen: str = "0.0.0.0") -> int:
        """Answers HTTP requests by `routes`; returns the port, which is chosen where it is 0."""
        return self.serve_with(http.json_handler(routes), port, key, listen)

    def serve_with(self, handler: Any, port: int, key: str, listen: str = "0.0.0.0") -> int:
        try:
            server = http.Server(listen, port, handler)
        except OSError as error:
            log.fatal(f"key '{key}': can't listen on {listen}:{port}: {error.strerror}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server.server_port

    def status_page(self, password_key: str = "status.password") -> dict[str, http.Handler]:
        """The pages for those who watch, behind the user and password of the `status` keys."""
        login = (
            self.settings.text("status.user", "") or secrets.token_hex(16),
            self.settings.text(password_key, "") or secrets.token_hex(16),
        )
        return http.behind_login(login, {"GET /healthz": self.healthz, "GET /varz": self.varz})

    def healthz(self, _: http.Request | None = None) -> tuple[int, Any]:
        problems = self.all_problems()
        return (503, {"error": "; ".join(problems)}) if problems else (200, "ok\n")

    def varz(self, _: http.Request | None = None) -> tuple[int, Any]:
        known = {"type": self.component, "index": self.index, "host": f"{self.host}:{self.port}"}
        return 200, known | {"uptime": round(time.time() - self.began)} | self.details()

    def all_problems(self) -> list[str]:
        problems = list(self.problems()) if self.ready else [self.waiting_for]
        if self.bus and self.bus.problem:
            problems.insert(0, f"nats: {self.bus.problem}")
        return problems

    def in_background(self, work: Any, every: float) -> None:
        """Calls `work` now and then until the end, whatever it raises."""

        def repeat() -> None:
            state = log.Changes(work.__name__.strip("_"))
            while not self.stopping.is_set():
                try:
                    work()
                    state.note("ok")
                except Exception as error:
                    state.note(f"{type(error).__name__}: {error}")
                self.stopping.wait(every)

        threading.Thread(target=repeat, daemon=True).start()

    def register_routes(self, port: int, uris: list[str]) -> None:
        """Has the routers pass on what comes for `uris`, and goes on telling them so."""
        route = {"port": port, "uris": uris}

        def register() -> None:
            self.bus.publish("router.register", route | {"host": self.address()})
            log.debug("registered with the routers", source="cf.registrar", uris=uris)

        self._routes = route
        self.bus.subscribe("router.start", lambda _: register())
        self.in_background(register, 5)

    def unregister_routes(self) -> None:
        self.bus.publish("router.unregister", self._routes | {"host": self.address()})

    def open_database(self, place: pg.Place, key: str) -> pg.Database:
        """The database, once it can be used.

        A server that is away will come back; a wrong name or password is for somebody to correct, so
        that is fatal.
        """
        database = pg.Database(*place)
        state = log.Changes(f"postgres at {place.host}")
        while True:
            try:
                database.execute("SELECT 1")
                state.note("connected")
                return database
            except pg.PgError as error:
                if error.code in _HOPELESS:
                    log.fatal(f"key '{key}': postgres at {place.host} says: {error}")
                self.waiting_for = f"postgres (key '{key}'): {error}"
            except OSError as error:
                self.waiting_for = f"postgres (key '{key}'): {error}"
            state.note(f"not usable ({self.waiting_for}); trying again")
            time.sleep(1)

    # The frame itself

    def _announce(self, message: nats.Message | None = None) -> None:
        """Tells, on the bus, that we are here (and where, to whom it may concern)."""
        subject = message.reply if message else "vcap.component.announce"
        if subject and self.bus:
            place = f"{self.address()}:{self.port}"
            me = {"type": self.component, "index": self.index, "host": place}
            self.bus.publish(subject, me)

    def run(self) -> NoReturn:
        log.info(f"{self.component} starts with index {self.index}")
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stopping.set())
        self.listen()
        forget_process = self._note_process()
        if self.bus:
            self.bus.start()
        # Beside the main thread, so that a signal is heard while it waits.
        threading.Thread(target=self._start, daemon=True).start()
        self.stopping.wait()
        self.stop()
        log.info(f"{self.component} stops")
        forget_process()
        sys.exit(0)

    def _note_process(self) -> Any:
        """Writes the process's id where the configuration says; returns how to take it away again."""
        path = Path(self.settings.text(self.pid_key))
        try:
            path.write_text(f"{os.getpid()}\n")
        except OSError as error:
            log.fatal(f"key '{self.pid_key}': {path}: {error.strerror}")

        def forget() -> None:
            path.unlink(missing_ok=True)

        log.at_fatal(forget)
        return forget

    def _start(self) -> None:
        try:
            self.start()
        except SettingsError as error:
            log.fatal(str(error))
        except Exception as error:
            log.fatal(f"could not start: {type(error).__name__}: {error}")
        self.ready = True
        log.info(f"{self.component} is ready")


def configuration_argument() -> Path:
    """The file that `-c FILE` or `-c=FILE` names; other words are for the real programs."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("-c", "--config", required=True)
    return Path(parser.parse_known_args()[0].config)


def main(kind: type[Service], file: Path) -> NoReturn:
    """Runs a component with the configuration in `file`, until it is told to stop."""
    try:
        settings = Settings.load(file)
        file, level = settings.text("logging.file", ""), settings.text("logging.level", "info")
        log.begin(kind.component, file, level, kind.plain_log)
        kind(settings).run()
    except SettingsError as error:
        log.fatal(str(error))
