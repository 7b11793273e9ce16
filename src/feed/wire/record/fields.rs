//! Our fields and their names.
//!
//! What must always hold: [`NAMES`] has the order of [`Field`]; a name is part of the dataflow's file and never changes.

/// Our fields, in the order of [`NAMES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Type,
    Venue,
    Symbol,
    Instrument,
    Time,
    Sequence,
    Id,
    Price,
    Quantity,
    Conditions,
    ReceivedAt,
    CumulativeVolume,
    Bid,
    BidQuantity,
    Ask,
    AskQuantity,
    DayOpen,
    DayHigh,
    DayLow,
    OpenInterest,
    TradeTime,
    Suspicious,
    TradingDate,
}

/// The names of our fields: the keys of `fields`, and of a record without a mapping.
pub const NAMES: [&str; 23] = [
    "type",
    "venue",
    "symbol",
    "instrument",
    "time",
    "sequence",
    "id",
    "price",
    "quantity",
    "conditions",
    "received_at",
    "cumulative_volume",
    "bid",
    "bid_quantity",
    "ask",
    "ask_quantity",
    "day_open",
    "day_high",
    "day_low",
    "open_interest",
    "trade_time",
    "suspicious",
    "trading_date",
];
