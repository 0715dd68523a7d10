//! One file for each group of subcommands.

pub mod adopt;
pub mod build;
pub mod exec;
pub mod ks;
pub mod lab;
pub mod logs;
pub mod look;
pub mod plan;
pub mod remove;
pub mod runs;
