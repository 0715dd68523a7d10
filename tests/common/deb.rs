//! Debian packages of a test's own, in a repository that apt reads from a folder.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use paas_cluster_build::plan::sha256_hex;
use tempfile::TempDir;

/// One package.
#[derive(Default)]
pub struct Deb<'a> {
    pub name: &'a str,
    pub version: &'a str,
    /// Further lines of its control file, each with its newline.
    pub more: &'a str,
    /// Its files: path and content.
    pub files: &'a [(&'a str, &'a str)],
    /// Those of its files that are configuration.
    pub conffiles: &'a [&'a str],
    /// Its maintainer scripts (name and text) and `triggers`.
    pub control: &'a [(&'a str, &'a str)],
}

/// Builds the packages into the folder `repository`, which apt can name with `file:`.
pub fn repository(repository: &Path, debs: &[Deb<'_>]) {
    fs::create_dir_all(repository).unwrap();
    let mut index = String::new();
    for deb in debs {
        let (control, name) = build(repository, deb);
        let bytes = fs::read(repository.join(&name)).unwrap();
        index.push_str(&format!(
            "{control}Filename: ./{name}\nSize: {}\nSHA256: {}\n\n",
            bytes.len(),
            sha256_hex(&bytes)
        ));
    }
    fs::write(repository.join("Packages"), index).unwrap();
}

/// Returns its control file and its file's name.
fn build(repository: &Path, deb: &Deb<'_>) -> (String, String) {
    let tree = TempDir::new().unwrap();
    fs::set_permissions(tree.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let write = |path: &Path, text: &str, mode: u32| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    for (path, text) in deb.files {
        write(&tree.path().join(path.trim_start_matches('/')), text, 0o644);
    }
    let control = format!(
        "Package: {}\nVersion: {}\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\n{}\
         Description: a package of a test\n",
        deb.name, deb.version, deb.more
    );
    let folder = tree.path().join("DEBIAN");
    write(&folder.join("control"), &control, 0o644);
    let conffiles: String = deb
        .conffiles
        .iter()
        .map(|path| format!("{path}\n"))
        .collect();
    write(&folder.join("conffiles"), &conffiles, 0o644);
    for (name, text) in deb.control {
        let mode = if *name == "triggers" { 0o644 } else { 0o755 };
        write(&folder.join(name), text, mode);
    }
    let name = format!("{}_{}_all.deb", deb.name, deb.version);
    let built = Command::new("dpkg-deb")
        .args(["--root-owner-group", "-Zgzip", "--build"])
        .arg(tree.path())
        .arg(repository.join(&name))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{said}");
    (control, name)
}
