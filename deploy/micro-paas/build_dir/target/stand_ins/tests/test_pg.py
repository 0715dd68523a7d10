import base64
import hashlib
import hmac
import socket
import struct
import threading
import unittest
from urllib.parse import urlsplit

import support  # noqa: F401  (finds the library)
from paas import pg

# The example of RFC 7677.
NONCE = "rOprNGfwEbeRWgbNEkqO"
CHALLENGE = (
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
)
FINAL = (
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
)
OUTCOME = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


class Places(unittest.TestCase):
    def test_a_url_may_hold_the_login(self):
        url = urlsplit("postgres://ro%2Fot:s3%40c%3A@10.0.0.1:5433/cloud_controller")
        self.assertEqual(pg.Place.of_url(url), pg.Place("10.0.0.1", 5433, "cloud_controller", "ro/ot", "s3@c:"))
        url = urlsplit("postgresql://h/uaa")
        self.assertEqual(pg.Place.of_url(url, "root", "x"), pg.Place("h", 5432, "uaa", "root", "x"))


class ScramByTheBook(unittest.TestCase):
    def test_the_rfcs_example(self):
        scram = pg.Scram("pencil", "user", NONCE)
        self.assertEqual(scram.first(), f"n,,n=user,r={NONCE}")
        self.assertEqual(scram.final(CHALLENGE), FINAL)
        scram.verify(OUTCOME)

    def test_a_server_that_does_not_know_the_password_is_refused(self):
        scram = pg.Scram("pencil", "user", NONCE)
        scram.final(CHALLENGE)
        with self.assertRaisesRegex(pg.PgError, "could not prove"):
            scram.verify("v=" + base64.b64encode(bytes(32)).decode())

    def test_a_foreign_nonce_is_refused(self):
        with self.assertRaisesRegex(pg.PgError, "nonce"):
            pg.Scram("pencil", "user", "another").final(CHALLENGE)


def message(kind, body):
    return kind + struct.pack("!I", len(body) + 4) + body


READY = message(b"Z", b"I")


class Server(threading.Thread):
    """Enough of PostgreSQL to log in and to answer each statement from a list."""

    def __init__(self, password, answers):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.password, self.answers = password, answers
        self.statements = []

    def run(self):
        try:
            while True:
                self.connection, _ = self.listener.accept()
                self.connection.settimeout(5)
                self.input = self.connection.makefile("rb")
                try:
                    self.log_in() and self.serve()
                finally:
                    self.input.close()
                    self.connection.close()
        except OSError:
            pass  # the test is over

    def receive(self):
        head = self.input.read(5)
        if len(head) < 5:
            return b"", b""
        return head[:1], self.input.read(struct.unpack("!I", head[1:])[0] - 4)

    def send(self, *messages):
        self.connection.sendall(b"".join(messages))

    def log_in(self):
        (length,) = struct.unpack("!I", self.input.read(4))
        self.startup = self.input.read(length - 4)
        self.send(message(b"R", struct.pack("!I", 10) + b"SCRAM-SHA-256\0\0"))
        first = self.receive()[1].partition(b"\0")[2][4:].decode()
        bare = first.removeprefix("n,,")
        challenge = f"r={bare.split('r=')[1]}more,s={base64.b64encode(b'salt').decode()},i=50"
        self.send(message(b"R", struct.pack("!I", 11) + challenge.encode()))
        final = self.receive()[1].decode()
        plain, _, proof = final.rpartition(",p=")
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(), b"salt", 50)
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        covered = f"{bare},{challenge},{plain}".encode()
        signature = hmac.digest(hashlib.sha256(client_key).digest(), covered, "sha256")
        if bytes(a ^ b for a, b in zip(client_key, signature)) != base64.b64decode(proof):
            self.send(message(b"E", b"SFATAL\0C28P01\0Mpassword authentication failed\0\0"))
            return False
        server_key = hmac.digest(salted, b"Server Key", "sha256")
        outcome = b"v=" + base64.b64encode(hmac.digest(server_key, covered, "sha256"))
        self.send(
            message(b"R", struct.pack("!I", 12) + outcome),
            message(b"R", struct.pack("!I", 0)),
            message(b"S", b"server_version\0" + b"15\0"),
            READY,
        )
        return True

    def serve(self):
        while True:
            kind, body = self.receive()
            if kind == b"":
                return
            if kind in b"PB":
                self.statements.append(body)
            elif kind == b"S":
                answer = self.answers.pop(0)
                if answer is None:
                    return  # hang up
                self.send(answer, READY)


def row(*values):
    body = struct.pack("!H", len(values))
    for value in values:
        body += struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value
    return message(b"D", body)


class Talking(unittest.TestCase):
    def serve(self, *answers):
        self.server = Server("s3'c ret", list(answers))
        self.addCleanup(self.server.listener.close)
        self.server.start()

    def database(self, password="s3'c ret"):
        database = pg.Database("127.0.0.1", self.server.port, "uaa", "root", password)
        self.addCleanup(lambda: database._connection and database._connection.close())
        return database

    def test_rows_and_parameters(self):
        self.serve(message(b"1", b"") + row(b"a", None) + row(b"\xc3\xa9", b"") + message(b"C", b"SELECT 2\0"))
        rows = self.database().execute("SELECT $1, $2", "it's; --", None)
        self.assertEqual(rows, [("a", None), ("é", "")])
        self.assertIn(b"database\0uaa\0", self.server.startup)
        statement, bound = self.server.statements
        self.assertEqual(statement, b"\0SELECT $1, $2\0\0\0")
        self.assertEqual(bound, b"\0\0\0\0\0\x02\0\0\0\x08it's; --\xff\xff\xff\xff\0\0")

    def test_an_error_has_its_code_and_the_session_goes_on(self):
        error = message(b"E", b"SERROR\0C23505\0Mduplicate key\0\0")
        self.serve(error, row(b"1"))
        database = self.database()
        with self.assertRaisesRegex(pg.PgError, "duplicate key") as caught:
            database.execute("INSERT")
        self.assertEqual(caught.exception.code, "23505")
        self.assertEqual(database.execute("SELECT 1"), [("1",)])

    def test_a_wrong_password_is_told(self):
        self.serve()
        with self.assertRaises(pg.PgError) as caught:
            self.database("another").execute("SELECT 1")
        self.assertEqual(caught.exception.code, "28P01")

    def test_a_lost_connection_is_made_anew(self):
        self.serve(row(b"1"), None, row(b"2"))
        database = self.database()
        self.assertEqual(database.execute("SELECT"), [("1",)])
        self.assertEqual(database.execute("SELECT"), [("2",)])

    def test_a_server_that_hangs_up_at_once_is_an_error(self):
        self.serve(None)
        with self.assertRaises(OSError):
            self.database().execute("SELECT 1")


if __name__ == "__main__":
    unittest.main()
