//! What processes send each other before the first record: who they are, what they continue from, that they are ready.
//!
//! The generation is not in the hello but in [`Start`] and [`Ready`]: it exists only when process 0 has taken the lake over,
//! and an incomplete cluster must take nothing over. Every process receives it from process 0 and then from every other
//! one, so a process that is left from another start is found before it has sent a record.

use super::{MeshError, Peer};
use serde::{Deserialize, Serialize};

/// What all processes must have in common, and which one this is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub code_version: String,
    pub processes: usize,
    /// Workers of each process.
    pub workers: usize,
    /// Its name and its hash.
    pub dataflow: String,
    /// The cluster's id: the address of the lake that it writes.
    pub lake: String,
    pub until_end: bool,
    pub process: usize,
    /// Which process it takes the other one for.
    pub to: usize,
}

/// From process 0, when the lake is taken over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    pub generation: u64,
    /// The epoch to decide next; the one before it is the takeover.
    pub epoch_next: u64,
    /// The takeover's own mark: a process that finds another mark in its place reads another lake.
    pub token: String,
}

/// From each process to every other: its state is restored, its source is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    pub generation: u64,
    pub partitions: usize,
    /// Over the names of the partitions in their order.
    pub partitions_hash: String,
}

fn differ(peer: &Peer, what: &str, ours: String, theirs: String, hint: &str) -> MeshError {
    MeshError::Mismatch { peer: peer.clone(), what: what.to_owned(), ours, theirs, hint: hint.to_owned() }
}

/// Compares what both must have in common. Error: the first difference, with both values.
pub fn compare(ours: &Hello, theirs: &Hello, peer: &Peer) -> Result<(), MeshError> {
    let until = |hello: &Hello| if hello.until_end { "`--until end`" } else { "no `--until`" }.to_owned();
    let workers = |hello: &Hello| format!("-w {}", hello.workers);
    let processes = |hello: &Hello| format!("-n {}", hello.processes);
    let alike: [(&str, String, String, &str); 6] = [
        ("version", ours.code_version.clone(), theirs.code_version.clone(), "install the same ticktide on every host"),
        (
            "number of processes",
            processes(ours),
            processes(theirs),
            "give every process the same `-n` and the same hostfile",
        ),
        ("number of workers", workers(ours), workers(theirs), "give every process the same `-w`"),
        (
            "dataflow",
            ours.dataflow.clone(),
            theirs.dataflow.clone(),
            "give every process the same dataflow file and the same flags; `run --dry-run` prints the settings",
        ),
        ("lake", ours.lake.clone(), theirs.lake.clone(), "give every process the same `--warehouse`, on a shared disk"),
        ("end", until(ours), until(theirs), "give every process the same `--until`"),
    ];
    if let Some((what, ours, theirs, hint)) = alike.into_iter().find(|(_, ours, theirs, _)| ours != theirs) {
        return Err(differ(peer, what, ours, theirs, hint));
    }
    if theirs.to != ours.process || theirs.process != peer.process {
        let place = |process: usize, other: usize| format!("process {process} (and takes the other for {other})");
        let hint = "give every process the same hostfile, and `-p` the number of its line, from 0";
        return Err(differ(
            peer,
            "place in the hostfile",
            place(ours.process, peer.process),
            place(theirs.process, theirs.to),
            hint,
        ));
    }
    Ok(())
}

/// Compares what both are about to run.
pub fn compare_ready(ours: &Ready, theirs: &Ready, peer: &Peer) -> Result<(), MeshError> {
    if ours.generation != theirs.generation {
        let hint = "end every process of this cluster, then start all of them again";
        return Err(differ(peer, "generation", ours.generation.to_string(), theirs.generation.to_string(), hint));
    }
    let partitions = |ready: &Ready| {
        format!("{} ({})", ready.partitions, ready.partitions_hash.chars().take(12).collect::<String>())
    };
    if ours != theirs {
        let hint = "every host must see the same topics, or the same files under the same paths";
        return Err(differ(peer, "partitions of the source", partitions(ours), partitions(theirs), hint));
    }
    Ok(())
}
