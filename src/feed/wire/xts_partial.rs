//! XTS market data in partial text: `t:1_2885,ltp:1224.65,…`, bare or in its Socket.IO event; see [`xts`](super::xts).

use super::Format;
use super::xts::XtsDecoder;

pub static FORMAT: Format = Format {
    name: "xts-partial",
    doc: "XTS market data in partial text (`t:1_2885,ltp:1224.65,…`), with 1105's price bands; bare or as socket events",
    build: |spec| Ok(Box::new(XtsDecoder::partial(spec)?)),
    example: b"t:1_2885,ltp:1224.65,ltq:8,tb:51200,ts:61830,v:1983015,ap:1226.1,ltt:1451895300,lut:1451895300,pc:-1.11,o:1238,h:1240.95,l:1222.6,c:1238.4",
};
