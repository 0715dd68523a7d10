import threading
import time
import unittest
from unittest import mock

from support import component
from paas import http

router = component("router")
uaa = component("uaa")


class Tokens(unittest.TestCase):
    KEY = bytes(32)

    def test_a_token_is_known_again(self):
        claims = {"jti": "a", "client_id": "admin", "exp": 100}
        self.assertEqual(uaa.claims_of(uaa.sign(claims, self.KEY), self.KEY, 99), claims)

    def test_no_other_is(self):
        token = uaa.sign({"exp": 100}, self.KEY)
        head, body, signature = token.split(".")
        for wrong in ("", "a", "a.b", "a.b.c", "é.é.é", f"{head}.{body}.", f"{head}.{body[:-2]}.{signature}"):
            self.assertIsNone(uaa.claims_of(wrong, self.KEY, 99), wrong)
        self.assertIsNone(uaa.claims_of(token, bytes(31) + b"1", 99))
        self.assertIsNone(uaa.claims_of(token, self.KEY, 100), "expired")
        self.assertIsNone(uaa.claims_of(uaa.sign({}, self.KEY), self.KEY, 0), "without an end")


class Routing(unittest.TestCase):
    def setUp(self):
        self.routes = router.Routes()

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
