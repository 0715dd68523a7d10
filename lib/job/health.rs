//! How a service's health is asked for.

/// One question that a healthy service answers; asked on the host itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// Something listens on this TCP port of the host's address or of the loopback address.
    Tcp(u16),
    /// `GET path` on this port of the host's or the loopback address answers with a 2xx status.
    Http {
        /// The port.
        port: u16,
        /// The path, beginning with a slash.
        path: String,
    },
    /// `GET path` answers with a 2xx status, or sends on to another page (3xx).
    Entry {
        /// The port.
        port: u16,
        /// The path, beginning with a slash.
        path: String,
    },
    /// The status page of a component of the release answers to the user and the password under
    /// `status` in the configuration that it was started with.
    StatusPage {
        /// The component.
        component: String,
        /// The port.
        port: u16,
    },
    /// A shell command exits with 0.
    Command(String),
}

/// Everything that tells whether a job's services are well, and where they say why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The release's components that must run, in the order of starting.
    pub services: Vec<String>,
    /// The systemd units that must be active, for jobs that drive no release.
    pub units: Vec<String>,
    /// Further questions.
    pub checks: Vec<Check>,
    /// The services' own logs; relative to the login user's home.
    pub logs: Vec<String>,
    /// How long a start may take, in seconds.
    pub timeout: u32,
}

impl Health {
    /// Lists every file that tells of its services: their own logs, and what starting them printed.
    pub fn log_files(&self) -> Vec<String> {
        let starts = self.services.iter();
        let starts = starts.map(|service| format!("vcap/sys/log/{service}.start.log"));
        self.logs.iter().cloned().chain(starts).collect()
    }

    /// Lists the units whose journals tell of its services; each with its suffix.
    pub fn journal_units(&self) -> Vec<String> {
        let of_services = self.services.iter();
        // As release.sh calls them.
        let of_services = of_services.map(|service| format!("paas-cluster-{service}.service"));
        let in_full = |unit: &String| match unit.contains('.') {
            true => unit.clone(),
            false => format!("{unit}.service"),
        };
        let own = self.units.iter().map(in_full);
        own.chain(of_services).collect()
    }
}
