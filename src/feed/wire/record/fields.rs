//! Ticktide's fields and their names.
//!
//! What must always hold: [`NAMES`] and [`FIELDS`] have the order of [`Field`]; a name is part of the dataflow's file and never
//! changes.

/// Ticktide's fields, in the order of [`NAMES`].
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

/// The names of ticktide's fields: the keys of `fields`, and of a record without a mapping.
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

/// Whether a record of a type has a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Has {
    /// Without it the record is refused.
    Must,
    /// It must have this field or the other that `meaning` names.
    Either,
    May,
    /// The field is ignored.
    No,
}

/// A field's documentation.
pub struct FieldDoc {
    /// Its key in `fields`, and its name in a record unless `fields` maps it.
    pub name: &'static str,
    /// What its text must be.
    pub kind: &'static str,
    pub meaning: &'static str,
    /// For a trade, a snapshot, a cancel and a correction.
    pub has: [Has; 4],
}

const fn field(name: &'static str, kind: &'static str, has: [Has; 4], meaning: &'static str) -> FieldDoc {
    FieldDoc { name, kind, meaning, has }
}

const MAY: [Has; 4] = [Has::May; 4];
const OF_SNAPSHOT: [Has; 4] = [Has::No, Has::May, Has::No, Has::No];
const NAMED: [Has; 4] = [Has::Either; 4];

/// What each field holds.
pub static FIELDS: [FieldDoc; NAMES.len()] = [
    field(
        "type",
        "`trade`, `snapshot`, `cancel`, `correct`",
        MAY,
        "what the record is; without it a trade, or a snapshot under `volume = \"cumulative\"`",
    ),
    field("venue", "text", MAY, "the exchange or its segment; empty without it"),
    field("symbol", "text", NAMED, "the name for people; also the instrument if the record has no `instrument`"),
    field(
        "instrument",
        "text",
        NAMED,
        "the venue's own name or token, which is the key of all tables; without it the `symbol`",
    ),
    field(
        "time",
        "time",
        [Has::Must, Has::Must, Has::Either, Has::Either],
        "when it happened, by the exchange; a cancel or correction may have `trading_date` instead",
    ),
    field(
        "sequence",
        "whole number from 0",
        MAY,
        "its place in the feed; it identifies duplicates under `sequence = \"trusted\"`",
    ),
    field(
        "id",
        "text",
        [Has::May, Has::May, Has::Must, Has::Must],
        "the trade's id; in a cancel or correction the id of the trade it is about",
    ),
    field("price", "decimal", [Has::Must, Has::Must, Has::No, Has::Must], "the price, in the instrument's currency"),
    field(
        "quantity",
        "decimal from 0",
        [Has::Must, Has::May, Has::No, Has::Must],
        "how much was traded, in shares or contracts; 0 adds no volume",
    ),
    field("conditions", "text", MAY, "codes that the rules of `conditions` read; that table may name another field"),
    field(
        "received_at",
        "time",
        MAY,
        "when its sender received it; read only if `fields` names it, otherwise the source provides it",
    ),
    field("cumulative_volume", "decimal from 0", OF_SNAPSHOT, "the volume traded since the day began"),
    field("bid", "decimal", OF_SNAPSHOT, "the best price offered by buyers"),
    field("bid_quantity", "decimal from 0", OF_SNAPSHOT, "the quantity wanted at the bid"),
    field("ask", "decimal", OF_SNAPSHOT, "the best price asked by sellers"),
    field("ask_quantity", "decimal from 0", OF_SNAPSHOT, "the quantity offered at the ask"),
    field("day_open", "decimal", OF_SNAPSHOT, "the first price of the day"),
    field("day_high", "decimal", OF_SNAPSHOT, "the highest price of the day so far"),
    field("day_low", "decimal", OF_SNAPSHOT, "the lowest price of the day so far"),
    field("open_interest", "decimal from 0", OF_SNAPSHOT, "the number of open contracts"),
    field("trade_time", "time", OF_SNAPSHOT, "when the last trade in the snapshot happened"),
    field(
        "suspicious",
        "anything",
        MAY,
        "a value other than 0, false or empty: the trade sets no price; read only if `conditions.suspicious` names it",
    ),
    field(
        "trading_date",
        "date (YYYY-MM-DD)",
        [Has::No, Has::No, Has::Either, Has::Either],
        "the day of the trade that is cancelled or corrected, where `time` is absent",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{InstrumentTable, WireSpec, wire};

    #[test]
    fn every_field_has_its_row_in_the_same_place() {
        assert!(FIELDS.iter().zip(NAMES).all(|(field, name)| field.name == name));
    }

    /// A record of a type as JSON, with all its fields but one.
    fn decodes(at: usize, without: &str) -> Result<(), &'static str> {
        let word = ["trade", "snapshot", "cancel", "correct"][at];
        let all = FIELDS.iter().filter(|field| field.has[at] != Has::No && field.name != without);
        let values = all.map(|field| match field.kind {
            "text" => format!("{:?}:\"x\"", field.name),
            "time" => format!("{:?}:1700000000", field.name),
            "date (YYYY-MM-DD)" => format!("{:?}:\"2024-01-02\"", field.name),
            _ if field.name == "type" => format!("\"type\":{word:?}"),
            _ => format!("{:?}:1", field.name),
        });
        let record = format!("{{{}}}", values.collect::<Vec<_>>().join(","));
        let mut decoder = wire::build(&WireSpec { format: "json".into(), ..WireSpec::default() }).expect("built in");
        let decoded = decoder.decode(&wire::RawRecord::of(record.as_bytes()), &mut InstrumentTable::default());
        decoded.map(drop).map_err(|reject| reject.reason)
    }

    #[test]
    fn a_record_is_refused_without_a_field_that_it_must_have_and_without_no_other() {
        for at in 0..4 {
            assert_eq!(decodes(at, ""), Ok(()));
            // without a type it is a trade
            for field in FIELDS.iter().filter(|field| field.has[at] != Has::No && field.name != "type") {
                let expected = if field.has[at] == Has::Must { Err("missing_field") } else { Ok(()) };
                assert_eq!(decodes(at, field.name), expected, "{} of type {at}", field.name);
            }
        }
    }
}
