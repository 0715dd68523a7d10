//! Addresses of hosts: what is taken, and what somebody meant who wrote something else.

use std::net::{IpAddr, Ipv6Addr};

use super::shape::is_user;

/// Reads the address of a host; `None` for names, and for addresses that no host can have.
pub(super) fn parse(text: &str) -> Option<IpAddr> {
    let address = text.parse::<IpAddr>().ok()?.to_canonical();
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    let usable = !address.is_unspecified() && !address.is_multicast() && !broadcast;
    usable.then_some(address)
}

/// Guesses what was meant by a text that is no address, and says what to write.
pub(super) fn guess(text: &str) -> String {
    if text.parse::<IpAddr>().is_ok() {
        return "no host can have this address".into();
    }
    if let Some((user, host)) = text.split_once('@')
        && parse(host).is_some()
    {
        return format!("write `{host}` here and `user: {user}` under `ssh`");
    }
    if let Some((host, port)) = text.rsplit_once(':')
        && parse(host.trim_matches(['[', ']'])).is_some()
        && port.parse::<u16>().is_ok()
    {
        let host = host.trim_matches(['[', ']']);
        return format!("write `{host}` here and `port: {port}` under `ssh`");
    }
    if let Some((host, _)) = text.split_once('/')
        && parse(host).is_some()
    {
        return format!("one host, not a network: did you mean `{host}`?");
    }
    if let Some(meant) = repair(text) {
        return format!("did you mean `{meant}`?");
    }
    if text.chars().any(|c| c.is_alphabetic()) && !text.contains(':') {
        return "only IP addresses are taken: names aren't resolved, so that a plan means the \
                same machines tomorrow"
            .into();
    }
    "an IPv4 address has four numbers from 0 to 255, such as 10.1.59.160".into()
}

/// Mends commas, spaces, leading zeros, and numbers with a digit too many.
fn repair(text: &str) -> Option<IpAddr> {
    let cleaned = text.trim_matches(['.', ' ']).replace([',', ' '], ".");
    let numbers: Vec<&str> = cleaned.split('.').filter(|n| !n.is_empty()).collect();
    if numbers.len() != 4
        || !numbers
            .iter()
            .all(|n| n.bytes().all(|b| b.is_ascii_digit()))
    {
        return None;
    }
    let mended = numbers.iter().map(|number| {
        let number = number.trim_start_matches('0');
        match number.parse::<u16>() {
            _ if number.is_empty() => "0",
            Ok(n) if n <= 255 => number,
            Ok(_) if number.len() == 3 => number,
            _ => &number[..number.len() - 1],
        }
    });
    parse(&mended.collect::<Vec<_>>().join("."))
}

/// A host to go through, in its parts: user, host, port.
pub(super) type JumpParts<'a> = (Option<&'a str>, &'a str, Option<u16>);

/// Reads `[user@]host[:port]`; an IPv6 address with a port stands in brackets.
pub(super) fn parse_jump(text: &str) -> Option<JumpParts<'_>> {
    // A directory's account has an `@` of its own.
    let (user, rest) = match text.rsplit_once('@') {
        Some((user, rest)) => (Some(user), rest),
        None => (None, text),
    };
    if user.is_some_and(|u| !is_user(u)) {
        return None;
    }
    let (host, port) = if let Some(inner) = rest.strip_prefix('[') {
        let (host, after) = inner.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        (
            host,
            if after.is_empty() {
                None
            } else {
                Some(after.strip_prefix(':')?)
            },
        )
    } else if rest.parse::<Ipv6Addr>().is_ok() {
        (rest, None)
    } else {
        match rest.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        }
    };
    let port = match port {
        Some(port) => Some(port.parse::<u16>().ok().filter(|p| *p > 0)?),
        None => None,
    };
    let letters = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
    let named = host.starts_with(|c: char| c.is_ascii_alphanumeric() || c == ':');
    (named && host.chars().all(letters)).then_some((user, host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_only_what_a_host_can_have() {
        assert!(parse("10.1.59.160").is_some());
        assert!(parse("fd00::1").is_some());
        assert_eq!(parse("::ffff:10.1.59.160"), parse("10.1.59.160"));
        for text in [
            "",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "255.255.255.255",
            "010.1.1.1",
            "host",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn guesses_what_was_meant() {
        let guesses = [
            "10.1.59.1600",
            "10,1,59,160",
            "10.1.59.160.",
            "10.1.059.160",
            "10.1.59.160:2222",
            "[fd00::1]:2222",
            "root@10.1.59.160",
            "10.1.59.0/24",
            "db1.example.org",
            "10.1.59",
            "0.0.0.0",
            "1.2.3.4.5",
            "10.1.59.256",
        ];
        let said: Vec<_> = guesses
            .iter()
            .map(|g| format!("{g}: {}", guess(g)))
            .collect();
        insta::assert_snapshot!(said.join("\n"));
    }

    #[test]
    fn reads_jump_hosts() {
        assert_eq!(parse_jump("gate"), Some((None, "gate", None)));
        assert_eq!(
            parse_jump("ops@gate:2222"),
            Some((Some("ops"), "gate", Some(2222)))
        );
        assert_eq!(
            parse_jump("[fd00::1]:22"),
            Some((None, "fd00::1", Some(22)))
        );
        assert_eq!(parse_jump("fd00::1"), Some((None, "fd00::1", None)));
        assert_eq!(
            parse_jump(r"EXAMPLE\J.Doe@corp@gate:22"),
            Some((Some(r"EXAMPLE\J.Doe@corp"), "gate", Some(22)))
        );
        for text in [
            "",
            "-oProxyCommand=x",
            "a@-x",
            "-Ops@gate",
            "gate:0",
            "gate:x",
            "[fd00::1",
            "a b",
        ] {
            assert_eq!(parse_jump(text), None, "{text}");
        }
    }
}
