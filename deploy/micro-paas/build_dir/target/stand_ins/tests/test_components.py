import threading
import time
import unittest
from unittest import mock

from support import program
from paas import http, pg
from paas.settings import Settings, SettingsError

router = program("router/lib/router.py")
uaa = program("uaa/lib/uaa.py")


class UaaSettings(unittest.TestCase):
    def test_its_database(self):
        plain = "database: {url: 'jdbc:postgresql://h:5433/uaa'%s}"
        place = uaa.place_of(Settings.parse(plain % "", "uaa.yml"))
        self.assertEqual(place, pg.Place("h", 5433, "uaa", "root", "changeme"))
        place = uaa.place_of(Settings.parse(plain % ", username: paas, password: 'a b:c'", "uaa.yml"))
        self.assertEqual(place[3:], ("paas", "a b:c"))
        with self.assertRaisesRegex(SettingsError, "key 'database.url': expected a URL such as jdbc:"):
            uaa.place_of(Settings.parse("database: {url: 'postgres://h/uaa'}", "uaa.yml"))

    def test_its_users(self):
        settings = Settings.parse("scim: {users: ['admin|s3|a,b']}", "uaa.yml")
        self.assertEqual(uaa.users_of(settings), [("admin", "s3", ["a", "b"])])
        for wrong in ("['admin|s3']", "['|s3|a']", "['admin||a']", "[7]", "[]"):
            with self.subTest(wrong), self.assertRaisesRegex(SettingsError, "scim.users") as caught:
                uaa.users_of(Settings.parse(f"scim: {{users: {wrong}}}", "uaa.yml"))
            self.assertNotIn("s3", str(caught.exception))


class RouterSettings(unittest.TestCase):
    def bus(self, text):
        with mock.patch.object(router.Router, "__init__", lambda self: None):
            it = router.Router()
        it.settings = Settings.parse(f"nats: {{{text}}}", "router.yml")
        return it.bus_url()

    def test_its_bus(self):
        url = self.bus("host: 10.0.0.1, port: 4222, user: , pass: ")
        self.assertEqual((url.hostname, url.port, url.username), ("10.0.0.1", 4222, None))
        url = self.bus("host: 'fd00::1', port: 4222, user: n, pass: 'a@b:c/d'")
        self.assertEqual((url.hostname, url.port), ("fd00::1", 4222))
        self.assertEqual(url.password, "a%40b%3Ac%2Fd")
        with self.assertRaisesRegex(SettingsError, "key 'nats.host': is missing"):
            self.bus("port: 4222")


class Routing(unittest.TestCase):
    def setUp(self):
        self.routes = router.Routes(25)

    def test_backends_take_turns(self):
        for port in (1, 2):
            self.routes.register("Hello.paas.local", ("h", port))
        firsts = [self.routes.backends("hello.paas.local")[0][1] for _ in range(4)]
        self.assertEqual(sorted(firsts), [1, 1, 2, 2])
        self.assertEqual(self.routes.backends("other"), [])

    def test_who_is_silent_is_forgotten(self):
        self.routes.register("a", ("h", 1))
        now = time.monotonic()
        with mock.patch.object(router.time, "monotonic", lambda: now + 20):
            self.routes.register("a", ("h", 2))
            self.routes.prune()
            self.assertEqual(len(self.routes.backends("a")), 2)
        with mock.patch.object(router.time, "monotonic", lambda: now + 30):
            self.routes.prune()
        self.assertEqual(self.routes.backends("a"), [("h", 2)])

    def test_malformed_registrations_are_passed_over(self):
        for body in ({}, {"host": 1, "port": 2, "uris": ["a"]}, {"host": "h", "port": "2", "uris": ["a"]},
                     {"host": "h", "port": 2, "uris": "a"}, {"host": "h", "port": 2, "uris": [1, ""]}):
            self.assertEqual(list(router._routes_in(body)), [])


class Http(unittest.TestCase):
    def setUp(self):
        def boom(request):
            raise RuntimeError("boom")

        handler = http.json_handler({
            "GET /apps/{}": lambda request, name: (200, {"name": name}),
            "POST /apps": lambda request: (201, {"name": request.word("name"), "token": request.bearer()}),
            "GET /boom": boom,
        })
        self.server = http.Server("127.0.0.1", 0, handler)
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.base = f"http://127.0.0.1:{self.server.server_port}"

    def test_routes(self):
        for method, path, body, status in (
            ("GET", "/apps/x", None, 200),
            ("GET", "/apps/x/y", None, 404),
            ("GET", "/apps", None, 405),
            ("POST", "/apps", {"name": "a b"}, 400),
            ("POST", "/apps", {}, 400),
            ("GET", "/boom", None, 500),
        ):
            with self.subTest(path):
                self.assertEqual(http.call(method, self.base + path, body)[0], status)
        answer = http.call("POST", self.base + "/apps", {"name": "a"}, token="t")
        self.assertEqual(answer, (201, {"name": "a", "token": "t"}))

    def test_nobody_there(self):
        with self.assertRaisesRegex(http.Unreachable, "no answer from 127.0.0.1:1"):
            http.call("GET", "http://127.0.0.1:1/", seconds=1)


if __name__ == "__main__":
    unittest.main()
