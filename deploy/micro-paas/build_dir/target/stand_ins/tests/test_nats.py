import queue
import socket
import threading
import time
import unittest
from urllib.parse import urlsplit

import support  # noqa: F401  (finds the library)
from paas import nats

STREAM = b"INFO {}\r\nPING\r\nMSG a.b 7 5\r\nhe\r\no\r\nMSG c 8 _INBOX.1 0\r\n\r\n+OK\r\n"


class Parsing(unittest.TestCase):
    def test_however_the_bytes_are_cut(self):
        whole = nats.Parser().feed(STREAM)
        self.assertEqual([m.verb for m in whole], ["INFO", "PING", "MSG", "MSG", "+OK"])
        self.assertEqual(whole[2], nats.Message("MSG", "a.b", 7, "", b"he\r\no"))
        self.assertEqual(whole[3], nats.Message("MSG", "c", 8, "_INBOX.1", b""))
        for size in (1, 2, 3, 7):
            parser, pieces = nats.Parser(), []
            for at in range(0, len(STREAM), size):
                pieces += parser.feed(STREAM[at : at + size])
            self.assertEqual(pieces, whole)

    def test_nonsense_is_refused(self):
        for data in (b"MSG a\r\n", b"MSG a 1 x\r\n", b"MSG a x 1\r\n", b"x" * 70000):
            with self.assertRaises(nats.ProtocolError):
                nats.Parser().feed(data)

    def test_a_payload_that_is_no_object_is_an_empty_one(self):
        for payload in (b"", b"[]", b"\xff", b"7", b"{"):
            self.assertEqual(nats.Message("MSG", payload=payload).json(), {})


class Server:
    """A server by hand: the test reads what the client says and answers."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = urlsplit(f"nats://127.0.0.1:{self.listener.getsockname()[1]}")

    def accept(self):
        self.connection, _ = self.listener.accept()
        self.connection.settimeout(5)
        self.lines = self.connection.makefile("rb")
        self.send(b"INFO {}\r\n")

    def read_until(self, prefix):
        seen = []
        while not seen or not seen[-1].startswith(prefix):
            line = self.lines.readline()
            assert line, f"the client left, after {seen}"
            seen.append(line.strip())
        return seen

    def send(self, data):
        self.connection.sendall(data)

    def close(self):
        for thing in (self.lines, self.connection):
            thing.close()


class Talking(unittest.TestCase):
    def setUp(self):
        nats._RETRY_SECONDS = 0.05
        self.server = Server()
        self.addCleanup(self.server.listener.close)
        self.client = nats.Client(self.server.url, "test")

    def connect(self):
        self.server.accept()
        self.addCleanup(self.server.close)
        seen = self.server.read_until(b"PING")
        self.server.send(b"PONG\r\n")
        deadline = time.monotonic() + 5
        while self.client.problem and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertEqual(self.client.problem, "")
        return seen

    def test_a_message_reaches_its_callback(self):
        heard = queue.Queue()
        self.client.subscribe("news", heard.put, group="readers")
        self.client.start()
        seen = self.connect()
        sub = next(line for line in seen if b" news " in line)
        self.assertEqual(sub.split()[:3], [b"SUB", b"news", b"readers"])
        self.server.send(b'MSG news %s 8\r\n{"a": 1}\r\n' % sub.split()[3])
        self.assertEqual(heard.get(timeout=5).json(), {"a": 1})

    def test_a_subscription_made_while_connecting_is_not_lost(self):
        self.client.start()
        self.server.accept()
        self.addCleanup(self.server.close)
        self.server.read_until(b"PING")
        # The client has said hello and has not yet heard the PONG.
        self.client.subscribe("late", lambda message: None)
        self.assertIn(b"SUB late", self.server.read_until(b"SUB late")[-1])

    def test_it_comes_back_with_its_subscriptions(self):
        self.client.subscribe("news", lambda message: None)
        self.client.start()
        self.connect()
        self.server.close()
        self.assertTrue(any(b"SUB news" in line for line in self.connect()))

    def test_a_question_finds_its_answer(self):
        self.client.start()
        self.connect()

        def answer():
            line = self.server.read_until(b"PUB question")[-1]
            sid = b"1"  # the inbox is the first subscription
            self.server.send(b'MSG %s %s 9\r\n{"b": 22}\r\n' % (line.split()[2], sid))

        thread = threading.Thread(target=answer)
        thread.start()
        self.assertEqual(self.client.ask("question", {}, 5), {"b": 22})
        thread.join()
        with self.assertRaisesRegex(nats.NoAnswer, "no answer within"):
            self.client.ask("question", {}, 0.05)

    def test_without_a_connection_a_question_fails_at_once(self):
        with self.assertRaisesRegex(nats.NoAnswer, "not connected yet"):
            self.client.ask("question", {}, 5)


if __name__ == "__main__":
    unittest.main()
