//! Bybit: the archive of spot trades, a file a symbol and day or month.

use super::{Example, Is, Preset};

const HEADER: Option<&str> = Some("id,timestamp,price,volume,side,rpi");

pub static PRESET: Preset = Preset {
    name: "bybit-spot-csv",
    doc: "public.bybit.com, spot (SYMBOL_YYYY-MM-DD.csv with a header): the symbol is in the file's name",
    source: "https://public.bybit.com/spot/",
    settings: r#"
wire = "csv"
fields = { time = "timestamp", quantity = "volume", symbol = { from = "@file", pattern = "{symbol}_*" }, venue = { value = "BYBIT" } }
"#,
    examples: &[
        Example {
            file: "BTCUSDT_2026-01-26",
            header: HEADER,
            record: "1,1769418000130,43000.1,0.015,sell,0",
            is: Is::Trade("BTCUSDT", 1_769_418_000_130_000_000, 4_300_010_000_000, 1_500_000),
        },
        Example {
            file: "BTCUSDT_2026-01-26",
            header: HEADER,
            record: "2,1769418000130,,0.015,buy,0",
            is: Is::Refused("missing_field"),
        },
    ],
};
