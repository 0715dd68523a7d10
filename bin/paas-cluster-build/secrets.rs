//! The secrets of a run: from the cluster file's variables, from the host that keeps them, from
//! this machine's copy, or made new.

