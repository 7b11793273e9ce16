//! What a run works on: the lake and its past, then the source behind what the lake has.
//!
//! Why the source is looked at before the lake and opened after it: a wrong topic or path must not take a lake over, and only
//! the lake knows the offsets to go on from.

use super::RunOptions;
use crate::epochs::ControlSpec;
use crate::epochs::replay::Recorded;
use crate::join as joining;
use crate::recorded::{self, Missing, check_source, without_source};
use crate::restore::keep;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use ticktide_base::epoch::Place;
use ticktide_base::error::{Error, Kind};
use ticktide_base::version::code_version;
use ticktide_cluster::mesh::Mesh;
use ticktide_cluster::supervise::Pulse;
use ticktide_dataflow::composites;
use ticktide_dataflow::evolution::{self as lineage, Additions};
use ticktide_feed as feed;
use ticktide_feed::{FeedError, Source, SourceSpec};
use ticktide_lake::{Lake, LakeOptions, LakeWriter, Resume};
use ticktide_tables::set::Tables;
use tokio::runtime::Runtime;

pub(super) struct Opened {
    /// When the lake began to be opened.
    pub opened_at: Instant,
    /// Of the process that commits.
    pub lake: Option<Lake>,
    /// Of a recomputation, in the place of the lake.
    pub taker: Option<Box<dyn recorded::Taker>>,
    pub writer: LakeWriter,
    pub resume: Resume,
    /// What is fed in the place of minted decisions.
    pub recorded: Option<Recorded>,
    /// When what was added to the lake's dataflow begins.
    pub additions: Additions,
    pub control: ControlSpec,
    pub tables: Tables,
    pub source: Arc<dyn Source>,
}

/// Opens the lake (taking it over, or following the process that did) and the source. Errors: of either, with what to do.
pub(super) fn open(
    options: &RunOptions,
    mesh: Option<&Mesh>,
    runtime: &Runtime,
    pulse: &mut Pulse,
) -> Result<Opened, Error> {
    let dataflow = &options.dataflow;
    let (process, processes) = mesh.map_or((0, 1), |mesh| (mesh.process(), mesh.processes()));
    let peers = processes * options.workers;
    let outputs = composites(dataflow)?.into_iter().map(|(on, composite)| (on, composite.outputs().to_vec())).collect();
    let looked = match &options.replay {
        Some(_) => None,
        None => match feed::open(&dataflow.source, &BTreeMap::new()) {
            // who has been there before may be back soon
            Err(error @ FeedError::Unanswered(..)) if runtime.block_on(Lake::is_at(&options.warehouse)) => {
                return Err(back_soon(error));
            }
            looked => Some(looked?),
        },
    };
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
    let lake_options = lake.clone();
    let settings = runtime.block_on(joining::lineages(&lake, (options.evolve, options.rebuild), mesh))?;
    let original = lineage::additions(settings.iter(), &[], dataflow)?.outputs;
    let tables = Tables::new(dataflow, &outputs).evolved(&original, &outputs);
    let (mut lake, writer, mut resume, replay) = match &options.replay {
        None => {
            let (lake, writer, resume) = runtime.block_on(pulse.during(joining::open_lake(lake, &tables, mesh)))?;
            (lake, writer, resume, None)
        }
        Some(wanted) => {
            let control = ControlSpec::of(dataflow, peers, 0);
            let recorded::Opened { writer, resume, recorded, taker, source } =
                runtime.block_on(wanted.open(&lake, &tables, &control, dataflow))?;
            (None, writer, resume, Some(((recorded, source), taker)))
        }
    };
    let additions = lineage::additions(settings.iter(), &resume.lineages, dataflow)?;
    let missing = resume.lineages.last().is_some_and(|begun| begun.lineage.rebuilt && begun.first.is_none());
    if missing && replay.is_none() {
        if mesh.is_some() {
            let message = "what was added to the lake's dataflow is not rebuilt yet, which one process does alone";
            return Err(Error::fix(message, "start `ticktide run` once without other processes"));
        }
        if let (Some(lake), [.., before, now]) = (&mut lake, &settings[..]) {
            let added = lineage::added(before, now, dataflow)?;
            let rebuild =
                options.rebuild_with.ok_or_else(|| Error::bug("nobody is there to rebuild what was added"))?;
            let (resume, workers, options) = (&mut resume, options.workers, &lake_options);
            rebuild(Missing { lake, resume, options, dataflow, added: &added, workers, runtime })?;
        }
    }
    if mesh.is_some() {
        keep(&mut resume.state, &(process * options.workers..(process + 1) * options.workers), peers)?;
    }
    let places = resume.binding.as_ref().map(|binding| binding.places.clone()).unwrap_or_default();
    if let Some(looked) = looked {
        continues(&*looked, &places)?; // it was for a look: the one that is read knows the places
    }
    let source = match &replay {
        None => {
            let offsets = places.iter().map(|(name, place)| (name.clone(), place.offset_next)).collect();
            let source = feed::open(&known(&dataflow.source, &places), &offsets).map_err(back_soon)?;
            continues(&*source, &places)?;
            source
        }
        Some(((_, Some(archive)), _)) => archive.clone(),
        Some(((recorded, None), _)) => {
            let end = recorded.bindings.last().map(|end| end.places.clone()).unwrap_or_default();
            let source = feed::open(&known(&dataflow.source, &end), &recorded.starts).map_err(without_source)?;
            check_source(recorded, &*source)?;
            source
        }
    };
    let (recorded, taker) = replay.map(|((recorded, _), taker)| (recorded, taker)).unzip();
    let control = ControlSpec::of(dataflow, peers, resume.generation);
    Ok(Opened { opened_at, lake, taker, writer, resume, recorded, additions, control, tables, source })
}

/// A source that did not answer, of a lake that has read it before: another try may do.
fn back_soon(error: FeedError) -> Error {
    match error {
        FeedError::Unanswered(message, hint) => Error { kind: Kind::Retry, message, hint: Some(hint) },
        error => error.into(),
    }
}

/// The source with what the lake has recorded of it.
fn known(spec: &SourceSpec, places: &BTreeMap<String, Place>) -> SourceSpec {
    let recorded = places.iter().map(|(name, place)| (name.clone(), place.source_id.clone())).collect();
    SourceSpec { recorded, ..spec.clone() }
}

/// Refuses a source that counts other records under the lake's offsets.
fn continues(source: &dyn Source, places: &BTreeMap<String, Place>) -> Result<(), Error> {
    for partition in source.partitions() {
        if let Some(place) = places.get(&partition.name()) {
            source.continues(partition, &place.source_id)?;
        }
    }
    Ok(())
}
