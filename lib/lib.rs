//! Builds and operates a PaaS cluster from one `cluster.yml`, over SSH, without an agent.
//!
//! The data flows one way:
//! `cluster.yml → ClusterFile → Cluster → Plan → Engine → Event → {journal, terminal, report}`.
//! Each module below is one room of that house; `docs/architecture.md` says which room may
//! import which, and `tests/rooms.rs` holds it.

#![forbid(unsafe_code)]

pub mod cluster_file;
#[path = "../cluster_jobs/mod.rs"]
pub mod cluster_jobs;
pub mod engine;
pub mod event;
pub mod job;
pub mod journal;
pub mod ks;
pub mod lab;
pub mod logs;
pub mod model;
pub mod operation;
pub mod plan;
pub mod report;
pub mod run_state;
pub mod script;
pub mod secret;
pub mod terminal;
pub mod transport;
