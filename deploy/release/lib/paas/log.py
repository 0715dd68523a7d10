"""Log lines on standard output, and the one way to die.

systemd appends them to ~/build_dir/log/<component>.log. A fatal line begins
with `FATAL:`, so that whoever started the component can find the reason
without knowing the component.
"""

import os
import sys
import time
from typing import NoReturn


def _line(text: str) -> None:
    # In one piece, or the lines of two threads could be mixed.
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def info(text: str) -> None:
    _line(f"{_now()} {text}")


def fatal(text: str) -> NoReturn:
    """Say why and stop at once; systemd tries again a little later.

    `os._exit`, because `sys.exit` in a thread would end only that thread.
    """
    _line(f"FATAL: {text} [{_now()}]")
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
