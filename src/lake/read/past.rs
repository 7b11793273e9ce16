//! A range of epochs as the log has it: the input of a recomputation, and the rows that its result is compared with.
//!
//! Why slots and not table `epochs`: the log is the commit, the table only its projection. What must hold: the range begins
//! with the state that the slot of the epoch before it names, or, from the first epoch on, with none.

use crate::commit::log::last_listed;
use crate::commit::slot::{Slot, SlotKind};
use crate::error::LakeError;
use crate::read::LakeReader;
use crate::state::lineage::{self, LineageStart, LineageStartSearch};
use crate::state::{StateEntry, StateFiles, load_state};
use crate::table::deletes::read_live;
use crate::table::index::{LiveFiles, manifests};
use crate::table::rows::Rows;
use crate::table::schema::spec_of;
use crate::table::spec::{Cell, Row, TableSpec};
use crate::write::measure::Kept;
use crate::{LakeWriter, Resume};
use ::iceberg::spec::{DataFile, ManifestContentType, PrimitiveLiteral};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use ticktide_base::epoch::{Binding, Conservation, Epoch};

/// Consecutive epochs of one dataflow, with the state before them.
#[derive(Debug)]
pub struct EpochRange {
    /// The state that the first epoch goes on from.
    pub resume: Resume,
    /// One for each epoch, with the epoch's own number.
    pub bindings: Vec<Binding>,
    /// The offset of each partition's first record in the range.
    pub starts: BTreeMap<String, i64>,
}

/// Whether a range may span several dataflows of the lake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lineages {
    One,
    Any,
}

/// What an epoch did to a table, as its slot records it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub rows_added: u64,
    pub rows_removed: u64,
    /// The hashes of the rows added minus those of the rows removed.
    pub content_hash: u128,
}

/// The rows that epochs added and took back, with the names of their columns.
#[derive(Clone, Debug)]
pub struct PastRows {
    pub spec: TableSpec,
    /// Each with +1 if an epoch added it and −1 if an epoch took it back.
    pub rows: Vec<(Row, i64)>,
}

impl Slot {
    /// What this epoch did to a table; `before`: the previous slot.
    pub fn sum(&self, table: &str, before: Option<&Slot>) -> Sum {
        let Some(entry) = self.tables.get(table) else { return Sum::default() };
        let before = before.and_then(|slot| slot.tables.get(table)).map_or(0, |entry| entry.content_hash);
        let content_hash = entry.content_hash.wrapping_sub(before);
        let (rows_added, rows_removed) =
            entry.work.as_ref().map_or((0, 0), |work| (work.rows_added, work.rows_removed));
        Sum { rows_added, rows_removed, content_hash }
    }

    /// Where the records of the epoch went, by partition.
    pub fn balance(&self, partition: &str) -> Conservation {
        self.conservation.get(partition).cloned().unwrap_or_default()
    }
}

fn missing(epoch: Epoch) -> LakeError {
    LakeError::corrupt(
        format!("epoch {epoch} is missing in the log"),
        "restore the missing files of log/ from a backup",
    )
}

impl LakeReader {
    /// The newest epoch of the log, applied to the tables or not; `None`: there is none yet.
    pub async fn decided_last(&self) -> Result<Option<Epoch>, LakeError> {
        Ok(last_listed(&**self.store()).await?.map(|slot| slot.epoch))
    }

    /// The slot of an epoch that must exist.
    pub async fn decided(&self, epoch: Epoch) -> Result<Slot, LakeError> {
        self.slot(epoch).await?.ok_or_else(|| missing(epoch))
    }

    /// The epochs from `first` to `last`. When the state before `first` is no longer kept, the range begins with epoch 0.
    /// Errors of kind `Fix`: there is no epoch with records in it, or its epochs are of several dataflows.
    pub async fn past(&self, first: Epoch, last: Epoch, lineages: Lineages) -> Result<EpochRange, LakeError> {
        let mut begins = first;
        let before = match first.checked_sub(1) {
            Some(epoch) => Some(self.decided(epoch).await?).filter(|slot| slot.binding.is_some()),
            None => None,
        };
        let (binding, state) = match before {
            None => (None, Vec::new()),
            Some(slot) => match self.state_at(&slot).await {
                Ok(state) => (slot.binding, state),
                Err(LakeError::Missing { key }) => {
                    tracing::info!(
                        missing = key,
                        "the state before epoch {first} is no longer kept, the range begins with epoch 0"
                    );
                    begins = 0;
                    (None, Vec::new())
                }
                Err(error) => return Err(error),
            },
        };
        let mut past = EpochRange {
            starts: BTreeMap::new(),
            bindings: Vec::new(),
            resume: Resume {
                generation: 0,
                binding,
                epoch_next: begins,
                bindings: Vec::new(),
                state,
                state_bytes: 0,
                lineages: self.lineages().await?,
            },
        };
        for epoch in begins..=last {
            past.add(self.decided(epoch).await?, lineages)?;
        }
        let Some(epoch_next) = past.bindings.first().map(|binding| binding.epoch) else {
            let hint = "list the epochs with `ticktide epochs ls`";
            return Err(LakeError::fix(format!("no epoch from {first} to {last} has records"), hint));
        };
        past.resume.epoch_next = epoch_next;
        Ok(past)
    }

    /// The start of each lineage of the lake.
    pub async fn lineages(&self) -> Result<Vec<LineageStart>, LakeError> {
        let all = lineage::read_all(&**self.store()).await?;
        let mut begun = Vec::with_capacity(all.len());
        for (at, lineage) in all.iter().enumerate() {
            let mut beginning = LineageStartSearch::new(&all, at, Some(&self.decided(lineage.after).await?));
            let mut epoch = lineage.after + 1;
            let mut first = None;
            while let Some(slot) = self.slot(epoch).await? {
                if beginning.is(&slot) {
                    first = Some(epoch);
                    break;
                }
                epoch += 1;
            }
            begun.push(LineageStart { lineage: lineage.clone(), first, seen_until: beginning.seen_until() });
        }
        Ok(begun)
    }

    /// The first epoch of the newest lineage that can be recomputed: the first one decided under the lake's present dataflow,
    /// without the epoch that rebuilt the additions.
    pub async fn lineage_first(&self) -> Result<Epoch, LakeError> {
        let Some(begun) = self.lineages().await?.pop() else { return Ok(0) };
        Ok(match begun.first {
            Some(first) => first + Epoch::from(begun.lineage.rebuilt),
            None => begun.lineage.after + 1,
        })
    }

    /// The state at the end of the slot's epoch.
    async fn state_at(&self, slot: &Slot) -> Result<Vec<StateEntry>, LakeError> {
        let mut since = BTreeMap::new();
        for epoch in slot.state_from..=slot.epoch {
            since.insert(epoch, self.decided(epoch).await?.state);
        }
        load_state(&**self.store(), StateFiles::new(slot.state_base.clone(), since).files()).await
    }

    /// A writer that counts rows and writes nothing.
    pub fn measuring(&self, kept: Arc<Kept>) -> LakeWriter {
        let namespace = self.identity().namespace.clone();
        LakeWriter { store: self.store().clone(), namespace, generation: 0, kept: Some(kept) }
    }

    /// The rows that an epoch added to a table and took back; from `<table>_history` if that table exists.
    pub async fn rows_of(&self, table: &str, epoch: Epoch) -> Result<PastRows, LakeError> {
        self.rows_in(table, epoch..=epoch).await
    }

    /// The same for several epochs.
    pub async fn rows_in(&self, table: &str, epochs: RangeInclusive<Epoch>) -> Result<PastRows, LakeError> {
        let history = format!("{table}_history");
        let name = if self.tables().await?.contains(&history) { &history } else { table };
        let loaded = self.load(name).await?;
        let metadata = loaded.metadata();
        let mut spec = spec_of(name, metadata)?;
        let (at, diff) = (spec.column("epoch"), spec.column("diff"));
        let at = at.ok_or_else(|| LakeError::format(name, "has no column epoch"))?;
        let field = metadata.current_schema().field_id_by_name("epoch").unwrap_or_default();
        let mut rows = Vec::new();
        let manifests = manifests(self.io(), metadata).await?;
        let deleting = manifests.iter().any(|manifest| manifest.content == ManifestContentType::Deletes);
        let deletes = match loaded.metadata_location().filter(|_| deleting) {
            Some(at) => LiveFiles::build(&spec, self.io(), at, metadata).await?,
            None => LiveFiles::default(),
        };
        for manifest in manifests {
            if manifest.content == ManifestContentType::Deletes {
                continue;
            }
            let entries = manifest.load_manifest(self.io()).await?;
            let live = entries.entries().iter().filter(|entry| entry.is_alive());
            for entry in live.filter(|entry| may_hold(entry.data_file(), field, &epochs)) {
                let deletes = deletes.deletes_of(entry.file_path());
                let batch = read_live(&**self.store(), &spec, entry.file_path(), deletes).await?;
                let read = Rows::new(&spec, &batch)?;
                let inside =
                    |row: &usize| matches!(read.cell(*row, at), Cell::Long(epoch) if epochs.contains(&(epoch as u64)));
                for row in (0..read.len()).filter(inside) {
                    let sign = match diff.map(|diff| read.cell(row, diff)) {
                        Some(Cell::Int(sign)) => i64::from(sign),
                        _ => 1,
                    };
                    let mut row = read.row(row);
                    if let Some(diff) = diff {
                        row.remove(diff);
                    }
                    rows.push((row, sign));
                }
            }
        }
        if let Some(diff) = diff {
            spec.columns.remove(diff);
        }
        Ok(PastRows { spec: TableSpec { name: table.to_owned(), ..spec }, rows })
    }
}

/// Whether a file may have rows of the epochs, judged by its bounds.
fn may_hold(file: &DataFile, field: i32, epochs: &RangeInclusive<Epoch>) -> bool {
    let bound = |bounds: &std::collections::HashMap<i32, ::iceberg::spec::Datum>| match bounds.get(&field)?.literal() {
        PrimitiveLiteral::Long(value) => Some(*value),
        _ => None,
    };
    let (first, last) = (*epochs.start() as i64, *epochs.end() as i64);
    bound(file.lower_bounds()).is_none_or(|least| least <= last)
        && bound(file.upper_bounds()).is_none_or(|greatest| first <= greatest)
}

impl EpochRange {
    fn add(&mut self, slot: Slot, lineages: Lineages) -> Result<(), LakeError> {
        let Some(binding) = &slot.binding else { return Ok(()) };
        let data = slot.kind == SlotKind::Data;
        let known = self.bindings.last().or(self.resume.binding.as_ref());
        let one = lineages == Lineages::One && data;
        let differs = |before: &&Binding| one && before.dataflow_hash != binding.dataflow_hash;
        if let Some(before) = self.bindings.last().filter(differs) {
            return Err(LakeError::fix(
                format!("epochs {} and {} belong to different dataflows", before.epoch, slot.epoch),
                format!("choose epochs of one of them: `--epochs ..{}` or `--epochs {}..`", before.epoch, slot.epoch),
            ));
        }
        for (name, place) in &binding.places {
            let known = known.and_then(|known| known.places.get(name)).map(|place| place.offset_next);
            let start = known.unwrap_or_else(|| place.offset_next - slot.balance(name).advanced);
            self.starts.entry(name.clone()).or_insert(start);
        }
        // a slot without records of its own repeats the previous binding, without its flush and rewind
        let flush = data && binding.flush;
        let rewound = binding.rewound.clone().filter(|_| slot.kind == SlotKind::Rewind);
        self.bindings.push(Binding { epoch: slot.epoch, flush, rewound, ..binding.clone() });
        Ok(())
    }
}
