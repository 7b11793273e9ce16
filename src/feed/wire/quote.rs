//! A vendor's quote: what a message or packet says, apart from whom it is about.
//!
//! Why one type: the two APIs of a vendor say the same things in other bytes, and both become a [`Tick`] in the same way. What
//! must always hold: a quote names no instrument, so that a decoder looks the id up only when the quote is good.

use ticktide_base::time::Nanos;
use ticktide_market::{InstrumentId, Price, Quantity, Snapshot, Tick, TickKind};

/// What a message or packet says.
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

    /// Nothing that a bar is made of.
    pub fn notice(at: Option<Nanos>) -> Quote {
        Quote { at, ..Quote::of(TickKind::Notice, Snapshot::default()) }
    }

    /// The tick of an instrument at an event time; its receipt and its sequence are the decoder's to add.
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
