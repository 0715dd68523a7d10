"""Tests of warden, directory_server and the service of MySQL."""

import socket
import tempfile
import threading
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from support import program
from paas import http
from paas.settings import Settings, SettingsError

warden = program("warden/warden/lib/warden.py")
directory_server = program("dea_ng/go/lib/directory_server.py")
mysql_gateway = program("mysql_service/lib/mysql_gateway.py")
mysql_node = program("mysql_service/lib/mysql_node.py")


class Containers(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        settings = {
            "server": {"container_depot_path": str(self.folder), "container_rootfs_path": "/"},
            "user": {"pool_start_uid": 10000, "pool_size": 1},
        }
        self.warden = warden.Warden(Settings(settings, "warden.yml"))
        # Whatever user runs the tests.
        self.enterContext(mock.patch.object(warden.os, "getuid", lambda: 1000))
        self.addCleanup(self.warden.stop)

    def run_container(self, name, body):
        request = http.Request({}, http.json.dumps(body).encode())
        return self.warden._run(request, name)

    def test_one_runs_and_stays_while_nothing_changes(self):
        wanted = {"files": {"start": "exec sleep 60\n"}, "env": {"APP_INDEX": "1"}}
        status, first = self.run_container("hello", wanted)
        self.assertEqual((status, first["running"]), (201, True))
        self.assertEqual(self.run_container("hello", wanted), (200, first))
        status, other = self.run_container("hello", wanted | {"env": {"APP_INDEX": "2"}})
        self.assertEqual((status, other["env"]), (201, {"APP_INDEX": "2"}))
        self.assertFalse(self.warden._stop(None, "hello")[1]["running"])

    def test_what_could_leave_its_folder_or_its_variables_is_refused(self):
        start = {"start": "exec sleep 60\n"}
        for name, files, env in (
            ("..", start, {}),
            ("a/b", start, {}),
            ("a", start | {"../b": ""}, {}),
            ("a", start | {".profile": ""}, {}),
            ("a", {}, {}),
            ("a", start, {"LD_PRELOAD": "x"}),
            ("a", start, {"APP_X": 1}),
            ("a", start, {"APP_X": "a\0b"}),
        ):
            with self.subTest(name=name, files=files, env=env), self.assertRaises(http.HttpError) as error:
                self.run_container(name, {"files": files, "env": env})
            self.assertEqual(error.exception.status, 400)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_each_has_a_user_of_its_own(self):
        self.run_container("a", {"files": {"start": "exec sleep 60\n"}})
        with self.assertRaisesRegex(http.HttpError, "user.pool_size"):
            self.run_container("b", {"files": {"start": "exec sleep 60\n"}})

    def test_a_system_that_is_not_there_is_told(self):
        wrong = {"server": {"container_depot_path": "/", "container_rootfs_path": "/nothing"},
                 "user": {"pool_start_uid": 1, "pool_size": 1}}
        with self.assertRaisesRegex(SettingsError, "container_rootfs_path"):
            warden.Warden(Settings(wrong, "warden.yml"))


class Files(unittest.TestCase):
    def test_only_what_the_dea_has_is_shown(self):
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        (folder / "app.py").write_text("1234")
        (folder / "link").symlink_to("/etc/passwd")
        server = directory_server.DirectoryServer(
            Settings({"directory_server": {"file_api_port": 1, "v2_port": 2}}, "dea_ng.yml")
        )
        with mock.patch.object(http, "call", lambda *_: (200, {"hello": str(folder)})):
            self.assertEqual(server._apps(None), (200, ["hello"]))
            shown = server._files(None, "hello")[1]["files"]
            self.assertEqual(shown, [{"path": "app.py", "bytes": 4}])
            with self.assertRaisesRegex(http.HttpError, "no application"):
                server._files(None, "..")
        with self.assertRaisesRegex(http.HttpError, "the dea"):
            server._apps(None)


class Jobs(unittest.TestCase):
    """The gateway's queue, against a server that speaks as Redis does."""

    def answering(self, answer):
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        heard = []

        def serve():
            connection = listener.accept()[0]
            heard.append(connection.recv(4096))
            connection.sendall(answer)
            connection.close()

        threading.Thread(target=serve, daemon=True).start()
        return mysql_gateway.Queue("127.0.0.1", listener.getsockname()[1], "jobs"), heard

    def test_words_are_sent_by_their_length(self):
        queue, heard = self.answering(b":1\r\n")
        queue.add("é\r\nDEL")
        self.assertEqual(heard, ["*3\r\n$5\r\nRPUSH\r\n$4\r\njobs\r\n$7\r\né\r\nDEL\r\n".encode()])

    def test_what_goes_wrong_is_told(self):
        for answer, told in ((b"-NOAUTH log in\r\n", "NOAUTH"), (b"", "nothing")):
            queue, _ = self.answering(answer)
            with self.assertRaisesRegex(mysql_gateway.QueueError, told):
                queue.ping()
        with self.assertRaisesRegex(mysql_gateway.QueueError, "no redis at 127.0.0.1:1"):
            mysql_gateway.Queue("127.0.0.1", 1, "jobs").ping()


class Databases(unittest.TestCase):
    SETTINGS = {
        "default_version": "5.5",
        "mysql": {"5.5": {"host": "h", "port": 3306, "user": "root", "pass": "se'cret", "mysql_bin": "/bin/mysql"}},
    }

    def call(self, returncode, said=""):
        """Runs a statement; returns how the client was called."""
        done = SimpleNamespace(returncode=returncode, stderr=said)
        with mock.patch.object(mysql_node.subprocess, "run", return_value=done) as run:
            mysql_node.Server(Settings(self.SETTINGS, "mysql_node.yml")).run("SELECT 1;")
        return run.call_args

    def test_the_password_is_no_argument(self):
        called = self.call(0)
        self.assertNotIn("se'cret", " ".join(called.args[0]))
        self.assertEqual(called.kwargs["env"]["MYSQL_PWD"], "se'cret")
        self.assertEqual(called.kwargs["input"], "SELECT 1;")

    def test_who_is_refused_does_not_wait(self):
        with self.assertRaises(mysql_node.RefusedError):
            self.call(1, "ERROR 1045 (28000): Access denied for user 'root'@'h'")
        with self.assertRaisesRegex(mysql_node.MysqlError, "Can't connect"):
            self.call(1, "ERROR 2002 (HY000): Can't connect\nto server")

    def test_nothing_of_a_request_is_in_the_sql(self):
        node = mysql_node.MysqlNode.__new__(mysql_node.MysqlNode)
        node.node_id, node.server = "mysql_node_free_1", mock.Mock(host="h", port=3306)
        made = node._make()
        sql = node.server.run.call_args.args[0]
        self.assertRegex(sql, r"\ACREATE DATABASE d[0-9a-f]{16} CHARACTER SET utf8;GRANT ALL [^;]+;\Z")
        self.assertIn(made["database"], sql)
        self.assertLessEqual(len(made["user"]), 16, "MySQL 5.5 takes no longer names")


if __name__ == "__main__":
    unittest.main()
