//! Coinbase Exchange: the channel `matches`, with what else the socket sends.

use super::{Example, Is, Preset};

pub static PRESET: Preset = Preset {
    name: "coinbase-matches",
    doc: "Coinbase Exchange's channel matches: match and last_match are trades; heartbeats and answers are ignored",
    source: "https://docs.cdp.coinbase.com/exchange/websocket-feed/channels",
    settings: r#"
wire = "json"
fields = { symbol = "product_id", id = "trade_id", quantity = "size", venue = { value = "COINBASE" } }
types = { match = "trade", last_match = "trade", "*" = "ignore" }
"#,
    examples: &[
        Example {
            file: "",
            header: None,
            record: r#"{"type":"match","trade_id":900,"maker_order_id":"m","taker_order_id":"t","size":"0.0150","price":"43000.12","product_id":"BTC-USD","sequence":5007,"side":"sell","time":"2026-01-26T09:00:00.130250Z"}"#,
            is: Is::Trade("BTC-USD", 1_769_418_000_130_250_000, 4_300_012_000_000, 1_500_000),
        },
        Example {
            file: "",
            header: None,
            record: r#"{"type":"heartbeat","sequence":5008,"last_trade_id":900,"product_id":"BTC-USD","time":"2026-01-26T09:00:01Z"}"#,
            is: Is::Ignored("heartbeat"),
        },
        Example {
            file: "",
            header: None,
            record: r#"{"type":"last_match","trade_id":899,"size":"-1","price":"43000","product_id":"BTC-USD","sequence":5001,"side":"buy","time":"2026-01-26T08:59:59Z"}"#,
            is: Is::Refused("negative_quantity"),
        },
    ],
};
