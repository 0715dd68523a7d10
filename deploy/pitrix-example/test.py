#!/usr/bin/env python3
"""Tests of the example services: python3 deploy/pitrix-example/test.py"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

# The tests leave no __pycache__ in the sources.
sys.dont_write_bytecode = True

from test_support import HERE, PASSWORD, POSTGRES, SOURCE
from test_support import FakeMemcached, Scratch, Services, python_with, wait

sys.path.insert(0, SOURCE)


class MemcachedTest(unittest.TestCase):
    def setUp(self):
        from pitrix.memcached import Memcached

        self.server = FakeMemcached()
        self.addCleanup(self.server.close)
        self.client = Memcached(self.server.address, timeout=0.2)

    def test_set_get_delete(self):
        self.assertIsNone(self.client.get("k"))
        self.client.set("k", "zwölf\r\nEND")
        self.assertEqual(self.client.get("k"), "zwölf\r\nEND")
        self.client.delete("k")
        self.client.delete("k")
        self.assertIsNone(self.client.get("k"))

    def test_a_silent_server_costs_one_timeout(self):
        self.server.silent = True
        begun = time.monotonic()
        for _ in range(10):
            with self.assertRaises(OSError):
                self.client.get("k")
        self.assertLess(time.monotonic() - begun, 1)

    def test_comes_back(self):
        from pitrix import memcached

        self.client.set("k", "v")
        self.server.silent = True
        self.assertRaises(OSError, self.client.get, "k")
        self.server.silent = False
        time.sleep(memcached.PAUSE + 0.1)
        self.assertEqual(self.client.get("k"), "v")


class BuildTest(unittest.TestCase):
    def test_launchers_and_the_same_bytes(self):
        if not shutil.which("dpkg-deb"):
            self.skipTest("dpkg-deb is missing")
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
            for folder in (one, two):
                subprocess.run([os.path.join(HERE, "build"), folder], check=True)
            names = sorted(os.listdir(one))
            self.assertEqual(names, sorted(os.listdir(two)))
            for name in names:
                with open(f"{one}/{name}", "rb") as a, open(f"{two}/{name}", "rb") as b:
                    self.assertEqual(a.read(), b.read(), name)
            for service in (
                "ws-server io-server fg-server billing-resource billing-daemon"
                " scheduler-server zone-watcher"
            ).split():
                package = f"{one}/pitrix-{service}_1.0_all.deb"
                listing = subprocess.check_output(["dpkg-deb", "-c", package], text=True)
                pattern = rf"(?m)^-rwxr-xr-x root/root .* \./usr/bin/pitrix-{service}$"
                self.assertRegex(listing, pattern)
            with open(f"{one}/Packages", encoding="utf-8") as file:
                self.assertEqual(file.read().count("\nFilename: ./pitrix-"), 8)


class ServiceTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.python = python_with("psycopg2", "yaml")
        if cls.python is None:
            raise unittest.SkipTest("psycopg2 or yaml is missing (python3-psycopg2, python3-yaml)")
        if not os.path.exists(f"{POSTGRES}/initdb"):
            raise unittest.SkipTest(f"PostgreSQL's programs are missing in {POSTGRES}")
        cls.scratch = Scratch()
        cls.addClassCleanup(cls.scratch.remove)

    def setUp(self):
        self.db = self.scratch
        self.db.sql("DROP TABLE IF EXISTS ks_settings, zones, requests, leases")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.services = Services(self.python, self.db.port, folder.name)
        self.addCleanup(self.services.stop)

    def start_ws(self, zone="global1a"):
        child = self.services.start("ws_server", "api")
        wait(lambda: self.db.sql("SELECT to_regclass('leases')"))
        self.db.sql(f"INSERT INTO ks_settings VALUES ('ks_master_zone', '{zone}')")
        return child

    def logged(self):
        with open(self.services.log, encoding="utf-8") as file:
            return file.read()

    def test_writes_and_reads(self):
        self.start_ws()
        status, health = self.services.get("/health")
        self.assertEqual((status, health["error"]), (200, None))
        self.assertTrue(health["serving"] and health["writable"])
        self.assertEqual((health["room"], health["ks_master_zone"]), ("global1a", "global1a"))
        self.assertEqual((health["primary"], health["timeline"]), ("127.0.0.1", 1))
        self.assertEqual(self.services.get("/read?id=a")[0], 404)
        for _ in range(2):
            self.assertEqual(self.services.post("/write?id=a"), (200, {"id": "a"}))
        self.assertEqual(self.services.get("/read?id=a"), (200, {"id": "a", "room": "global1a"}))
        self.assertEqual(self.services.get("/count", "ws"), (200, 1))
        self.assertEqual(self.services.post("/write")[0], 400)
        self.assertEqual(self.services.get("/write?id=a")[0], 405)
        self.assertEqual(self.services.memcached.values, {"ks_master_zone": "global1a"})
        # Kept connections: what was asked above needed no more than one.
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pitrix-ws_server'"
        self.assertIn(self.db.sql(query), ("1", "2"))
        self.assertNotIn(PASSWORD, self.logged())

    def test_standby_refuses(self):
        self.start_ws("global2a")
        refusal = "room global1a is standby; global2a serves"
        self.assertEqual(self.services.post("/write?id=a"), (503, {"error": refusal}))
        status, health = self.services.get("/health")
        self.assertEqual((status, health["serving"], health["writable"]), (503, False, True))
        self.assertEqual(health["error"], refusal)
        # The cache comes first and is old until zone_watcher corrects it.
        self.db.sql("UPDATE ks_settings SET value = 'global1a'")
        self.assertEqual(self.services.post("/write?id=a")[0], 503)
        self.services.start("zone_watcher", "zone_watcher")
        wait(lambda: self.services.post("/write?id=a")[0] == 200)
        # It deletes the old value before it has read the new one, and that's enough for the service.
        wait(lambda: self.services.get("/health", "zone_watcher")[0] == 200)
        health = self.services.get("/health", "zone_watcher")
        self.assertEqual((health[1]["cached"], health[1]["stored"]), ("global1a", "global1a"))

    def test_read_only_database(self):
        self.start_ws()
        self.assertEqual(self.services.post("/write?id=a")[0], 200)
        self.db.configure("default_transaction_read_only", "on")
        self.addCleanup(self.db.configure, "default_transaction_read_only", None)
        status, answer = self.services.post("/write?id=b")
        self.assertEqual(status, 503)
        self.assertIn("read-only", answer["error"])
        status, health = self.services.get("/health")
        self.assertEqual((status, health["serving"], health["writable"]), (503, True, False))
        self.assertIn("read-only", health["error"])
        self.assertEqual(self.services.get("/read?id=a")[0], 200)

    def test_commit_that_no_standby_confirms(self):
        self.start_ws()
        self.services.post("/write?id=a")
        self.db.configure("synchronous_standby_names", "x")
        self.addCleanup(self.db.configure, "synchronous_standby_names", None)
        answers = []

        def post():
            answers.append(self.services.post("/write?id=b"))

        waiting = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        # The second time the row is there: it must not be acknowledged either.
        for _ in range(2):
            writer = threading.Thread(target=post)
            writer.start()
            wait(lambda: self.db.sql(f"SELECT pid {waiting}"))
            self.db.sql(f"SELECT pg_cancel_backend(pid) {waiting}")
            writer.join()
        self.assertEqual(answers, [(503, {"error": "committed locally only"})] * 2)
        self.assertEqual(self.services.get("/read?id=b")[0], 200)
        # Nobody cancels: the service gives up by itself, and stays alive.
        writer = threading.Thread(target=post)
        writer.start()
        wait(lambda: self.db.sql(f"SELECT pid {waiting}"))
        self.assertEqual(self.services.get("/alive")[0], 200)
        writer.join()
        self.assertEqual(answers[2][0], 503)
        self.assertIn("no answer from the database", answers[2][1]["error"])

    def test_database_away(self):
        child = self.start_ws()
        self.assertEqual(self.services.post("/write?id=a")[0], 200)
        self.db.stop()
        try:
            self.assertEqual(self.services.post("/write?id=b")[0], 503)
            self.assertEqual(self.services.get("/health")[0], 503)
            self.assertEqual(self.services.get("/alive")[0], 200)
        finally:
            self.db.start()
        self.assertEqual(self.services.post("/write?id=b")[0], 200)
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(2), 0)
        self.assertNotIn(PASSWORD, self.logged())

    def test_the_other_services(self):
        self.start_ws()
        self.services.post("/write?id=a")
        self.services.start("zone_watcher", "zone_watcher")
        for name in ("billing_resource", "fg_server", "io_server"):
            self.services.start(name, name)
        price = {"resource": "disk", "price": 0.01}
        self.assertEqual(self.services.get("/price?resource=disk", "billing_resource"), (200, price))
        self.assertIn("room: global1a\n", self.services.ask("io_server", "/download?id=a")[1])
        wait(lambda: "active" in self.services.ask("fg_server", "/zones")[1])
        billing = self.services.running[2]
        self.db.sql("INSERT INTO leases VALUES ('cpu', 2)")
        billing.send_signal(signal.SIGHUP)
        wait(lambda: self.services.get("/health", "billing_resource")[1]["leases"] == 2)


if __name__ == "__main__":
    unittest.main()
