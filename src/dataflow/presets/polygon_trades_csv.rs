//! Polygon.io: flat files of US stock trades.

use super::{Example, Is, Preset};

const HEADER: Option<&str> = Some(
    "ticker,conditions,correction,exchange,id,participant_timestamp,price,sequence_number,sip_timestamp,size,tape,trf_id,trf_timestamp",
);

pub static PRESET: Preset = Preset {
    name: "polygon-trades-csv",
    doc: "Polygon.io's flat files of stock trades: times of the SIP in ns, prices a share; ids are unique in a venue",
    source: "https://polygon.io/flat-files/stocks-trades",
    settings: r#"
wire = "csv"
sequence = "trusted"
fields = { symbol = "ticker", time = "sip_timestamp", sequence = "sequence_number", quantity = "size", id = "none" }
"#,
    examples: &[
        Example {
            file: "2026-01-26",
            header: HEADER,
            record: "A,\"12,37\",0,11,52983525035312,1769418000130250300,142.99,3807,1769418000130290096,5,1,0,0",
            is: Is::Trade("A", 1_769_418_000_130_290_096, 14_299_000_000, 500_000_000),
        },
        Example {
            file: "2026-01-26",
            header: HEADER,
            record: "A,12,0,11,52983525035313,1769418000130250300,143,none,1769418000130290096,8,1,0,0",
            is: Is::Refused("bad_sequence"),
        },
    ],
};
