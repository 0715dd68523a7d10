"""Keeps the cached ks_master_zone right and the zones known."""

from .service import ZONE_KEY, Service


class ZoneWatcher(Service):
    def __init__(self):
        super().__init__("zone_watcher")
        self.stored = None
        self.error = "the database hasn't been read yet"
        # Those whose value from before this start has yet to be deleted.
        self._unclean = list(self.caches)

    def _clean(self):
        for cache in list(self._unclean):
            try:
                cache.delete(ZONE_KEY)
            except OSError:
                continue  # next second
            self._unclean.remove(cache)
            self.log(f"cached {ZONE_KEY} deleted from {cache.address}")

    def watch(self):
        # Before the database is read: an old value is wrong without it too.
        self._clean()
        try:
            self.stored = self.database.setting(ZONE_KEY)
            self.error = None
        except Exception as error:
            self.error = str(error)
            raise
        failed = None
        for cache in self.caches:
            try:
                self._correct(cache)
            except OSError as error:
                failed = failed or error  # the others are corrected all the same
        if failed:
            raise failed

    def _correct(self, cache):
        cached = cache.get(ZONE_KEY)
        if cached == self.stored:
            return
        if self.stored is None:
            cache.delete(ZONE_KEY)
        else:
            cache.set(ZONE_KEY, self.stored)
        self.log(f"cached {ZONE_KEY} corrected: {cached} -> {self.stored}")

    def add_zones(self):
        zones = self.client.get("zones") or {}
        known = {zone for (zone,) in self.database.rows("SELECT zone_id FROM zones")}
        missing = [(zone, room) for zone, room in zones.items() if zone not in known]
        if missing:

            def work(cursor):
                cursor.executemany(
                    "INSERT INTO zones (zone_id, room) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                    missing,
                )

            self.database.transaction(work)
            self.log(f"zones added: {', '.join(zone for zone, _ in missing)}")
        return True

    def health(self, query):
        cached = {}
        for cache in self.caches:
            try:
                cached[cache.address] = cache.get(ZONE_KEY)
            except OSError:
                cached[cache.address] = "unreachable"
        first = next(iter(cached.values()), None)
        right = self.error is None and all(value == self.stored for value in cached.values())
        error = self.error or (None if right else "memcached isn't right yet")
        answer = {"room": self.room, "cached": first, "stored": self.stored, "error": error}
        if len(cached) > 1:
            answer["caches"] = cached
        return (200 if right else 503), answer


def main():
    watcher = ZoneWatcher()
    watcher.repeat("watch", 1, watcher.watch)
    watcher.repeat("zones", 5, watcher.add_zones)
    watcher.run(["zone_watcher"], {"GET /health": watcher.health})
