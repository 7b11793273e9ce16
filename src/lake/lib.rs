//! STAGE 3: closed epochs → Parquet → one atomic commit → Iceberg.
//!
//! Internal: programs use the crate `ticktide`; this crate's interface may change with every version.
//!
//! ```text
//!  every worker              worker 0                          worker 0, later, idempotent
//!  LakeWriter::write_part ─▶ Lake::decide ──▶ log/<epoch>.json ─▶ Lake::apply ─▶ tables ─▶ epochs, epoch_tables
//!  rows, state → files       parts → slot     THE commit          stage, swap    announce
//! ```
//!
//! Why ticktide keeps its own log in front of Iceberg: catalogs swap one table at a time, so no catalog can commit offsets,
//! state and twenty tables together; one object that is created at most once can. The tables are its replayable projection.
//!
//! A run expires old epochs and merges small files as it goes ([`upkeep::retention`], [`upkeep`]); commands do so too
//! ([`maintain`]).
//!
//! What must hold: L1 a slot is created at most once · L2 an epoch's rows are visible in a table exactly once · L3 a write
//! whose answer was lost is looked up, never blindly repeated · L4 slots are contiguous · L5 after a generation has taken
//! over, no slot of a lower one appears · L9 state, offsets and tables of an epoch commit in the same slot.

pub mod catalog;
pub mod commit;
pub mod error;
pub mod maintain;
pub mod read;
pub mod state;
pub mod store;
pub mod table;
#[doc(hidden)]
pub mod testing;
#[cfg(test)]
pub(crate) mod tests;
pub mod upkeep;
pub mod write;

pub use crate::commit::slot::{EpochPart, Slot, TablePart};
pub use crate::read::audit::{AuditMismatch, Audited};
pub use crate::read::past::EpochRange;
pub use crate::read::{EpochRow, LakeReader, TableAt};
pub use crate::state::lineage::{Chain, LineageStart};
pub use crate::state::resume::Resume;
pub use crate::store::warehouse::Warehouse;
pub use crate::table::buffer::RowBuffer;
pub use crate::write::LakeWriter;
pub use crate::write::measure::{Kept, KeptRows};
pub use crate::write::rows::TableRows;
pub use error::LakeError;
pub use state::{StateEntry, StateRows};
pub use store::{Meter, StoreMeters};

use crate::commit::owner::Owner;
use crate::table::live::LakeTable;
use crate::table::place::LakeLocation;
use crate::table::spec::TableSpec;
use crate::upkeep::retention::Retention;
use state::StateFiles;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use ticktide_base::epoch::Epoch;
use upkeep::Upkeep;

/// Which lake to open, and for which dataflow.
#[derive(Clone, Debug)]
pub struct LakeOptions {
    /// A folder, created if it does not exist, or a bucket.
    pub warehouse: Warehouse,
    /// The text that [`catalog::CatalogPlace`] parses; `None`: `catalog.db` in the folder. A bucket needs one.
    pub catalog: Option<String>,
    /// Usually `market`.
    pub namespace: String,
    /// The name of the dataflow that owns the lake.
    pub dataflow: String,
    /// The hash of the settings that change rows; a lake with another hash is refused.
    pub dataflow_hash: String,
    /// The resolved settings without secrets, a JSON object.
    pub settings_json: String,
    /// The version of the writer, as slots record it.
    pub code_version: String,
    /// A correction rewrites a data file of at most this many bytes; in a bigger one it deletes rows by position.
    pub rewrite_bytes_max: u64,
}

/// The lake as its one writer sees it: decides epochs and applies them.
#[derive(Debug)]
pub struct Lake {
    place: LakeLocation,
    generation: u64,
    /// The last slot decided; this writer's own from the takeover on.
    last: Arc<Slot>,
    tables: BTreeMap<String, LakeTable>,
    epochs: LakeTable,
    epoch_tables: LakeTable,
    state: StateFiles,
    /// The slots that are decided and not yet applied and announced.
    pending: BTreeMap<Epoch, Arc<Slot>>,
    /// What stays readable according to the log, and what of that is announced. Only the announced part expires snapshots.
    retention: Retention,
    announced: Retention,
    /// The cuts of the newest epochs, without a gap up to the last one; earlier cuts are read when they are needed.
    cuts: Vec<(Epoch, i64)>,
    /// Shows that this writer is alive.
    owner: Option<Owner>,
}

/// Milliseconds since 1970 by the wall clock.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl Lake {
    /// Opens the lake and creates it if there is none: takes it over, applies what was decided to all tables, loads the state.
    /// Errors: of kind `Fix` if it belongs to another dataflow or was moved, `Corrupt` if committed data is damaged.
    pub async fn open(options: LakeOptions, tables: Vec<TableSpec>) -> Result<(Lake, Resume), LakeError> {
        // the folder must exist before its catalog is put into it
        let store = options.warehouse.open().await?;
        let catalog = options.warehouse.catalog(options.catalog.as_deref(), &options.namespace, true).await?;
        let upkeep = Upkeep { rewrite_bytes_max: options.rewrite_bytes_max, ..Upkeep::default() };
        let opened = Lake::open_on(store.clone(), catalog, &options, tables, upkeep).await;
        let (mut lake, resume) = opened?;
        lake.owner = Some(Owner::begin(store, lake.generation));
        Ok((lake, resume))
    }

    /// Ends the writer: commands that would wait for it no longer need to.
    pub async fn leave(mut self) {
        if let Some(owner) = self.owner.take() {
            owner.end().await;
        }
    }

    /// The writer for a worker's I/O task.
    pub fn writer(&self) -> LakeWriter {
        LakeWriter {
            store: self.place.store.clone(),
            namespace: self.place.namespace.clone(),
            generation: self.generation,
            kept: None,
        }
    }

    /// The number of this start of the dataflow; it grows with each takeover of the lake.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The token of the last slot; right after opening, of the takeover.
    pub fn token(&self) -> &str {
        &self.last.token
    }

    /// The epoch to decide next.
    pub fn epoch_next(&self) -> Epoch {
        self.last.epoch + 1
    }

    /// The number of epochs that are decided and not yet applied (L7: the caller keeps it within K).
    pub fn pending(&self) -> usize {
        self.pending.len()
    }
}
