//! Reads `cluster.yml` strictly and keeps the line and column of every value.
//!
//! It knows which keys the file may have and of which shape, and nothing of what they mean:
//! that is `model`'s.

mod place;

pub use place::Place;
