//! Kraken: the archive of time and sales, a file a pair.

use super::{Example, Is, Preset};

pub static PRESET: Preset = Preset {
    name: "kraken-csv",
    doc: "Kraken's archive of time and sales (PAIR.csv, no header: time in s, price, volume)",
    source: "https://support.kraken.com/articles/360047543791-downloadable-historical-market-data-time-and-sales-",
    settings: r#"
wire = "csv"
columns = ["time", "price", "volume"]
fields = { quantity = "volume", symbol = "@file", venue = { value = "KRAKEN" } }
"#,
    examples: &[
        Example {
            file: "XBTUSD",
            header: None,
            record: "1769418000,43000.1,0.01500000",
            is: Is::Trade("XBTUSD", 1_769_418_000_000_000_000, 4_300_010_000_000, 1_500_000),
        },
        Example {
            file: "XBTUSD",
            header: None,
            record: "1769418000.7998,43000.1,0.01500000",
            is: Is::Trade("XBTUSD", 1_769_418_000_799_800_000, 4_300_010_000_000, 1_500_000),
        },
        Example { file: "XBTUSD", header: None, record: "1769418000,43000.1", is: Is::Refused("field_count") },
    ],
};
