//! What a run goes on from: the lake and its past first, then the source after the last record of the lake.
//!
//! ```text
//!   look at the source ─▶ Ground: lineages, tables ─▶ take the lake over, or follow ─▶ Opened ─▶ the source itself
//!                              └──── a recorded range, opened by the caller ────────────┘
//! ```
//!
//! Why the source is checked before the lake and opened after it: a wrong topic or path must not take a lake over, and only
//! the lake knows the offsets to go on from. Why the caller acts in between: the parts of its dataflow that the lake lacks are
//! computed above the engine, and no record may be read before they are in the lake.

use crate::epochs::replay::RecordedRange;
use crate::figures::Meters;
use crate::join::{lineages, open_lake};
use crate::options::{Evolve, RunOptions};
use crate::rehearsal::rehearse;
use crate::restore::keep;
use crate::taker::{Committing, Taker};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use ticktide_base::epoch::Place;
use ticktide_base::error::{Error, Kind};
use ticktide_base::version::code_version;
use ticktide_cluster::mesh::Mesh;
use ticktide_cluster::supervise::LoopBeat;
use ticktide_dataflow::Dataflow;
use ticktide_dataflow::composites;
use ticktide_dataflow::evolution::{self, Added, Additions};
use ticktide_feed as feed;
use ticktide_feed::{FeedError, Source, SourceSpec, Speed};
use ticktide_lake::{Lake, LakeOptions, LakeWriter, Resume};
use ticktide_tables::set::Tables;
use tokio::runtime::Runtime;

/// What a run is based on before anything is opened.
pub struct Ground {
    /// The options of its lake.
    pub lake: LakeOptions,
    pub tables: Tables,
    /// The settings of all dataflows that the lake has had, the oldest first; none: there is no lake yet.
    settings: Vec<Json>,
    /// When the opening of the lake began.
    pub(crate) opened_at: Instant,
}

/// What a run goes on from.
pub struct Opened {
    pub resume: Resume,
    /// What was added to the lake's dataflow and is not computed yet for the recorded epochs; a run goes on once it is.
    pub missing: Option<Added>,
    pub(crate) ground: Ground,
    pub(crate) writer: LakeWriter,
    /// When each addition to the lake's dataflow begins.
    pub(crate) additions: Additions,
    pub(crate) epochs: Epochs,
}

/// A recorded range that its caller has opened to run it again, instead of a lake that is taken over.
pub struct Recording {
    pub writer: LakeWriter,
    pub resume: Resume,
    pub recorded: RecordedRange,
    pub source: Arc<dyn Source>,
    pub taker: Box<dyn Taker>,
}

/// Where the epochs of a run come from, and where they go.
pub(crate) enum Epochs {
    /// Minted, and committed to the lake.
    Live {
        /// Only in the process that commits.
        lake: Option<Lake>,
        /// The source as it was before the lake was opened.
        looked: Arc<dyn Source>,
    },
    /// Decided as they are recorded, and taken by the caller's taker.
    Recorded { recorded: RecordedRange, source: Arc<dyn Source>, taker: Box<dyn Taker> },
}

/// What a run reads, what decides where its epochs end, and what takes them.
pub(crate) struct RunEndpoints {
    pub source: Arc<dyn Source>,
    /// What replaces minted decisions.
    pub recorded: Option<RecordedRange>,
    /// `None`: another process commits.
    pub taker: Option<Box<dyn Taker>>,
}

/// Opens the lake: takes it over, or follows the process that did. Errors: of source or lake, with what to do.
pub(crate) fn live(
    options: &RunOptions,
    mesh: Option<&Mesh>,
    io: &Runtime,
    pulse: &mut LoopBeat,
) -> Result<Opened, Error> {
    let looked = look(options, io)?;
    let ground = io.block_on(Ground::of(options, options.evolve, mesh))?;
    let opening = open_lake(ground.lake.clone(), &ground.tables, mesh);
    let (lake, writer, mut resume) = io.block_on(pulse.during(opening))?;
    let additions = ground.additions(&resume, &options.dataflow)?;
    let missing = ground.missing(&resume, &options.dataflow, mesh)?;
    if let Some(mesh) = mesh {
        let first = mesh.process() * options.workers;
        keep(&mut resume.state, &(first..first + options.workers), mesh.processes() * options.workers)?;
    }
    Ok(Opened { resume, missing, ground, writer, additions, epochs: Epochs::Live { lake, looked } })
}

/// The source before the lake is touched.
fn look(options: &RunOptions, io: &Runtime) -> Result<Arc<dyn Source>, Error> {
    match feed::open(&options.dataflow.source, &BTreeMap::new()) {
        // a source that the lake has read before may be back soon
        Err(error @ FeedError::Unanswered { .. }) if io.block_on(Lake::is_at(&options.warehouse)) => {
            Err(back_soon(error))
        }
        looked => {
            let looked = looked?;
            match looked.distinct() {
                // an existing lake may know that they are distinct
                Err(error) if !io.block_on(Lake::is_at(&options.warehouse)) => Err(error.into()),
                _ => Ok(looked),
            }
        }
    }
}

impl Ground {
    /// The ground of a run. With `evolve` its dataflow may become the lake's next one; then it is declared here.
    pub(crate) async fn of(options: &RunOptions, evolve: Evolve, mesh: Option<&Mesh>) -> Result<Ground, Error> {
        let dataflow = &options.dataflow;
        let outputs = composites(dataflow)?.into_iter();
        let outputs = outputs.map(|(on, composite)| (on, composite.outputs().to_vec())).collect();
        let lake = LakeOptions {
            warehouse: options.warehouse.clone(),
            catalog: options.catalog.clone(),
            namespace: "market".into(),
            dataflow: dataflow.name.clone(),
            dataflow_hash: dataflow.hash(),
            settings_json: dataflow.settings_json(),
            code_version: code_version(),
            rewrite_bytes_max: dataflow.limits.rewrite,
        };
        let opened_at = Instant::now();
        let settings = lineages(&lake, evolve, mesh).await?;
        let original = evolution::additions(settings.iter(), &[], dataflow)?.outputs;
        let tables = Tables::new(dataflow, &outputs).evolved(&original, &outputs);
        Ok(Ground { lake, tables, settings, opened_at })
    }

    /// What a run over a recorded range goes on from.
    pub fn recorded(self, dataflow: &Dataflow, recording: Recording) -> Result<Opened, Error> {
        let Recording { writer, resume, recorded, source, taker } = recording;
        let additions = self.additions(&resume, dataflow)?;
        let epochs = Epochs::Recorded { recorded, source, taker };
        Ok(Opened { resume, missing: None, ground: self, writer, additions, epochs })
    }

    fn additions(&self, resume: &Resume, dataflow: &Dataflow) -> Result<Additions, Error> {
        evolution::additions(self.settings.iter(), &resume.lineages, dataflow)
    }

    /// What the newest dataflow should have from the first record on and does not have yet. Error of kind `Fix`: several
    /// processes cannot compute it.
    fn missing(&self, resume: &Resume, dataflow: &Dataflow, mesh: Option<&Mesh>) -> Result<Option<Added>, Error> {
        if !resume.lineages.last().is_some_and(|begun| begun.lineage.rebuilt && begun.first.is_none()) {
            return Ok(None);
        }
        if mesh.is_some() {
            let message =
                "what was added to the lake's dataflow is not rebuilt yet; only a single process can rebuild it";
            return Err(Error::fix(message, "start `ticktide run` once without other processes"));
        }
        let [.., before, now] = &self.settings[..] else { return Ok(None) };
        evolution::added(before, now, dataflow).map(Some)
    }
}

impl Opened {
    /// The lake, in the process that commits to it.
    pub fn lake(&mut self) -> Option<&mut Lake> {
        match &mut self.epochs {
            Epochs::Live { lake, .. } => lake.as_mut(),
            Epochs::Recorded { .. } => None,
        }
    }
}

impl Epochs {
    /// Reads a source with an end before a new lake's first epoch. Error: its records are few, and more than half are refused.
    pub(crate) fn rehearse(
        &self,
        dataflow: &Dataflow,
        resume: &Resume,
        goes_on: impl FnMut() -> bool,
    ) -> Result<(), Error> {
        let Epochs::Live { looked, .. } = self else { return Ok(()) };
        let is_new = resume.binding.as_ref().is_none_or(|binding| binding.places.is_empty());
        if !is_new || !dataflow.source.until_end {
            return Ok(());
        }
        let source = match dataflow.source.speed {
            Speed::Max => looked.clone(),
            Speed::Times(_) => {
                feed::open(&SourceSpec { speed: Speed::Max, ..dataflow.source.clone() }, &BTreeMap::new())?
            }
        };
        rehearse(dataflow, &source, goes_on)
    }

    /// Opens the source after the last record of the lake. Error: it is not the source that the lake has read.
    pub(crate) fn begin(
        self,
        dataflow: &Dataflow,
        resume: &Resume,
        meters: &Arc<Meters>,
    ) -> Result<RunEndpoints, Error> {
        let (lake, looked) = match self {
            Epochs::Live { lake, looked } => (lake, looked),
            Epochs::Recorded { recorded, source, taker } => {
                return Ok(RunEndpoints { source, recorded: Some(recorded), taker: Some(taker) });
            }
        };
        let places = resume.binding.as_ref().map(|binding| binding.places.clone()).unwrap_or_default();
        continues(&*looked, &places)?;
        drop(looked); // the source that is read knows the places
        let offsets = places.iter().map(|(name, place)| (name.clone(), place.offset_next)).collect();
        let source = feed::open(&known(&dataflow.source, &places), &offsets).map_err(back_soon)?;
        continues(&*source, &places)?;
        source.distinct()?;
        let committing = |lake| Committing { lake, source: source.clone(), meters: meters.clone() };
        let taker = lake.map(|lake| Box::new(committing(lake)) as Box<dyn Taker>);
        Ok(RunEndpoints { source, recorded: None, taker })
    }
}

/// The error of a source that did not answer and that the lake has read before: another try may succeed.
fn back_soon(error: FeedError) -> Error {
    match error {
        FeedError::Unanswered { message, hint } => Error { kind: Kind::Retry, message, hint: Some(hint) },
        error => error.into(),
    }
}

/// The settings of a source with what the lake has recorded of it.
pub fn known(spec: &SourceSpec, places: &BTreeMap<String, Place>) -> SourceSpec {
    SourceSpec { recorded: places.clone(), ..spec.clone() }
}

/// Refuses a source that has other records at the lake's offsets.
fn continues(source: &dyn Source, places: &BTreeMap<String, Place>) -> Result<(), Error> {
    for partition in source.partitions() {
        if let Some(place) = places.get(&partition.name()) {
            source.continues(partition, &place.source_id)?;
        }
    }
    Ok(())
}
