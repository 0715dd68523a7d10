import unittest

import support  # noqa: F401  (finds the library)
from paas.settings import Settings, SettingsError

EXAMPLE = """\
---
port: 80        # a comment
big: 70000
bus: nats://u:secret@10.0.0.1:4222
bad: nats:/x
none:
digits: 123456
secret: "it's # no comment"
domains:
  - a
  - b
one: a
mysql:
  "5.5":
    user: root
"""


class Getters(unittest.TestCase):
    def setUp(self):
        self.settings = Settings.parse(EXAMPLE, "x.yml")

    def test_values(self):
        self.assertEqual(self.settings.port("port"), 80)
        self.assertEqual(self.settings.url("bus", "nats").hostname, "10.0.0.1")
        self.assertEqual(self.settings.text("secret"), "it's # no comment")
        self.assertEqual(self.settings.text("none", "x"), "x")
        self.assertEqual(self.settings.integer("absent", 7), 7)
        self.assertEqual(self.settings.texts("domains"), ["a", "b"])
        self.assertEqual(self.settings.texts("one"), ["a"])
        self.assertEqual(self.settings.text(("mysql", "5.5", "user")), "root")
        self.assertEqual(self.settings.mapping("nothing.there"), {})

    def test_errors_name_file_and_key_and_hide_values(self):
        for ask in (
            lambda: self.settings.port("big"),
            lambda: self.settings.integer("bus"),
            lambda: self.settings.text("absent"),
            lambda: self.settings.text("none"),
            lambda: self.settings.text("digits"),
            lambda: self.settings.url("bad", "nats"),
            lambda: self.settings.url("bus", "http"),
            lambda: self.settings.texts("digits"),
            lambda: self.settings.mapping("bus"),
        ):
            with self.assertRaisesRegex(SettingsError, r"^x\.yml: key '\w+': ") as caught:
                ask()
            self.assertNotIn("secret", str(caught.exception))
            self.assertNotIn("123456", str(caught.exception))

    def test_what_is_no_yaml_is_refused_with_its_line(self):
        for text, told in {
            "a: 1\n b: 2": "x.yml:2: not YAML",
            "a: <%= @ip %>\nb: 'c": "x.yml:2: not YAML",
            "- a": "x.yml: expected keys with values",
            "": "x.yml: expected keys with values",
        }.items():
            with self.subTest(text), self.assertRaises(SettingsError) as caught:
                Settings.parse(text, "x.yml")
            self.assertTrue(str(caught.exception).startswith(told), str(caught.exception))


if __name__ == "__main__":
    unittest.main()
