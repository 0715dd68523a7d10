//! Throw-away machines on this computer, booted from nothing at the addresses of a cluster file,
//! and broken on purpose: power loss, a cut network, rooms cut from each other.
//!
//! It knows nothing of clusters or components; the model's hosts are turned into a [`Spec`] by the
//! caller. Machines are systemd-nspawn containers with systemd as PID 1 and a real sshd, each on an
//! overlay over one read-only base, and they go on when the program that booted them ends. All the
//! network of a lab exists on this computer only.
//!
//! Where things are: `/var/lib/paas-cluster-build-lab/<name>` and
//! `/var/cache/paas-cluster-build-lab`, or what `PAAS_LAB_STATE` and `PAAS_LAB_CACHE` say.

mod addresses;
mod apt;
mod base;
mod cgroup;
mod command;
mod disk;
mod down;
mod error;
mod firewall;
mod known_hosts;
mod names;
mod network;
mod power;
mod requirements;
mod spec;
mod state;
mod suite;
mod up;

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Output;

use cgroup::Groups;
use disk::Disk;
use names::Names;
use state::{Folders, Lock, MachineRecord, Record};

pub use error::Error;
pub use requirements::{Missing, requirements};
pub use spec::{Machine, Spec};
pub use suite::Suite;

/// How a machine is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its power is on and its network is plugged in.
    Running,
    /// Its power is off: it was killed, shut itself down, or this computer restarted.
    Stopped,
    /// Its power is on, but its network is cut.
    Cut,
    /// It is in the lab's record but was never made.
    Missing,
}

/// One machine as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineStatus {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
    /// Its room.
    pub room: Option<String>,
    /// Its Debian release.
    pub suite: Suite,
    /// How it is doing.
    pub state: State,
    /// Its PID 1, as this computer numbers it, while the power is on.
    pub leader: Option<u32>,
    /// Whether its sshd listens.
    pub sshd: bool,
    /// The bytes that its processes hold, without the cache of files.
    pub memory: Option<u64>,
}

/// A lab, by its name. The machines themselves are outside of this value: dropping it changes
/// nothing.
#[derive(Debug)]
pub struct Lab {
    name: String,
    spec: Option<Spec>,
    folders: Folders,
    names: Names,
}

impl Lab {
    /// Takes the lab of that name, which need not be there.
    pub fn open(name: &str) -> Result<Lab, Error> {
        spec::check_name(name)?;
        let folders = Folders::from_environment()?;
        let names = Names::new(&folders.state, name);
        Ok(Lab {
            name: name.to_owned(),
            spec: None,
            folders,
            names,
        })
    }

    /// Takes the lab that a specification describes, which need not be there. Every problem of the
    /// specification is reported at once.
    pub fn of(spec: Spec) -> Result<Lab, Error> {
        spec::check(&spec)?;
        let lab = Lab::open(&spec.name)?;
        Ok(Lab {
            spec: Some(spec),
            ..lab
        })
    }

    /// The lab's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Says whether the lab is there, running or not.
    pub fn exists(&self) -> bool {
        state::record_path(&self.folders.lab(&self.name)).exists()
    }

    /// Makes and boots what is missing, and returns when every machine's sshd listens. Machines
    /// that are up stay up, and those that aren't in the specification any more stay, too. A lab
    /// that was only opened is brought up as it was recorded.
    pub fn up(&self, progress: &mut dyn FnMut(&str)) -> Result<(), Error> {
        let recorded;
        let spec = match &self.spec {
            Some(spec) => spec,
            None => {
                recorded = self.recorded_spec()?;
                &recorded
            }
        };
        requirements().map_err(Error::CannotRun)?;
        let lock = self.lock(progress)?;
        let result = up::up(&self.folders, &self.names, spec, progress);
        if !self.exists() {
            // It was refused before anything was made, so its lock goes, too.
            self.unlock_for_good(lock)?;
        }
        result
    }

    /// Removes the lab and everything that it made on this computer, whatever state it is in.
    /// Returns whether anything was there.
    pub fn down(&self, progress: &mut dyn FnMut(&str)) -> Result<bool, Error> {
        let lock = self.lock(progress)?;
        let found = down::down(&self.folders, &self.names, &self.name, progress)?;
        self.unlock_for_good(lock)?;
        progress(&match found {
            true => format!("lab {} is gone", self.name),
            false => format!("lab {} wasn't there; nothing to remove", self.name),
        });
        Ok(found)
    }

    /// Looks at every machine. It waits for nobody, so during an `up` it shows what is there yet.
    pub fn status(&self) -> Result<Vec<MachineStatus>, Error> {
        let groups = self.groups()?;
        let status = |machine: MachineRecord| {
            let disk = self.disk(&machine.name);
            let on = power::is_on(&disk)?;
            let state = match (disk.folder().is_dir(), on, disk.cut().exists()) {
                (false, ..) => State::Missing,
                (_, false, _) => State::Stopped,
                (_, true, true) => State::Cut,
                (_, true, false) => State::Running,
            };
            let leader = groups.leader(machine.index).filter(|_| on);
            Ok(MachineStatus {
                address: IpAddr::V4(machine.address),
                state,
                leader,
                sshd: leader.is_some_and(power::sshd_listens),
                memory: leader.and_then(|_| groups.memory(machine.index)),
                name: machine.name,
                room: machine.room,
                suite: machine.suite,
            })
        };
        self.record()?.machines.into_iter().map(status).collect()
    }

    /// Takes a machine's power away at once: nothing is shut down, and no packet tells its peers.
    /// What its processes wrote stays on its disk even where they didn't sync it, since this
    /// computer's kernel lives on.
    pub fn kill(&self, machine: &str) -> Result<(), Error> {
        let (_lock, machine) = self.locked(machine)?;
        power::kill(
            &self.names,
            &self.groups()?,
            machine.index,
            &self.disk(&machine.name),
        )
    }

    /// Gives a machine its power back, with the disk as it was, and returns when its sshd listens.
    /// A machine that is on stays as it is.
    pub fn boot(&self, machine: &str) -> Result<(), Error> {
        let (_lock, machine) = self.locked(machine)?;
        let record = self.record()?;
        let disk = self.disk(&machine.name);
        if power::is_on(&disk)? {
            return Ok(());
        }
        up::boot(&self.names, &self.groups()?, &record, &machine, &disk)
    }

    /// Cuts a machine's network; a boot doesn't mend it.
    pub fn cut(&self, machine: &str) -> Result<(), Error> {
        let (_lock, machine) = self.locked(machine)?;
        let mark = self.disk(&machine.name).cut();
        error::At::at(std::fs::write(&mark, ""), "write", &mark)?;
        network::plug(&self.names.link(machine.index), false)
    }

    /// Mends a machine's network.
    pub fn heal(&self, machine: &str) -> Result<(), Error> {
        let (_lock, machine) = self.locked(machine)?;
        network::plug(&self.names.link(machine.index), true)?;
        state::remove_file(&self.disk(&machine.name).cut())
    }

    /// Cuts two rooms from each other; open connections just fall silent.
    pub fn cut_rooms(&self, a: &str, b: &str) -> Result<(), Error> {
        self.wall(a, b, true)
    }

    /// Connects two rooms again.
    pub fn heal_rooms(&self, a: &str, b: &str) -> Result<(), Error> {
        self.wall(a, b, false)
    }

    /// The arguments of an interactive ssh to a machine, which trusts its host key and no other.
    pub fn ssh_command(&self, machine: &str) -> Result<Vec<String>, Error> {
        let (record, machine) = (self.record()?, self.machine(machine)?);
        let known = self.folders.lab(&self.name).join("known_hosts");
        Ok(vec![
            "ssh".into(),
            "-o".into(),
            format!("UserKnownHostsFile={}", known.display()),
            "-o".into(),
            "StrictHostKeyChecking=yes".into(),
            "-l".into(),
            record.user,
            machine.address.to_string(),
        ])
    }

    /// Runs a command inside of a machine as root, without its network or sshd.
    pub fn exec_in(&self, machine: &str, argv: &[&str]) -> Result<Output, Error> {
        let machine = self.machine(machine)?;
        let leader = self.groups()?.leader(machine.index);
        let leader = leader.ok_or(Error::NotRunning(machine.name))?.to_string();
        let mut command = command::command("nsenter");
        command
            .args(["--target", &leader, "--all", "--root", "--wd", "--"])
            .args(argv)
            .env_clear();
        command.envs([
            (
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            ),
            ("HOME", "/root"),
            ("LC_ALL", "C.UTF-8"),
        ]);
        command::output(&mut command)
    }

    /// The file with everything that a machine wrote to its console.
    pub fn console_log(&self, machine: &str) -> Result<PathBuf, Error> {
        Ok(self.disk(&self.machine(machine)?.name).console())
    }

    fn wall(&self, a: &str, b: &str, up: bool) -> Result<(), Error> {
        // A lab that isn't there gets no lock, either.
        let record = self.record()?;
        let _lock = self.lock(&mut |_| ())?;
        let bridge = |name: &str| {
            let room = record
                .rooms
                .iter()
                .position(|room| room.as_deref() == Some(name));
            room.map(|room| self.names.bridge(room))
                .ok_or_else(|| Error::NoRoom {
                    lab: self.name.clone(),
                    room: name.to_owned(),
                    known: record.rooms.iter().flatten().cloned().collect(),
                })
        };
        firewall::wall(&self.names, &bridge(a)?, &bridge(b)?, up)
    }

    fn lock(&self, progress: &mut dyn FnMut(&str)) -> Result<Lock, Error> {
        if let Some(root) = requirements::root_missing() {
            return Err(Error::CannotRun(vec![root]));
        }
        let path = self.folders.state.join(format!("{}.lock", self.name));
        Lock::take(&path, &mut || {
            progress(&format!("waiting for another command on lab {}", self.name));
        })
    }

    /// Locks the lab for work on one of its machines; a lab that isn't there gets no lock.
    fn locked(&self, machine: &str) -> Result<(Lock, MachineRecord), Error> {
        let machine = self.machine(machine)?;
        Ok((self.lock(&mut |_| ())?, machine))
    }

    fn unlock_for_good(&self, lock: Lock) -> Result<(), Error> {
        lock.remove()?;
        // The folder of all labs goes with the last one; another lab's files keep it.
        let _ = std::fs::remove_dir(&self.folders.state);
        Ok(())
    }

    fn groups(&self) -> Result<Groups, Error> {
        Groups::new(self.names.chain())
    }

    fn disk(&self, machine: &str) -> Disk {
        up::disk(&self.folders.lab(&self.name), machine)
    }

    fn record(&self) -> Result<Record, Error> {
        let path = state::record_path(&self.folders.lab(&self.name));
        state::read_json(&path)?.ok_or_else(|| Error::NoLab(self.name.clone()))
    }

    fn machine(&self, name: &str) -> Result<MachineRecord, Error> {
        let machines = self.record()?.machines;
        machines
            .iter()
            .find(|machine| machine.name == name)
            .cloned()
            .ok_or_else(|| Error::NoMachine {
                lab: self.name.clone(),
                machine: name.to_owned(),
                known: machines.into_iter().map(|machine| machine.name).collect(),
            })
    }

    fn recorded_spec(&self) -> Result<Spec, Error> {
        let record = self.record()?;
        let machine = |machine: MachineRecord| Machine {
            name: machine.name,
            address: IpAddr::V4(machine.address),
            room: machine.room,
            suite: Some(machine.suite),
        };
        Ok(Spec {
            name: self.name.clone(),
            machines: record.machines.into_iter().map(machine).collect(),
            user: record.user,
            authorized_keys: record.authorized_keys,
            known_hosts: record.known_hosts,
            preinstalled: Vec::new(),
        })
    }
}
