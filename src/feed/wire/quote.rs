//! A vendor's quote: the values of a message or packet, without its instrument.
//!
//! Why one type: the two APIs of a vendor send the same values in different bytes, and both become a [`Tick`] in the same way.
//! What must always hold: a quote names no instrument, so that a decoder looks up the id only when the quote is good.

use ticktide_base::time::Nanos;
use ticktide_market::{InstrumentId, Price, Quantity, Snapshot, Tick, TickKind};

/// The values of a message or packet.
pub struct Quote {
    pub kind: TickKind,
    /// Its event time, if it has one.
    pub at: Option<Nanos>,
    pub price: Option<Price>,
    pub quantity: Option<Quantity>,
    pub snapshot: Snapshot,
}

impl Quote {
    /// A kind and a snapshot, without a time, a price or a quantity.
    pub fn of(kind: TickKind, snapshot: Snapshot) -> Quote {
        Quote { kind, at: None, price: None, quantity: None, snapshot }
    }

    /// A notice: no bar is made of it.
    pub fn notice(at: Option<Nanos>) -> Quote {
        Quote { at, ..Quote::of(TickKind::Notice, Snapshot::default()) }
    }

    /// The tick of an instrument at an event time; the decoder adds its receive time and its sequence.
    #[inline]
    pub fn tick(self, instrument: InstrumentId, offset: i64, exchange_at: Nanos) -> Tick {
        Tick {
            price: self.price,
            quantity: self.quantity,
            snapshot: Some(Box::new(self.snapshot)),
            ..Tick::new(self.kind, instrument, offset, exchange_at)
        }
    }
}
