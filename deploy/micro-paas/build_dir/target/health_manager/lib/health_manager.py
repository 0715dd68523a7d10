"""health_manager: listens on the bus for who is alive.

It follows the heartbeats of the deas and the announcements of all components, asks the cloud
controller's bulk API for the apps, and tells what it knows at `GET /varz`. It starts nothing again,
as the real one would: here that is the dea's work for its app.
"""

import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "stand_ins"))

from paas import http, log, nats, service, uaa_client
from paas.settings import Settings

_DEAD_SECONDS = 20
_FORGET_SECONDS = 24 * 3600


class HealthManager(service.Service):
    component = "health_manager"
    bus_key = "mbus"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.lock = threading.Lock()
        self.deas: dict[str, dict[str, Any]] = {}
        self.components: dict[str, dict[str, Any]] = {}
        self.bulk_url = settings.url("bulk_api.host", "http")
        self.apps: list[str] | None = None  # None while the cloud controller has not told them

    def listen(self) -> None:
        # Without a port in its configuration, the real one takes any.
        port = self.settings.integer("status.port", 0)
        self.port = self.serve(self.status_page(), port, "status.port")

    def start(self) -> None:
        self.bus.subscribe("dea.heartbeat", self._heartbeat)
        self.bus.subscribe("dea.shutdown", self._shutdown)
        self.bus.subscribe("vcap.component.announce", self._announced)
        self.bus.subscribe("health_manager.discovered", self._announced)
        intervals = self.settings.mapping("intervals")
        self.in_background(self._discover, 15)
        self.in_background(self._look_for_the_dead, 5)
        self.in_background(self._ask_for_apps, intervals.get("expected_state_update", 60))

    def details(self) -> dict[str, Any]:
        now = time.monotonic()

        def told(heard: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
            return [
                {key: value for key, value in entry.items() if key != "heard"}
                | {"seconds_ago": round(now - entry["heard"], 1)}
                for _, entry in sorted(heard.items())
            ]

        with self.lock:
            return {
                "deas_alive": sum(dea["alive"] for dea in self.deas.values()),
                "deas": told(self.deas),
                "components": told(self.components),
                "apps": self.apps,
            }

    def _ask_for_apps(self) -> None:
        """Which apps there are: the bulk API's password comes by the bus, the apps by the routers."""
        partition = self.settings.text("cc_partition", "default")
        login = self.bus.ask(f"cloudcontroller.bulk.credentials.{partition}", {}, 5)
        client = str(login.get("user", "")), str(login.get("password", ""))
        status, answer = http.call("GET", uaa_client.at(self.bulk_url, "/bulk/apps"), client=client)
        if status != 200:
            raise http.Unreachable(f"the bulk API answers {status}: {answer.get('error', 'no reason given')}")
        self.apps = sorted(answer.get("results", {}))

    def _discover(self) -> None:
        """Ask who is there; the answers come as if they had announced themselves."""
        self.bus.publish("vcap.component.discover", {}, reply="health_manager.discovered")

    def _heartbeat(self, message: nats.Message) -> None:
        body = message.json()
        name = f"{body.get('index')}@{body.get('host')}"
        with self.lock:
            if not self.deas.get(name, {}).get("alive"):
                log.info(f"dea {name} is alive")
            self.deas[name] = {**body, "alive": True, "heard": time.monotonic()}

    def _shutdown(self, message: nats.Message) -> None:
        body = message.json()
        name = f"{body.get('index')}@{body.get('host')}"
        with self.lock:
            if self.deas.pop(name, None):
                log.info(f"dea {name} said goodbye")

    def _announced(self, message: nats.Message) -> None:
        body = message.json()
        with self.lock:
            self.components[f"{body.get('type')}/{body.get('index')}@{body.get('host')}"] = {
                **body,
                "heard": time.monotonic(),
            }

    def _look_for_the_dead(self) -> None:
        now = time.monotonic()
        with self.lock:
            for name, dea in self.deas.items():
                if dea["alive"] and now - dea["heard"] > _DEAD_SECONDS:
                    dea["alive"] = False
                    log.info(f"dea {name} was not heard of for {_DEAD_SECONDS} seconds")
            for heard in (self.deas, self.components):
                for name in [n for n, e in heard.items() if now - e["heard"] > _FORGET_SECONDS]:
                    del heard[name]


if __name__ == "__main__":
    service.main(HealthManager, service.configuration_argument())
