"""What test.py needs to run: a scratch PostgreSQL, services, a fake memcached."""

import glob
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.join(HERE, "src")
# The newest that is installed.
POSTGRES = max(glob.glob("/usr/lib/postgresql/*/bin") or [""], key=lambda path: (len(path), path))
PASSWORD = "never-in-a-log"


def python_with(*modules):
    """A Python that has them: Debian's, perhaps, rather than the one in PATH."""
    for python in (sys.executable, "/usr/bin/python3"):
        done = subprocess.run([python, "-c", f"import {', '.join(modules)}"], capture_output=True)
        if done.returncode == 0:
            return python
    return None


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait(condition, seconds=15):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("waited in vain")
        time.sleep(0.05)


class Scratch:
    """A PostgreSQL of its own, never run by root: it refuses to be."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="pitrix-test-")
        self.port = free_port()
        self.user = {"user": "nobody", "group": "nogroup", "extra_groups": []}
        if os.getuid() == 0:
            shutil.chown(self.folder, "nobody", "nogroup")
        else:
            self.user = {}
        secret = os.path.join(self.folder, "secret")
        with open(secret, "w", encoding="utf-8") as file:
            file.write(PASSWORD)
        os.chmod(secret, 0o644)
        self.data = os.path.join(self.folder, "data")
        self.tool("initdb", "-U", "ks", "-A", "scram-sha-256", f"--pwfile={secret}", "-N")
        self.start()

    def start(self):
        options = f"-p {self.port} -k {self.folder} -h 127.0.0.1 -F"
        self.tool("pg_ctl", "-w", "-o", options, "-l", self.data + "/log", "start")

    def stop(self):
        self.tool("pg_ctl", "-w", "-m", "immediate", "stop")

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder)

    def tool(self, name, *arguments):
        command = [f"{POSTGRES}/{name}", "-D", self.data, *arguments]
        subprocess.run(
            command, check=True, cwd=self.folder, stdout=subprocess.DEVNULL, **self.user
        )

    def sql(self, *queries):
        command = [f"{POSTGRES}/psql", "-XAtq", "-h", "127.0.0.1", "-p", str(self.port)]
        command += ["-U", "ks", "-d", "postgres", "-v", "ON_ERROR_STOP=1"]
        for query in queries:
            command += ["-c", query]
        # The test itself neither waits for standbys nor is read-only.
        options = "-c synchronous_commit=local -c default_transaction_read_only=off"
        environment = dict(os.environ, PGPASSWORD=PASSWORD, PGOPTIONS=options)
        done = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
        return done.stdout.strip()

    def configure(self, name, value):
        reset = f"ALTER SYSTEM RESET {name}"
        change = reset if value is None else f"ALTER SYSTEM SET {name} = '{value}'"
        self.sql(change, "SELECT pg_reload_conf()")
        wait(lambda: value in (None, self.sql(f"SHOW {name}")) or "read_only" in name)
        time.sleep(0.3)  # for the sessions that are open already


class Services:
    def __init__(self, python, database_port, folder, mode="active-standby"):
        self.python = python
        self.path = os.path.join(folder, "server.yaml")
        names = ("api", "ws", "zone_watcher", "billing_resource", "fg_server", "io_server")
        self.ports = {name: free_port() for name in names}
        self.memcached = FakeMemcached()
        config = {
            "room": "global1a",
            "address": "127.0.0.1",
            "rooms": ["global1a", "global2a"],
            "mode": mode,
            "database": {
                "host": "127.0.0.1",
                "port": database_port,
                "name": "postgres",
                "user": "ks",
                "password": PASSWORD,
            },
            "memcached": [self.memcached.address],
            "zookeeper": ["127.0.0.1:1"],
            "ports": self.ports,
        }
        # JSON is YAML.
        with open(self.path, "w", encoding="utf-8") as file:
            json.dump(config, file)
        with open(os.path.join(folder, "client.yaml"), "w", encoding="utf-8") as file:
            json.dump({"zones": {"alpha": "global1a"}}, file)
        self.log = os.path.join(folder, "log")
        self.running = []

    def start(self, name, port):
        code = f"from pitrix.{name} import main; main()"
        environment = dict(os.environ, PITRIX_CONFIG=self.path, PYTHONPATH=SOURCE)
        environment.pop("PITRIX_PORT_OFFSET", None)
        with open(self.log, "ab") as log:
            child = subprocess.Popen([self.python, "-B", "-c", code], env=environment, stderr=log)
        self.running.append(child)
        wait(lambda: child.poll() is not None or self.ask(port, "/alive")[0] == 200)
        return child

    def ask(self, port, path, method="GET"):
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports[port]}{path}", method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def get(self, path, port="api"):
        status, text = self.ask(port, path)
        return status, json.loads(text)

    def post(self, path):
        status, text = self.ask("api", path, "POST")
        return status, json.loads(text)

    def stop(self):
        for child in self.running:
            child.kill()
            child.wait()
        self.memcached.close()


class FakeMemcached:
    """As much of memcached as the client asks for."""

    def __init__(self):
        self.values = {}
        self.silent = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link):
        with link, link.makefile("rwb") as stream:
            for line in stream:
                if self.silent:
                    continue
                words = line.decode().split()
                if words[0] == "set":
                    self.values[words[1]] = stream.read(int(words[4]) + 2)[:-2].decode()
                    stream.write(b"STORED\r\n")
                elif words[0] == "delete":
                    there = self.values.pop(words[1], None) is not None
                    stream.write(b"DELETED\r\n" if there else b"NOT_FOUND\r\n")
                else:
                    value = self.values.get(words[1])
                    if value is not None:
                        data = value.encode()
                        head = f"VALUE {words[1]} 0 {len(data)}\r\n".encode()
                        stream.write(head + data + b"\r\n")
                    stream.write(b"END\r\n")
                stream.flush()
