//! What the name of an object says: which process wrote it, and for which epoch.
//!
//! ```text
//!   <table>/data/…/<epoch>-<worker>-<generation>-<n>.parquet      a worker, before the epoch is decided
//!   <history>/data/…/<epoch>-<worker>-<generation>-corrections-<n>.parquet   the same
//!   <table>/data/…/<epoch>-compact-<generation>-<i>-<n>.parquet   maintenance, before the epoch is decided
//!   <table>/data/…/<epoch>-apply|merge|announce|mark-<id>-….parquet   the process that brings the table to the epoch
//!   <table>/metadata/<epoch>-<id>-m<n>.avro, -list.avro           the same
//!   <table>/metadata/<version>-<id>.metadata.json                 any engine
//!   state/<epoch>-<worker|base>-<generation>.bin.zst              a worker, worker 0
//!   changes/<epoch>-<generation>-<token>/<table>.json             worker 0, before the epoch is decided
//! ```
//!
//! [`FileNames`] makes the names of data files. What must hold: a name that another engine gives its files is never taken for
//! one of ticktide's (L6 deletes by name).

use crate::table::spec::TableSpec;
use ticktide_base::epoch::Epoch;

/// When a file of a table was written, and what makes it count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileOrigin {
    /// Before its epoch was decided: it counts if the slot lists it.
    Written { epoch: Epoch, generation: u64 },
    /// While a table was brought to a decided epoch: it counts if the swap landed.
    Applied { epoch: Epoch },
    /// A version of a table's metadata, by ticktide or another engine.
    Version(u64),
}

/// The word in place of the worker in the names of compacted files.
pub(crate) const COMPACT: &str = "compact";
/// The words in place of the worker in the names of files that are written while a table is brought to an epoch.
pub(crate) const APPLYING: [&str; 4] = ["apply", "merge", "announce", "mark"];

/// The folder of lists of changes, with one subfolder for each attempt to decide an epoch.
pub(crate) const CHANGES: &str = "changes/";

/// A number as ticktide writes it: no leading zeros, no sign.
fn number(text: &str) -> Option<u64> {
    let plain = text == "0" || !(text.starts_with('0') || text.starts_with('+'));
    text.parse().ok().filter(|_| plain)
}

/// The origin of a table's file, from its name or its whole address; `None`: ticktide did not name it.
pub(crate) fn of_table(location: &str) -> Option<FileOrigin> {
    let name = location.rsplit('/').next().unwrap_or(location);
    if let Some(stem) = name.strip_suffix(".metadata.json") {
        return stem.split('-').next()?.parse().ok().map(FileOrigin::Version);
    }
    if let Some(stem) = name.strip_suffix(".avro") {
        let (epoch, rest) = stem.split_once('-')?;
        let (id, what) = rest.rsplit_once('-')?;
        let ours = id.len() == 32 && (what == "list" || what.strip_prefix('m').and_then(number).is_some());
        return number(epoch).filter(|_| ours).map(|epoch| FileOrigin::Applied { epoch });
    }
    let parts: Vec<&str> = name.strip_suffix(".parquet")?.split('-').collect();
    let epoch = number(parts[0])?;
    match parts.as_slice() {
        [_, what, ..] if APPLYING.contains(what) => Some(FileOrigin::Applied { epoch }),
        [_, COMPACT, generation, _, _] => {
            number(generation).map(|generation| FileOrigin::Written { epoch, generation })
        }
        [_, worker, generation, file] | [_, worker, generation, "corrections", file] => {
            number(worker).and(number(file))?;
            number(generation).map(|generation| FileOrigin::Written { epoch, generation })
        }
        _ => None,
    }
}

/// Whether this lake's writers named a file. Other engines' files stay as they are, so that they remain recognizable.
pub(crate) fn is_ours(location: &str) -> bool {
    of_table(location).is_some()
}

/// The epoch in the name of one of ticktide's files; `None`: another engine named it.
pub(crate) fn epoch_of(location: &str) -> Option<Epoch> {
    match of_table(location)? {
        FileOrigin::Written { epoch, .. } | FileOrigin::Applied { epoch } => Some(epoch),
        FileOrigin::Version(_) => None,
    }
}

/// A file of the state: its epoch, whether it is a base, its generation.
pub(crate) fn of_state(key: &str) -> Option<(Epoch, bool, u64)> {
    let stem = key.strip_prefix("state/")?.strip_suffix(".bin.zst")?;
    match stem.split('-').collect::<Vec<_>>().as_slice() {
        [epoch, who, generation] => Some((number(epoch)?, *who == "base", number(generation)?)),
        _ => None,
    }
}

/// A list of changes beside the log: its epoch, generation and token.
pub(crate) fn of_changes(key: &str) -> Option<(Epoch, u64, &str)> {
    let (folder, _) = key.strip_prefix(CHANGES)?.split_once('/')?;
    match folder.split('-').collect::<Vec<_>>().as_slice() {
        [epoch, generation, token] => Some((number(epoch)?, number(generation)?, token)),
        _ => None,
    }
}

/// The folder of a table in the store.
pub fn table_folder(namespace: &str, table: &str) -> String {
    format!("{namespace}/{table}")
}

/// Names the files of one writer.
#[derive(Clone, Debug)]
pub struct FileNames {
    /// The table's folder in the store.
    pub folder: String,
    /// `<epoch>-<worker>-<generation>`, or another stem that no other writer uses.
    pub stem: String,
}

impl FileNames {
    /// The name of one of the writer's files.
    pub fn name(&self, spec: &TableSpec, partition: Option<i32>, number: usize) -> String {
        let (folder, stem) = (&self.folder, &self.stem);
        match spec.partition {
            None => format!("{folder}/data/{stem}-{number}.parquet"),
            Some(at) => {
                let day = partition.map_or_else(|| "null".to_owned(), date);
                format!("{folder}/data/{}={day}/{stem}-{number}.parquet", spec.columns[at].name)
            }
        }
    }
}

/// A date as `YYYY-MM-DD`, from days since 1970 (the proleptic Gregorian calendar, by Hinnant's `civil_from_days`).
pub fn date(days: i32) -> String {
    let shifted = i64::from(days) + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_names_tell_who_wrote_them() {
        let written = |epoch, generation| Some(FileOrigin::Written { epoch, generation });
        assert_eq!(of_table("file:///lake/market/ticks/data/trading_date=2026-01-02/12-0-3-0.parquet"), written(12, 3));
        assert_eq!(of_table("12-0-3-corrections-0.parquet"), written(12, 3));
        assert_eq!(of_table("market/bars_1m/data/7-compact-4-0-1.parquet"), written(7, 4));
        let id = "0123456789abcdef0123456789abcdef";
        for name in [
            format!("0-apply-{id}-0-0.parquet"),
            format!("0-merge-{id}-0.parquet"),
            format!("0-announce-{id}-0.parquet"),
            format!("0-{id}-m0.avro"),
            format!("0-{id}-list.avro"),
        ] {
            assert_eq!(of_table(&name), Some(FileOrigin::Applied { epoch: 0 }), "{name}");
        }
        assert_eq!(of_state("state/9-base-2.bin.zst"), Some((9, true, 2)));
        assert_eq!(of_state("state/9-1-2.bin.zst"), Some((9, false, 2)));
        assert_eq!(of_changes("changes/5-1-abc/bars_1m.json"), Some((5, 1, "abc")));
    }

    #[test]
    fn names_of_other_engines_are_not_taken_for_ours() {
        for name in [
            // pyiceberg, Spark, Trino, Flink
            "00000-0-66a4f8cd-5f4f-4a5a-9d6c-0c0ff6d8a9b1.parquet",
            "10000-0-66a4f8cd-5f4f-4a5a-9d6c-0c0ff6d8a9b1.parquet",
            "00000-1-66a4f8cd-5f4f-4a5a-9d6c-0c0ff6d8a9b1-00001.parquet",
            "20260102_101500_00001_abcde-66a4f8cd-5f4f-4a5a-9d6c-0c0ff6d8a9b1.parquet",
            "66a4f8cd-5f4f-4a5a-9d6c-0c0ff6d8a9b1-m0.avro",
            "snap-8743652361098450987-0-66a4f8cd-5f4f-4a5a-9d6c-0c0ff6d8a9b1.avro",
            "snap-8743652361098450987-1-0123456789abcdef0123456789abcdef.avro",
            "notes.txt",
            "-1-0-0-0.parquet",
            "01-0-1-0.parquet",
        ] {
            assert_eq!(of_table(name), None, "{name}");
        }
        assert_eq!(of_state("state/readme"), None);
        assert_eq!(of_changes("changes/x"), None);
    }
}
