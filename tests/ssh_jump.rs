//! Many hosts behind one jump host whose sshd takes few logins at once.

mod common;

use std::fs;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use common::injected;
use common::sshd::*;
use paas_cluster_build::model::{Jump, SshConfig, SshSettings, Sudo};
use paas_cluster_build::transport::{Transport, TransportErrorKind};

const HOSTS: usize = 6;

/// Connects to all hosts at once, each as often as a run does; returns those that weren't reached.
fn unreached(target: &Server, way: impl Fn(&mut SshSettings) + Sync) -> Vec<String> {
    let transport = target.transport();
    let reach = |number: usize| {
        let mut host = target.host();
        host.address = format!("127.0.0.{number}").parse().unwrap();
        way(&mut host.ssh);
        let mut tries = 0;
        loop {
            tries += 1;
            match transport.connect(&host, &Sudo::No) {
                Ok(_) => return None,
                Err(error) if error.kind == TransportErrorKind::Protocol && tries < 3 => {
                    // The engine's pauses, with a jitter of their own.
                    thread::sleep(Duration::from_millis(400 * tries + 50 * number as u64));
                }
                Err(error) => return Some(format!("{}: {error}", host.address)),
            }
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (1..=HOSTS)
            .map(|number| {
                let reach = &reach;
                scope.spawn(move || reach(number))
            })
            .collect();
        let ended = threads.into_iter().map(|thread| thread.join().unwrap());
        ended.flatten().collect()
    })
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
        fs::write(&config, format!("{of_gate}{of_hosts}")).unwrap();
        // Somebody else's connection takes one of the two places, and never logs in.
        let idle = TcpStream::connect(("127.0.0.1", gate.port)).unwrap();
        let unreached = unreached(&target, |ssh| match way {
            "jump" => ssh.jump = vec![jump(gate.port)],
            _ => ssh.config = SshConfig::File(config.clone()),
        });
        drop(idle);
        let log = gate.stop().join("\n");
        assert_eq!(unreached, Vec::<String>::new(), "{way}: {log}");
        cut += log.matches("past MaxStartups").count();
    }
    injected(cut, "connections cut by a jump host's MaxStartups");
}

#[test]
fn a_jump_host_that_is_off_is_told_for_all_behind_it() {
    let target = Server::start();
    let port = free_port();
    let unreached = unreached(&target, |ssh| ssh.jump = vec![jump(port)]);
    assert_eq!(unreached.len(), HOSTS, "{unreached:?}");
    for said in unreached {
        assert!(said.contains("Connection refused"), "{said}");
    }
}

fn jump(port: u16) -> Jump {
    Jump {
        user: Some(user()),
        host: "127.0.0.1".into(),
        port,
    }
}
