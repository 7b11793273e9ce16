//! What takes the written epochs: the commit task of a live run, or the caller that runs recorded epochs again.
//!
//! ```text
//!   written epochs ─▶ [confirm] the source confirms that they are its own ─▶ [commit] decide, apply    a live run
//!   written epochs ─▶ compare, or collect                                                              above the engine
//! ```
//!
//! Why a trait: the engine only runs recorded epochs again; what their rows are used for is decided above it. What must always
//! hold: a live run decides an epoch only after its source has confirmed it, after the epoch's last record was fetched.

use crate::commit::{CommitJob, commit};
use crate::epochs::Report;
use crate::figures::Meters;
use async_trait::async_trait;
use std::sync::Arc;
use ticktide_base::error::Error;
use ticktide_base::failure::Failure;
use ticktide_feed::Source;
use ticktide_lake::Lake;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Written epochs, one after the other.
pub type Jobs = UnboundedReceiver<CommitJob>;
/// Is called when an epoch is done.
pub type Decided = Box<dyn Fn(Report) + Send + Sync>;

/// Takes the written epochs of a run.
#[async_trait]
pub trait Taker: Send {
    /// Takes one epoch after the other until there are no more, or the run has failed.
    async fn run(self: Box<Self>, jobs: Jobs, failure: Arc<Failure>, decided: Decided);
}

/// Commits them to the lake.
pub(crate) struct Committing {
    pub lake: Lake,
    pub source: Arc<dyn Source>,
    pub meters: Arc<Meters>,
}

#[async_trait]
impl Taker for Committing {
    async fn run(self: Box<Self>, jobs: Jobs, failure: Arc<Failure>, decided: Decided) {
        let Committing { lake, source, meters } = *self;
        let (sure, proven) = unbounded_channel();
        tokio::spawn(confirm(source, jobs, sure, failure.clone()));
        commit(lake, proven, meters, failure, decided).await;
    }
}

/// Passes epochs on to be decided once the source has confirmed, after their last record was fetched, that they are its own.
async fn confirm(source: Arc<dyn Source>, mut written: Jobs, sure: UnboundedSender<CommitJob>, failure: Arc<Failure>) {
    while let Some(job) = written.recv().await {
        let mut jobs = vec![job];
        while let Ok(job) = written.try_recv() {
            jobs.push(job);
        }
        let source = source.clone();
        let confirmed = tokio::task::spawn_blocking(move || source.confirm()).await;
        match confirmed {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return failure.set(error.into()),
            Err(error) => return failure.set(Error::bug(format!("the source could not confirm its records: {error}"))),
        }
        // the commit task ends early only with a failure of its own
        jobs.into_iter().for_each(|job| drop(sure.send(job)));
    }
}
