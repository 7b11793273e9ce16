//! XTS market data in full JSON: one message a record, bare or in its Socket.IO event; see [`xts`](super::xts).

use super::Format;
use super::xts::XtsDecoder;

pub static FORMAT: Format = Format {
    name: "xts-json",
    doc: "XTS market data (IIFL Blaze …) in full JSON: codes 1501, 1502, 1504, 1505, 1507, 1510, 1512, bare or as socket events",
    build: |spec| Ok(Box::new(XtsDecoder::json(spec)?)),
    example: br#"{"MessageCode":1501,"MessageVersion":4,"ApplicationType":0,"TokenID":0,"ExchangeSegment":1,"ExchangeInstrumentID":2885,"ExchangeTimeStamp":1451895300,"Touchline":{"BidInfo":{"Size":12,"Price":1224.6,"TotalOrders":3,"BuyBackMarketMaker":0},"AskInfo":{"Size":40,"Price":1224.7,"TotalOrders":2,"BuyBackMarketMaker":0},"LastTradedPrice":1224.65,"LastTradedQunatity":8,"TotalBuyQuantity":51200,"TotalSellQuantity":61830,"TotalTradedQuantity":1983015,"AverageTradedPrice":1226.1,"LastTradedTime":1451895300,"LastUpdateTime":1451895300,"PercentChange":-1.11,"Open":1238,"High":1240.95,"Low":1222.6,"Close":1238.4,"TotalValueTraded":null,"BuyBackTotalBuy":0,"BuyBackTotalSell":0},"BookType":1,"XMarketType":1,"SequenceNumber":1583105123157252}"#,
};
