//! What can be typed about the global control plane.

use clap::{Args, Subcommand, ValueEnum};
use paas_cluster_build::ks::Db;

use super::RunOptions;

/// What to explain.
#[derive(Debug, Subcommand)]
pub enum ExplainWhat {
    /// The schemes of global_ks, or one of them.
    Scheme {
        /// Which.
        name: Option<String>,
    },
}

/// What to do with the global control plane.
#[derive(Debug, Subcommand)]
pub enum KsAction {
    /// Show which room serves (GetGlobalKSInfo).
    Info {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show a database's servers, how far each is, and the pools (CheckPG).
    CheckPg {
        /// Which database.
        #[arg(long)]
        db: DbName,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make a database writable without the servers that are gone, or take them back (RecoverPG).
    RecoverPg {
        /// Which database.
        #[arg(long)]
        db: DbName,
        /// The server that is, or is to be, the primary.
        #[arg(long, value_name = "NODE")]
        primary: String,
        #[command(flatten)]
        change: KsChange,
    },
    /// Have another room serve, planned or after a disaster (FailoverGlobalKS).
    Failover {
        /// The room.
        #[arg(long, value_name = "ROOM")]
        to: String,
        /// The zone that the disaster took with it; it's marked faulty.
        #[arg(long, value_name = "ZONE")]
        disaster_zone: Option<String>,
        #[command(flatten)]
        change: KsChange,
    },
    /// Have a room serve again that was lost, once everything follows (FailbackGlobalKS).
    Failback {
        /// The room.
        #[arg(long, value_name = "ROOM")]
        to: String,
        #[command(flatten)]
        change: KsChange,
    },
    /// Ask, in order, what is asked when the global control plane doesn't work.
    Doctor {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Say what each side sees when rooms are cut from each other, and what each choice loses.
    Advise {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

/// The two databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DbName {
    /// Accounts, billing, API.
    Global,
    /// The disaster recovery of users' resources.
    Recovery,
}

impl From<DbName> for Db {
    fn from(name: DbName) -> Db {
        match name {
            DbName::Global => Db::Global,
            DbName::Recovery => Db::Recovery,
        }
    }
}

/// How a plan is shown, and whether it's carried out.
#[derive(Debug, Clone, Args)]
pub struct Showing {
    /// Only look and print go or no-go, with the stages and how long they take.
    #[arg(long)]
    pub rehearse: bool,
    /// Print gates and stages as JSON.
    #[arg(long)]
    pub json: bool,
}

/// The options of every change of the databases.
#[derive(Debug, Clone, Args)]
pub struct KsChange {
    #[command(flatten)]
    pub showing: Showing,
    /// The room that can't be asked and is known to be dark: instead of typing its name.
    #[arg(long, value_name = "ROOM")]
    pub confirm: Option<String>,
    #[command(flatten)]
    pub options: RunOptions,
}

/// What to note of a zone.
#[derive(Debug, Subcommand)]
pub enum ZoneAction {
    /// Mark a zone (ModifyZoneAttributes).
    SetStatus {
        /// The zone.
        zone: String,
        /// How it is.
        status: ZoneStatus,
        #[command(flatten)]
        showing: Showing,
        #[command(flatten)]
        options: RunOptions,
    },
    /// Mark a zone active again after a disaster (ActiveDisasterZone).
    Activate {
        /// The zone.
        zone: String,
        #[command(flatten)]
        showing: Showing,
        #[command(flatten)]
        options: RunOptions,
    },
}

/// How a zone is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ZoneStatus {
    /// Nothing new is placed there.
    Faulty,
    /// It works.
    Active,
}

impl ZoneStatus {
    /// As the database has it.
    pub fn as_str(self) -> &'static str {
        match self {
            ZoneStatus::Faulty => "faulty",
            ZoneStatus::Active => "active",
        }
    }
}
