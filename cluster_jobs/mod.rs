//! The built-in jobs, one folder each.
