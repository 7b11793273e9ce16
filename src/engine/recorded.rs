//! A run over epochs that are recorded: what it goes on from and who gets its epochs, in the place of a lake.
//!
//! Why traits: what is done with a recorded range (compare it, collect it) is above the engine, which only runs it again.
//! What must always hold: such a run writes nothing and takes nothing over; a source that no longer has the records is an
//! error of the user's.

use crate::commit::CommitJob;
use crate::epochs::replay::Recorded;
use crate::epochs::until::WITHOUT_SOURCE;
use crate::epochs::{ControlSpec, Report};
use async_trait::async_trait;
use std::sync::Arc;
use ticktide_base::error::{Error, Kind};
use ticktide_base::failure::Failure;
use ticktide_dataflow::Dataflow;
use ticktide_dataflow::evolution::Added;
use ticktide_feed::{Partition, Source};
use ticktide_lake::{Lake, LakeOptions, LakeWriter, Resume};
use ticktide_tables::set::Tables;

/// Epochs that are written, one after the other.
pub type Jobs = tokio::sync::mpsc::UnboundedReceiver<CommitJob>;
/// Who hears that an epoch is done with.
pub type Decided = Box<dyn Fn(Report) + Send + Sync>;

/// A recorded range, and what is wanted of it.
#[async_trait]
pub trait Wanted: Send + Sync {
    /// Opens the lake for reading and finds the range. Errors of kind `Fix`: it is another dataflow's, the range is none.
    async fn open(
        &self,
        options: &LakeOptions,
        tables: &Tables,
        control: &ControlSpec,
        dataflow: &Dataflow,
    ) -> Result<Opened, Error>;
}

/// Who gets the epochs of such a run.
#[async_trait]
pub trait Taker: Send {
    /// Takes one epoch after the other until there are no more, or the run has failed.
    async fn run(self: Box<Self>, jobs: Jobs, failure: Arc<Failure>, decided: Decided);
}

/// What such a run goes on from, in the place of a lake that is taken over.
pub struct Opened {
    pub writer: LakeWriter,
    pub resume: Resume,
    pub recorded: Recorded,
    pub taker: Box<dyn Taker>,
    /// In the place of the dataflow's.
    pub source: Option<Arc<dyn Source>>,
}

/// What a lake lacks of its dataflow: it was added, and is not computed yet for what is recorded.
pub struct Missing<'a> {
    pub lake: &'a mut Lake,
    pub resume: &'a mut Resume,
    pub options: &'a LakeOptions,
    pub dataflow: &'a Dataflow,
    pub added: &'a Added,
    pub workers: usize,
    pub runtime: &'a tokio::runtime::Runtime,
}

/// Computes and decides what is missing; the lake and what the run goes on from are behind it then.
pub type Rebuild = fn(Missing<'_>) -> Result<(), Error>;

/// Refuses a source that lacks a partition with records of the range, or has another one under its name.
pub fn check_source(recorded: &Recorded, source: &dyn Source) -> Result<(), Error> {
    let Some(end) = recorded.bindings.last() else { return Ok(()) };
    let partitions = source.partitions();
    for (name, place) in &end.places {
        if recorded.starts.get(name).is_none_or(|start| *start >= place.offset_next) {
            continue;
        }
        match partitions.iter().find(|partition| partition.name() == *name) {
            None => {
                let there: Vec<String> = partitions.iter().take(10).map(Partition::name).collect();
                let message = format!("the source has no partition {name} any more, there are [{}]", there.join(", "));
                return Err(Error::fix(message, WITHOUT_SOURCE));
            }
            Some(partition) if !source.is_recorded_as(partition, &place.source_id) => {
                let (ours, theirs) = (&place.source_id, &partition.source_id);
                let message = format!("partition {name} is of another source now: {theirs}, the lake has read {ours}");
                return Err(Error::fix(message, WITHOUT_SOURCE));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// The source cannot be opened: the hint says what else can be done.
pub fn without_source(error: impl Into<Error>) -> Error {
    let error = error.into();
    match (error.kind, &error.hint) {
        (Kind::Fix, Some(hint)) => Error { hint: Some(format!("{hint}; {WITHOUT_SOURCE}")), ..error },
        _ => error,
    }
}
