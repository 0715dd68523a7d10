//! The global control plane on machines of the lab: rooms that lose their power or are cut from each
//! other, and writers that go through every room's entry all the while.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::random::Random;
use super::site::{Site, said};
use super::{injected, root};

/// A site with its rooms: each a name and the last-but-one part of its addresses.
pub struct Rooms {
    pub site: Site,
    pub rooms: Vec<(&'static str, String)>,
    /// The last part of an entry's address.
    entry: u8,
}

/// How a scheme is laid out here.
pub struct Layout {
    pub name: &'static str,
    pub scheme: &'static str,
    /// The third part of the first room's addresses; the others follow.
    pub net: u8,
    pub rooms: usize,
    pub servers_in_room: usize,
    pub zookeepers_in_room: usize,
    pub arbiter: bool,
    pub recovery: bool,
}

const NAMES: [&str; 3] = ["global1a", "global2a", "global3a"];
const ZONES: [&str; 3] = ["alpha", "beta", "gamma"];

impl Layout {
    pub fn net(&self, room: usize) -> String {
        format!("10.78.{}", usize::from(self.net) + room)
    }

    fn entry(&self) -> u8 {
        if self.servers_in_room > 1 { 100 } else { 11 }
    }

    /// Machine 11 of a room carries data and entry, 12 the services, 13 another server of each kind;
    /// with that, the entry's address 100 moves between 11 and 13.
    pub fn file(&self) -> String {
        let each = |last: &[usize]| -> String {
            let rooms = 0..self.rooms;
            let all: Vec<String> = rooms
                .flat_map(|room| last.iter().map(move |host| (room, *host)))
                .map(|(room, host)| format!("{}.{host}", self.net(room)))
                .collect();
            all.join(", ")
        };
        let mut machines = vec![11, 12];
        if self.servers_in_room > 1 {
            machines.push(13);
        }
        let rooms: String = (0..self.rooms)
            .map(|room| {
                let hosts: Vec<String> = machines
                    .iter()
                    .map(|host| format!("{}.{host}", self.net(room)))
                    .collect();
                let vip = match self.entry() {
                    100 => format!(", vip: {}.100", self.net(room)),
                    _ => String::new(),
                };
                format!(
                    "    - {{name: {}, zone: {}, hosts: [{}]{vip}}}\n",
                    NAMES[room],
                    ZONES[room],
                    hosts.join(", ")
                )
            })
            .collect();
        let arbiter = format!("{}.11", self.net(self.rooms));
        let (mut options, mut zookeepers) =
            (String::new(), each(&machines[..self.zookeepers_in_room]));
        if self.arbiter {
            options = format!("  arbiter: {arbiter}\n");
            zookeepers = format!("{zookeepers}, {arbiter}");
        }
        let (mut components, mut recovery) = (String::new(), String::new());
        if self.recovery {
            options += "  recovery_pg: true\n";
            components = "recoverypgserver, ".to_owned();
            recovery = format!("  recoverypgserver: {{ip: [{}]}}\n", each(&[11]));
        }
        let servers = if self.servers_in_room > 1 {
            each(&[11, 13])
        } else {
            each(&[11])
        };
        let data = each(&[11]);
        let services = each(&[12]);
        format!(
            "name: {}\nsite_packages: packages\nglobal_ks:\n  scheme: {}\n{options}  rooms:\n{rooms}\
             components: [firstbox, dnsmaster, zookeeper, memcached, pgserver, {components}proxy, \
             pgpool, webservice]\nserver:\n  firstbox: {{ip: {}.12}}\n  dnsmaster: {{ip: \
             [{services}]}}\n  zookeeper: {{ip: [{zookeepers}]}}\n  memcached: {{ip: [{data}]}}\n  \
             pgserver: {{ip: [{servers}]}}\n{recovery}  proxy: {{ip: [{servers}]}}\n  pgpool: {{ip: \
             [{servers}]}}\n  webservice: {{ip: [{services}]}}\n",
            self.name,
            self.scheme,
            self.net(0),
        )
    }

    /// Boots the machines and builds the scheme; `None`, said loudly, where there is no lab.
    pub fn build(&self) -> Option<Rooms> {
        let site = Site::prepared(&self.file(), |folder| {
            let built = Command::new(root().join("deploy/pitrix-example/build"))
                .arg(folder.join("packages"))
                .status()
                .unwrap();
            assert!(built.success());
        })?;
        site.succeeds(&["lab", "up", "--preinstall"]);
        site.succeeds(&["build", "--yes"]);
        let rooms = (0..self.rooms).map(|room| (NAMES[room], self.net(room)));
        Some(Rooms {
            rooms: rooms.collect(),
            entry: self.entry(),
            site,
        })
    }
}

impl Rooms {
    pub fn net(&self, room: &str) -> &str {
        &self.rooms.iter().find(|(name, _)| *name == room).unwrap().1
    }

    pub fn entry(&self, room: &str) -> SocketAddr {
        let address = format!("{}.{}:7777", self.net(room), self.entry);
        address.parse().unwrap()
    }

    pub fn machines(&self, room: &str) -> Vec<String> {
        let status = self.site.succeeds(&["lab", "status"]);
        let prefix = format!("{}.", self.net(room));
        let hosts = status
            .lines()
            .filter_map(|line| line.split_whitespace().next());
        hosts
            .filter(|host| host.starts_with(&prefix))
            .map(str::to_owned)
            .collect()
    }

    /// Takes the power of all of a room's machines.
    pub fn power_off(&self, room: &str) {
        for host in self.machines(room) {
            self.site.succeeds(&["lab", "kill", &host]);
        }
        injected(1, "rooms that lost their power");
    }

    pub fn power_on(&self, room: &str) {
        for host in self.machines(room) {
            self.site.succeeds(&["lab", "boot", &host]);
        }
    }

    /// Waits until Patroni would elect any of this many others: only then may the primary be lost.
    pub fn await_protected(&self, others: usize) {
        let until = Instant::now() + Duration::from_secs(120);
        loop {
            let info = self.info();
            let hosts = info["hosts"].as_object().unwrap();
            let is_protected = hosts.values().any(|view| {
                let server = &view["servers"]["global"];
                let electable = server["electable"].as_array().map_or(0, Vec::len);
                server["role"] == "primary" && electable >= others
            });
            if is_protected {
                return;
            }
            assert!(Instant::now() < until, "{info}");
            thread::sleep(Duration::from_millis(500));
        }
    }

    /// Waits until every host can be asked.
    pub fn await_connected(&self) {
        let until = Instant::now() + Duration::from_secs(120);
        while !self.info()["silent"].as_object().unwrap().is_empty() {
            assert!(Instant::now() < until, "{}", self.info());
        }
    }

    pub fn ks(&self, arguments: &[&str]) -> String {
        let arguments = [&["ks"], arguments].concat();
        let output = self.site.run(&arguments);
        assert!(output.status.success(), "{arguments:?}:\n{}", said(&output));
        said(&output)
    }

    /// A command that must be refused; returns what it said.
    pub fn refused(&self, arguments: &[&str]) -> String {
        let output = self.site.run(arguments);
        assert!(
            !output.status.success(),
            "{arguments:?}:\n{}",
            said(&output)
        );
        said(&output)
    }

    pub fn info(&self) -> Value {
        let output = self.site.run(&["ks", "info", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)))
    }

    /// Waits until every server of a database follows its primary, and its commits wait for one.
    pub fn await_all_follow(&self, db: &str) {
        let until = Instant::now() + Duration::from_secs(180);
        loop {
            let output = self.site.run(&["ks", "check-pg", "--db", db]);
            if output.status.success() {
                return;
            }
            assert!(Instant::now() < until, "{}", said(&output));
            thread::sleep(Duration::from_millis(500));
        }
    }

    /// Every id that the primary has.
    pub fn stored(&self) -> BTreeSet<u64> {
        let room = self.info()["ks_master_zone"].as_str().unwrap().to_owned();
        let host = self.primary_host(&room);
        let sql = "runuser -u postgres -- psql -p 5432 -Atc 'select id from requests' global";
        let text = self.site.on(&host, sql);
        text.lines()
            .filter_map(|line| line.strip_prefix("w-")?.parse().ok())
            .collect()
    }

    pub fn primary_host(&self, room: &str) -> String {
        let info = self.info();
        let hosts = info["hosts"].as_object().unwrap();
        let found = hosts.iter().find(|(host, view)| {
            host.starts_with(self.net(room)) && view["servers"]["global"]["role"] == "primary"
        });
        found
            .unwrap_or_else(|| panic!("no primary in {room}: {info}"))
            .0
            .clone()
    }
}

/// Writers through every room's entry; each write that was acknowledged is remembered.
pub struct Writers {
    pub stop: Arc<AtomicBool>,
    pub acknowledged: Arc<Mutex<Vec<(u64, Instant, usize)>>>,
    pub threads: Vec<JoinHandle<()>>,
}

impl Writers {
    pub fn start(rooms: &Rooms) -> Writers {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let entries: Vec<SocketAddr> = rooms
            .rooms
            .iter()
            .map(|(room, _)| rooms.entry(room))
            .collect();
        let threads = (0..).zip(entries).map(|(room, entry)| {
            let (stop, acknowledged) = (stop.clone(), acknowledged.clone());
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let id = NEXT.fetch_add(1, Ordering::Relaxed);
                    if write(entry, id) {
                        acknowledged
                            .lock()
                            .unwrap()
                            .push((id, Instant::now(), room));
                    } else {
                        // A refused write is tried again as any client would, not in a storm.
                        thread::sleep(Duration::from_millis(50));
                    }
                }
            })
        });
        let threads = threads.collect();
        Writers {
            stop,
            acknowledged,
            threads,
        }
    }

    pub fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// When a write was first acknowledged through a room's entry that began after a moment.
    pub fn first_after(&self, moment: Instant, room: usize) -> Option<Duration> {
        let acknowledged = self.acknowledged.lock().unwrap();
        let mut after = acknowledged
            .iter()
            .filter(|(_, at, by)| *at > moment && *by == room);
        after.next().map(|(_, at, _)| *at - moment)
    }

    /// Waits until a room's entry acknowledges again.
    pub fn await_after(&self, rooms: &Rooms, moment: Instant, room: usize) -> Duration {
        let until = Instant::now() + Duration::from_secs(120);
        loop {
            if let Some(time) = self.first_after(moment, room) {
                return time;
            }
            if Instant::now() >= until {
                let (doctor, check) = (
                    rooms.site.run(&["ks", "doctor"]),
                    rooms.site.run(&["ks", "check-pg", "--db", "global"]),
                );
                panic!(
                    "nothing can be written through room {room}\n{}{}",
                    said(&doctor),
                    said(&check)
                );
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Prints how long at most no write was acknowledged through any one entry since a moment.
    pub fn print_gap(&self, event: &str, since: Instant) {
        let acknowledged = self.acknowledged.lock().unwrap();
        let rooms = acknowledged.iter().map(|(.., room)| *room).max().unwrap();
        let gap = (0..=rooms).map(|room| {
            let after = acknowledged
                .iter()
                .filter(|(_, at, by)| *at > since && *by == room);
            let times: Vec<Instant> = [since]
                .into_iter()
                .chain(after.map(|(_, at, _)| *at))
                .collect();
            let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
            gaps.max().unwrap_or_default()
        });
        let gap = gap.max().unwrap_or_default().as_secs_f64();
        println!("{event}: {gap:.1} s at most without an acknowledged write through an entry");
    }

    /// Ends them; nothing that was acknowledged may be missing.
    pub fn finish_without_loss(self, rooms: &Rooms, event: &str) {
        let acknowledged = self.finish();
        assert_none_lost(rooms, &acknowledged);
        println!(
            "{event}: {} acknowledged writes, none lost",
            acknowledged.len()
        );
    }

    pub fn finish(self) -> BTreeSet<u64> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        let acknowledged = self.acknowledged.lock().unwrap();
        acknowledged.iter().map(|(id, ..)| *id).collect()
    }
}

/// Writes one id through an entry; true when it was acknowledged.
fn write(entry: SocketAddr, id: u64) -> bool {
    let exchange = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&entry, Duration::from_secs(2))?;
        stream.set_read_timeout(Some(Duration::from_secs(3)))?;
        write!(
            stream,
            "POST /write?id=w-{id} HTTP/1.0\r\nHost: ks\r\nContent-Length: 0\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    exchange().is_ok_and(|answer| answer.split_whitespace().nth(1) == Some("200"))
}

/// Nothing that was acknowledged is missing.
fn assert_none_lost(rooms: &Rooms, acknowledged: &BTreeSet<u64>) {
    let stored = rooms.stored();
    let lost: Vec<_> = acknowledged.difference(&stored).collect();
    assert!(
        lost.is_empty(),
        "{} of {} acknowledged writes are lost: {lost:?}",
        lost.len(),
        acknowledged.len()
    );
}

/// Three rooms with a machine for data and one for services each.
pub const THREE_ROOMS: Layout = Layout {
    name: "test-ks-three",
    scheme: "three-rooms",
    net: 1,
    rooms: 3,
    servers_in_room: 1,
    zookeepers_in_room: 1,
    arbiter: false,
    recovery: false,
};

/// Two rooms with a machine for data and one for services each.
pub const TWO_ROOMS: Layout = Layout {
    name: "test-ks-two",
    scheme: "two-rooms",
    net: 11,
    rooms: 2,
    ..THREE_ROOMS
};

/// The room of the primary loses its power, again and again: another one takes over by itself, and
/// the lost one is taken back. Ends with a planned switch and back.
pub fn lose_the_primarys_room(rooms: &Rooms, losses: usize) {
    rooms.await_protected(rooms.rooms.len() - 1);
    let writers = Writers::start(rooms);
    let mut times = Vec::new();
    let mut random = Random::seeded("PAAS_KS_SEED");
    for _ in 0..losses {
        // At any moment of Patroni's and the services' rounds.
        thread::sleep(Duration::from_millis(random.next() % 5000));
        let lost = rooms.info()["ks_master_zone"].as_str().unwrap().to_owned();
        let surviving = rooms
            .rooms
            .iter()
            .position(|(name, _)| *name != lost)
            .unwrap();
        let before = writers.count();
        let moment = Instant::now();
        rooms.power_off(&lost);
        let time = writers.await_after(rooms, moment + Duration::from_secs(2), surviving)
            + Duration::from_secs(2);
        times.push(time);
        assert!(writers.count() > before);
        // Nobody did anything; the machines come back and are taken back by themselves.
        rooms.power_on(&lost);
        rooms.await_all_follow("global");
        rooms.await_protected(rooms.rooms.len() - 1);
    }
    times.sort();
    let (median, most) = (times[times.len() / 2], times[times.len() - 1]);
    println!(
        "{losses} losses of the primary's room: first write through a surviving entry after {:.1} s \
         (median), {:.1} s (most)",
        median.as_secs_f64(),
        most.as_secs_f64()
    );
    // A planned switch, to another room and back.
    let serving = rooms.info()["ks_master_zone"].as_str().unwrap().to_owned();
    let other = rooms
        .rooms
        .iter()
        .find(|(name, _)| *name != serving)
        .unwrap()
        .0;
    let moment = Instant::now();
    rooms.ks(&["failover", "--to", other, "--yes"]);
    assert_eq!(rooms.info()["ks_master_zone"], other);
    rooms.await_all_follow("global");
    rooms.ks(&["failback", "--to", &serving, "--yes"]);
    rooms.await_all_follow("global");
    writers.print_gap("planned switch and back", moment);
    writers.finish_without_loss(rooms, "losses of the primary's room, and a switch");
    rooms.ks(&["doctor"]);
}
