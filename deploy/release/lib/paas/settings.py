"""Reads a component's configuration file.

The file is called `<component>.yml.erb`, as in the private release, and holds
a small part of YAML: nested mappings of scalars, indented by two spaces;
comments; plain, 'single' and "double" quoted scalars. What is beyond that is
refused with file and line, never guessed at.

A scalar stays the text that was written. Whether `5432` is a number or a
password is known only to the one who asks, so the conversions are in the
getters, and their errors name file and key.
"""

import json
import re
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

_KEY = re.compile(r"( *)([A-Za-z0-9_][A-Za-z0-9_.-]*):(?: +(.*)|)$")
_COMMENT_OR_NOTHING = re.compile(r"\s*(#.*)?$")
_COMMENT_AFTER = re.compile(r"\s+#.*$")
_SINGLE = re.compile(r"'((?:[^']|'')*)'(.*)$")
_DOUBLE = re.compile(r'("(?:[^"\\]|\\.)*")(.*)$')
# A plain scalar may not begin with these: they mean something in YAML.
_INDICATORS = "[]{}&*!|>%@`,?\"'"


class SettingsError(Exception):
    """The file or one of its values is wrong; the text says where and why."""


def _scalar(text: str, where: str) -> str:
    for pattern, decode in (
        (_SINGLE, lambda body: body.replace("''", "'")),
        # YAML's double quoted escapes are a superset of JSON's.
        (_DOUBLE, json.loads),
    ):
        if text[0] == ("'" if pattern is _SINGLE else '"'):
            match = pattern.match(text)
            if not match or not _COMMENT_OR_NOTHING.match(match[2]):
                raise SettingsError(f"{where}: the quoted value does not end on its line")
            try:
                return decode(match[1])
            except ValueError as error:
                raise SettingsError(f"{where}: a bad escape in the value: {error}") from None
    plain = _COMMENT_AFTER.sub("", text).rstrip()
    if plain[0] in _INDICATORS or plain.startswith("- ") or plain == "-":
        raise SettingsError(f"{where}: only mappings of scalars are understood; quote the value")
    if ": " in plain or plain.endswith(":"):
        raise SettingsError(f"{where}: a plain value may not contain ': '; quote it")
    return plain


def parse(text: str, name: str) -> dict[str, str]:
    """The settings of a file as `{"database.port": "5432", …}`."""
    found: dict[str, str] = {}
    mappings: set[str] = set()
    path: list[str] = []  # the keys that lead to the current line
    open_key = False  # whether the line before was a key without a value

    for number, line in enumerate(text.splitlines(), 1):
        where = f"{name}:{number}"
        if _COMMENT_OR_NOTHING.match(line) or (line.rstrip() == "---" and not found):
            continue
        if "<%" in line and not line.lstrip().startswith("#"):
            raise SettingsError(f"{where}: a template mark (<%) was left in the file")
        match = _KEY.match(line.rstrip())
        if not match:
            raise SettingsError(f"{where}: expected 'key: value', found {line.strip()!r}")
        indent, key, rest = match[1], match[2], match[3] or ""
        depth, odd = divmod(len(indent), 2)
        if odd or depth > len(path) - (0 if open_key else 1) and depth > 0:
            raise SettingsError(f"{where}: the indentation does not fit (two spaces a level)")
        path[depth:] = [key]
        dotted = ".".join(path)
        if dotted in found or dotted in mappings:
            raise SettingsError(f"{where}: the key '{dotted}' is there twice")
        open_key = not rest or rest.startswith("#")
        if open_key:
            mappings.add(dotted)
        else:
            found[dotted] = _scalar(rest, where)

    # A key with nothing below it had an empty value after all.
    for dotted in mappings:
        if not any(other.startswith(dotted + ".") for other in (*found, *mappings)):
            found[dotted] = ""
    return found


class Settings:
    """The values of one file, with getters that say what they expect."""

    def __init__(self, values: dict[str, str], name: str) -> None:
        self._values = values
        self._name = name

    @classmethod
    def load(cls, path: Path) -> "Settings":
        name = path.name
        try:
            return cls(parse(path.read_text(encoding="utf-8"), name), name)
        except OSError as error:
            raise SettingsError(f"{path}: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise SettingsError(f"{name}: not UTF-8 at byte {error.start}") from None

    def wrong(self, key: str, why: str) -> SettingsError:
        return SettingsError(f"{self._name}: key '{key}': {why}")

    def text(self, key: str) -> str:
        try:
            return self._values[key]
        except KeyError:
            raise self.wrong(key, "is missing") from None

    def filled(self, key: str) -> str:
        value = self.text(key)
        if not value:
            raise self.wrong(key, "is empty")
        return value

    def integer(self, key: str) -> int:
        value = self.text(key)
        if not re.fullmatch(r"[0-9]{1,9}", value):
            raise self.wrong(key, f"expected a whole number, found {value!r}")
        return int(value)

    def port(self, key: str) -> int:
        value = self.integer(key)
        if not 1 <= value <= 65535:
            raise self.wrong(key, f"expected a port from 1 to 65535, found {value}")
        return value

    def url(self, key: str, scheme: str) -> SplitResult:
        value = self.filled(key)
        try:
            url = urlsplit(value)
            usable = url.scheme == scheme and url.hostname and (url.port or 1) > 0
        except ValueError:
            usable = False
        if not usable:
            # Not the value itself: it may carry a password.
            raise self.wrong(key, f"expected a URL such as {scheme}://HOST:PORT")
        return url

    def mapping(self, key: str) -> dict[str, str]:
        """The scalars directly below `key`."""
        prefix = key + "."
        return {
            name[len(prefix):]: value
            for name, value in self._values.items()
            if name.startswith(prefix) and "." not in name[len(prefix):]
        }
