//! Clusters of the example release on machines of the lab: their files, their pages, their databases.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::root;
use super::site::{Site, said};

/// A cluster file of the repository under another name, at addresses of its own, without its `ssh`.
pub fn cluster_text(path: &str, name: &str, from: &str, to: &str) -> String {
    let mut text = format!("name: {name}\n");
    let mut is_ssh = false;
    for line in fs::read_to_string(root().join(path)).unwrap().lines() {
        is_ssh = line.starts_with("ssh:") || is_ssh && line.starts_with(' ');
        if !is_ssh && !line.starts_with("name:") {
            text += &line.replace(from, to);
            text += "\n";
        }
    }
    let deploy = root().join("deploy").display().to_string();
    text.replace("../deploy", &deploy)
}

/// Waits until a router leads to the example application, and returns its page.
pub fn await_page(router: &str, host: &str) -> String {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let mut page = String::new();
        if let Ok(mut stream) = TcpStream::connect((router, 80)) {
            let patience = Some(Duration::from_secs(10));
            stream.set_read_timeout(patience).unwrap();
            let _ = write!(stream, "GET / HTTP/1.0\r\nHost: {host}\r\n\r\n");
            let _ = stream.read_to_string(&mut page);
        }
        if page.contains("hello from dea index") {
            return page;
        }
        assert!(Instant::now() < until, "{host} by {router}: {page}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Everything is healthy, and a second build finds nothing to do.
pub fn is_built(site: &Site) {
    site.succeeds(&["status"]);
    let again = site.succeeds(&["build", "--yes", "--output", "json"]);
    assert!(!again.contains("\"step_started\""), "{again}");
}

/// Waits until everything is healthy.
pub fn await_healthy(site: &Site) {
    let until = Instant::now() + Duration::from_secs(120);
    loop {
        let status = site.run(&["status"]);
        if status.status.success() {
            return;
        }
        assert!(Instant::now() < until, "{}", said(&status));
    }
}

/// How many databases were asked for: each has a name of its own.
static ASKED: AtomicU32 = AtomicU32::new(1);

/// Asks the cloud controller for a database, as uaa's administrator; the way leads by the gateway and
/// its queue to one of the nodes. Returns its credentials, which have let the cloud controller's host in.
pub fn database(site: &Site, name: &str, uaa: &str, cc: &str) -> Value {
    let secret = site
        .path("state")
        .join(name)
        .join("secrets/uaa_admin_password");
    let password = fs::read_to_string(secret).unwrap();
    let login = json!({
        "grant_type": "password", "username": "admin", "password": password.trim(),
    });
    let token = post(
        &format!("http://{uaa}:8080/uaa/oauth/token"),
        &["-u", "cf:"],
        &login,
    );
    let token = token["access_token"].as_str().unwrap();
    let bearer = format!("Authorization: Bearer {token}");
    let instance = format!("orders-{}", ASKED.fetch_add(1, Ordering::Relaxed));
    let url = format!("http://{cc}:8181/services/mysql/instances");
    let made = post(&url, &["-H", &bearer], &json!({"name": instance}));
    let made = made.get("credentials").unwrap_or(&made).clone();
    let word = |key: &str| made[key].as_str().unwrap_or_else(|| panic!("{made}"));
    let command = format!(
        "MYSQL_PWD={} mariadb --no-defaults -h {} -u {} -N -e 'select database()' {}",
        word("password"),
        word("host"),
        word("user"),
        word("database")
    );
    // From another host, as applications use it: on its own one, MySQL's anonymous account for that
    // host's name may go before.
    let there = site.on(cc, &command);
    assert_eq!(there.trim(), word("database"), "{made}");
    made
}

/// Posts JSON, and again for a minute while the answer is an error: a gateway registers by and by.
fn post(url: &str, options: &[&str], body: &Value) -> Value {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let output = Command::new("curl")
            .args([
                "-sS",
                "--max-time",
                "40",
                "--json",
                &body.to_string(),
                "-w",
                "\n%{http_code}",
            ])
            .args(options)
            .arg(url)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (answer, status) = text.rsplit_once('\n').unwrap_or_default();
        if status.starts_with('2') {
            return serde_json::from_str(answer).unwrap();
        }
        assert!(
            Instant::now() < until,
            "{url}: {status} {answer}{}",
            said(&output)
        );
        std::thread::sleep(Duration::from_millis(500));
    }
}
