//! The Debian releases that machines can have, and what the lab does differently for each.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::Error;

/// A Debian release of a machine. It is chosen when the machine is made and stays.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Suite {
    /// Debian 12, which machines have where nothing else is asked for.
    #[default]
    Bookworm,
    /// Debian 13.
    Trixie,
}

impl Suite {
    /// Every release that the lab can boot, the oldest first.
    pub const ALL: [Suite; 2] = [Suite::Bookworm, Suite::Trixie];

    /// The release's name in Debian's archive.
    pub fn name(self) -> &'static str {
        match self {
            Suite::Bookworm => "bookworm",
            Suite::Trixie => "trixie",
        }
    }

    /// The release of new machines for which none was chosen: what `PAAS_LAB_SUITE` says, or
    /// Debian 12. An error where it says something else.
    pub(super) fn usual() -> Result<Suite, Error> {
        match std::env::var("PAAS_LAB_SUITE") {
            Ok(name) if !name.is_empty() => {
                let parsed = name.parse::<Suite>();
                parsed.map_err(|why| Error::Refused(vec![format!("PAAS_LAB_SUITE: {why}")]))
            }
            _ => Ok(Suite::default()),
        }
    }

    /// Says whether its systemd refuses to start on the cgroup hierarchies of version 1: from 256
    /// on, it takes version 2 only, whatever the computer itself runs on.
    pub(super) fn needs_cgroup2(self) -> bool {
        self >= Suite::Trixie
    }

    /// Says whether its installer writes apt's sources as paragraphs, in a `.sources` file.
    pub(super) fn has_sources_file(self) -> bool {
        self >= Suite::Trixie
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for Suite {
    type Err = String;

    fn from_str(text: &str) -> Result<Suite, String> {
        let found = Suite::ALL.into_iter().find(|suite| suite.name() == text);
        found.ok_or_else(|| {
            let known = Suite::ALL.map(Suite::name).join(" or ");
            format!("the lab boots {known}, not {text:?}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_is_named_as_in_the_archive() {
        for suite in Suite::ALL {
            assert_eq!(suite.name().parse(), Ok(suite));
            let written = serde_json::to_string(&suite).unwrap();
            assert_eq!(written, format!("\"{suite}\""));
        }
        let error = "buster".parse::<Suite>().unwrap_err();
        assert!(error.contains("bookworm or trixie"), "{error}");
    }
}
