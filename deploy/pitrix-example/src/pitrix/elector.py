"""One master of a service: across all rooms, or in the room that serves."""

import logging
import threading
import time

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import KazooException
from kazoo.retry import KazooRetry

from .database import DatabaseError
from .service import Service, answered

BEAT_SECONDS = 2


class Elected(Service):
    def __init__(self, name):
        super().__init__(name)
        # Every failed attempt would be a line; the states are told instead.
        logging.getLogger("kazoo").setLevel(logging.CRITICAL)
        self.across = bool(self.config.get("zookeeper_across_rooms"))
        self.identity = f"{self.room}/{self.config['address']}"
        self.elected = False
        self.error = None
        self._zone = None
        self._lost = threading.Event()
        self.keeper = KazooClient(
            hosts=",".join(self.config["zookeeper"]),
            timeout=10,
            connection_retry=KazooRetry(max_tries=-1, delay=0.5, max_delay=5),
            # A command is given up when the connection breaks: the election
            # is then begun anew, rather than continued on a guess.
            command_retry=KazooRetry(max_tries=3),
        )
        self.keeper.add_listener(self._state_changed)

    def _state_changed(self, state):
        if state != KazooState.CONNECTED:
            # At once, not at the next beat: another may soon be elected.
            self.elected = False
            self._lost.set()
        self.tell("zookeeper", None if state == KazooState.CONNECTED else state)

    @property
    def master(self):
        return self.elected and (self.across or self._zone == self.room)

    def stand(self):
        """One candidature: waits until elected, leads until it can't."""
        if not self.keeper.connected:
            return
        self._lost.clear()
        election = self.keeper.Election(f"/pitrix/{self.name}", self.identity)
        try:
            election.run(self._lead)
        except KazooException as error:
            raise OSError(f"{type(error).__name__} {error}".strip()) from None
        finally:
            self.elected = False

    def _lead(self):
        self.elected = True
        # The connection may have broken between the vote and here.
        while not self._lost.is_set() and self.keeper.connected:
            self._beat()
            self._lost.wait(BEAT_SECONDS)
        self.elected = False
        self.tell("master", "no")

    def _beat(self):
        try:
            if not self.across:
                # Forgotten first: who can't tell the zone isn't the master.
                zone, self._zone = self._zone, None
                self._zone = zone = self.master_zone()
            self.tell("master", "yes" if self.master else "no")
            if self.master:
                self.database.put_setting(f"{self.name}_master", self.identity)
            self.error = None
        except DatabaseError as error:
            self.error = str(error)
        self.tell("heartbeat", self.error)

    def health(self, query):
        return 200, {
            "master": self.master,
            "elected": self.elected,
            "room": self.room,
            "across_rooms": self.across,
            "zookeeper": self.keeper.state,
            "error": self.error,
        }

    def _leave(self):
        self.keeper.stop()

    def main(self):
        self.keeper.start_async()
        self.repeat("election", 1, self.stand)
        self.run([self.name], {"GET /health": answered(self.health)}, on_stop=self._leave)
