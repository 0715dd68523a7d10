//! A cluster that somebody set up by hand, with the release's own commands, on machines of the lab: it
//! is adopted as it stands, nothing of it is touched, the plan names exactly what differs, and a build
//! makes that so. The login user lives in two places. Needs root and what `lab up` asks for; counted as
//! skipped elsewhere.

mod common;

use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::example::{await_page, is_built};
use common::root;
use common::site::Site;
use serde_json::Value;

/// The machine with the bus and the router, and the one with the applications.
const FRONT: &str = "10.77.67.1";
const BACK: &str = "10.77.67.2";

/// What somebody has chosen by hand.
const PASSWORD: &str = "made-by-hand-9";

fn site() -> Option<Site> {
    let deploy = root().join("deploy");
    let text = format!(
        "name: byhand\nrelease:\n  paas_release: {{path: {deploy}/paas-release}}\n  \
         micro_paas: {{path: {deploy}/micro-paas}}\nsudo: true\n\
         packages: [python3, python3-yaml, ruby]\ncomponents: [nats, router, dea_ng]\nserver:\n  \
         nats: {{ip: {FRONT}, packages: [nats-server]}}\n  router: {{ip: {FRONT}}}\n  \
         dea_ng: {{ip: {BACK}, packages: [procps]}}\n",
        deploy = deploy.display()
    );
    let site = Site::prepared(&text, |_| ())?;
    site.succeeds(&["lab", "up", "--preinstall"]);
    Some(site)
}

/// As somebody who has no tool but ssh.
fn ssh(site: &Site, host: &str, command: &str) -> String {
    let output = ssh_command(site, host, command)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{host}: {command}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn ssh_command(site: &Site, host: &str, command: &str) -> Command {
    let mut ssh = Command::new("ssh");
    let known = format!(
        "UserKnownHostsFile={}",
        site.path(".lab/known_hosts").display()
    );
    ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", &known, "-i"])
        .arg(site.path(".lab/id_ed25519"))
        .arg(format!("paas@{host}"))
        .arg(command);
    ssh
}

/// Copies a folder of this machine into one of the login user's.
fn upload(site: &Site, host: &str, from: &Path, to: &str) {
    let mut tar = Command::new("tar")
        .args(["-cz", "-C"])
        .arg(from)
        .arg(".")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let unpack = format!("mkdir -p {to} && tar -xz -C {to}");
    let status = ssh_command(site, host, &unpack)
        .stdin(tar.stdout.take().unwrap())
        .status();
    assert!(status.unwrap().success() && tar.wait().unwrap().success());
}

/// Sets the cluster up as the release's own documents say: upload, edit, start.
fn set_up_by_hand(site: &Site) {
    // The home of the login user is where the account database says.
    site.on(
        BACK,
        "install -d -m 0755 /srv/homes && cp -a /home/paas /srv/homes/paas && \
         sed -i 's,:/home/paas:,:/srv/homes/paas:,' /etc/passwd && rm -rf /home/paas",
    );
    let deploy = root().join("deploy");
    for host in [FRONT, BACK] {
        upload(site, host, &deploy.join("paas-release"), "paas-release.git");
        upload(site, host, &deploy.join("micro-paas"), ".");
    }
    site.on(
        FRONT,
        "systemctl disable --now nats-server 2>/dev/null || true",
    );
    let jobs = "paas-release.git/jobs";
    ssh(
        site,
        FRONT,
        &format!(
            "sed -i 's/^net: .*/net: {FRONT} # ours/' {jobs}/nats/nats.yml.erb && \
             sed -i -e 's/^  host: .*/  host: {FRONT}/' -e 's/^  pass: router/  pass: {PASSWORD}/' \
             {jobs}/router/router.yml.erb && \
             paas-release.git/bin/paas nats start >/dev/null 2>&1 </dev/null"
        ),
    );
    await_port(FRONT, 4222);
    ssh(
        site,
        FRONT,
        "paas-release.git/bin/paas router start >/dev/null 2>&1 </dev/null",
    );
    await_port(FRONT, 8082);
    ssh(
        site,
        BACK,
        &format!(
            "sed -i -e 's,^nats_uri: .*,nats_uri: nats://{FRONT}:4222/,' \
             -e 's/^domain: .*/domain: by.hand/' {jobs}/dea_ng/dea.yml.erb && \
             for component in warden dea_ng directory_server; do \
             paas-release.git/bin/paas $component start >/dev/null 2>&1 </dev/null; done"
        ),
    );
    await_port(BACK, 5678);
}

fn await_port(host: &str, port: u16) {
    let until = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect((host, port)).is_err() {
        assert!(Instant::now() < until, "nothing listens at {host}:{port}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// All that an adoption must leave alone: the release's files, what it rendered, and the processes.
fn state(site: &Site) -> String {
    let look = "cd ~paas && find paas-release.git vcap/sys/config vcap/sys/run -type f \
                -exec sha256sum {} + | sort; ls -l vcap/sys/config; ls /etc/systemd/system";
    site.on(FRONT, look) + &site.on(BACK, look)
}

fn receipt(site: &Site, host: &str, step: &str) -> Value {
    let file = format!("cat /var/lib/paas-cluster-build/receipts/{step}.json");
    serde_json::from_str(&site.on(host, &file)).unwrap()
}

const STEPS: [(&str, &str); 5] = [
    (FRONT, "bootstrap"),
    (BACK, "bootstrap"),
    (FRONT, "nats"),
    (FRONT, "router"),
    (BACK, "dea_ng"),
];

#[test]
fn a_cluster_that_was_set_up_by_hand_is_adopted_and_built_on() {
    let Some(site) = site() else {
        return;
    };
    set_up_by_hand(&site);
    await_page(FRONT, "dea-0.by.hand");
    let before = state(&site);

    let said = site.succeeds(&["adopt", "--yes"]);
    for line in [
        format!("bootstrap on {FRONT}: found\n"),
        format!("bootstrap on {BACK}: found\n"),
        format!("nats on {FRONT}: found; differs\n  has no unit"),
        format!("router on {FRONT}: found; differs\n  has no unit"),
        "  jobs/router/router.yml.erb: status.pass is another (not shown".to_owned(),
        format!("dea_ng on {BACK}: found; differs\n"),
        "  jobs/dea_ng/dea.yml.erb: domain is by.hand, the build sets 'paas.local'\n".to_owned(),
        "receipts written: 5".to_owned(),
    ] {
        assert!(said.contains(&line), "{line}\n{said}");
    }
    // What was set right is no difference, and nothing was touched.
    assert!(!said.contains("nats.yml.erb"), "{said}");
    assert!(!said.contains("nats.host"), "{said}");
    assert_eq!(state(&site), before);
    let mut told = said;
    for (host, step) in STEPS {
        let receipt = receipt(&site, host, step);
        assert!(receipt["adopted"].is_array(), "{receipt}");
        assert_eq!(receipt["status"], 0, "{receipt}");
        told += &receipt.to_string();
    }
    told += &site.succeeds(&["adopt", "--output", "json"]);
    assert!(!told.contains(PASSWORD), "{told}");

    let plan = site.succeeds(&["plan"]);
    assert_eq!(plan.matches("adopted, unchanged").count(), 2, "{plan}");
    assert!(plan.contains("3 to run, 2 to skip"), "{plan}");
    for words in [
        "adopted; differs: has no unit",
        "adopted; differs: jobs/router/router.yml.erb: status.pass is another",
        "adopted; differs: jobs/dea_ng/dea.yml.erb: domain is by.hand",
    ] {
        assert!(plan.contains(words), "{plan}");
    }

    // A build makes what differs so, in the release that is there.
    site.succeeds(&["build", "--yes"]);
    await_page(FRONT, "dea-0.paas.local");
    is_built(&site);
    for (host, step) in STEPS {
        let is_adopted = receipt(&site, host, step)["adopted"].is_array();
        assert_eq!(is_adopted, step == "bootstrap", "{step} on {host}");
    }
    let nats = site.on(
        FRONT,
        "cat /home/paas/paas-release.git/jobs/nats/nats.yml.erb",
    );
    assert!(nats.contains(&format!("net: {FRONT} # ours\n")), "{nats}");
    let config = site.on(BACK, "cat /srv/homes/paas/vcap/sys/config/dea_ng.yml");
    assert!(config.contains("domain: 'paas.local'"), "{config}");
    let unit = site.on(
        BACK,
        "cat /etc/systemd/system/paas-cluster-dea_ng.service; ls -d /home/paas || true",
    );
    assert!(unit.contains("HOME=/srv/homes/paas"), "{unit}");
    assert!(
        unit.contains("No such file"),
        "nothing was made in /home: {unit}"
    );

    // It comes back by itself after the power was lost, which the release doesn't do.
    site.succeeds(&["lab", "kill", BACK]);
    site.succeeds(&["lab", "boot", BACK]);
    common::injected(1, "power losses of machines that were adopted");
    common::example::await_healthy(&site);
    await_page(FRONT, "dea-0.paas.local");
}
