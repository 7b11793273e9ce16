//! Lineages: the successive dataflows of a lake, each an addition to the previous one.
//!
//! ```text
//!   ticktide.json      the first one, written when the lake is created
//!   lineages/1.json    declared by `run --evolve`: created at most once, never changed
//! ```
//!
//! Why objects beside the log: a declaration changes nothing by itself. A lineage begins with the first epoch that was decided
//! under its hash, as the log shows. A run of the older dataflow that is still alive may decide epochs until the takeover
//! fences it (L5); none can start after the declaration. What must hold: lineages are numbered without gaps, and the bindings
//! alone say which lineage an epoch belongs to.

use super::identity::{self, Identity, first};
use crate::commit::log::last_listed;
use crate::commit::slot::{Slot, SlotKind};
use crate::error::LakeError;
use crate::store::{Created, Store};
use crate::{LakeOptions, Warehouse};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use ticktide_base::epoch::{Binding, Epoch};
use ticktide_base::time::Nanos;

/// The folder of the lineages.
const LINEAGES: &str = "lineages/";

/// A later dataflow of a lake.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lineage {
    /// Counted from 1; the lake's first dataflow is not a lineage.
    pub number: u64,
    pub hash: String,
    /// The resolved settings without secrets.
    pub settings: Json,
    pub code_version: String,
    /// The newest epoch when it was declared: its own epochs come later.
    pub after: Epoch,
    /// Its additions are computed from the lake's first record on: its first epoch contains all of their past rows.
    #[serde(default)]
    pub rebuilt: bool,
}

/// A lineage and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct LineageStart {
    pub lineage: Lineage,
    /// Its first epoch; `None`: it has none yet.
    pub first: Option<Epoch>,
    /// The greatest event time read before it; `None`: nothing was read before it.
    pub seen_until: Option<Nanos>,
}

/// All dataflows of a lake, the oldest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain {
    pub identity: Identity,
    pub lineages: Vec<Lineage>,
}

fn key(number: u64) -> String {
    format!("{LINEAGES}{number}.json")
}

/// The declared lineages in their order.
pub async fn read_all(store: &dyn Store) -> Result<Vec<Lineage>, LakeError> {
    let count = store.list(LINEAGES).await?.iter().filter(|name| name.ends_with(".json")).count();
    let mut lineages = Vec::with_capacity(count);
    for number in 1..=count as u64 {
        let bytes = store.get(&key(number)).await?;
        let lineage: Lineage = serde_json::from_slice(&bytes).map_err(|error| LakeError::format(key(number), error))?;
        lineages.push(lineage);
    }
    Ok(lineages)
}

/// The identity with the hash and the settings of the newest lineage.
pub fn newest(found: Identity, last: Option<&Lineage>) -> Identity {
    match last.cloned() {
        None => found,
        Some(Lineage { hash, settings, code_version, .. }) => Identity { hash, settings, code_version, ..found },
    }
}

/// Reads the identity, with the settings of the newest lineage. Error of kind `Fix`: there is no lake, or it was moved.
pub async fn identity(store: &dyn Store) -> Result<Identity, LakeError> {
    Ok(identity_and_lineages(store).await?.0)
}

/// As [`identity()`], and the lineages.
pub async fn identity_and_lineages(store: &dyn Store) -> Result<(Identity, Vec<Lineage>), LakeError> {
    let found = first(store).await?;
    let lineages = read_all(store).await?;
    Ok((newest(found, lineages.last()), lineages))
}

impl Chain {
    /// Reads the dataflows of a lake. `None`: the lake does not exist yet, or has neither records nor lineages and thus belongs
    /// to no dataflow. Error of kind `Fix`: it was moved.
    pub async fn read(warehouse: &Warehouse) -> Result<Option<Chain>, LakeError> {
        if warehouse.folder().is_some_and(|folder| !folder.is_dir()) {
            return Ok(None);
        }
        let store = warehouse.open_existing().await?;
        match store.size(identity::IDENTITY).await? {
            None => Ok(None),
            Some(_) => {
                let chain = Chain::read_on(&*store).await?;
                let bound = !chain.lineages.is_empty() || is_bound(&*store).await?;
                Ok(bound.then_some(chain))
            }
        }
    }

    async fn read_on(store: &dyn Store) -> Result<Chain, LakeError> {
        Ok(Chain { identity: first(store).await?, lineages: read_all(store).await? })
    }

    /// Hash and settings of the newest dataflow.
    pub fn newest(&self) -> (&str, &Json) {
        match self.lineages.last() {
            Some(lineage) => (&lineage.hash, &lineage.settings),
            None => (&self.identity.hash, &self.identity.settings),
        }
    }

    /// The settings of all dataflows, the oldest first.
    pub fn settings(&self) -> impl Iterator<Item = &Json> {
        std::iter::once(&self.identity.settings).chain(self.lineages.iter().map(|lineage| &lineage.settings))
    }

    /// The lineage to declare for the options; `None`: their dataflow is already the newest.
    pub fn next(&self, options: &LakeOptions, rebuilt: bool, after: Epoch) -> Result<Option<Lineage>, LakeError> {
        if self.newest().0 == options.dataflow_hash {
            return Ok(None);
        }
        Ok(Some(Lineage {
            number: self.lineages.len() as u64 + 1,
            hash: options.dataflow_hash.clone(),
            settings: identity::settings(options)?,
            code_version: options.code_version.clone(),
            after,
            rebuilt,
        }))
    }

    /// The greatest event time that the lake has read; `None`: it has read nothing.
    pub async fn seen_until(warehouse: &Warehouse) -> Result<Option<Nanos>, LakeError> {
        let store = warehouse.open_existing().await?;
        Ok(last_listed(&*store).await?.and_then(|slot| seen_until(slot.binding.as_ref())))
    }

    /// Declares the options' dataflow as the next lineage; the caller has checked that it only adds. Error of kind `Fix`:
    /// another lineage was declared meanwhile, or the lake belongs to another dataflow.
    pub async fn declare(&self, options: &LakeOptions, rebuilt: bool) -> Result<(), LakeError> {
        identity::check_name(options, &self.identity)?;
        let store = options.warehouse.open_existing().await?;
        let after = last_listed(&*store).await?.map_or(0, |slot| slot.epoch);
        let Some(lineage) = self.next(options, rebuilt, after)? else { return Ok(()) };
        let name = key(lineage.number);
        let bytes = serde_json::to_vec_pretty(&lineage).map_err(|error| LakeError::format(&name, error))?;
        let found = match store.create(&name, Bytes::from(bytes)).await {
            Ok(Created::Won) => return Ok(()),
            Ok(Created::Exists) => read_all(&*store).await?,
            // the create may have landed: the stored lineages decide
            Err(error) if error.perhaps_done() => read_all(&*store).await?,
            Err(error) => return Err(error),
        };
        if found.last().is_some_and(|last| last.hash == lineage.hash) {
            return Ok(());
        }
        Err(LakeError::fix(
            "another run has just evolved the lake to another dataflow",
            "add what that dataflow has added to this one, too, then start again",
        ))
    }
}

/// Whether the lake has records: once it has, it belongs to its dataflow.
pub(crate) async fn is_bound(store: &dyn Store) -> Result<bool, LakeError> {
    Ok(last_listed(store).await?.is_some_and(|slot| slot.binding.is_some()))
}

/// The greatest event time of a binding.
fn seen_until(binding: Option<&Binding>) -> Option<Nanos> {
    binding.and_then(|binding| binding.places.values().filter_map(|place| place.event_at_max).max())
}

/// Finds where a lineage begins; it takes the slots after the declaration, in order.
pub struct LineageStartSearch {
    hashes: Vec<String>,
    before: Option<Binding>,
}

impl LineageStartSearch {
    /// Searches the start of `lineages[at]`; `before`: the slot of its epoch `after`.
    pub fn new(lineages: &[Lineage], at: usize, before: Option<&Slot>) -> LineageStartSearch {
        let hashes = lineages[at..].iter().map(|lineage| lineage.hash.clone()).collect();
        LineageStartSearch { hashes, before: before.and_then(|slot| slot.binding.clone()) }
    }

    /// Takes the next slot. True: it is the lineage's first.
    pub fn is(&mut self, slot: &Slot) -> bool {
        let Some(binding) = &slot.binding else { return false };
        if slot.kind == SlotKind::Data && self.hashes.contains(&binding.dataflow_hash) {
            return true;
        }
        self.before = Some(binding.clone());
        false
    }

    /// The greatest event time read before the lineage.
    pub fn seen_until(&self) -> Option<Nanos> {
        seen_until(self.before.as_ref())
    }
}
