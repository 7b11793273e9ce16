//! The messages of the simulated feed, in the shapes and key orders of the live one.

use super::book::{Book, InstrumentKind, STEP, id_of};
use std::fmt::{self, Display, Write};
use ticktide_base::time::Nanos;
use ticktide_feed::wire::xts::Segment;
use ticktide_feed::wire::xts::segments::Epoch;

/// The sequence that the touchline publisher puts on all of its messages.
const SEQUENCE_A: u64 = 1_583_105_123_157_252;

/// A price in hundredths as the feed writes it: no trailing zeros.
struct Rupees(i64);

impl Display for Rupees {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, whole, part) = (if self.0 < 0 { "-" } else { "" }, self.0.abs() / 100, self.0.abs() % 100);
        match part {
            0 => write!(f, "{sign}{whole}"),
            _ if part % 10 == 0 => write!(f, "{sign}{whole}.{}", part / 10),
            _ => write!(f, "{sign}{whole}.{part:02}"),
        }
    }
}

/// The event that carries a code.
pub fn event_name(code: u16) -> String {
    format!("{code}-json-{}", if code == 1105 { "partial" } else { "full" })
}

/// A message in its event.
pub fn wrapped(code: u16, message: &[u8]) -> Vec<u8> {
    let text = serde_json::Value::from(String::from_utf8_lossy(message));
    format!("42[\"{}\",{text}]", event_name(code)).into_bytes()
}

struct Head<'a>(u16, &'a Book);

impl Display for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Head(code, book) = self;
        let (segment, id) = (book.segment().number, book.id);
        write!(
            f,
            "\"MessageCode\":{code},\"MessageVersion\":4,\"ApplicationType\":0,\"TokenID\":0,\"ExchangeSegment\":{segment},\
             \"ExchangeInstrumentID\":{id}"
        )
    }
}

fn seconds(book: &Book, at: Nanos) -> i64 {
    book.segment().epoch().seconds(at)
}

fn side(price: i64, size: u64) -> String {
    format!("{{\"Size\":{size},\"Price\":{},\"TotalOrders\":{},\"BuyBackMarketMaker\":0}}", Rupees(price), size.min(7))
}

fn change(book: &Book) -> Rupees {
    Rupees((book.last - book.close) * 10_000 / book.close.max(1))
}

/// The touchline as publisher A orders it.
fn touchline(book: &Book) -> String {
    format!(
        "{{\"BidInfo\":{},\"AskInfo\":{},\"LastTradedPrice\":{},\"LastTradedQunatity\":{},\"TotalBuyQuantity\":{},\
         \"TotalSellQuantity\":{},\"TotalTradedQuantity\":{},\"AverageTradedPrice\":{},\"LastTradedTime\":{},\
         \"LastUpdateTime\":{},\"PercentChange\":{},\"Open\":{},\"High\":{},\"Low\":{},\"Close\":{},\"TotalValueTraded\":null,\
         \"BuyBackTotalBuy\":0,\"BuyBackTotalSell\":0}}",
        side(book.bid, book.bid_size),
        side(book.ask, book.ask_size),
        Rupees(book.last),
        book.last_quantity,
        90 * book.bid_size,
        90 * book.ask_size,
        book.volume,
        Rupees(book.average()),
        seconds(book, book.traded_at),
        seconds(book, book.updated_at),
        change(book),
        Rupees(book.open),
        Rupees(book.high),
        Rupees(book.low),
        Rupees(book.close),
    )
}

/// 1501 of the touchline publisher.
pub fn touchline_a(book: &Book) -> Vec<u8> {
    let head = Head(1501, book);
    let (updated, touchline) = (seconds(book, book.updated_at), touchline(book));
    format!(
        "{{{head},\"ExchangeTimeStamp\":{updated},\"Touchline\":{touchline},\"BookType\":1,\"XMarketType\":1,\
         \"SequenceNumber\":{SEQUENCE_A}}}"
    )
    .into_bytes()
}

/// 1501 as the depth publisher derives it.
pub fn touchline_b(book: &Book) -> Vec<u8> {
    let (head, updated) = (Head(1501, book), seconds(book, book.updated_at));
    format!(
        "{{\"BookType\":1,\"XMarketType\":1,{head},\"ExchangeTimeStamp\":{updated},\"SequenceNumber\":{},\"Touchline\":{{\
         \"LastTradedTime\":{},\"LastTradedPrice\":{},\"LastTradedQuantity\":{},\"LastUpdateTime\":{updated},\
         \"TotalTradedQuantity\":{},\"TotalBuyQuantity\":{},\"TotalSellQuantity\":{},\"AverageTradedPrice\":{},\
         \"PercentChange\":{},\"Close\":{},\"Open\":{},\"High\":{},\"Low\":{},\"TotalValueTraded\":null,\"BuyBackTotalBuy\":0,\
         \"BuyBackTotalSell\":0,\"AskInfo\":{},\"BidInfo\":{}}}}}",
        book.sequence,
        seconds(book, book.traded_at),
        Rupees(book.last),
        book.last_quantity,
        book.volume,
        90 * book.bid_size,
        90 * book.ask_size,
        Rupees(book.average()),
        change(book),
        Rupees(book.close),
        Rupees(book.open),
        Rupees(book.high),
        Rupees(book.low),
        side(book.ask, book.ask_size),
        side(book.bid, book.bid_size),
    )
    .into_bytes()
}

/// 1502: five levels a side.
pub fn depth(book: &Book) -> Vec<u8> {
    let levels = |price: i64, step: i64, size: u64| {
        let level = |index: i64| side(price + step * index, if price == 0 { 0 } else { size + index as u64 });
        (0..5).map(level).collect::<Vec<_>>().join(",")
    };
    let (head, updated) = (Head(1502, book), seconds(book, book.updated_at));
    format!(
        "{{{head},\"ExchangeTimeStamp\":{updated},\"Bids\":[{}],\"Asks\":[{}],\"Touchline\":{},\"BookType\":1,\
         \"XMarketType\":1,\"SequenceNumber\":{}}}",
        levels(book.bid, -5, book.bid_size),
        levels(book.ask, 5, book.ask_size),
        touchline(book),
        book.sequence,
    )
    .into_bytes()
}

/// 1512.
pub fn last(book: &Book) -> Vec<u8> {
    format!(
        "{{{},\"BookType\":1,\"XMarketType\":1,\"LastTradedPrice\":{},\"LastTradedQunatity\":{},\"LastUpdateTime\":{},\
         \"PercentChange\":{},\"Close\":{}}}",
        Head(1512, book),
        Rupees(book.last),
        book.last_quantity,
        seconds(book, book.updated_at),
        change(book),
        Rupees(book.close),
    )
    .into_bytes()
}

/// 1510.
pub fn interest(book: &Book, at: Nanos) -> Vec<u8> {
    format!(
        "{{{},\"ExchangeTimeStamp\":{},\"XTSMarketType\":1,\"OpenInterest\":{},\"SequenceNumber\":{}}}",
        Head(1510, book),
        seconds(book, at),
        book.interest,
        book.sequence,
    )
    .into_bytes()
}

/// 1505: its volume is the day's.
pub fn candle(book: &Book, at: Nanos) -> Vec<u8> {
    format!(
        "{{{},\"BarTime\":{},\"BarVolume\":{},\"High\":{},\"Low\":{},\"Open\":{},\"Close\":{},\"OpenInterest\":0,\
         \"SumOfQtyInToPrice\":0}}",
        Head(1505, book),
        Epoch::Wall1970.seconds(at),
        book.volume,
        Rupees(book.high),
        Rupees(book.low),
        Rupees(book.open),
        Rupees(book.last),
    )
    .into_bytes()
}

/// 1507.
pub fn status(segment: &Segment, session: u8, at: Nanos) -> Vec<u8> {
    let what = if session == 2 { "OPENED" } else { "CLOSED" };
    format!(
        "{{\"MessageCode\":1507,\"ExchangeSegment\":{},\"ExchangeInstrumentID\":0,\"ExchangeTimeStamp\":{},\
         \"tradingSession\":{session},\"maketType\":1,\"message\":\"THE REGULAR SEGMENT HAS {what}\"}}",
        segment.number,
        segment.epoch().seconds(at),
    )
    .into_bytes()
}

/// A row of the instrument master.
pub fn listing(book: &Book, date: i32) -> Vec<u8> {
    let (id, tick) = (book.id, Rupees(STEP));
    let band = |percent: i64| Rupees((book.close * percent / 100).div_euclid(STEP) * STEP);
    if book.kind == InstrumentKind::Future {
        let day = ticktide_market::calendar::date_of(date + 25).expect("a simulated date is before 2262");
        return format!(
            "NSEFO|{id}|1|SIM{share}|SIM{share}FUT|FUTSTK|SIM{share}-FUTSTK|26365{id:08}|{}|{}|20001|{tick}|50|1|\
             11001{share:08}|SIM{share}|{day}T14:30:00|SIM{share} {day}|1|1|SIM{share}FUT",
            band(110),
            band(90),
            share = id_of(InstrumentKind::Share, book.share),
        )
        .into_bytes();
    }
    format!(
        "NSECM|{id}|8|SIM{id}|SIM{id}-EQ|EQ|SIM{id}-EQ|11001{id:08}|{}|{}|100000|{tick}|1|1|SIM{id}|INE{id:06}01017|1|1|\
         SIMULATED {id}-EQ|0|-1|-1",
        band(120),
        band(80),
    )
    .into_bytes()
}

/// 1105: partial text in every publish format. It mostly reports the live execution band (110 its high end, 111 its low end),
/// sometimes the price range (87, 88), and for one in ten both, each wider at one end.
pub fn properties(segment: &Segment, id: u32, price: i64) -> Vec<u8> {
    let end = |percent: i64| Rupees(price + price * percent / 100);
    let (execution, range) = (format!("110:{},111:{}", end(8), end(-12)), format!("87:{},88:{}", end(-10), end(10)));
    let bands = match price % 10 {
        0 => format!("{range},{execution}"),
        1 | 2 => range,
        _ => execution,
    };
    let mut text = format!("t:{}_{id},{bands}", segment.number);
    if price % 3 == 0 {
        // an empty text of the exchange is 25 NULs
        let _ = write!(text, ",24:{}", "\0".repeat(25)); // a String takes everything
    }
    text.into_bytes()
}
