//! The instruments that a reader has seen.
//!
//! Why a table: a tick carries four bytes instead of a shared pointer, and the names of an instrument are made once. What must
//! always hold: ids count up from 0 without a gap, in the order in which the instruments were first seen.

use ticktide_market::{Instrument, InstrumentId};

/// The instruments a reader has seen, by the bytes that name them on the wire: one that appears under two symbols has two ids.
#[derive(Default)]
pub struct InstrumentTable {
    ids: std::collections::HashMap<Box<[u8]>, InstrumentId, ahash::RandomState>,
    fresh: Vec<Instrument>,
    key: Vec<u8>,
}

impl InstrumentTable {
    /// The id of an instrument; a new one is remembered for [`InstrumentTable::take_fresh`].
    pub fn id(&mut self, venue: &str, instrument: &str, symbol: Option<&str>) -> InstrumentId {
        self.key.clear();
        self.key.push(match symbol {
            None => 0,
            Some(symbol) if symbol == instrument => 1,
            Some(_) => 2,
        });
        self.key.extend_from_slice(venue.as_bytes());
        self.key.push(0);
        self.key.extend_from_slice(instrument.as_bytes());
        if let Some(symbol) = symbol.filter(|symbol| *symbol != instrument) {
            self.key.push(0);
            self.key.extend_from_slice(symbol.as_bytes());
        }
        if let Some(id) = self.ids.get(self.key.as_slice()) {
            return *id;
        }
        let id = InstrumentId(self.ids.len() as u32);
        self.ids.insert(self.key.as_slice().into(), id);
        self.fresh.push(Instrument::new(venue, instrument, symbol));
        id
    }

    /// The instruments first seen since the last call, in order of their ids.
    pub fn take_fresh(&mut self) -> Vec<Instrument> {
        std::mem::take(&mut self.fresh)
    }
}
