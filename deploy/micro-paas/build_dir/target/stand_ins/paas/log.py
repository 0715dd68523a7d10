"""Log lines as Cloud Foundry's components write them, and the one way to die.

Each line is a JSON object with `timestamp` (seconds since 1970), `log_level`, `source`, `message` and
`data`. They go to the file that the configuration names; until that is known, to standard output.
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


def begin(component: str, file: str, level: str = "info") -> None:
    """Writes to `file` from now on what is at least as important as `level`."""
    global _output, _level, _component
    _component, _level = component, level if level in _LEVELS else "info"
    if file:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        _output = open(file, "a", encoding="utf-8")


def write(level: str, text: str, source: str = "", **data: Any) -> None:
    if _LEVELS.index(level) > _LEVELS.index(_level):
        return
    line = {
        "timestamp": time.time(),
        "message": text,
        "log_level": level,
        "source": source or _component,
        "data": data,
        "thread_id": threading.get_ident(),
        "process_id": os.getpid(),
    }
    output = _output or sys.stdout
    # In one piece, or the lines of two threads could be mixed.
    output.write(json.dumps(line) + "\n")
    output.flush()


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
