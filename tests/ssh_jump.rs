//! Many hosts behind one jump host whose sshd takes few logins at once.

mod common;

use std::fs;
use std::net::TcpStream;
use std::process::{Command, Stdio};

use common::injected;
use common::sshd::*;

const HOSTS: usize = 6;

/// Runs a command on hosts behind a jump host; returns whether all answered, and what was said.
fn reach(target: &Server, gate: &Server, way: &str) -> (bool, String) {
    let addresses: Vec<String> = (1..=HOSTS).map(|n| format!("127.0.0.{n}")).collect();
    let file = target.path("cluster.yml");
    let text = format!(
        "name: jump\ncomponents: [nats]\nserver: {{nats: {{ip: [{}]}}}}\nsudo: false\nssh:\n  \
         user: {}\n  port: {}\n  identity: {}\n  known_hosts: {}\n{}",
        addresses.join(", "),
        user(),
        target.port,
        target.path("client").display(),
        target.path("known").display(),
        way.replace("{gate}", &gate.port.to_string())
    );
    fs::write(&file, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_paas-cluster-build"))
        .arg("-c")
        .arg(&file)
        .arg("--state-dir")
        .arg(target.path("state"))
        .args(["exec", "--root", "--", "echo", "in"])
        .env_remove("SSH_AUTH_SOCK")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[test]
fn all_hosts_behind_a_narrow_jump_host_are_reached() {
    let listen: String = (2..=HOSTS)
        .map(|n| format!("ListenAddress 127.0.0.{n}\n"))
        .collect();
    let target = Server::start_first(&listen);
    let mut cut = 0;
    let config = target.path("ssh_config");
    for way in ["jump", "ProxyJump", "ProxyCommand"] {
        let gate = Server::start_first("MaxStartups 2:100:2");
        fs::copy(target.path("client.pub"), gate.path("authorized")).unwrap();
        let of_gate = format!(
            "Host gate\n  HostName 127.0.0.1\n  Port {}\n  IdentityFile {}\n  \
             UserKnownHostsFile {}\n  StrictHostKeyChecking accept-new\n  BatchMode yes\n",
            gate.port,
            target.path("client").display(),
            target.path("known_gate").display()
        );
        let of_hosts = match way {
            "ProxyJump" => "Host 127.0.0.*\n  ProxyJump gate\n".to_owned(),
            "ProxyCommand" => format!(
                "Host 127.0.0.*\n  ProxyCommand ssh -F {} -W %h:%p gate\n",
                config.display()
            ),
            _ => String::new(),
        };
        // The gate's own line comes first: it has an address of the hosts' pattern.
        fs::write(&config, format!("{of_gate}{of_hosts}")).unwrap();
        let way_there = match way {
            "jump" => "  jump: 127.0.0.1:{gate}\n  config: false\n".to_owned(),
            _ => format!("  config: {}\n", config.display()),
        };
        // Somebody else's connection takes one of the two places, and never logs in.
        let idle = TcpStream::connect(("127.0.0.1", gate.port)).unwrap();
        let (all, said) = reach(&target, &gate, &way_there);
        drop(idle);
        let log = gate.stop().join("\n");
        assert!(all, "{way}: {said}\n{log}");
        assert!(said.contains(&format!("{HOSTS} hosts: ")), "{way}: {said}");
        cut += log.matches("past MaxStartups").count();
    }
    injected(cut, "connections cut by a jump host's MaxStartups");
}

#[test]
fn a_jump_host_that_is_off_is_told_for_all_behind_it() {
    let target = Server::start();
    let gate = Server::start();
    let port = free_port().to_string();
    let way = format!("  jump: 127.0.0.1:{port}\n  config: false\n");
    let (all, said) = reach(&target, &gate, &way);
    assert!(!all);
    // All for the same reason, so they stand in one line.
    assert!(said.contains(&format!("{HOSTS} hosts: ")), "{said}");
    assert!(said.contains("Connection refused"), "{said}");
}
