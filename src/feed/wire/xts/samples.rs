//! Messages in the shapes and key orders of the live feed, with invented numbers.

/// One of each shape in full JSON.
pub const JSON: &[&str] =
    &[NESTED_A, NESTED_B, FLAT, DEPTH, INDEX, CODE_1504, CANDLE, STATUS, INTEREST, LAST_LIVE, LAST_FLAT];

/// 1501 of the touchline publisher: a share at 2025-01-06 11:16:07 in India.
pub const NESTED_A: &str = r#"{"MessageCode":1501,"MessageVersion":4,"ApplicationType":0,"TokenID":0,"ExchangeSegment":1,"ExchangeInstrumentID":2885,"ExchangeTimeStamp":1420629367,"Touchline":{"BidInfo":{"Size":12,"Price":1224.6,"TotalOrders":3,"BuyBackMarketMaker":0},"AskInfo":{"Size":40,"Price":1224.7,"TotalOrders":2,"BuyBackMarketMaker":0},"LastTradedPrice":1224.65,"LastTradedQunatity":8,"TotalBuyQuantity":51200,"TotalSellQuantity":61830,"TotalTradedQuantity":1983015,"AverageTradedPrice":1226.1,"LastTradedTime":1420629366,"LastUpdateTime":1420629367,"PercentChange":-1.11,"Open":1238,"High":1240.95,"Low":1222.6,"Close":1238.4,"TotalValueTraded":null,"BuyBackTotalBuy":0,"BuyBackTotalSell":0},"BookType":1,"XMarketType":1,"SequenceNumber":1583105123157252}"#;

/// The same update from the depth publisher: another key order, its own sequence, the right spelling.
pub const NESTED_B: &str = r#"{"BookType":1,"XMarketType":1,"MessageCode":1501,"MessageVersion":4,"ApplicationType":0,"TokenID":0,"ExchangeSegment":1,"ExchangeInstrumentID":2885,"ExchangeTimeStamp":1420629367,"SequenceNumber":338944086942101,"Touchline":{"LastTradedTime":1420629366,"LastTradedPrice":1224.65,"LastTradedQuantity":8,"LastUpdateTime":1420629367,"TotalTradedQuantity":1983015,"TotalBuyQuantity":51200,"TotalSellQuantity":61830,"AverageTradedPrice":1226.1,"PercentChange":-1.11,"Close":1238.4,"Open":1238,"High":1240.95,"Low":1222.6,"TotalValueTraded":null,"BuyBackTotalBuy":0,"BuyBackTotalSell":0,"AskInfo":{"Price":1224.7,"Size":40,"TotalOrders":2,"BuyBackMarketMaker":0},"BidInfo":{"Price":1224.6,"Size":12,"TotalOrders":3,"BuyBackMarketMaker":0}}}"#;

/// The same state in a subscription's answer; the id is a string there.
pub const FLAT: &str = r#"{"MessageCode":1501,"ExchangeSegment":1,"ExchangeInstrumentID":"2885","BidInfo":{"Size":12,"Price":1224.6,"TotalOrders":3,"BuyBackMarketMaker":0},"AskInfo":{"Size":40,"Price":1224.7,"TotalOrders":2,"BuyBackMarketMaker":0},"LastTradedPrice":1224.65,"LastTradedQunatity":8,"TotalBuyQuantity":51200,"TotalSellQuantity":61830,"TotalTradedQuantity":1983015,"AverageTradedPrice":1226.1,"LastTradedTime":1420629366,"LastUpdateTime":1420629367,"PercentChange":-1.11,"Open":1238,"High":1240.95,"Low":1222.6,"Close":1238.4,"TotalValueTraded":null,"BuyBackTotalBuy":0,"BuyBackTotalSell":0,"XMarketType":1,"BookType":1}"#;

/// 1502: the same state with five levels of depth.
pub const DEPTH: &str = r#"{"MessageCode":1502,"MessageVersion":4,"ApplicationType":0,"TokenID":0,"ExchangeSegment":1,"ExchangeInstrumentID":2885,"ExchangeTimeStamp":1420629367,"Bids":[{"Size":12,"Price":1224.6,"TotalOrders":3,"BuyBackMarketMaker":0},{"Size":9,"Price":1224.55,"TotalOrders":1,"BuyBackMarketMaker":0}],"Asks":[{"Size":40,"Price":1224.7,"TotalOrders":2,"BuyBackMarketMaker":0}],"Touchline":{"BidInfo":{"Size":12,"Price":1224.6,"TotalOrders":3,"BuyBackMarketMaker":0},"AskInfo":{"Size":40,"Price":1224.7,"TotalOrders":2,"BuyBackMarketMaker":0},"LastTradedPrice":1224.65,"LastTradedQunatity":8,"TotalBuyQuantity":51200,"TotalSellQuantity":61830,"TotalTradedQuantity":1983015,"AverageTradedPrice":1226.1,"LastTradedTime":1420629366,"LastUpdateTime":1420629367,"PercentChange":-1.11,"Open":1238,"High":1240.95,"Low":1222.6,"Close":1238.4,"TotalValueTraded":null,"BuyBackTotalBuy":0,"BuyBackTotalSell":0},"BookType":1,"XMarketType":1,"SequenceNumber":338944086942101}"#;

/// 1501 of an index.
pub const INDEX: &str = r#"{"MessageCode":1501,"MessageVersion":4,"ApplicationType":0,"TokenID":0,"ExchangeSegment":1,"ExchangeInstrumentID":26000,"ExchangeTimeStamp":1420629368,"Touchline":{"BidInfo":{"Size":0,"Price":0,"TotalOrders":0,"BuyBackMarketMaker":0},"AskInfo":{"Size":0,"Price":0,"TotalOrders":0,"BuyBackMarketMaker":0},"LastTradedPrice":23739,"LastTradedQunatity":0,"TotalBuyQuantity":0,"TotalSellQuantity":0,"TotalTradedQuantity":0,"AverageTradedPrice":23739,"LastTradedTime":1420629368,"LastUpdateTime":1420629368,"PercentChange":-1.11,"Open":24045.8,"High":24089.95,"Low":23726.6,"Close":24004.75,"TotalValueTraded":null,"BuyBackTotalBuy":0,"BuyBackTotalSell":0},"BookType":1,"XMarketType":1,"SequenceNumber":1583105123157252}"#;

/// 1504, as in the documents.
pub const CODE_1504: &str = r#"{"MessageCode":1504,"MessageVersion":4,"ApplicationType":0,"TokenID":0,"ExchangeSegment":1,"ExchangeInstrumentID":26000,"ExchangeTimeStamp":1420629368,"IndexName":"NIFTY 50","IndexValue":23739,"OpeningIndex":24045.8,"HighIndexValue":24089.95,"LowIndexValue":23726.6,"ClosingIndex":24004.75,"PercentChange":-1.11,"SequenceNumber":7}"#;

pub const CANDLE: &str = r#"{"MessageCode":1505,"MessageVersion":1,"ApplicationType":0,"TokenID":0,"ExchangeSegment":1,"ExchangeInstrumentID":467,"BarTime":1736164979,"BarVolume":1760422,"High":607.65,"Low":606.5,"Open":606.55,"Close":607.45,"OpenInterest":0,"SumOfQtyInToPrice":0}"#;

pub const STATUS: &str = r#"{"MessageCode":1507,"ExchangeSegment":2,"ExchangeInstrumentID":0,"ExchangeTimeStamp":1415460600,"tradingSession":4,"maketType":1,"message":"THE REGULAR SEGMENT HAS CLOSED FOR 07 NOV 2024"}"#;

pub const INTEREST: &str = r#"{"MessageCode":1510,"MessageVersion":4,"ApplicationType":0,"TokenID":0,"ExchangeSegment":2,"ExchangeInstrumentID":43423,"ExchangeTimeStamp":1420629367,"XTSMarketType":1,"OpenInterest":3721575,"UnderlyingExchangeSegment":1,"UnderlyingInstrumentID":26000,"UnderlyingIDIndexName":"NIFTY 50","UnderlyingTotalOpenInterest":99,"SequenceNumber":338944086942101}"#;

pub const LAST_LIVE: &str = r#"{"MessageCode":1512,"MessageVersion":4,"ApplicationType":0,"TokenID":0,"ExchangeSegment":1,"ExchangeInstrumentID":467,"BookType":1,"XMarketType":1,"LastTradedPrice":609.45,"LastTradedQunatity":8,"LastUpdateTime":1420633479,"PercentChange":-2.17,"Close":623}"#;

pub const LAST_FLAT: &str = r#"{"MessageCode":1512,"ExchangeSegment":1,"ExchangeInstrumentID":467,"LastTradedPrice":609.45,"LastTradedQunatity":8,"LastUpdateTime":1420633479,"PercentChange":-2.17,"Close":623,"XMarketType":1,"BookType":1}"#;

/// Partial text, one of each kind.
pub const PARTIAL: &[&str] = &[
    "t:1_2885,ltp:1224.65,ltq:8,tb:51200,ts:61830,v:1983015,ap:1226.1,ltt:1420629366,lut:1420629367,pc:-1.11,o:1238,h:1240.95,l:1222.6,c:1238.4,vp:0,ai:0|40|1224.7|2,bi:0|12|1224.6|3|1|9|1224.55|1",
    "t:1_467,ltp:609.45,ltq:8,lut:1420633479,pc:-2.17",
    "t:1_467,bt:1736164979,bv:1760422,o:606.55,h:607.65,l:606.5,c:607.45,pv:0",
    "t:2_43423,oi:3721575,mt:1,uex:1,uid:26000,toi:99",
    "t:2_43423,o:3721575,mt:1",
    "t:12_2201,87:-7.75,88:12.90,24:\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
];
