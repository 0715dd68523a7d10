//! What a value may look like: the vocabulary of the table in `keys`.
//!
//! The reader checks these shapes, the JSON Schema is made from them, and both see one table, so
//! they can't drift apart.

/// The shape of a value.
pub(super) enum Shape {
    /// `true` or `false`.
    Bool,
    /// A whole number of at least `min`.
    Count { min: u64 },
    /// A TCP port.
    Port,
    /// A text that follows a rule.
    Text(&'static TextRule),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list with at least one item.
    List(&'static Shape),
    /// A list that may be empty.
    Items(&'static Shape),
    /// Any plain data.
    Data,
    /// A mapping with known keys.
    Map(&'static Keys),
    /// A mapping from names that follow a rule to values.
    Named(&'static TextRule, &'static Shape),
    /// A mapping from component names to values.
    Components(&'static Shape),
    /// A mapping from names to any plain data.
    Vars,
    /// One of these shapes; no two of them are of the same kind.
    Any(&'static [Shape]),
}

/// The keys of a mapping.
pub(super) struct Keys {
    /// What the mapping is called in messages.
    pub what: &'static str,
    pub keys: &'static [Key],
    /// Exactly one of these must be there (if there are any).
    pub exactly_one: &'static [&'static str],
    /// The first may not be there without the second.
    pub together: &'static [(&'static str, &'static str)],
    /// Keys that somebody may try, with the reason why they aren't there.
    pub refused: &'static [(&'static str, &'static str)],
    /// Whether keys that begin with `x-` are passed over: a place for anchors.
    pub has_extensions: bool,
    /// Why a plain text in place of the mapping isn't taken.
    pub no_text: Option<&'static str>,
}

/// A key of a mapping.
pub(super) struct Key {
    pub name: &'static str,
    /// One sentence for editors and the reference.
    pub about: &'static str,
    pub shape: Shape,
    pub required: bool,
}

/// A rule that a text follows, as a function for the reader and as a pattern for editors.
pub(super) struct TextRule {
    /// What it is, with an article.
    pub expected: &'static str,
    /// The same as a regular expression; `None` where `holds` alone knows.
    pub pattern: Option<&'static str>,
    pub holds: fn(&str) -> bool,
}

impl Shape {
    /// What the shape is in words, to follow "expected".
    pub fn expected(&self) -> String {
        match self {
            Shape::Bool => "true or false".into(),
            Shape::Count { min } => format!("a whole number from {min}"),
            Shape::Port => "a port: a number from 1 to 65535".into(),
            Shape::Text(rule) => rule.expected.into(),
            Shape::Choice(words) => format!("one of {}", words.join(", ")),
            Shape::List(item) | Shape::Items(item) => {
                format!("a list, each item {}", item.expected())
            }
            Shape::Map(keys) => {
                let names: Vec<_> = keys.keys.iter().map(|k| k.name).collect();
                format!("a mapping with {}", names.join(", "))
            }
            Shape::Data => "a text, a number, true or false, a list or a mapping".into(),
            Shape::Named(_, item) => format!("a mapping from names, each to {}", item.expected()),
            Shape::Components(_) => "a mapping from component names to their settings".into(),
            Shape::Vars => "a mapping from names to values".into(),
            Shape::Any(shapes) => {
                let words: Vec<_> = shapes.iter().map(Shape::expected).collect();
                words.join(", or ")
            }
        }
    }
}

/// A path on this machine.
pub(super) const PATH: TextRule = TextRule {
    expected: "a path: absolute, from `~/`, or relative to this file's folder",
    pattern: Some("^([^~]|~$|~/)"),
    holds: |s| !s.is_empty() && (!s.starts_with('~') || s == "~" || s.starts_with("~/")),
};

/// A command line for this machine's shell.
pub(super) const COMMAND_LINE: TextRule = TextRule {
    expected: "a command line for the shell of this machine, such as `sops -d secret.yml`",
    pattern: Some("."),
    holds: |s| !s.trim().is_empty() && !s.contains('\0'),
};

/// The cluster's name; it names a folder too.
pub(super) const CLUSTER: TextRule = TextRule {
    expected: "a name of letters, digits, `.`, `_` and `-`, at most 64, a letter or digit first",
    pattern: Some("^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"),
    holds: |s| {
        s.len() <= 64
            && s.starts_with(|c: char| c.is_ascii_alphanumeric())
            && s.chars()
                .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    },
};

/// The name of a component or job.
pub(super) const COMPONENT: TextRule = TextRule {
    expected: "a name of lower-case letters, digits and `_`, a letter first",
    pattern: Some("^[a-z][a-z0-9_]*$"),
    holds: |s| {
        s.starts_with(|c: char| c.is_ascii_lowercase())
            && s.chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    },
};

/// The name of a room or zone; PostgreSQL's replication slots are named after rooms.
pub(super) const ROOM: TextRule = TextRule {
    expected: "a name of lower-case letters, digits and `_`, a letter first, at most 32",
    pattern: Some("^[a-z][a-z0-9_]{0,31}$"),
    holds: |s| s.len() <= 32 && (COMPONENT.holds)(s),
};

/// The name of a template's value, or of an environment variable.
pub(super) const VARIABLE: TextRule = TextRule {
    expected: "a name of letters, digits and `_`, no digit first",
    pattern: Some("^[A-Za-z_][A-Za-z0-9_]*$"),
    holds: |s| {
        s.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && s.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    },
};

/// A host's address.
pub(super) const ADDRESS: TextRule = TextRule {
    expected: "an IPv4 or IPv6 address",
    pattern: None,
    holds: |s| super::address::parse(s).is_some(),
};

/// A login name.
pub(super) const USER: TextRule = TextRule {
    expected: "a login name: letters, digits, `.`, `_` and `-`, not only digits, no `.` or `-` first; \
               a directory's as DOMAIN\\name or name@realm",
    pattern: Some(
        r"^([A-Za-z0-9][A-Za-z0-9._-]*\\)?[0-9]*[A-Za-z_][A-Za-z0-9._-]*(@[A-Za-z0-9][A-Za-z0-9._-]*)?$",
    ),
    holds: is_user,
};

/// A host to go through.
pub(super) const JUMP: TextRule = TextRule {
    expected: "[user@]host[:port], an IPv6 address in brackets if a port follows",
    pattern: None,
    holds: |s| super::address::parse_jump(s).is_some(),
};

/// The name of a Debian package.
// A name that ends in a minus sign tells apt to remove the package.
pub(super) const PACKAGE: TextRule = TextRule {
    expected: "a Debian package as apt takes it: `name`, `name:architecture` or `name=version`",
    pattern: Some(
        "^[a-z0-9][a-z0-9+.-]*[a-z0-9+.](:[a-z][a-z0-9-]*)?(=[0-9A-Za-z][0-9A-Za-z.+~:-]*)?$",
    ),
    holds: |s| {
        let (name, version) = s.split_once('=').map_or((s, None), |(n, v)| (n, Some(v)));
        let (name, architecture) = name
            .split_once(':')
            .map_or((name, None), |(n, a)| (n, Some(a)));
        let small = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        name.len() >= 2
            && !name.ends_with('-')
            && name.starts_with(small)
            && name.chars().all(|c| small(c) || "+.-".contains(c))
            && architecture.is_none_or(|text| {
                text.starts_with(|c: char| c.is_ascii_lowercase())
                    && text.chars().all(|c| small(c) || c == '-')
            })
            && version.is_none_or(|text| {
                text.starts_with(|c: char| c.is_ascii_alphanumeric())
                    && text
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || ".+~:-".contains(c))
            })
    },
};

/// A SHA-256.
pub(super) const SHA256: TextRule = TextRule {
    expected: "a SHA-256: 64 hexadecimal digits",
    pattern: Some("^[0-9A-Fa-f]{64}$"),
    holds: |s| s.len() == 64 && s.chars().all(|c| c.is_ascii_hexdigit()),
};

/// The address of an archive.
pub(super) const URL: TextRule = TextRule {
    expected: "a URL that begins with http:// or https://",
    pattern: Some("^https?://[!-~]+$"),
    holds: |s| {
        let rest = s
            .strip_prefix("https://")
            .or_else(|| s.strip_prefix("http://"));
        rest.is_some_and(|r| !r.is_empty() && r.chars().all(|c| c.is_ascii_graphic()))
    },
};

/// Something to clone, or to check out: it must not look like an option to git.
pub(super) const GIT: TextRule = TextRule {
    expected: "what git takes: no `-` first, no spaces",
    pattern: Some("^[!-,./-~][!-~]*$"),
    holds: |s| !s.is_empty() && !s.starts_with('-') && s.chars().all(|c| c.is_ascii_graphic()),
};

/// Tells whether a text can be a login name: one that no program takes for an option, a path or a
/// number of an account, and that needs no quoting but in a shell.
pub(super) fn is_user(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let is_part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric()) && part.chars().all(plain)
    };
    let (domain, rest) = match text.split_once('\\') {
        Some((domain, rest)) => (Some(domain), rest),
        None => (None, text),
    };
    let (name, realm) = match rest.split_once('@') {
        Some((name, realm)) => (name, Some(realm)),
        None => (rest, None),
    };
    let is_name = name
        .trim_start_matches(|c: char| c.is_ascii_digit())
        .starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    is_name && name.chars().all(plain) && domain.is_none_or(is_part) && realm.is_none_or(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULES: [&TextRule; 12] = [
        &PATH, &CLUSTER, &COMPONENT, &ROOM, &VARIABLE, &ADDRESS, &USER, &JUMP, &PACKAGE, &SHA256,
        &URL, &GIT,
    ];

    fn agree(rule: &TextRule, text: &str) {
        if let Some(pattern) = rule.pattern {
            let matches = regex::Regex::new(pattern).unwrap().is_match(text);
            assert_eq!((rule.holds)(text), matches, "{text:?} as {}", rule.expected);
        }
    }

    #[test]
    fn functions_and_patterns_agree_on_the_edges() {
        let sha = "0123456789abcdefABCDEF0123456789abcdefABCDEF0123456789abcdefABCD";
        for rule in RULES {
            for text in [
                "",
                "a",
                "ab",
                "-a",
                "_",
                "0",
                "a-b",
                "A",
                "~",
                "~/x",
                "~x",
                "a b",
                "a\n",
                "é",
                "http://",
                "http://x",
                "https://x y",
                "ftp://x",
                "libc6+x.y",
                "libc6-",
                "g++",
                "libc6:amd64",
                "libc6:",
                "nginx=1.22.1-9+deb12u1",
                "nginx=1:2~rc1",
                "nginx=",
                "nginx/bookworm",
                "libc6:i386=2.36",
                "a_b",
                sha,
            ] {
                agree(rule, text);
            }
        }
    }

    proptest! {
        #[test]
        fn functions_and_patterns_agree(text in "[ -~é\n]{0,8}") {
            for rule in RULES {
                agree(rule, &text);
            }
        }
    }
}
