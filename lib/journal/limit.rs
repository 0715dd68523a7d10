//! Why something can't be written, in words that name the limit that was met.

use std::io::{Error, ErrorKind};

/// Says why a file can't be written; a limit that was met is named before the system's own words.
pub fn write_error_words(error: &Error) -> String {
    let limit = match error.kind() {
        ErrorKind::StorageFull => "the disk is full",
        ErrorKind::QuotaExceeded => "the disk quota is used up",
        ErrorKind::FileTooLarge => "files may not grow so large here (`ulimit -f` shows the limit)",
        ErrorKind::ReadOnlyFilesystem => "the file system is mounted read-only",
        _ => return error.to_string(),
    };
    format!("{limit}: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_named() {
        // ENOSPC, EDQUOT, EFBIG and EROFS as Linux numbers them.
        for (number, words) in [
            (28, "the disk is full"),
            (122, "quota"),
            (27, "ulimit -f"),
            (30, "read-only"),
        ] {
            let said = write_error_words(&Error::from_raw_os_error(number));
            assert!(said.contains(words), "{said}");
            assert!(said.contains(&format!("os error {number}")), "{said}");
        }
        let other = write_error_words(&Error::from_raw_os_error(13));
        assert_eq!(other, "Permission denied (os error 13)");
    }
}
