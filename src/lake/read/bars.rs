//! The live rows of a table of bars: the instrument of each, and when the bar begins.
//!
//! Why file by file from the newest on: callers usually want the newest rows, and decide by a file's bounds whether it can have
//! more of them, so a lake of years is not read as a whole. What must hold: each live row of a wanted file is reported once.

use crate::error::LakeError;
use crate::read::LakeReader;
use crate::table::deletes::read_live;
use crate::table::index::LiveFiles;
use crate::table::rows::Rows;
use crate::table::schema::spec_of;
use crate::table::spec::{Cell, Value};
use std::cmp::Reverse;
use ticktide_base::time::{MICRO, Nanos};

/// A visitor of the rows of bars.
pub trait BarRows {
    /// Whether rows that begin at or before a time are still of interest.
    fn wants(&self, open_at: Nanos) -> bool;
    /// Takes a live row.
    fn see(&mut self, venue: &str, instrument: &str, open_at: Nanos);
}

impl LakeReader {
    /// Passes the live rows of a table of bars at its head to `seer`, the files with the latest bars first.
    pub async fn bars(&self, table: &str, seer: &mut impl BarRows) -> Result<(), LakeError> {
        let loaded = self.load(table).await?;
        let (metadata, Some(at)) = (loaded.metadata(), loaded.metadata_location()) else { return Ok(()) };
        let spec = spec_of(table, metadata)?;
        let column = |name: &str| {
            let found = spec.column(name);
            found.ok_or_else(|| LakeError::format(format!("table {table}"), format!("has no column {name}")))
        };
        let (venue, instrument, open_at) = (column("venue")?, column("instrument")?, column("open_at")?);
        let bound = spec.key.iter().position(|key| *key == open_at);
        let live = LiveFiles::build(&spec, self.io(), at, metadata).await?;
        let mut files: Vec<_> = live.files.iter().collect();
        let latest = |bounds: &[Option<(Value, Value)>]| match bound.and_then(|at| bounds.get(at)?.as_ref()) {
            Some((_, Value::Time(micros))) => micros.saturating_mul(MICRO).saturating_add(MICRO - 1),
            _ => Nanos::MAX,
        };
        files.sort_by_key(|(location, file)| (Reverse(latest(&file.bounds)), *location));
        for (location, file) in files {
            if !seer.wants(latest(&file.bounds)) {
                continue;
            }
            let rows = Rows::new(&spec, &read_live(&**self.store(), &spec, location, &file.deletes).await?)?;
            for row in 0..rows.len() {
                if let (Cell::Text(venue), Cell::Text(instrument), Cell::Time(micros)) =
                    (rows.cell(row, venue), rows.cell(row, instrument), rows.cell(row, open_at))
                {
                    seer.see(venue, instrument, micros.saturating_mul(MICRO));
                }
            }
        }
        Ok(())
    }
}
