//! Tables `epochs` and `epoch_tables`: which epochs exist and which snapshots belong together.
//!
//! Slots are announced in order, each once all tables have it. `epoch_tables` is written first, so that an epoch in `epochs`
//! has its pins; it names every table at every epoch, whether the epoch touched the table or not.
//!
//! An epoch that is no longer retained keeps its row, with `expired` set. The swap that announces the retention sets the
//! mark, before any snapshot expires, so a reader that picks an epoch without the mark finds its snapshots.

use crate::commit::slot::{NetChange, Slot};
use crate::error::LakeError;
use crate::store::Store;
use crate::table::buffer::RowBuffer;
use crate::table::deletes::read_live;
use crate::table::index::LiveFiles;
use crate::table::rows::Rows;
use crate::table::spec::{Cell, Column, ColumnType, TableSpec, Value};
use crate::upkeep::retention::Retention;
use ticktide_base::epoch::{Conservation, Epoch};
use ticktide_base::time::MICRO;

/// The announcing tables' names.
pub const EPOCHS: &str = "epochs";
pub const EPOCH_TABLES: &str = "epoch_tables";

/// Whether a table announces epochs.
pub fn is_announcing(table: &str) -> bool {
    [EPOCHS, EPOCH_TABLES].contains(&table)
}

fn column(name: &str, column_type: ColumnType, nullable: bool, doc: &str) -> Column {
    Column { name: name.into(), column_type, nullable, hashed: true, delta: false, doc: doc.into() }
}

fn append_only(name: &str, columns: Vec<Column>) -> TableSpec {
    TableSpec { name: name.into(), columns, key: vec![], partition: None, time: None, sort: vec![0], history: false }
}

/// The table with one row per epoch.
pub fn epochs_spec() -> TableSpec {
    use ColumnType::{Bool, Long, Text, Time};
    let spec = append_only(
        EPOCHS,
        vec![
            column("epoch", Long, false, "number of the epoch, its slot in the log"),
            column("cut_at", Time, false, "strictly increasing; the time stamp of every snapshot of the epoch"),
            column("decided_at", Time, false, "when the epoch was committed, by the clock of worker 0"),
            column("generation", Long, false, "which start of the dataflow decided it"),
            column("closed_until", Time, true, "bars that end at or before it are published"),
            column("binding", Text, true, "what defines the epoch, as JSON; null for one without records of its own"),
            column("records", Long, false, "records read in the epoch"),
            column("accepted", Long, false, "records that entered a table"),
            column("duplicates", Long, false, "records seen before"),
            column("rejected", Long, false, "records in quarantine only"),
            column("pending", Long, false, "change of the records that wait for a decision"),
            column("gaps", Long, false, "offsets without a record"),
            column("expired", Bool, false, "whether the epoch's snapshots may be gone"),
        ],
    );
    // rows are found by the epoch when they are marked
    TableSpec { key: vec![0], ..spec }
}

/// The table with one row per epoch and table.
pub fn epoch_tables_spec() -> TableSpec {
    use ColumnType::{Long, Text, Time};
    append_only(
        EPOCH_TABLES,
        vec![
            column("epoch", Long, false, "number of the epoch"),
            column("table", Text, false, "name of the table"),
            column("snapshot_id", Long, true, "the table's snapshot at the epoch; null: it is empty"),
            column("stamped_at", Time, true, "the snapshot's time stamp; its cut unless a foreign commit came between"),
            column("rows_added", Long, false, "rows that the epoch added"),
            column("rows_removed", Long, false, "rows that the epoch took back"),
            column(
                "content_hash",
                Text,
                true,
                "order-free hash of all rows at the epoch; of a history that of its table",
            ),
        ],
    )
}

fn micros(milliseconds: i64) -> Cell<'static> {
    Cell::Time(milliseconds.saturating_mul(1_000))
}

/// The column of `epochs` that is set when an epoch expires.
const EXPIRED: &str = "expired";

/// The changes that mark the rows of epochs that `before` retains and `after` does not.
pub(crate) async fn leaving_rows(
    store: &dyn Store,
    spec: &TableSpec,
    live: &LiveFiles,
    before: &Retention,
    after: &Retention,
) -> Result<Vec<NetChange>, LakeError> {
    let Some(expired) = spec.column(EXPIRED) else { return Ok(Vec::new()) };
    let thinned: Vec<Epoch> = before.kept.iter().map(|kept| kept.0).filter(|epoch| !after.keeps(*epoch)).collect();
    let may_hold = |least: Epoch, greatest: Epoch| {
        let all = least < after.since && greatest >= before.since;
        all || thinned.iter().any(|epoch| (least..=greatest).contains(epoch))
    };
    let mut changes = Vec::new();
    for (location, file) in &live.files {
        let (least, greatest) = match file.bounds.first() {
            Some(Some((Value::Long(least), Value::Long(greatest)))) => (*least, *greatest),
            _ => (0, i64::MAX),
        };
        if !may_hold(least.max(0) as Epoch, greatest.max(0) as Epoch) {
            continue;
        }
        let rows = Rows::new(spec, &read_live(store, spec, location, &file.deletes).await?)?;
        let mut scratch = Vec::new();
        for row in 0..rows.len() {
            let Cell::Long(epoch) = rows.cell(row, 0) else { continue };
            if rows.cell(row, expired) == Cell::Bool(false) && !after.keeps(epoch as Epoch) {
                let mut new = rows.row(row);
                new[expired] = Value::Bool(true);
                let old_hash = rows.hash(spec, row, &mut scratch);
                changes.push(NetChange { key: vec![Value::Long(epoch)], old_hash, new: Some(new) });
            }
        }
    }
    Ok(changes)
}

/// Adds the slot's row of `epochs`; `expired`: the epoch expired before it was announced.
pub fn epochs_row(slot: &Slot, expired: bool, into: &mut RowBuffer) -> Result<(), LakeError> {
    let mut total = Conservation::default();
    slot.conservation.values().for_each(|place| total.add(place));
    // a takeover and maintenance repeat the last binding; they have none of their own
    let binding = slot.binding.as_ref().filter(|_| slot.kind.binds());
    let json = binding.map(serde_json::to_string).transpose();
    let json = json.map_err(|error| LakeError::format(format!("binding of epoch {}", slot.epoch), error))?;
    let closed = slot.binding.as_ref().and_then(|binding| binding.closed_until);
    into.push(&[
        Cell::Long(slot.epoch as i64),
        micros(slot.cut_at),
        micros(slot.decided_at),
        Cell::Long(slot.generation as i64),
        closed.map_or(Cell::Null, |at| Cell::Time(at.div_euclid(MICRO))),
        json.as_deref().map_or(Cell::Null, Cell::Text),
        Cell::Long(total.records),
        Cell::Long(total.accepted),
        Cell::Long(total.duplicates),
        Cell::Long(total.rejected),
        Cell::Long(total.pending),
        Cell::Long(total.gaps),
        Cell::Bool(expired),
    ]);
    Ok(())
}

/// Adds the slot's rows of `epoch_tables`; `stamped_at` gives the time stamp of a table's snapshot.
pub fn epoch_tables_rows(slot: &Slot, stamped_at: impl Fn(&str, i64) -> Option<i64>, into: &mut RowBuffer) {
    for (table, entry) in &slot.tables {
        let hash = format!("{:032x}", entry.content_hash);
        let stamped = entry.snapshot_id.and_then(|id| stamped_at(table, id));
        let (added, removed) = entry.work.as_ref().map_or((0, 0), |work| (work.rows_added, work.rows_removed));
        into.push(&[
            Cell::Long(slot.epoch as i64),
            Cell::Text(table),
            entry.snapshot_id.map_or(Cell::Null, Cell::Long),
            stamped.map_or(Cell::Null, micros),
            Cell::Long(added as i64),
            Cell::Long(removed as i64),
            Cell::Text(&hash),
        ]);
    }
}
