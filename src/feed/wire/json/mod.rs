//! JSON objects, one a record: `{"venue":"COMEX","symbol":"GC201312","time":1381204800374000,"price":"1323.4","quantity":"1"}`.
//!
//! | `type` | needs | may have |
//! |---|---|---|
//! | `trade` | symbol or instrument, time, price, quantity | venue, sequence, id, conditions, suspicious |
//! | `snapshot` | symbol or instrument, time, price | cumulative_volume, bid, ask, day's prices, open_interest, trade_time … |
//! | `cancel` | symbol or instrument, id, time or trading_date | venue, sequence |
//! | `correct` | as `cancel`, price, quantity | venue, sequence |
//!
//! A record without a type is a trade, or a snapshot under `volume = "cumulative"`.
//!
//! A `trading_date` is the day of the cancelled or corrected trade. A record with a trading date and without a `time` has no
//! event time, so it is never too early or too late. Until a trade with its id exists, it waits from its receive time on or, in
//! a file, from the newest time before it.
//!
//! Numbers may be strings. A time is an integer of s, ms, µs or ns (judged by its size) or RFC 3339, from 1990 to 2100. JSON
//! `null`, an empty id and an empty condition count as absent. A field named twice is a reject: it is unknown which was meant.
//!
//! Why a parse into raw slices: most fields of a record are not used, and those that are used become integers straight from
//! their digits. [`raw::parse`] finds the slices, [`Meaning`] gives them meaning.

mod nested;
pub(super) mod raw;
#[cfg(test)]
mod tests;

use super::problem::{RecordProblem, shorten};
use super::record::{Meaning, Values};
use super::{Decoder, Format, RawRecord, no_columns};
use crate::{FeedError, InstrumentTable, WireSpec};
use nested::Paths;
use raw::KeyTable;
use ticktide_market::Tick;

pub static FORMAT: Format = Format {
    name: "json",
    doc: "one JSON object a record; trades, snapshots, cancels, corrections; `fields` maps other names",
    build: |spec| Ok(Box::new(Json::new(spec)?)),
    example: br#"{"type":"trade","venue":"COMEX","symbol":"GC201312","time":1381204800374000,"sequence":113,"id":"A1","price":"1323.4","quantity":"1","conditions":"20"}"#,
};

struct Json {
    meaning: Meaning,
    keys: Search,
}

/// How the values of a record are found.
enum Search {
    /// By the keys of the object.
    Keys(KeyTable),
    /// By paths.
    Paths(Paths),
}

impl Json {
    fn new(spec: &WireSpec) -> Result<Json, FeedError> {
        no_columns(spec)?;
        let meaning = Meaning::new(spec, FORMAT.name)?;
        let keys = match meaning.names().iter().any(|name| nested::is_path(name)) {
            true => Search::Paths(Paths::new(meaning.names())),
            false => Search::Keys(KeyTable::new(meaning.names())),
        };
        Ok(Json { meaning, keys })
    }
}

impl Decoder for Json {
    fn tick(&mut self, record: &RawRecord<'_>, instruments: &mut InstrumentTable) -> Result<Tick, RecordProblem> {
        let text = std::str::from_utf8(record.payload).map_err(|error| RecordProblem::new("not_utf8", error))?;
        let (mut owned, mut values) = (Vec::new(), Values::default());
        let read = match &self.keys {
            Search::Keys(keys) => raw::parse(text, keys, &mut owned, &mut values),
            Search::Paths(paths) => paths.read(text, &mut values).map(|()| raw::resolve(&mut owned, &mut values)),
        };
        read.map_err(|error| unreadable(text, &error))?;
        self.meaning.tick(&values, record, instruments)
    }

    fn wants_envelope(&self) -> bool {
        self.meaning.wants_envelope()
    }

    fn headers(&self) -> &[String] {
        self.meaning.headers()
    }
}

/// Why a text is not a record.
#[cold]
fn unreadable(text: &str, error: &serde_json::Error) -> RecordProblem {
    if text.trim().is_empty() {
        return RecordProblem::new("empty", "the record is empty");
    }
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
        return RecordProblem::new("not_an_object", format!("a JSON object is needed, this is {}", shorten(text)));
    }
    RecordProblem::new("not_json", error)
}
