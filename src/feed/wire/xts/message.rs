//! From the fields of a message to a tick.

use super::fields::{Fields, Slot, missing, wrong};
use super::master;
use super::segments::{Epoch, Segment, same_day};
use crate::InstrumentTable;
use crate::wire::problem::Problem;
use crate::wire::quote::Quote;
use crate::wire::times::{self, impossible};
use std::sync::Arc;
use ticktide_base::rules::Rules;
use ticktide_base::time::{DAY, Nanos};
use ticktide_market::calendar::time_text;
use ticktide_market::{Price, Quantity, Snapshot, Tick, TickKind};

/// A message's time may be this far from its receipt: exchanges' clocks and ours differ by seconds, epochs by years.
const APART_MOST: Nanos = DAY;

/// Code, segment and instrument of a message.
#[inline]
pub fn about(fields: &Fields<'_>) -> Result<(u16, &'static Segment, u64), Problem> {
    let code = fields.whole(Slot::Code)?.ok_or_else(|| missing(Slot::Code))?;
    let number = fields.whole(Slot::Segment)?.ok_or_else(|| missing(Slot::Segment))?;
    let Some(segment) = Segment::of(number) else {
        let why = "no segment that is known, so nobody knows its clock";
        return Err(wrong("unknown_segment", Slot::Segment, fields.text(Slot::Segment).unwrap_or_default(), why));
    };
    let instrument = fields.whole(Slot::Instrument)?.ok_or_else(|| missing(Slot::Instrument))?;
    let code = u16::try_from(code).unwrap_or(u16::MAX);
    Ok((code, segment, instrument))
}

/// The tick that a message says.
#[inline]
pub fn tick(
    fields: &Fields<'_>,
    offset: i64,
    received_at: Option<Nanos>,
    rules: Rules,
    instruments: &mut InstrumentTable,
) -> Result<Tick, Problem> {
    if let Some(slot) = fields.duplicate() {
        return Err(Problem::new("duplicate_field", format!("\"{}\" appears twice", slot.name())));
    }
    let (code, segment, instrument) = about(fields)?;
    let message = Message { fields, segment, received_at };
    let quote = match code {
        1501 | 1502 | 1504 | 1512 => message.prices()?,
        1510 => message.interest()?,
        1505 => message.candle()?,
        1507 => Quote::notice(message.time(Slot::ExchangeTime)?),
        1105 => message.properties()?,
        _ => {
            let text = fields.text(Slot::Code).unwrap_or_default();
            return Err(wrong(
                "unknown_code",
                Slot::Code,
                text,
                "read are 1501, 1502, 1504, 1505, 1507, 1510, 1512, 1105",
            ));
        }
    };
    if let Some(at) = quote.at {
        message.believe(at)?;
        if quote.kind == TickKind::Snapshot && !times::is_possible(at, rules) {
            return Err(impossible(at));
        }
    }
    let at = match quote.kind {
        TickKind::Notice => quote.at.or(received_at).or(Some(Nanos::MIN)),
        _ => quote.at,
    };
    let sequence = fields.whole(Slot::Sequence)?;
    // the table learns an instrument only from a message that became a tick
    let mut digits = [0; 20];
    let name = decimal_digits(instrument, &mut digits);
    let exchange_at = at.ok_or_else(|| missing(Slot::UpdateTime))?;
    let instrument = instruments.id(segment.venue, name, None);
    Ok(Tick { received_at, sequence, ..quote.tick(instrument, offset, exchange_at) })
}

/// The notice that a row of a master is: it has no time but that of its receipt. Errors: nobody knows that either.
pub fn listed(
    row: master::Row,
    offset: i64,
    received_at: Option<Nanos>,
    instruments: &mut InstrumentTable,
) -> Result<Tick, Problem> {
    let Some(at) = received_at else {
        let detail = "a row of a master is of the day on which it was received, and nobody says when that was; \
                      record it as `RECEIVED_NS⇥master⇥ROW`";
        return Err(Problem::new("undated", detail));
    };
    let mut digits = [0; 20];
    let instrument = instruments.id(row.segment.venue, decimal_digits(row.instrument, &mut digits), None);
    Ok(Tick {
        received_at,
        snapshot: Some(Box::new(Snapshot { listing: Some(Arc::new(row.listing)), ..Snapshot::default() })),
        ..Tick::new(TickKind::Notice, instrument, offset, at)
    })
}

/// A number's digits, without an allocation.
fn decimal_digits(mut number: u64, room: &mut [u8; 20]) -> &str {
    let mut at = room.len();
    loop {
        at -= 1;
        room[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    std::str::from_utf8(&room[at..]).expect("digits are ASCII")
}

struct Message<'a, 'f> {
    fields: &'f Fields<'a>,
    segment: &'static Segment,
    received_at: Option<Nanos>,
}

impl Message<'_, '_> {
    /// An instant in the segment's epoch.
    #[inline]
    fn time(&self, slot: Slot) -> Result<Option<Nanos>, Problem> {
        self.time_in(slot, self.segment.epoch())
    }

    #[inline]
    fn time_in(&self, slot: Slot, epoch: Epoch) -> Result<Option<Nanos>, Problem> {
        let Some(seconds) = self.fields.seconds(slot)? else { return Ok(None) };
        match epoch.instant(seconds) {
            Some(at) => Ok(Some(at)),
            None => Err(wrong(
                "out_of_range",
                slot,
                self.fields.text(slot).unwrap_or_default(),
                "no time from 1677 to 2262",
            )),
        }
    }

    #[inline]
    fn prices(&self) -> Result<Quote, Problem> {
        let fields = self.fields;
        let price = fields.price(Slot::Price)?.ok_or_else(|| missing(Slot::Price))?;
        let updated = match fields.seconds(Slot::UpdateTime)? {
            // nothing was ever heard of it
            Some(0) if price.0 == 0 => return Ok(Quote::notice(None)),
            Some(_) => self.time(Slot::UpdateTime)?,
            None => self.time(Slot::ExchangeTime)?,
        };
        let trade_at = self.time(Slot::TradeTime)?;
        let at = updated.or(trade_at).ok_or_else(|| missing(Slot::UpdateTime))?;
        if trade_at.is_some_and(|trade_at| trade_at.saturating_sub(at) > APART_MOST) {
            let text = fields.text(Slot::TradeTime).unwrap_or_default();
            return Err(wrong("clock_mismatch", Slot::TradeTime, text, "more than a day after the update"));
        }
        let quantity = fields.quantity(Slot::Quantity)?;
        let mut cumulative_volume = fields.sum(Slot::Volume)?;
        // An index trades and has no volume; an instrument that has not traded today has a last trade of another day.
        if cumulative_volume == Some(0)
            && quantity.is_none_or(|quantity| quantity.0 == 0)
            && trade_at.is_some_and(|trade_at| same_day(trade_at, at))
        {
            cumulative_volume = None;
        }
        let day = |slot| fields.price(slot).map(|price| price.filter(|price| price.0 != 0));
        let side = |price, size| -> Result<(Option<Price>, Option<Quantity>), Problem> {
            let (price, size) = (fields.price(price)?.filter(|price| price.0 != 0), fields.quantity(size)?);
            // without a price a size of 0 says that there is no order; another one is of orders at any price
            Ok((price, size.filter(|size| price.is_some() || size.0 != 0)))
        };
        let (bid, bid_quantity) = side(Slot::BidPrice, Slot::BidSize)?;
        let (ask, ask_quantity) = side(Slot::AskPrice, Slot::AskSize)?;
        let snapshot = Snapshot {
            trade_at,
            cumulative_volume,
            bid,
            bid_quantity,
            ask,
            ask_quantity,
            day_open: day(Slot::Open)?,
            day_high: day(Slot::High)?,
            day_low: day(Slot::Low)?,
            open_interest: fields.sum(Slot::Interest)?,
            ..Snapshot::default()
        };
        Ok(Quote { kind: TickKind::Snapshot, at: Some(at), price: Some(price), quantity, snapshot })
    }

    fn interest(&self) -> Result<Quote, Problem> {
        let open_interest = self.fields.sum(Slot::Interest)?.ok_or_else(|| missing(Slot::Interest))?;
        let snapshot = Snapshot { open_interest: Some(open_interest), ..Snapshot::default() };
        let at = match self.time(Slot::ExchangeTime)? {
            Some(at) => Some(at),
            None => self.time(Slot::UpdateTime)?,
        };
        // partial text has no time: the receiver's is not the exchange's, so it belongs to no bar
        let kind = if at.is_some() { TickKind::Snapshot } else { TickKind::Notice };
        Ok(Quote { at, ..Quote::of(kind, snapshot) })
    }

    /// Its volume is the day's, not the bar's, and its label is of the other epoch: counted, never a bar of ours.
    fn candle(&self) -> Result<Quote, Problem> {
        let at = self.time_in(Slot::BarTime, Epoch::Wall1970)?.ok_or_else(|| missing(Slot::BarTime))?;
        Ok(Quote::notice(Some(at)))
    }

    /// The price range and the execution band are one price band, the wider one: a price inside of either may be made.
    fn properties(&self) -> Result<Quote, Problem> {
        let ends = |range, execution| {
            let told = [self.fields.price(range)?, self.fields.price(execution)?];
            // 0 stands for none, as in a master
            Ok::<_, Problem>(told.into_iter().flatten().filter(|price| price.0 != 0))
        };
        let mut quote = Quote::notice(None);
        quote.snapshot.band_low = ends(Slot::BandLow, Slot::ExecutionBandLow)?.min();
        quote.snapshot.band_high = ends(Slot::BandHigh, Slot::ExecutionBandHigh)?.max();
        Ok(quote)
    }

    /// Holds a time against the receipt. Why old snapshots pass: a subscription's first answer tells of the last update, which
    /// for a silent contract was days ago.
    #[inline]
    fn believe(&self, at: Nanos) -> Result<(), Problem> {
        let Some(received_at) = self.received_at else { return Ok(()) };
        let apart = |at: Nanos| at.saturating_sub(received_at);
        if apart(at).saturating_abs() <= APART_MOST {
            return Ok(());
        }
        let live = self.fields.live || self.fields.text(Slot::ExchangeTime).is_some();
        let other = match self.segment.epoch() {
            Epoch::Wall1970 => Epoch::Wall1980.instant(Epoch::Wall1970.seconds(at)),
            Epoch::Wall1980 => Epoch::Wall1970.instant(Epoch::Wall1980.seconds(at)),
        };
        let misread = other.is_some_and(|other| apart(other).saturating_abs() <= APART_MOST);
        if apart(at) < 0 && !live && !misread {
            return Ok(());
        }
        Err(self.unbelievable(at, received_at, misread))
    }

    #[cold]
    fn unbelievable(&self, at: Nanos, received_at: Nanos, misread: bool) -> Problem {
        let hint = if misread { "; it fits in the other epoch, 1970 for 1980" } else { "" };
        let venue = self.segment.venue;
        let detail =
            format!("its time in {venue} is {}, it was received at {}{hint}", time_text(at), time_text(received_at));
        Problem::new("clock_mismatch", detail)
    }
}
