//! Ticks: the content of one decoded record.
//!
//! Why one type for all kinds: every wire decodes into it, and the dataflow after it knows no wire. Why the snapshot is boxed:
//! most feeds of trades have none, and a tick is moved often. What must always hold: times are nanoseconds of UTC since 1970.

use crate::{InstrumentId, Listing, Price, Quantity};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a record reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TickKind {
    Trade,
    Snapshot,
    /// Takes back the trade of the same id.
    Cancel,
    /// Replaces price and quantity of the trade of the same id.
    Correct,
    /// Holds nothing that a bar is made of (a market's status, an instrument's price band): it is counted and moves no time.
    Notice,
}

impl TickKind {
    #[inline]
    pub fn name(self) -> &'static str {
        match self {
            TickKind::Trade => "trade",
            TickKind::Snapshot => "snapshot",
            TickKind::Cancel => "cancel",
            TickKind::Correct => "correct",
            TickKind::Notice => "notice",
        }
    }
}

/// One decoded record. Times are nanoseconds of UTC since 1970.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tick {
    pub kind: TickKind,
    /// Whether the feed doubts the trade: it then sets no price.
    pub suspicious: bool,
    pub instrument: InstrumentId,
    pub offset: i64,
    /// The event time: of the trade, or of the snapshot's update; a notice without one has its receipt, or [`i64::MIN`].
    pub exchange_at: i64,
    /// Of a cancel or correction that names its trade's trading day (days since 1970) and no time: its event time is then
    /// that day's noon in UTC, which represents the day and is never judged. Not serialized: such a tick never waits.
    #[serde(skip)]
    pub trading_date: Option<i32>,
    /// When the broker or the receiver received it, if known.
    pub received_at: Option<i64>,
    /// Whether `received_at` can refute the record's own time: the broker or ticktide's connector wrote it, not a producer.
    #[serde(skip)]
    pub witnessed: bool,
    pub sequence: Option<u64>,
    pub price: Option<Price>,
    pub quantity: Option<Quantity>,
    pub id: Option<Arc<str>>,
    pub conditions: Option<Arc<str>>,
    pub snapshot: Option<Box<Snapshot>>,
}

impl Tick {
    /// A tick with a time and nothing else.
    #[inline]
    pub fn new(kind: TickKind, instrument: InstrumentId, offset: i64, exchange_at: i64) -> Tick {
        Tick {
            kind,
            suspicious: false,
            instrument,
            offset,
            exchange_at,
            trading_date: None,
            received_at: None,
            witnessed: false,
            sequence: None,
            price: None,
            quantity: None,
            id: None,
            conditions: None,
            snapshot: None,
        }
    }
}

/// What a snapshot holds beyond its last price.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Snapshot {
    /// The time of the last trade, if the feed gives it.
    pub trade_at: Option<i64>,
    /// Since the start of the day, units of 10⁻⁸.
    pub cumulative_volume: Option<i128>,
    pub bid: Option<Price>,
    pub bid_quantity: Option<Quantity>,
    pub ask: Option<Price>,
    pub ask_quantity: Option<Quantity>,
    pub day_open: Option<Price>,
    pub day_high: Option<Price>,
    pub day_low: Option<Price>,
    /// Units of 10⁻⁸.
    pub open_interest: Option<i128>,
    /// The exchange accepts no order below …
    pub band_low: Option<Price>,
    /// … and none above.
    pub band_high: Option<Price>,
    /// Of a notice: a row of an instrument master, of the day of its receipt.
    pub listing: Option<Arc<Listing>>,
}
