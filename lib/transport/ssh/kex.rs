//! Why there was no common method in a key exchange: what the server offers beside what libssh2 has.
//! libssh2 doesn't tell the server's list, so it is read anew: it's the first thing that a server
//! sends, and in the clear.

use std::io::{self, Read, Write};

use ssh2::{MethodType, Session};

/// The lists of a server, in the order of RFC 4253, section 7.1; those for the other direction are
/// the same with every server that is known.
const LISTS: [(&str, usize, MethodType); 4] = [
    ("key exchange", 0, MethodType::Kex),
    ("host key", 1, MethodType::HostKey),
    ("cipher", 3, MethodType::CryptSc),
    ("MAC", 5, MethodType::MacSc),
];

/// A packet of this kind lists a side's methods.
const KEXINIT: u8 = 20;
/// RFC 4253 asks for 35,000 bytes; no list is longer.
const LONGEST_PACKET: usize = 35_000;
/// The longest line of a version, and how many lines may stand before it.
const LONGEST_LINE: usize = 1024;
const MOST_LINES: usize = 64;

/// Ciphers that bring their own MAC, so that no common one is needed.
const AUTHENTICATED: [&str; 2] = ["-gcm@openssh.com", "chacha20-poly1305@openssh.com"];

/// Reads what a server offers from a fresh connection.
pub(super) fn offers(mut wire: impl Read + Write) -> io::Result<Vec<String>> {
    wire.write_all(b"SSH-2.0-paas_cluster_build\r\n")?;
    for _ in 0..MOST_LINES {
        if line(&mut wire)?.starts_with(b"SSH-") {
            return read_lists(&packet(&mut wire)?).ok_or_else(strange);
        }
    }
    Err(strange())
}

/// Says for each kind without a common method what each side has.
pub(super) fn compare(session: &Session, offers: &[String]) -> Option<String> {
    let mut differences = Vec::new();
    for (what, index, kind) in LISTS {
        let theirs: Vec<&str> = offers.get(index)?.split(',').collect();
        let ours = session.supported_algs(kind).ok()?;
        let has_own_mac = |name: &&str| AUTHENTICATED.iter().any(|end| name.ends_with(end));
        let is_needless = what == "MAC" && offers.get(3)?.split(',').any(|c| has_own_mac(&c));
        if !is_needless && !ours.iter().any(|name| theirs.contains(name)) {
            differences.push(format!(
                "{what}: it has {}; this tool has {}",
                theirs.join(", "),
                ours.join(", ")
            ));
        }
    }
    (!differences.is_empty()).then(|| differences.join("; "))
}

fn line(wire: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < LONGEST_LINE {
        wire.read_exact(&mut byte)?;
        if byte[0] == b'\n' {
            return Ok(line);
        }
        line.push(byte[0]);
    }
    Err(strange())
}

/// Reads one packet that isn't encrypted yet, without its length and padding.
fn packet(wire: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = [0; 5];
    wire.read_exact(&mut head)?;
    let [a, b, c, d, padding] = head;
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    let padding = usize::from(padding);
    if length > LONGEST_PACKET || length < padding + 2 {
        return Err(strange());
    }
    let mut packet = vec![0; length - 1];
    wire.read_exact(&mut packet)?;
    packet.truncate(length - 1 - padding);
    Ok(packet)
}

/// Reads the ten lists of names.
fn read_lists(packet: &[u8]) -> Option<Vec<String>> {
    // Behind the kind stand sixteen random bytes.
    let mut rest = packet
        .strip_prefix(&[KEXINIT])
        .and_then(|rest| rest.get(16..))?;
    let mut lists = Vec::new();
    for _ in 0..10 {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (names, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        lists.push(str::from_utf8(names).ok()?.to_owned());
        rest = after;
    }
    Some(lists)
}

fn strange() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no SSH server's first words")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server's first words, and room for ours.
    struct Wire<'a>(&'a [u8]);

    impl Read for Wire<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Write for Wire<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn first_words(names: [&str; 10]) -> Vec<u8> {
        let mut content = vec![KEXINIT];
        content.extend([7; 16]);
        for names in names {
            content.extend((names.len() as u32).to_be_bytes());
            content.extend(names.as_bytes());
        }
        content.extend([0; 5]);
        let mut words = b"welcome\r\nSSH-2.0-x\r\n".to_vec();
        words.extend((content.len() as u32 + 1 + 4).to_be_bytes());
        words.push(4);
        words.extend(&content);
        words.extend([0; 4]);
        words
    }

    #[test]
    fn what_each_side_has_is_said_where_nothing_is_common() {
        let session = Session::new().unwrap();
        let fine = "curve25519-sha256";
        let words = first_words([
            "kex-of-tomorrow",
            "ssh-ed25519",
            "aes256-ctr",
            "aes256-ctr",
            "mac-of-tomorrow",
            "mac-of-tomorrow",
            "none",
            "none",
            "",
            "",
        ]);
        let said = compare(&session, &offers(Wire(&words)).unwrap()).unwrap();
        assert!(
            said.contains("key exchange: it has kex-of-tomorrow; this tool has ")
                && said.contains(fine)
                && said.contains("MAC: it has mac-of-tomorrow")
                && !said.contains("cipher"),
            "{said}"
        );
        let lists = [
            fine,
            "ssh-ed25519",
            "aes256-gcm@openssh.com",
            "aes256-gcm@openssh.com",
            "no",
            "no",
            "none",
            "none",
            "",
            "",
        ];
        let offers = offers(Wire(&first_words(lists))).unwrap();
        assert_eq!(compare(&session, &offers), None);
    }

    #[test]
    fn what_is_cut_short_or_too_long_is_an_error() {
        let whole = first_words([""; 10]);
        for length in 0..whole.len() {
            assert!(offers(Wire(&whole[..length])).is_err(), "{length}");
        }
        let mut long = b"SSH-2.0-x\r\n".to_vec();
        long.extend([0xff; 64]);
        assert!(offers(Wire(&long)).is_err());
        assert!(offers(Wire(&[b'x'; 4096])).is_err());
    }
}
