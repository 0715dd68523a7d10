//! What can be typed about the lab beyond words.

use std::net::IpAddr;
use std::str::FromStr;

use paas_cluster_build::lab::Suite;

/// A Debian release for some machines, or for all that no other choice names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuiteChoice {
    /// The release.
    pub suite: Suite,
    /// The machines' addresses; none stands for all.
    pub hosts: Vec<IpAddr>,
}

impl FromStr for SuiteChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<SuiteChoice, String> {
        let (suite, hosts) = match text.split_once(':') {
            Some((suite, hosts)) => (suite, hosts.split(',').map(host).collect::<Result<_, _>>()?),
            None => (text, Vec::new()),
        };
        Ok(SuiteChoice {
            suite: suite.parse()?,
            hosts,
        })
    }
}

fn host(text: &str) -> Result<IpAddr, String> {
    let address = text.parse();
    address.map_err(|_| {
        format!("{text:?} isn't an address; as in `--suite trixie:10.1.59.160,10.1.59.170`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_for_all_or_for_some() {
        let all = "trixie".parse::<SuiteChoice>().unwrap();
        assert_eq!((all.suite, all.hosts.len()), (Suite::Trixie, 0));
        let some: SuiteChoice = "bookworm:10.0.0.1,10.0.0.2".parse().unwrap();
        assert_eq!((some.suite, some.hosts.len()), (Suite::Bookworm, 2));
        for wrong in ["", "buster", "trixie:", "trixie:web", "10.0.0.1=trixie"] {
            assert!(wrong.parse::<SuiteChoice>().is_err(), "{wrong}");
        }
    }
}
