//! Binance: the archive of spot trades, a file a symbol and month or day.

use super::{Example, Is, Preset};

const COLUMNS: &str = "BTCUSDT-trades-2026-01";

pub static PRESET: Preset = Preset {
    name: "binance-trades-csv",
    doc: "data.binance.vision, spot trades (SYMBOL-trades-….csv, no header): the symbol is in the file's name",
    source: "https://github.com/binance/binance-public-data",
    settings: r#"
wire = "csv"
columns = ["id", "price", "qty", "quote_qty", "time", "is_buyer_maker", "is_best_match"]
fields = { quantity = "qty", symbol = { from = "@file", pattern = "{symbol}-trades-*" }, venue = { value = "BINANCE" } }
"#,
    examples: &[
        Example {
            file: COLUMNS,
            header: None,
            record: "51175358,17.80180000,5.69000000,101.29224200,1583709433583,True,True",
            is: Is::Trade("BTCUSDT", 1_583_709_433_583_000_000, 1_780_180_000, 569_000_000),
        },
        Example {
            file: COLUMNS,
            header: None,
            record: "51175359,17.80180000,5.69000000,101.29224200,1769418000130250,False,True",
            is: Is::Trade("BTCUSDT", 1_769_418_000_130_250_000, 1_780_180_000, 569_000_000),
        },
        Example {
            file: "BTCUSDT",
            header: None,
            record: "1,2,3,6,1769418000130250,False,True",
            is: Is::Refused("bad_field"),
        },
    ],
};
