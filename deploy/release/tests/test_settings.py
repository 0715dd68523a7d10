import unittest

from support import RELEASE
from paas.settings import Settings, SettingsError, parse

EXAMPLE = """\
---
# a comment
port: 8080        # another
uaa:
  url: http://10.1.59.187:8080
  deep:
    # inside
    er: yes
empty:
quoted: 'it''s # no comment'
double: "a \\"b\\" \\u00e9"
hash: a#b
password: 0123
"""


class Reading(unittest.TestCase):
    def test_values_keep_their_text(self):
        self.assertEqual(
            parse(EXAMPLE, "x"),
            {
                "port": "8080",
                "uaa.url": "http://10.1.59.187:8080",
                "uaa.deep.er": "yes",
                "empty": "",
                "quoted": "it's # no comment",
                "double": 'a "b" é',
                "hash": "a#b",
                "password": "0123",
            },
        )

    def test_what_is_not_understood_is_refused_with_its_line(self):
        for text, told in {
            "a: 1\na: 2": "x:2: the key 'a' is there twice",
            "a:\n  b: 1\na:\n  c: 1": "x:3: the key 'a' is there twice",
            "a: 1\n  b: 2": "x:2: the indentation",
            "a:\n   b: 2": "x:2: the indentation",
            "a:\n    b: 2": "x:2: the indentation",
            "  a: 1": "x:1: the indentation",
            "\ta: 1": "x:1: expected 'key: value'",
            "a:1": "x:1: expected 'key: value'",
            "a: [1, 2]": "x:1: only mappings of scalars",
            "a: - b": "x:1: only mappings of scalars",
            "- a": "x:1: expected 'key: value'",
            "a: &b c": "x:1: only mappings of scalars",
            "a: 'b": "x:1: the quoted value does not end",
            "a: 'b' c": "x:1: the quoted value does not end",
            'a: "\\q"': "x:1: a bad escape",
            "a: b: c": "x:1: a plain value may not contain",
            "a: <%= @ip %>": "x:1: a template mark",
        }.items():
            with self.subTest(text), self.assertRaises(SettingsError) as caught:
                parse(text, "x")
            self.assertTrue(str(caught.exception).startswith(told), str(caught.exception))


class Getters(unittest.TestCase):
    def setUp(self):
        text = "port: 80\nbig: 70000\nbus: nats://u:secret@10.0.0.1:4222\nbad: nats:/x\nnone:\nc:\n  a: 1\n  b: 2"
        self.settings = Settings(parse(text, "x.yml.erb"), "x.yml.erb")

    def test_values(self):
        self.assertEqual(self.settings.port("port"), 80)
        self.assertEqual(self.settings.url("bus", "nats").hostname, "10.0.0.1")
        self.assertEqual(self.settings.mapping("c"), {"a": "1", "b": "2"})

    def test_errors_name_file_and_key_and_hide_urls(self):
        for ask in (
            lambda: self.settings.port("big"),
            lambda: self.settings.integer("bus"),
            lambda: self.settings.text("absent"),
            lambda: self.settings.filled("none"),
            lambda: self.settings.url("bad", "nats"),
        ):
            with self.assertRaisesRegex(SettingsError, r"^x\.yml\.erb: key '\w+': "):
                ask()
        with self.assertRaises(SettingsError) as caught:
            self.settings.url("bus", "http")
        self.assertNotIn("secret", str(caught.exception))


class AsShipped(unittest.TestCase):
    def test_every_configuration_file_can_be_read(self):
        files = sorted(RELEASE.glob("*/jobs/*.yml.erb"))
        self.assertEqual(len(files), 11)
        for path in files:
            with self.subTest(path.name):
                self.assertEqual(path.name, path.parents[1].name + ".yml.erb")
                Settings.load(path)


if __name__ == "__main__":
    unittest.main()
