import json
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path
from unittest import mock

import support
from paas import http, service, tokens
from paas.settings import Settings

PROGRAM = """
import sys
sys.path.insert(0, {library!r})
from paas import service

class Thing(service.Service):
    component = "thing"

    def listen(self):
        self.port = self.serve({{"GET /healthz": self.healthz, **self.status_page()}}, self.settings.integer("port"), "port")

    def start(self):
        print(self.port, flush=True)

service.main(Thing, service.configuration_argument())
"""


class Living(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        (self.folder / "thing.py").write_text(PROGRAM.format(library=str(support.PACKAGES / "stand_ins")))

    def start(self, port=0, argument="-c="):
        text = f"pid: {self.folder}/thing.pid\nport: {port}\nlogging:\n  file: {self.folder}/thing.log\n  level: debug2\n"
        (self.folder / "thing.yml").write_text(text)
        command = [sys.executable, "-B", self.folder / "thing.py", "-m", f"{argument}{self.folder}/thing.yml"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def log(self):
        return [json.loads(line) for line in (self.folder / "thing.log").read_text().splitlines()]

    def test_it_lives_until_it_is_told_to_end(self):
        process = self.start()
        process.stdout.readline()
        self.assertEqual((self.folder / "thing.pid").read_text(), f"{process.pid}\n")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(10), 0)
        self.assertFalse((self.folder / "thing.pid").exists())
        lines = self.log()
        self.assertEqual({"timestamp", "message", "log_level", "source", "data"} - set(lines[0]), set())
        self.assertEqual(lines[-1]["message"], "thing stops")

    def test_a_port_that_is_taken_is_told(self):
        first = self.start()
        port = int(first.stdout.readline())
        second = self.start(port)
        self.assertEqual(second.wait(10), 1)
        said = second.stderr.read()
        self.assertRegex(said, f"thing: key 'port': can't listen on 0.0.0.0:{port}: ")
        self.assertEqual(self.log()[-1]["log_level"], "fatal")
        # It had not begun to write the file, and leaves the other's alone.
        self.assertEqual((self.folder / "thing.pid").read_text(), f"{first.pid}\n")

    def test_a_file_that_is_not_there_is_told(self):
        process = self.start(argument="-c=/nowhere")
        self.assertEqual(process.wait(10), 1)
        self.assertRegex(process.stderr.read(), "/nowhere.*: No such file or directory")


class StatusPage(unittest.TestCase):
    def serve(self, text):
        settings = Settings.parse(text, "x.yml")
        thing = service.Service(settings)
        thing.ready = True
        self.thing = thing
        server = http.Server("127.0.0.1", 0, http.json_handler(thing.status_page()))
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        self.base = f"http://127.0.0.1:{server.server_port}"

    def test_only_its_user_is_let_in(self):
        self.serve("status: {user: thin, password: 'x: y'}")
        self.assertEqual(http.call("GET", self.base + "/healthz", client=("thin", "x: y"))[0], 200)
        self.assertEqual(http.call("GET", self.base + "/varz", client=("thin", "x: y"))[1]["index"], 0)
        for wrong in (None, ("thin", ""), ("", "x: y"), ("thin", "x")):
            self.assertEqual(http.call("GET", self.base + "/healthz", client=wrong)[0], 401, wrong)

    def test_without_a_password_nobody_is(self):
        self.serve("status: {}")
        self.assertEqual(http.call("GET", self.base + "/healthz", client=("", ""))[0], 401)

    def test_what_does_not_work_is_told(self):
        self.serve("status: {user: a, password: b}")
        with mock.patch.object(self.thing, "problems", lambda: ["the disk is full"]):
            answer = http.call("GET", self.base + "/healthz", client=("a", "b"))
        self.assertEqual(answer, (503, {"error": "the disk is full"}))


class Tokens(unittest.TestCase):
    KEY = b"tokensecret"

    def test_a_token_is_known_again(self):
        claims = {"jti": "a", "user_name": "admin", "exp": 100}
        self.assertEqual(tokens.claims_of(tokens.sign(claims, self.KEY), self.KEY, 99), claims)

    def test_no_other_is(self):
        token = tokens.sign({"exp": 100}, self.KEY)
        head, body, signature = token.split(".")
        for wrong in ("", "a", "a.b", "a.b.c", "é.é.é", f"{head}.{body}.", f"{head}.{body[:-2]}.{signature}"):
            self.assertIsNone(tokens.claims_of(wrong, self.KEY, 99), wrong)
        self.assertIsNone(tokens.claims_of(token, b"another", 99))
        self.assertIsNone(tokens.claims_of(token, self.KEY, 100), "expired")
        self.assertIsNone(tokens.claims_of(tokens.sign({}, self.KEY), self.KEY, 0), "without an end")


if __name__ == "__main__":
    unittest.main()
