"""Log lines as Cloud Foundry's components write them, and the one way to die.

Each line is a JSON object with `timestamp` (seconds since 1970), `log_level`, `source`, `message` and
`data`; those of uaa are plain, as Java writes them. They go to the file that the configuration names; until that is known, to standard output.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any, NoReturn, TextIO

_LEVELS = ("off", "fatal", "error", "warn", "info", "debug", "debug1", "debug2")

_output: TextIO | None = None
_level = "debug"
_component = "stand_in"
_plain = False


def begin(component: str, file: str, level: str = "info", plain: bool = False) -> None:
    """Writes to `file` from now on what is at least as important as `level`."""
    global _output, _level, _component, _plain
    _component, _level, _plain = component, level if level in _LEVELS else "info", plain
    if file:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        _output = open(file, "a", encoding="utf-8")


def write(level: str, text: str, source: str = "", **data: Any) -> None:
    if _LEVELS.index(level) > _LEVELS.index(_level):
        return
    line = (_plain_line if _plain else _json_line)(time.time(), level, text, source or _component, data)
    output = _output or sys.stdout
    # In one piece, or the lines of two threads could be mixed.
    output.write(line + "\n")
    output.flush()


def _json_line(moment: float, level: str, text: str, source: str, data: dict[str, Any]) -> str:
    line = {"timestamp": moment, "message": text, "log_level": level, "source": source, "data": data}
    return json.dumps(line | {"thread_id": threading.get_ident(), "process_id": os.getpid()})


def _plain_line(moment: float, level: str, text: str, source: str, _: dict[str, Any]) -> str:
    clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment)) + f".{int(moment * 1000) % 1000:03}"
    thread = threading.current_thread().name
    return f"[{clock}] {_component} - {os.getpid()} [{thread}] .... {level.upper():>5} --- {source}: {text}"


def debug(text: str, source: str = "", **data: Any) -> None:
    write("debug", text, source, **data)


def info(text: str, source: str = "", **data: Any) -> None:
    write("info", text, source, **data)


def warn(text: str, source: str = "", **data: Any) -> None:
    write("warn", text, source, **data)


class _Ending:
    """What is still to be done when the process dies by `fatal`."""

    steps: list[Any] = []


def at_fatal(step: Any) -> None:
    _Ending.steps.append(step)


def fatal(text: str) -> NoReturn:
    """Says why, in the log and on standard error, and stops at once.

    `os._exit`, because `sys.exit` in a thread would end only that thread.
    """
    try:
        write("fatal", text)
        sys.stderr.write(f"{_component}: {text}\n")
        sys.stderr.flush()
        for step in _Ending.steps:
            step()
    finally:
        os._exit(1)


class Changes:
    """Logs a condition when it changes, not each time it is looked at."""

    def __init__(self, subject: str) -> None:
        self._subject = subject
        self._last: str | None = None

    def note(self, state: str) -> None:
        if state != self._last:
            self._last = state
            info(f"{self._subject}: {state}")
