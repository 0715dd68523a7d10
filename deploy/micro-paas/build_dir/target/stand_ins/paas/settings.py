"""Reads a component's rendered configuration: YAML in the shape of the release's own templates.

A key is given by its names from the outside in, joined by dots, or as a tuple where a name has a dot
of its own: `text("bulk_api.auth_user")`, `text(("mysql", "5.5", "host"))`. Errors name file and key
and what was expected, and never show a value that may be a secret.

A password has to be text: one of digits that isn't quoted is a number to every reader of YAML, and
is refused here as the real components refuse it.
"""

from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import yaml

Key = str | tuple[str, ...]


class SettingsError(Exception):
    """The file or one of its values is wrong; the text says where and why."""


def _names(key: Key) -> tuple[str, ...]:
    return tuple(key.split(".")) if isinstance(key, str) else key


class Settings:
    """The values of one file, with getters that say what they expect."""

    def __init__(self, values: dict[str, Any], name: str) -> None:
        self._values = values
        self.name = name

    @classmethod
    def parse(cls, text: str, name: str) -> "Settings":
        try:
            values = yaml.safe_load(text)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f":{mark.line + 1}" if mark else ""
            problem = getattr(error, "problem", None) or "it can't be read"
            raise SettingsError(f"{name}{line}: not YAML: {problem}") from None
        if not isinstance(values, dict):
            raise SettingsError(f"{name}: expected keys with values")
        return cls(values, name)

    @classmethod
    def load(cls, path: Path) -> "Settings":
        try:
            return cls.parse(path.read_text(encoding="utf-8"), path.name)
        except OSError as error:
            raise SettingsError(f"{path}: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise SettingsError(f"{path.name}: not UTF-8 at byte {error.start}") from None

    def wrong(self, key: Key, why: str) -> SettingsError:
        return SettingsError(f"{self.name}: key '{'.'.join(_names(key))}': {why}")

    def value(self, key: Key) -> Any:
        """Whatever the key has; None where it has nothing or isn't there."""
        found: Any = self._values
        for name in _names(key):
            if not isinstance(found, dict):
                return None
            found = found.get(name)
        return found

    def _present(self, key: Key) -> Any:
        value = self.value(key)
        if value is None:
            raise self.wrong(key, "is missing or empty")
        return value

    def text(self, key: Key, otherwise: str | None = None) -> str:
        """A text; `otherwise` where the key has nothing."""
        if otherwise is not None and self.value(key) is None:
            return otherwise
        value = self._present(key)
        if not isinstance(value, str):
            raise self.wrong(key, f"expected text, found a {type(value).__name__}; quote it")
        return value

    def integer(self, key: Key, otherwise: int | None = None) -> int:
        if otherwise is not None and self.value(key) is None:
            return otherwise
        value = self._present(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self.wrong(key, "expected a whole number")
        return value

    def port(self, key: Key) -> int:
        value = self.integer(key)
        if not 1 <= value <= 65535:
            raise self.wrong(key, f"expected a port from 1 to 65535, found {value}")
        return value

    def url(self, key: Key, scheme: str) -> SplitResult:
        try:
            url = urlsplit(self.text(key))
            usable = url.scheme == scheme and url.hostname and (url.port or 1) > 0
        except ValueError:
            usable = False
        if not usable:
            # Not the value itself: it may carry a password.
            raise self.wrong(key, f"expected a URL such as {scheme}://HOST:PORT")
        return url

    def mapping(self, key: Key) -> dict[str, Any]:
        """What is below `key`; nothing where it isn't there."""
        value = self.value(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.wrong(key, "expected keys with values")
        return value

    def texts(self, key: Key) -> list[str]:
        """A list of texts, which may be written as one text."""
        value = self._present(key)
        values = value if isinstance(value, list) else [value]
        if not values or not all(isinstance(item, str) and item for item in values):
            raise self.wrong(key, "expected a text or a list of texts")
        return values
