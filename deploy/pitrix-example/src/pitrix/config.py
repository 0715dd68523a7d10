"""Reads /etc/pitrix/server.yaml and client.yaml."""

import json
import os
import sys

MODES = ("active-standby", "active-active")

# Where each service listens unless server.yaml's `ports:` says otherwise.
PORTS = {
    "api": 7777,
    "ws": 8565,
    "zone_watcher": 7781,
    "billing_daemon": 7782,
    "scheduler_server": 7783,
    "billing_resource": 7784,
    "fg_server": 7785,
}


class ConfigError(Exception):
    pass


def _path():
    return os.environ.get("PITRIX_CONFIG", "/etc/pitrix/server.yaml")


def _read_yaml(path):
    """The document as a dict.

    It is parsed in a child that ends at once: PyYAML's code would otherwise
    stay in this process's memory for good, for a file read once. (Called
    before any thread is started, so forking is safe.)
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            import yaml

            with open(path, encoding="utf-8") as file:
                answer = {"document": yaml.safe_load(file)}
        except Exception as error:
            # Only the place of a syntax error: its text could show a password.
            mark = getattr(error, "problem_mark", None)
            text = f"bad YAML in line {mark.line + 1}" if mark else str(error)
            answer = {"error": text}
        try:
            with os.fdopen(writer, "w") as pipe:
                json.dump(answer, pipe, default=str)
        finally:
            os._exit(0)  # whatever happens, the child never becomes a service
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    answer = json.loads(text) if text else {"error": "the reader died"}
    if "error" in answer:
        raise ConfigError(f"{path}: {answer['error']}")
    if not isinstance(answer["document"], dict):
        raise ConfigError(f"{path}: isn't a mapping")
    return answer["document"]


def server():
    path = _path()
    config = _read_yaml(path)
    missing = [
        key
        for key in ("room", "address", "rooms", "mode", "database", "memcached", "zookeeper")
        if config.get(key) is None
    ]
    if missing:
        raise ConfigError(f"{path}: {', '.join(missing)} missing")
    if config["mode"] not in MODES:
        raise ConfigError(f"{path}: mode is {config['mode']}; it can be {' or '.join(MODES)}")
    if config["room"] not in config["rooms"]:
        raise ConfigError(f"{path}: room {config['room']} isn't one of rooms")
    if not isinstance(config["database"], dict):
        raise ConfigError(f"{path}: database isn't a mapping")
    lacking = [key for key in ("host", "name", "user") if not config["database"].get(key)]
    if lacking:
        raise ConfigError(f"{path}: database: {', '.join(lacking)} missing")
    return config


def client():
    """client.yaml lies beside server.yaml. Without it there are no zones."""
    path = os.path.join(os.path.dirname(_path()), "client.yaml")
    if not os.path.exists(path):
        return {}
    return _read_yaml(path)


def port(config, name):
    ports = dict(PORTS, io_server=config.get("io_port", 8000))
    ports.update(config.get("ports") or {})
    # The offset lets a second copy run on a machine whose ports are taken.
    return int(ports[name]) + int(os.environ.get("PITRIX_PORT_OFFSET") or 0)


def server_or_exit():
    try:
        return server(), client()
    except ConfigError as error:
        sys.exit(f"pitrix: {error}")
