//! Binance: the stream `<symbol>@trade` by itself.

use super::{Example, Is, Preset};

pub static PRESET: Preset = Preset {
    name: "binance-trades",
    doc: "Binance's stream SYMBOL@trade, one JSON event a record; other events are ignored",
    source: "https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams",
    settings: r#"
wire = "json"
fields = { type = "e", symbol = "s", time = "T", id = "t", price = "p", quantity = "q", venue = { value = "BINANCE" } }
types = { trade = "trade", "" = "ignore", "*" = "ignore" }
"#,
    examples: &[
        Example {
            file: "",
            header: None,
            record: r#"{"e":"trade","E":1769418000131,"s":"ETHBTC","t":9001,"p":"0.03120000","q":"0.25000000","T":1769418000130,"m":true,"M":true}"#,
            is: Is::Trade("ETHBTC", 1_769_418_000_130_000_000, 3_120_000, 25_000_000),
        },
        Example {
            file: "",
            header: None,
            record: r#"{"e":"depthUpdate","E":1769418000200,"s":"ETHBTC","U":1,"u":2,"b":[],"a":[]}"#,
            is: Is::Ignored("depthUpdate"),
        },
        Example { file: "", header: None, record: r#"{"result":null,"id":1}"#, is: Is::Ignored("") },
    ],
};
