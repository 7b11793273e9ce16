//! Sums up the parts of all workers: whether the epoch balances, and its slot's entry of every table. No I/O.
//!
//! What must hold: an epoch that would lose records, or count them twice, is refused; a table's rows and content hash are
//! those of the previous slot, plus what the parts add, minus what they take back; the order of the parts does not matter.

use super::slot::{EpochPart, NetChange, Slot, TableEntry, TablePart, TableWork};
use crate::error::LakeError;
use crate::table::meta::DataFileMeta;
use crate::table::spec::TableSpec;
use std::collections::BTreeMap;
use ticktide_base::epoch::{Binding, Conservation, Epoch};

/// The next slot's entry of every table, without snapshot ids, and the changes of the tables that are corrected.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Entries<'a> {
    pub tables: BTreeMap<String, TableEntry>,
    pub changes: BTreeMap<&'a str, Vec<NetChange>>,
}

/// Adds the parts up, on top of the last slot. `tables`: uuid and definition of every table of the lake.
pub(crate) fn entries<'a>(
    parts: &'a [EpochPart],
    last: &Slot,
    tables: &BTreeMap<&str, (String, &TableSpec)>,
) -> Result<Entries<'a>, LakeError> {
    let epoch = last.epoch + 1;
    let entry = |(name, (uuid, _)): (&&str, &(String, &TableSpec))| {
        let fresh = || TableEntry { uuid: uuid.clone(), ..TableEntry::default() };
        ((*name).to_owned(), last.carried(name).unwrap_or_else(fresh))
    };
    let mut all = Entries { tables: tables.iter().map(entry).collect(), changes: BTreeMap::new() };
    let mut sorted: Vec<_> = parts.iter().collect();
    sorted.sort_by_key(|part| part.worker);
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0].worker == pair[1].worker) {
        return Err(LakeError::Bug(format!("epoch {epoch}: two parts of worker {}", pair[0].worker)));
    }
    for part in sorted.into_iter().flat_map(|part| &part.tables) {
        all.add(epoch, &part.table, &part.files, (part.rows_added, part.rows_removed), part.content_hash)?;
        if !part.history_files.is_empty() {
            let rows = part.history_files.iter().map(|file| file.rows).sum();
            let history = format!("{}_history", part.table);
            all.add(epoch, &history, &part.history_files, (rows, 0), part.content_hash)?;
        }
        if let Some((_, spec)) = tables.get(part.table.as_str()) {
            all.correct(spec, part)?;
        }
    }
    Ok(all)
}

impl<'a> Entries<'a> {
    /// Adds files of a table, with the rows that the epoch adds and takes back.
    fn add(
        &mut self,
        epoch: Epoch,
        table: &str,
        files: &[DataFileMeta],
        (added, removed): (u64, u64),
        hash: u128,
    ) -> Result<(), LakeError> {
        let unknown = || LakeError::Bug(format!("epoch {epoch}: rows of {table:?}, which is no table of the lake"));
        let entry = self.tables.get_mut(table).ok_or_else(unknown)?;
        let work = entry.work.get_or_insert_with(TableWork::default);
        work.files.extend_from_slice(files);
        work.rows_added += added;
        work.rows_removed += removed;
        let rows = (entry.rows + added).checked_sub(removed);
        entry.rows = rows.ok_or_else(|| LakeError::Bug(format!("epoch {epoch}: {table} has fewer than 0 rows")))?;
        entry.content_hash = entry.content_hash.wrapping_add(hash);
        Ok(())
    }

    /// Adds the changes of a table's rows.
    fn correct(&mut self, spec: &TableSpec, part: &'a TablePart) -> Result<(), LakeError> {
        let net = part.changes.iter().map(|change| NetChange::new(spec, change.clone()));
        let net = net.collect::<Result<Vec<_>, _>>()?;
        self.changes.entry(&part.table).or_default().extend(net);
        Ok(())
    }
}

/// Refuses an epoch that would lose records or count them twice: each place must have advanced as far as the bindings say,
/// both lines of its balance must be zero, and no place may be missing.
pub(crate) fn balance(
    before: Option<&Binding>,
    binding: &Binding,
    conservation: &BTreeMap<String, Conservation>,
) -> Result<(), LakeError> {
    let unbalanced = |place: &str, detail: String| {
        Err(LakeError::Unbalanced { epoch: binding.epoch, place: place.to_owned(), detail })
    };
    for (name, place) in &binding.places {
        let counted = conservation.get(name).cloned().unwrap_or_default();
        let known = before.and_then(|before| before.places.get(name));
        // a new place, or one of another source, starts at the offset that its reader reports
        if let Some(known) = known.filter(|known| known.source_id == place.source_id) {
            let advanced = place.offset_next - known.offset_next;
            if advanced != counted.advanced {
                let detail = format!("offsets advanced by {advanced}, but {} were counted", counted.advanced);
                return unbalanced(name, detail);
            }
        }
        if !counted.balances() {
            return unbalanced(name, format!("records do not balance: {counted:?}"));
        }
    }
    if let Some(name) = conservation.keys().find(|name| !binding.places.contains_key(*name)) {
        return unbalanced(name, "records of a place that the binding does not name".to_owned());
    }
    let places = before.into_iter().flat_map(|before| before.places.keys());
    if let Some(name) = places.into_iter().find(|name| !binding.places.contains_key(*name)) {
        return unbalanced(name, "the previous binding names the place, this one does not".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::slot::SlotKind;
    use crate::state::format::FORMAT;
    use crate::table::spec::{Change, Value};
    use crate::tests::scenario::bars;

    fn last() -> Slot {
        let entry = TableEntry {
            uuid: "known".into(),
            snapshot_id: Some(7),
            rows: 3,
            content_hash: 30,
            ..TableEntry::default()
        };
        Slot {
            format: FORMAT,
            epoch: 4,
            kind: SlotKind::Data,
            generation: 1,
            token: "t".into(),
            cut_at: 0,
            decided_at: 0,
            binding: None,
            conservation: BTreeMap::new(),
            tables: BTreeMap::from([("bars_1m".to_owned(), TableEntry { work: Some(TableWork::default()), ..entry })]),
            state: Vec::new(),
            state_base: None,
            state_from: 0,
            retention: None,
            retention_at: None,
        }
    }

    fn file(path: &str, rows: u64) -> DataFileMeta {
        DataFileMeta { path: path.into(), partition: None, rows, bytes: 1, columns: vec![], split_offsets: vec![] }
    }

    fn part(worker: usize, table: TablePart) -> EpochPart {
        EpochPart { worker, tables: vec![table], state: vec![] }
    }

    #[test]
    fn rows_and_hashes_are_added_to_those_of_the_slot_before_in_whatever_order_the_parts_come() {
        let (spec, history) = (bars(), bars().history_spec());
        let tables = BTreeMap::from([
            ("bars_1m", ("known".to_owned(), &spec)),
            ("bars_1m_history", ("new".to_owned(), &history)),
        ]);
        let row = |close| {
            vec![
                Value::Text("I".into()),
                Value::Date(0),
                Value::Time(0),
                Value::Decimal(close),
                Value::Null,
                Value::Long(1),
            ]
        };
        let added = TablePart {
            table: "bars_1m".into(),
            files: vec![file("a", 2)],
            history_files: vec![file("h", 2)],
            rows_added: 2,
            content_hash: 5,
            ..TablePart::default()
        };
        let taken = TablePart {
            table: "bars_1m".into(),
            changes: vec![Change { old: Some(row(1)), new: None }],
            rows_removed: 1,
            content_hash: 10u128.wrapping_neg(),
            ..TablePart::default()
        };
        let parts = [part(1, taken), part(0, added)];
        let found = entries(&parts, &last(), &tables).expect("sound parts");
        let bars = &found.tables["bars_1m"];
        assert_eq!((bars.previous, bars.snapshot_id, bars.rows, bars.content_hash), (Some(4), Some(7), 4, 25));
        let work = bars.work.as_ref().expect("touched");
        assert_eq!((work.rows_added, work.rows_removed, work.files.len()), (2, 1, 1));
        assert_eq!(found.changes["bars_1m"][0].key, [Value::Text("I".into()), Value::Time(0)]);
        let history = &found.tables["bars_1m_history"];
        assert_eq!((history.uuid.as_str(), history.previous, history.rows, history.content_hash), ("new", None, 2, 5));
        let turned: Vec<_> = parts.iter().rev().cloned().collect();
        assert_eq!(entries(&turned, &last(), &tables).expect("the same parts"), found);
        // a table that no part touches keeps its entry of the previous slot
        let none = entries(&[], &last(), &tables).expect("no parts").tables;
        assert_eq!((none["bars_1m"].rows, &none["bars_1m"].work), (3, &None));
    }

    #[test]
    fn parts_that_cannot_be_are_a_bug() {
        let spec = bars();
        let tables = BTreeMap::from([("bars_1m", ("known".to_owned(), &spec))]);
        let of = |table: &str, rows_removed| TablePart { table: table.into(), rows_removed, ..TablePart::default() };
        let refused = |parts: &[EpochPart]| match entries(parts, &last(), &tables) {
            Err(LakeError::Bug(message)) => message,
            other => panic!("{other:?}"),
        };
        assert!(refused(&[part(0, of("bars_1m", 0)), part(0, of("bars_1m", 0))]).contains("two parts of worker 0"));
        assert!(refused(&[part(0, of("bars_5m", 0))]).contains("no table of the lake"));
        assert!(refused(&[part(0, of("bars_1m", 4))]).contains("fewer than 0 rows"));
    }
}
