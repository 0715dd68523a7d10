"""The frame in which every Python component lives.

A component is a subclass of `Service` and ends with `main(ItsClass)`. Its
script is called in two ways:

    <component>.py run      what systemd does: run until told to stop
    <component>.py health   what `bin/paas status` does: ask the running one

The rules that all keep: the configuration is read once, at the start, and
something wrong in it is fatal; `GET /health` is there from the first moment
on and says 200 only while the component really works; what is away for a
while (the bus, the database, another component) is waited for.
"""

import signal
import socket
import sys
import threading
import time
from typing import Any, Iterable, NoReturn

from paas import http, log, nats, pg, places
from paas.settings import Settings, SettingsError

# What PostgreSQL says when waiting would not help, and which key it is about.
_HOPELESS = {
    "3D000": "database.name",
    "28P01": "database.password",
    "28000": "database.user",
}


class Service:
    """One component; subclasses say what is special about theirs."""

    component = ""
    port_key = "port"  # where /health is served
    bus_key = ""  # the key with the bus's URL, if the component talks on it
    listen = "0.0.0.0"
    waiting_for = "still starting"  # what /health says until `start` is through

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.port = settings.port(self.port_key)
        self.index = settings.integer("index")
        self.bus: nats.Client | None = None
        self.host = socket.gethostname()
        self.ready = False  # whether `start` has come to its end
        self.stopping = threading.Event()
        if self.bus_key:
            url = settings.url(self.bus_key, "nats")
            self._bus_place = (url.hostname or "", url.port or 4222)
            self.bus = nats.Client(url, f"{self.component}-{self.index}")
            self.bus.subscribe("vcap.component.discover", self._announce)
            self.bus.on_connect(self._announce)

    # For subclasses

    def routes(self) -> dict[str, http.Handler]:
        """What is served beside /health."""
        return {}

    def start(self) -> None:
        """Get going; may wait for others, and may be fatal."""

    def stop(self) -> None:
        """Say goodbye; there are a few seconds for it."""

    def problems(self) -> Iterable[str]:
        """What keeps the component from working right now."""
        return ()

    def details(self) -> dict[str, Any]:
        """What /health tells beside the usual."""
        return {}

    def address(self) -> str:
        """This host's address as the others know it: the one towards the bus."""
        return places.own_address(*self._bus_place)

    def in_background(self, work: Any, every: float) -> None:
        """Call `work` now and then until the end, whatever it raises."""

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

    def open_database(self) -> pg.Database:
        """The database of the `database` keys, once it can be used.

        A server that is away will come back; a wrong name or password is for
        somebody to correct, so that is fatal.
        """
        text = self.settings.filled
        database = pg.Database(
            text("database.host"),
            self.settings.port("database.port"),
            text("database.name"),
            text("database.user"),
            self.settings.text("database.password"),
        )
        state = log.Changes(f"postgres at {text('database.host')}")
        while True:
            try:
                database.execute("SELECT 1")
                state.note("connected")
                return database
            except pg.PgError as error:
                if key := _HOPELESS.get(error.code):
                    log.fatal(f"{self.component}: key '{key}': postgres says: {error}")
                self.waiting_for = f"postgres (key 'database.host'): {error}"
            except OSError as error:
                self.waiting_for = f"postgres (key 'database.host'): {error}"
            state.note(f"not usable ({self.waiting_for}); trying again")
            time.sleep(1)

    # The frame itself

    def health(self, _: http.Request | None = None) -> tuple[int, dict[str, Any]]:
        problems = [self.waiting_for] if not self.ready else list(self.problems())
        if self.bus and self.bus.problem:
            problems.insert(0, f"nats (key '{self.bus_key}'): {self.bus.problem}")
        report = {"component": self.component, "index": self.index, "ok": not problems}
        if problems:
            return 503, report | {"problem": "; ".join(problems)}
        return 200, report | {"host": self.host} | self.details()

    def _announce(self, message: nats.Message | None = None) -> None:
        """Tell, on the bus, that we are here (and where, to whom it may concern)."""
        subject = message.reply if message else "vcap.component.announce"
        if subject and self.bus:
            address = f"{self.address()}:{self.port}"
            me = {"type": self.component, "index": self.index, "host": address}
            self.bus.publish(subject, me)

    def run(self) -> NoReturn:
        log.info(f"{self.component} starts with index {self.index}")
        handler = http.json_handler({"GET /health": self.health, **self.routes()})
        self.listen_with(handler, self.listen, self.port, self.port_key)
        if self.bus:
            self.bus.start()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stopping.set())
        # Beside the main thread, so that a signal is heard while it waits.
        threading.Thread(target=self._start, daemon=True).start()
        self.stopping.wait()
        self.stop()
        log.info(f"{self.component} stops")
        sys.exit(0)

    def _start(self) -> None:
        try:
            self.start()
        except SettingsError as error:
            log.fatal(str(error))
        except Exception as error:
            log.fatal(f"{self.component}: could not start: {type(error).__name__}: {error}")
        self.ready = True
        log.info(f"{self.component} is ready")

    def listen_with(self, handler: Any, address: str, port: int, key: str) -> None:
        try:
            server = http.Server(address, port, handler)
        except OSError as error:
            log.fatal(
                f"{self.component}: key '{key}': no listening on {address}:{port}:"
                f" {error.strerror}"
            )
        threading.Thread(target=server.serve_forever, daemon=True).start()


def _ask_health(kind: type[Service], settings: Settings) -> tuple[bool, str]:
    host = "127.0.0.1" if kind.listen == "0.0.0.0" else kind.listen
    url = f"http://{host}:{settings.port(kind.port_key)}/health"
    try:
        status, report = http.call("GET", url, seconds=15)
    except http.Unreachable as error:
        return False, str(error)
    if report.get("component") != kind.component:
        return False, f"something else answers at {url}"
    return status == 200, str(report.get("problem") or f"index {report['index']}")


def load(component: str) -> Settings:
    """The component's settings; fatal when they can't be had."""
    try:
        return Settings.load(places.config_file(component))
    except SettingsError as error:
        log.fatal(str(error))


def verb() -> str:
    """What the script was called for: `run` or `health`."""
    if len(sys.argv) != 2 or sys.argv[1] not in ("run", "health"):
        sys.exit(f"usage: {sys.argv[0]} run|health")
    return sys.argv[1]


def report(healthy: bool, text: str) -> NoReturn:
    """How `health` ends: one line, and 0 only when all is well."""
    print(text)
    sys.exit(0 if healthy else 1)


def main(kind: type[Service]) -> None:
    wanted, settings = verb(), load(kind.component)
    try:
        if wanted == "health":
            report(*_ask_health(kind, settings))
        kind(settings).run()
    except SettingsError as error:
        log.fatal(str(error))
