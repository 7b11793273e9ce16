//! Zerodha's Kite Connect: the ticks of `KiteTicker` in mode full, written as JSON, one a record.

use super::{Example, Is, Preset};

pub static PRESET: Preset = Preset {
    name: "kite",
    doc: "Kite Connect's ticks in mode full (pykiteconnect 4), one JSON object a record: snapshots with the day's volume",
    source: "https://kite.trade/docs/pykiteconnect/v4/",
    settings: r#"
wire = "json"
volume = "cumulative"
zone = "Asia/Kolkata"
fields = { instrument = "instrument_token", time = "exchange_timestamp", trade_time = "last_trade_time", price = "last_price", quantity = "last_traded_quantity", cumulative_volume = "volume_traded", open_interest = "oi", day_open = "ohlc.open", day_high = "ohlc.high", day_low = "ohlc.low", bid = "depth.buy[0].price", bid_quantity = "depth.buy[0].quantity", ask = "depth.sell[0].price", ask_quantity = "depth.sell[0].quantity" }
"#,
    examples: &[
        Example {
            file: "",
            header: None,
            record: r#"{"tradable":true,"mode":"full","instrument_token":738561,"last_price":1311.5,"last_traded_quantity":5,"average_traded_price":1309.2,"volume_traded":81873,"ohlc":{"open":1300.0,"high":1320.0,"low":1299.0,"close":1298.0},"last_trade_time":"2026-01-27 09:20:44","oi":0,"exchange_timestamp":"2026-01-27 09:20:45","depth":{"buy":[{"quantity":1,"price":1311.45,"orders":1}],"sell":[{"quantity":3,"price":1311.55,"orders":2}]}}"#,
            is: Is::Snapshot("738561", 1_769_485_845_000_000_000, 131_150_000_000, 8_187_300_000_000),
        },
        Example {
            file: "",
            header: None,
            record: r#"{"tradable":true,"mode":"ltp","instrument_token":738561,"last_price":1311.5}"#,
            is: Is::Refused("missing_field"),
        },
    ],
};
