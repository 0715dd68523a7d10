//! What the jobs set in the real release's files: exactly the meant lines, every other byte stays, and
//! a second run changes nothing. On files of the same shapes, and on the real ones where
//! PAAS_REAL_RELEASE names their folder.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::{after_prelude, catalog, cluster, injected, root, secrets, sh, skip};
use paas_cluster_build::cluster_file::Place;
use paas_cluster_build::job::{Action, Context};
use paas_cluster_build::model::Cluster;
use paas_cluster_build::script::shell_word;
use similar::{ChangeTag, TextDiff};
use tempfile::TempDir;

/// The lines that each component sets, as they stand afterwards: file, how many lines go, which come.
/// The addresses are those of config/cluster.yml, the instance is the last one.
const MEANT: [(&str, &str, usize, &[&str]); 9] = [
    ("nats", "nats/nats.yml.erb", 1, &["net: 10.1.59.160"]),
    (
        "router",
        "router/router.yml.erb",
        3,
        &[
            "  pass: 'a-secret-of-the-tests'",
            "  host: 10.1.59.160",
            "index: 1",
        ],
    ),
    (
        "uaa",
        "uaa/uaa.yml.erb",
        7,
        &[
            "  host: 10.1.59.187",
            "host: 10.1.59.187",
            "mbus: nats://10.1.59.160:4222",
            "  url: jdbc:postgresql://10.1.59.174:5432/uaa",
            "  username: 'root'",
            "  password: 'a-secret-of-the-tests'",
            "    signing-key: 'a-secret-of-the-tests'",
            "    verification-key: 'a-secret-of-the-tests'",
            "    - admin|a-secret-of-the-tests|",
        ],
    ),
    (
        "cloud_controller_ng",
        "cloud_controller_ng/cloud_controller_ng.yml.erb",
        6,
        &[
            "message_bus_uri: nats://10.1.59.160:4222",
            "  - api.paas.local",
            "  database: postgres://root:a-secret-of-the-tests@10.1.59.174:5432/cloud_controller",
            "  url: http://10.1.59.187:8080/uaa",
            "  symmetric_secret: 'a-secret-of-the-tests'",
            "  auth_password: 'a-secret-of-the-tests'",
            "    password: 'a-secret-of-the-tests'",
        ],
    ),
    (
        "health_manager",
        "health_manager/health_manager.yml.erb",
        3,
        &[
            "mbus: nats://10.1.59.160:4222/",
            "  host: http://api.paas.local",
            "  password: 'a-secret-of-the-tests'",
        ],
    ),
    (
        "dea_ng",
        "dea_ng/dea.yml.erb",
        3,
        &[
            "nats_uri: nats://10.1.59.160:4222/",
            "index: 1",
            "domain: 'paas.local'",
        ],
    ),
    (
        "mysql_gateway",
        "mysql_gateway/mysql_gateway.yml.erb",
        4,
        &[
            "cloud_controller_uri: http://10.1.59.180:8181",
            "mbus: nats://10.1.59.160:4222",
            "uaa_endpoint: http://10.1.59.187:8080/uaa",
            "   password: 'a-secret-of-the-tests'",
        ],
    ),
    ("mysql_gateway", "mysql_gateway/control.rb", 1, &[]),
    (
        "mysql_node",
        "mysql_node/mysql_node.yml.erb",
        4,
        &[
            "mbus: nats://10.1.59.160:4222",
            "index: 1",
            "node_id: mysql_node_free_2",
            "    pass: 'a-secret-of-the-tests'",
        ],
    ),
];

/// A home with a release in it, and a cluster whose login user lives there.
struct Host {
    home: TempDir,
    cluster: Cluster,
}

impl Host {
    fn with(release: &Path) -> Host {
        let home = TempDir::new().unwrap();
        for entry in walk(&release.join("jobs")) {
            let to = home
                .path()
                .join("paas-release.git")
                .join(entry.strip_prefix(release).unwrap());
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(&entry, &to).unwrap();
        }
        let mut cluster = cluster("config/cluster.yml", &catalog());
        let text = home.path().display().to_string();
        let place = Place::new(1, 1);
        cluster
            .vars
            .insert("paas_home".to_owned(), (text.into(), place));
        Host { home, cluster }
    }

    fn jobs(&self) -> PathBuf {
        self.home.path().join("paas-release.git/jobs")
    }

    fn file(&self, path: &str) -> PathBuf {
        self.jobs().join(path)
    }

    /// Everything in the release, by path.
    fn content(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let files = walk(&self.home.path().join("paas-release.git"));
        let read = |path: PathBuf| (path.clone(), fs::read(path).unwrap());
        files.into_iter().map(read).collect()
    }

    /// Runs what a component's deployment does before its first start, on its host of that number;
    /// returns whether it succeeded, and what it printed.
    fn configure(&self, name: &str, last: bool) -> (bool, String) {
        let component = self.cluster.component(name).unwrap();
        let index = if last {
            component.instances.len() - 1
        } else {
            0
        };
        let secrets = secrets();
        let context = Context {
            cluster: &self.cluster,
            component,
            instance: &component.instances[index],
            secrets: &secrets,
            site_packages: None,
        };
        let catalog = catalog();
        let job = catalog.get(name).unwrap();
        let values = job.values(&context).unwrap();
        let script = job.render(Action::Deploy, &values).unwrap();
        let stubs = "paas() { exit 0; }\nkeep_secret() { :; }\nprotect() { need_file \"$1\"; chmod 0600 \"$1\"; }\n";
        let (frame, part) = script.split_once("\n# settings VERB").unwrap();
        let output = sh(&format!("{frame}\n{stubs}\n# settings VERB{part}"));
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        (output.status.success(), said)
    }
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walk(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// Files of the real ones' shapes; two of them end their lines as Windows does, as in the real one.
fn shapes() -> TempDir {
    let folder = TempDir::new().unwrap();
    let from = root().join("tests/fixtures/release");
    for file in walk(&from) {
        let to = folder.path().join(file.strip_prefix(&from).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        let mut text = fs::read_to_string(&file).unwrap();
        let name = file.file_name().unwrap().to_str().unwrap();
        if ["cloud_controller_ng.yml.erb", "health_manager.yml.erb"].contains(&name) {
            text = text.replace('\n', "\r\n");
        }
        fs::write(to, text).unwrap();
    }
    folder
}

/// Whether two lines differ in their value alone: the key, the comment and the line's end are one's own.
fn same_around(old: &str, new: &str) -> bool {
    let head = |line: &str| line.split_inclusive(':').next().unwrap().to_owned();
    let tail = |line: &str| {
        let end = line.find(" #").unwrap_or(line.trim_end().len());
        line[end..].to_owned()
    };
    if let (Some((name, old)), Some((other, new))) = (old.split_once('|'), new.split_once('|')) {
        let rights = |line: &str| line.split_once('|').unwrap().1.to_owned();
        return name == other && rights(old) == rights(new);
    }
    head(old) == head(new) && tail(old) == tail(new)
}

fn assert_exactly_the_meant_lines(release: &Path) {
    let host = Host::with(release);
    let pristine = host.content();
    for component in &host.cluster.components {
        let (ok, said) = host.configure(&component.name, true);
        assert!(ok, "{}: {said}", component.name);
    }
    let configured = host.content();
    let changed: Vec<&PathBuf> = configured
        .iter()
        .filter(|(path, content)| pristine[*path] != **content)
        .map(|(path, _)| path)
        .collect();
    let mut meant: Vec<PathBuf> = MEANT.iter().map(|(_, f, _, _)| host.file(f)).collect();
    meant.sort();
    assert_eq!(changed, meant.iter().collect::<Vec<_>>());
    assert_eq!(pristine.len(), configured.len(), "no file comes or goes");

    for (_, file, gone, lines) in MEANT {
        let path = host.file(file);
        let text = |content: &BTreeMap<PathBuf, Vec<u8>>| {
            String::from_utf8(content[&path].clone()).unwrap()
        };
        let (before, after) = (text(&pristine), text(&configured));
        let diff = TextDiff::from_lines(before.as_str(), after.as_str());
        let of = |tag: ChangeTag| -> Vec<&str> {
            let changes = diff.iter_all_changes().filter(|c| c.tag() == tag);
            changes.map(|change| change.value()).collect()
        };
        let (old, new) = (of(ChangeTag::Delete), of(ChangeTag::Insert));
        assert_eq!(old.len(), gone, "{file}: {old:?}");
        if file == "mysql_gateway/control.rb" {
            let as_new = old[0].replace("http://localhost:8080/", "http://10.1.59.187:8080/");
            assert_eq!(new, [as_new]);
            continue;
        }
        // What the administrator may do differs from release to release.
        let bare: Vec<&str> = new
            .iter()
            .map(|line| match line.find("- admin|") {
                Some(_) => &line[..=line.rfind('|').unwrap()],
                None => line.trim_end(),
            })
            .collect();
        assert_eq!(bare, lines, "{file}");
        // What is no new key keeps what stands around its value.
        for line in old {
            let same = new.iter().filter(|other| same_around(line, other));
            assert!(same.count() >= 1, "{file}: {line:?} in {new:?}");
        }
        assert_eq!(before.ends_with('\n'), after.ends_with('\n'), "{file}");
        let ends = |text: &str| (text.matches("\r\n").count(), text.matches('\n').count());
        let ((returns, all), (returns_now, all_now)) = (ends(&before), ends(&after));
        assert_eq!(returns == all, returns_now == all_now, "{file}");
        assert_eq!(returns == 0, returns_now == 0, "{file}");
    }

    // Again, and from another instance's values.
    for component in &host.cluster.components {
        assert_eq!(host.configure(&component.name, true), (true, String::new()));
        assert!(host.configure(&component.name, false).0);
        assert!(host.configure(&component.name, true).0);
    }
    assert_eq!(host.content(), configured);
}

#[test]
fn every_edit_changes_exactly_the_meant_lines() {
    let release = shapes();
    assert_exactly_the_meant_lines(release.path());
}

/// The example is set as the real one is, line for line.
#[test]
fn every_edit_changes_exactly_the_meant_lines_of_the_example_release() {
    assert_exactly_the_meant_lines(&root().join("deploy/paas-release"));
}

#[test]
fn every_edit_changes_exactly_the_meant_lines_of_the_real_release() {
    let Some(folder) = std::env::var_os("PAAS_REAL_RELEASE") else {
        skip("the real release: PAAS_REAL_RELEASE names no folder of it");
        return;
    };
    assert_exactly_the_meant_lines(Path::new(&folder));
}

/// The first tool's text has each component's file in a folder of the component.
#[test]
fn a_release_with_the_other_layout_is_configured_alike() {
    let release = shapes();
    let one = Host::with(release.path());
    let other = Host::with(release.path());
    for folder in fs::read_dir(other.jobs()).unwrap() {
        let folder = folder.unwrap().path();
        let name = folder.file_name().unwrap().to_owned();
        if name == "postgres" {
            continue;
        }
        let to = other.home.path().join("paas-release.git").join(name);
        fs::create_dir(&to).unwrap();
        fs::rename(&folder, to.join("jobs")).unwrap();
        if to.join("jobs/control.rb").exists() {
            fs::rename(to.join("jobs/control.rb"), to.join("jobs/control")).unwrap();
        }
    }
    for component in &one.cluster.components {
        for host in [&one, &other] {
            let (ok, said) = host.configure(&component.name, true);
            assert!(ok, "{}: {said}", component.name);
        }
        let name = component.name.as_str();
        if name == "postgres" {
            continue;
        }
        let base = other.home.path().join("paas-release.git").join(name);
        for file in fs::read_dir(one.file(name)).unwrap() {
            let file = file.unwrap().path();
            let as_other = file.file_name().unwrap().to_str().unwrap();
            let as_other = as_other.replace("control.rb", "control");
            let there = base.join("jobs").join(as_other);
            assert_eq!(fs::read(&file).unwrap(), fs::read(there).unwrap());
        }
    }
}

/// A component, its file, a text in it, what stands there instead, what is said.
type Misfit = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

/// A release in which nothing of the looked-for is found is told all of it, and stays as it is.
#[test]
fn a_release_that_does_not_fit_is_told_what_was_looked_for() {
    let release = shapes();
    let misfits: [Misfit; 8] = [
        (
            "router",
            "router/router.yml.erb",
            "nats:",
            "bus:",
            "router.yml.erb has no setting for the address of the message bus; looked for mbus, or \
             nats.host with nats.port",
        ),
        (
            "router",
            "router/router.yml.erb",
            "index: 0",
            "number: 0",
            "router.yml.erb has no setting for its number among its component's; looked for index",
        ),
        (
            "dea_ng",
            "dea_ng/dea.yml.erb",
            "index: 0",
            "index: 0\nindex: 1",
            "the setting index stands in",
        ),
        (
            "cloud_controller_ng",
            "cloud_controller_ng/cloud_controller_ng.yml.erb",
            "external_domain: ",
            "external_domain: [a, b]\nothers:",
            "the setting external_domain in",
        ),
        (
            "mysql_gateway",
            "mysql_gateway/control.rb",
            "    run ",
            "    run(\"curl http://localhost:8080/uaa\")\n    run ",
            "the setting curl http://*:8080/uaa stands in",
        ),
        (
            "mysql_gateway",
            "mysql_gateway/control.rb",
            "run(\"curl",
            "run(\"wget",
            "control.rb has no setting for the address of the uaa that it waits for; looked for a \
             line UAA_URL=, or a line with curl http://*:8080/uaa",
        ),
        (
            "uaa",
            "uaa/uaa.yml.erb",
            "url: jdbc",
            "uri: jdbc",
            "uaa.yml.erb has no setting for the database; looked for database.host with \
             database.port with database.name with database.user with database.password, or \
             database.url",
        ),
        (
            "health_manager",
            "health_manager/health_manager.yml.erb",
            "4222/",
            "4222/<%= path %>",
            "the setting mbus in",
        ),
    ];
    for (name, file, from, to, said) in &misfits {
        let host = Host::with(release.path());
        let path = host.file(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no {from}");
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let before = fs::read(&path).unwrap();
        let (ok, printed) = host.configure(name, true);
        assert!(!ok && printed.contains(said), "{said}: {printed}");
        assert!(!printed.contains("a-secret-of-the-tests"), "{printed}");
        assert_eq!(fs::read(&path).unwrap(), before);
        let beside = walk(path.parent().unwrap());
        assert!(!beside.iter().any(|p| p.extension().unwrap() == "new"));
    }
    let host = Host::with(release.path());
    for (name, gone, said) in [
        (
            "nats",
            "nats",
            "nats/jobs/nats.yml.erb, jobs/nats/nats.yml.erb",
        ),
        ("postgres", "postgres", "jobs/postgres/postgres.yml.erb"),
    ] {
        fs::remove_dir_all(host.file(gone)).unwrap();
        let (ok, printed) = host.configure(name, true);
        assert!(
            !ok && printed.contains("has no file for its configuration; looked for")
                && printed.contains(said),
            "{printed}"
        );
    }
    injected(misfits.len() + 2, "releases that don't fit the jobs");
}

/// Every byte that isn't the value, in one line each: before, the edit, after.
#[test]
fn what_stands_around_a_value_stays() {
    for (before, key, style, value, after) in [
        ("k: 1  # why\n", "k", "plain", "2", "k: 2  # why\n"),
        ("k:   1\t\n", "k", "plain", "2", "k:   2\t\n"),
        ("k:\n", "k", "plain", "2", "k: 2\n"),
        ("k: \r\nj: 1\r\n", "k", "plain", "2", "k: 2\r\nj: 1\r\n"),
        ("j: 1\nk: 1", "k", "plain", "2", "j: 1\nk: 2"),
        ("k: <%= a # b %> # c\n", "k", "plain", "2", "k: 2 # c\n"),
        (
            "k: \"<%= a[\"b\"] %>:1\" # c\n",
            "k",
            "plain",
            "2",
            "k: 2 # c\n",
        ),
        (
            "k: u://<%= a %>:1/p/\n",
            "k",
            "url",
            "u://h:2",
            "k: u://h:2/p/\n",
        ),
        (
            "k: u://<%= a%>:1/p\n",
            "k",
            "url",
            "v://h",
            "k: v://h:1/p\n",
        ),
        (
            "k: u://a:b@c:1/p?q\n",
            "k",
            "url",
            "u://h:2/r",
            "k: u://h:2/r\n",
        ),
        ("k: u://[::1]/p\n", "k", "url", "u://h", "k: u://h/p\n"),
        ("k: nothing\n", "k", "url", "u://h", "k: u://h\n"),
        (
            "k:\n  - a # x\n",
            "k",
            "head",
            "b",
            "k:\n  - b\n  - a # x\n",
        ),
        (
            "k: \n- a\n- 'b' # x\nl: 1\n",
            "k",
            "head",
            "b",
            "k: \n- a\n- 'b' # x\nl: 1\n",
        ),
        (
            "k:\r\n  -   a\r\n",
            "k",
            "head",
            "b",
            "k:\r\n  -   b\r\n  -   a\r\n",
        ),
        (
            "x(\"u://old:1/p\")\n",
            "u://*:1/p",
            "within",
            "new",
            "x(\"u://new:1/p\")\n",
        ),
    ] {
        let home = TempDir::new().unwrap();
        let file = home.path().join("f");
        fs::write(&file, before).unwrap();
        let word = shell_word(file.to_str().unwrap());
        let (key, value) = (shell_word(key), shell_word(value));
        for _ in 0..2 {
            let (ok, said) = after_prelude(
                home.path(),
                &format!("edit_setting {word} {key} {value} {style}"),
            );
            assert!(ok, "{before}: {said}");
            assert_eq!(fs::read_to_string(&file).unwrap(), after, "{before}");
        }
    }
}
