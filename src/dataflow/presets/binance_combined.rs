//! Binance: the combined stream, in which the event is one level down.

use super::{Example, Is, Preset};

pub static PRESET: Preset = Preset {
    name: "binance-combined",
    doc: "Binance's combined streams ({\"stream\":…,\"data\":…}): the trades; other streams are ignored",
    source: "https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams",
    settings: r#"
wire = "json"
fields = { type = "stream", symbol = "data.s", time = "data.T", id = "data.t", price = "data.p", quantity = "data.q", venue = { value = "BINANCE" } }
types = { "*@trade" = "trade", "" = "ignore", "*" = "ignore" }
"#,
    examples: &[
        Example {
            file: "",
            header: None,
            record: r#"{"stream":"ethbtc@trade","data":{"e":"trade","E":1769418000131,"s":"ETHBTC","t":9001,"p":"0.03120000","q":"0.25000000","T":1769418000130,"m":true,"M":true}}"#,
            is: Is::Trade("ETHBTC", 1_769_418_000_130_000_000, 3_120_000, 25_000_000),
        },
        Example {
            file: "",
            header: None,
            record: r#"{"stream":"ethbtc@bookTicker","data":{"u":1,"s":"ETHBTC","b":"0.0311","B":"1","a":"0.0312","A":"2"}}"#,
            is: Is::Ignored("ethbtc@bookTicker"),
        },
        Example {
            file: "",
            header: None,
            record: r#"{"stream":"ethbtc@trade","data":{"e":"trade","s":"ETHBTC","t":9002,"q":"0.25","T":1769418000131}}"#,
            is: Is::Refused("missing_field"),
        },
    ],
};
