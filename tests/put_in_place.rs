//! The prelude's `put_in_place` in a real shell, above all on files that aren't there.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use common::after_prelude;

#[test]
fn a_file_that_is_not_there_yet_is_made_with_the_new_ones_mode() {
    let home = tempfile::TempDir::new().unwrap();
    let line = "echo text >\"$PAAS_HOME/a.new\"; chmod 0640 \"$PAAS_HOME/a.new\"
        put_in_place \"$PAAS_HOME/a\" \"$PAAS_HOME/a.new\"";
    let (ok, said) = after_prelude(home.path(), line);
    assert_eq!((ok, said.as_str()), (true, "changed a\n"));
    assert_eq!(fs::read_to_string(home.path().join("a")).unwrap(), "text\n");
    let mode = home
        .path()
        .join("a")
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o640);
    assert!(!home.path().join("a.new").exists());
    // Another content keeps the mode that the file has by then, and an equal one changes nothing.
    let (ok, said) = after_prelude(
        home.path(),
        "echo other >\"$PAAS_HOME/a.new\"; put_in_place \"$PAAS_HOME/a\" \"$PAAS_HOME/a.new\"
         echo other >\"$PAAS_HOME/a.new\"; put_in_place \"$PAAS_HOME/a\" \"$PAAS_HOME/a.new\"",
    );
    assert_eq!((ok, said.as_str()), (true, "changed a\n"));
    let mode = home
        .path()
        .join("a")
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[test]
fn what_can_not_be_put_in_place_is_told_by_its_name() {
    let home = tempfile::TempDir::new().unwrap();
    for (line, words) in [
        (
            "put_in_place \"$PAAS_HOME/a\" \"$PAAS_HOME/none\"",
            "/none isn't there",
        ),
        (
            "echo x >\"$PAAS_HOME/n\"; put_in_place \"$PAAS_HOME/no/such\" \"$PAAS_HOME/n\"",
            "the folder of",
        ),
        (
            "echo x >\"$PAAS_HOME/n\"; put_in_place \"$PAAS_HOME\" \"$PAAS_HOME/n\"",
            "is a folder",
        ),
    ] {
        let (ok, said) = after_prelude(home.path(), line);
        assert!(!ok, "{line}");
        assert!(
            said.starts_with("error: put_in_place ") && said.contains(words),
            "{said}"
        );
    }
}
