//! The postgres job's whole script against a real PostgreSQL on a socket of the test's own: it
//! makes databases, role, password and extension from nothing, and from whatever else it finds.
//! Needs root, to start a server as the user `postgres`; counted as skipped elsewhere.

mod common;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::{catalog, cluster, root, secrets, sh, skip};
use paas_cluster_build::job::{Action, Context, Secrets};
use paas_cluster_build::script::shell_word;
use tempfile::TempDir;

/// Debian's user; it's the server's first role, too.
const ADMIN: &str = "postgres";

/// A running server whose only way in is a socket in its folder.
struct Server {
    folder: TempDir,
    programs: PathBuf,
}

impl Server {
    /// Starts an empty server, or says why there can be none.
    fn start() -> Result<Server, String> {
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            return Err("it needs root".to_owned());
        }
        let programs = newest_programs().ok_or("the package postgresql isn't installed")?;
        let folder = TempDir::new().unwrap();
        let server = Server { folder, programs };
        server.owned_by_admin(server.path());
        let socket = server.folder("socket");
        let data = server.path().join("data");
        server.admin(&[
            "initdb",
            "--pgdata",
            text(&data),
            "--encoding",
            "UTF8",
            "--locale",
            "C.UTF-8",
            "--auth-local",
            "peer",
            "--no-sync",
        ]);
        let rules = "local all postgres peer\nlocal all all scram-sha-256\n";
        fs::write(data.join("pg_hba.conf"), rules).unwrap();
        let options = format!(
            "-c listen_addresses= -c unix_socket_directories={} -c fsync=off -c log_statement=all",
            text(&socket)
        );
        let log = server.path().join("log");
        server.admin(&[
            "pg_ctl",
            "start",
            "--wait",
            "--silent",
            "--pgdata",
            text(&data),
            "--log",
            text(&log),
            "--options",
            &options,
        ]);
        server.lay_out_a_home();
        Ok(server)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn folder(&self, name: &str) -> PathBuf {
        let folder = self.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        self.owned_by_admin(&folder);
        folder
    }

    fn owned_by_admin(&self, path: &Path) {
        let done = Command::new("chown").arg(ADMIN).arg(path).status().unwrap();
        assert!(done.success());
    }

    /// The release as far as the script looks at it. Its psql finds the test's server where the
    /// script expects one in /tmp, and none elsewhere.
    fn lay_out_a_home(&self) {
        let bin = self.path().join("build_dir/target/postgres/bin");
        fs::create_dir_all(&bin).unwrap();
        let psql = "#!/bin/sh\nfor word in \"$@\"; do\n\tshift\n\tcase $word in\n\
                    \t/tmp) word=SOCKET ;;\n\t/var/run/postgresql | localhost) word=/nowhere ;;\n\
                    \tesac\n\tset -- \"$@\" \"$word\"\ndone\n\
                    printf '%s\\n' \"$*\" >>ARGUMENTS\nexec PROGRAMS/psql \"$@\"\n"
            .replace("SOCKET", text(&self.path().join("socket")))
            .replace("ARGUMENTS", text(&self.path().join("socket/arguments")))
            .replace("PROGRAMS", text(&self.programs));
        program(&bin.join("psql"), &psql);
        let release = self.path().join("paas-release.git");
        fs::create_dir_all(release.join("bin")).unwrap();
        program(&release.join("bin/paas"), "#!/bin/sh\n");
        let control = "jobs/postgres/control.rb";
        fs::create_dir_all(release.join("jobs/postgres")).unwrap();
        let example = root().join("deploy/paas-release").join(control);
        fs::copy(example, release.join(control)).unwrap();
    }

    fn admin(&self, words: &[&str]) {
        let output = Command::new("runuser")
            .args(["-u", ADMIN, "--"])
            .arg(self.programs.join(words[0]))
            .args(&words[1..])
            .current_dir(self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {said}");
    }

    /// Runs SQL as `role`; `password` is asked for unless it's the administrator.
    fn sql(&self, role: &str, password: &str, database: &str, statements: &str) -> Output {
        let mut child = Command::new("runuser")
            .args(["-u", ADMIN, "--"])
            .arg(self.programs.join("psql"))
            .args(["-wqAtX", "-v", "ON_ERROR_STOP=1", "-d", database])
            .env("PGHOST", self.path().join("socket"))
            .env("PGPORT", "5432")
            .env("PGUSER", role)
            .env("PGPASSWORD", password)
            .current_dir(self.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(statements.as_bytes()).unwrap();
        drop(input);
        child.wait_with_output().unwrap()
    }

    fn as_admin(&self, statements: &str) -> String {
        let output = self.sql(ADMIN, "", "postgres", statements);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{statements}: {said}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Runs the job's script without its wait for the port; returns what it printed.
    fn deploy(&self, role: &str, password: &str) -> String {
        let script = deploy_script(self.path(), role, password);
        let kept = shell_word(text(&self.path().join("kept")));
        let output = sh(&format!("PAAS_ROOT={kept}\n{script}"));
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(output.status.success(), "{said}");
        said
    }

    /// What uaa and the cloud controller rely on.
    fn assert_ready(&self, role: &str, password: &str) {
        for database in ["uaa", "cloud_controller"] {
            let statements = "create table t (name citext unique);
                insert into t values ('A');
                select count(*) from t where name = 'a';
                drop table t;
                select rolsuper from pg_roles where rolname = current_user;
                select pg_get_userbyid(datdba) = current_user
                    from pg_database where datname = current_database();";
            let output = self.sql(role, password, database, statements);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{database}: {said}");
            assert_eq!(String::from_utf8_lossy(&output.stdout), "1\nf\nt\n");
        }
        let wrong = self.sql(role, "another", "uaa", "select 1");
        assert!(!wrong.status.success(), "any password is taken");
        let kept = self.path().join("kept/secrets/postgres_password");
        assert_eq!(fs::read_to_string(&kept).unwrap(), format!("{password}\n"));
        assert_eq!(fs::metadata(&kept).unwrap().mode() & 0o777, 0o600);
        let folder = fs::metadata(kept.parent().unwrap()).unwrap();
        assert_eq!(folder.mode() & 0o777, 0o700);
        for file in ["log", "socket/arguments"] {
            let text = fs::read_to_string(self.path().join(file)).unwrap();
            assert!(!text.contains(password), "{file} tells the password");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let data = self.path().join("data");
        let _ = Command::new("runuser")
            .args(["-u", ADMIN, "--"])
            .arg(self.programs.join("pg_ctl"))
            .args(["stop", "--silent", "--mode", "immediate", "--pgdata"])
            .arg(data)
            .current_dir(self.path())
            .status();
    }
}

/// The folder of the newest installed server's programs.
fn newest_programs() -> Option<PathBuf> {
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let found = fs::read_dir("/usr/lib/postgresql").ok()?;
    let folders = found.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let newest = folders
        .filter(|path| path.join("bin/initdb").exists())
        .max_by_key(version)?;
    Some(newest.join("bin"))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn program(path: &Path, script: &str) {
    fs::write(path, script).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn deploy_script(home: &Path, role: &str, password: &str) -> String {
    let catalog = catalog();
    let mut cluster = cluster("config/cluster.yml", &catalog);
    let place = paas_cluster_build::cluster_file::Place::new(1, 1);
    for (name, value) in [("paas_home", text(home)), ("postgres_role", role)] {
        cluster.vars.insert(name.to_owned(), (value.into(), place));
    }
    for host in &mut cluster.hosts {
        host.ssh.user = ADMIN.to_owned();
    }
    let mut secrets: Secrets = secrets();
    secrets.insert("postgres_password".to_owned(), password.to_owned().into());
    let component = cluster.component("postgres").unwrap();
    let context = Context {
        cluster: &cluster,
        component,
        instance: &component.instances[0],
        secrets: &secrets,
        site_packages: None,
    };
    let job = catalog.get("postgres").unwrap();
    let values = job.values(&context).unwrap();
    let script = job.render(Action::Deploy, &values).unwrap();
    let part = script.strip_suffix("\n\nwait_healthy\n").unwrap();
    // The server of the test runs already, and not by systemd.
    let start = "\npaas postgres start\n";
    assert!(part.contains(start));
    let part = part.replacen(start, "\n", 1);
    format!("{part}\n")
}

/// Runs a test on an empty server.
fn on_a_server(name: &str, test: impl FnOnce(&Server)) {
    match Server::start() {
        Ok(server) => test(&server),
        Err(why) => skip(&format!("{name}: no PostgreSQL can be started here: {why}")),
    }
}

#[test]
fn everything_is_made_from_nothing_and_a_second_run_is_content() {
    on_a_server("everything_is_made_from_nothing", |server| {
        let said = server.deploy("root", "first-password");
        assert!(
            said.contains("databases uaa and cloud_controller"),
            "{said}"
        );
        server.assert_ready("root", "first-password");
        let said = server.deploy("root", "first-password");
        assert_eq!(said, "databases uaa and cloud_controller are ready\n");
        server.assert_ready("root", "first-password");
        server.deploy("root", "another-password");
        server.assert_ready("root", "another-password");
    });
}

/// The release lets its own role in from other hosts, and no other one.
#[test]
fn a_role_of_another_name_is_let_in_once() {
    on_a_server("a_role_of_another_name_is_let_in_once", |server| {
        let data = server.path().join("vcap/sys/data/postgres");
        fs::create_dir_all(&data).unwrap();
        fs::write(data.join("PG_VERSION"), "15\n").unwrap();
        let rules = data.join("pg_hba.conf");
        let before = "host cloud_controller root 0.0.0.0/0 md5\nhost uaa root 0.0.0.0/0 md5\n";
        fs::write(&rules, before).unwrap();
        for _ in 0..2 {
            server.deploy("an other", "a-password");
            let wanted = ["uaa", "cloud_controller"].map(|database| {
                format!(
                    "host {database} \"an other\" 0.0.0.0/0 md5\n\
                     host {database} \"an other\" ::/0 md5\n"
                )
            });
            let now = fs::read_to_string(&rules).unwrap();
            assert_eq!(now, before.to_owned() + &wanted.concat());
        }
        let script = sh(&deploy_script(server.path(), "a\"b", "a-password"));
        let said = String::from_utf8_lossy(&script.stdout).into_owned();
        assert!(
            !script.status.success() && said.contains("choose another vars.postgres_role"),
            "{said}"
        );

        // What an initdb that failed has left is told, and what is empty is taken away.
        fs::remove_file(data.join("PG_VERSION")).unwrap();
        let script = sh(&deploy_script(server.path(), "root", "a-password"));
        let said = String::from_utf8_lossy(&script.stdout).into_owned();
        assert!(
            !script.status.success() && said.contains("an initdb in it did not end"),
            "{said}"
        );
        fs::remove_file(&rules).unwrap();
        server.deploy("root", "a-password");
        assert!(!data.exists());
    });
}

#[test]
fn it_converges_from_the_seeds_own_setup() {
    on_a_server("it_converges_from_the_seeds_own_setup", |server| {
        // What the seed's notes have one type by hand, half of it done.
        server.as_admin(
            "create role root superuser login inherit createdb;
             alter role root with password 'changeme';
             create role somebody;
             create database uaa owner somebody;",
        );
        server.deploy("root", "a-new-password");
        server.assert_ready("root", "a-new-password");
    });
}

#[test]
fn hostile_names_and_passwords_stay_text() {
    on_a_server("hostile_names_and_passwords", |server| {
        let role = r#"it's "a" role; \q $(id)"#;
        let password = r#"'); drop role x; -- \ " `id` $(id) :role é"#;
        server.deploy(role, password);
        server.assert_ready(role, password);
    });
}

/// The login user may be root, and the role that uaa and cc use is called root unless it's told
/// otherwise: then that role is the server's first one.
#[test]
fn the_servers_first_role_stays_a_superuser() {
    on_a_server("the_servers_first_role", |server| {
        server.deploy(ADMIN, "its-password");
        let found = server.as_admin(
            "select rolsuper, rolpassword like 'SCRAM%' from pg_authid where rolname = 'postgres'",
        );
        assert_eq!(found, "t|t");
        server.deploy(ADMIN, "its-password");
    });
}
