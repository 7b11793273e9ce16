//! Turns the fields of a message into a tick.

use super::fields::{Fields, MessageField, missing, wrong};
use super::master;
use super::segments::{Epoch, Segment, same_day};
use crate::InstrumentTable;
use crate::wire::problem::RecordProblem;
use crate::wire::quote::Quote;
use crate::wire::times::{self, impossible};
use std::sync::Arc;
use ticktide_base::rules::Rules;
use ticktide_base::time::{DAY, Nanos};
use ticktide_market::calendar::time_text;
use ticktide_market::{Price, Quantity, Snapshot, Tick, TickKind};

/// A message's time may be this far from its receive time: clocks differ by seconds, epochs by years.
const APART_MOST: Nanos = DAY;

/// Code, segment and instrument of a message.
#[inline]
pub fn about(fields: &Fields<'_>) -> Result<(u16, &'static Segment, u64), RecordProblem> {
    let code = fields.whole(MessageField::Code)?.ok_or_else(|| missing(MessageField::Code))?;
    let number = fields.whole(MessageField::Segment)?.ok_or_else(|| missing(MessageField::Segment))?;
    let Some(segment) = Segment::of(number) else {
        let why = "not a known segment, so its clock is unknown";
        return Err(wrong(
            "unknown_segment",
            MessageField::Segment,
            fields.text(MessageField::Segment).unwrap_or_default(),
            why,
        ));
    };
    let instrument = fields.whole(MessageField::Instrument)?.ok_or_else(|| missing(MessageField::Instrument))?;
    let code = u16::try_from(code).unwrap_or(u16::MAX);
    Ok((code, segment, instrument))
}

/// The tick of a message.
#[inline]
pub fn tick(
    fields: &Fields<'_>,
    offset: i64,
    received_at: Option<Nanos>,
    rules: Rules,
    instruments: &mut InstrumentTable,
) -> Result<Tick, RecordProblem> {
    if let Some(slot) = fields.duplicate() {
        return Err(RecordProblem::new("duplicate_field", format!("\"{}\" appears twice", slot.name())));
    }
    let (code, segment, instrument) = about(fields)?;
    let message = Message { fields, segment, received_at };
    let quote = match code {
        1501 | 1502 | 1504 | 1512 => message.prices()?,
        1510 => message.interest()?,
        1505 => message.candle()?,
        1507 => Quote::notice(message.time(MessageField::ExchangeTime)?),
        1105 => message.properties()?,
        _ => {
            let text = fields.text(MessageField::Code).unwrap_or_default();
            return Err(wrong(
                "unknown_code",
                MessageField::Code,
                text,
                "known are 1501, 1502, 1504, 1505, 1507, 1510, 1512, 1105",
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
    let sequence = fields.whole(MessageField::Sequence)?;
    // the table learns an instrument only from a message that became a tick
    let mut digits = [0; 20];
    let name = decimal_digits(instrument, &mut digits);
    let exchange_at = at.ok_or_else(|| missing(MessageField::UpdateTime))?;
    let instrument = instruments.id(segment.venue, name, None);
    Ok(Tick { received_at, sequence, ..quote.tick(instrument, offset, exchange_at) })
}

/// The notice of a row of a master: its only time is its receive time. Errors: the receive time is unknown.
pub fn listed(
    row: master::MasterRow,
    offset: i64,
    received_at: Option<Nanos>,
    instruments: &mut InstrumentTable,
) -> Result<Tick, RecordProblem> {
    let Some(at) = received_at else {
        let detail = "a row of a master belongs to the day on which it was received, and that day is unknown; \
                      record it as `RECEIVED_NS⇥master⇥ROW`";
        return Err(RecordProblem::new("undated", detail));
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
    fn time(&self, slot: MessageField) -> Result<Option<Nanos>, RecordProblem> {
        self.time_in(slot, self.segment.epoch())
    }

    #[inline]
    fn time_in(&self, slot: MessageField, epoch: Epoch) -> Result<Option<Nanos>, RecordProblem> {
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
    fn prices(&self) -> Result<Quote, RecordProblem> {
        let fields = self.fields;
        let price = fields.price(MessageField::Price)?.ok_or_else(|| missing(MessageField::Price))?;
        let updated = match fields.seconds(MessageField::UpdateTime)? {
            // the feed has never had an update for it
            Some(0) if price.0 == 0 => return Ok(Quote::notice(None)),
            Some(_) => self.time(MessageField::UpdateTime)?,
            None => self.time(MessageField::ExchangeTime)?,
        };
        let trade_at = self.time(MessageField::TradeTime)?;
        let at = updated.or(trade_at).ok_or_else(|| missing(MessageField::UpdateTime))?;
        if trade_at.is_some_and(|trade_at| trade_at.saturating_sub(at) > APART_MOST) {
            let text = fields.text(MessageField::TradeTime).unwrap_or_default();
            return Err(wrong("clock_mismatch", MessageField::TradeTime, text, "more than a day after the update"));
        }
        let quantity = fields.quantity(MessageField::Quantity)?;
        let mut cumulative_volume = fields.sum(MessageField::Volume)?;
        // An index trades but has no volume; an instrument that has not traded today has a last trade of another day.
        if cumulative_volume == Some(0)
            && quantity.is_none_or(|quantity| quantity.0 == 0)
            && trade_at.is_some_and(|trade_at| same_day(trade_at, at))
        {
            cumulative_volume = None;
        }
        let day = |slot| fields.price(slot).map(|price| price.filter(|price| price.0 != 0));
        let side = |price, size| -> Result<(Option<Price>, Option<Quantity>), RecordProblem> {
            let (price, size) = (fields.price(price)?.filter(|price| price.0 != 0), fields.quantity(size)?);
            // without a price, a size of 0 means no order; any other size is of orders at any price
            Ok((price, size.filter(|size| price.is_some() || size.0 != 0)))
        };
        let (bid, bid_quantity) = side(MessageField::BidPrice, MessageField::BidSize)?;
        let (ask, ask_quantity) = side(MessageField::AskPrice, MessageField::AskSize)?;
        let snapshot = Snapshot {
            trade_at,
            cumulative_volume,
            bid,
            bid_quantity,
            ask,
            ask_quantity,
            day_open: day(MessageField::Open)?,
            day_high: day(MessageField::High)?,
            day_low: day(MessageField::Low)?,
            open_interest: fields.sum(MessageField::Interest)?,
            ..Snapshot::default()
        };
        Ok(Quote { kind: TickKind::Snapshot, at: Some(at), price: Some(price), quantity, snapshot })
    }

    fn interest(&self) -> Result<Quote, RecordProblem> {
        let open_interest = self.fields.sum(MessageField::Interest)?.ok_or_else(|| missing(MessageField::Interest))?;
        let snapshot = Snapshot { open_interest: Some(open_interest), ..Snapshot::default() };
        let at = match self.time(MessageField::ExchangeTime)? {
            Some(at) => Some(at),
            None => self.time(MessageField::UpdateTime)?,
        };
        // partial text has no time: the receive time is not the exchange's, so the interest belongs to no bar
        let kind = if at.is_some() { TickKind::Snapshot } else { TickKind::Notice };
        Ok(Quote { at, ..Quote::of(kind, snapshot) })
    }

    /// A candle's volume is the day's, not the bar's, and its time is of the other epoch: it is counted, but makes no bar.
    fn candle(&self) -> Result<Quote, RecordProblem> {
        let at = self.time_in(MessageField::BarTime, Epoch::Wall1970)?.ok_or_else(|| missing(MessageField::BarTime))?;
        Ok(Quote::notice(Some(at)))
    }

    /// The price range and the execution band make one price band, the wider one: a price inside either is possible.
    fn properties(&self) -> Result<Quote, RecordProblem> {
        let ends = |range, execution| {
            let given = [self.fields.price(range)?, self.fields.price(execution)?];
            // 0 means none, as in a master
            Ok::<_, RecordProblem>(given.into_iter().flatten().filter(|price| price.0 != 0))
        };
        let mut quote = Quote::notice(None);
        quote.snapshot.band_low = ends(MessageField::BandLow, MessageField::ExecutionBandLow)?.min();
        quote.snapshot.band_high = ends(MessageField::BandHigh, MessageField::ExecutionBandHigh)?.max();
        Ok(quote)
    }

    /// Checks a time against the receive time. Why old snapshots pass: a subscription's first answer has the last update, which
    /// for a silent contract was days ago.
    #[inline]
    fn believe(&self, at: Nanos) -> Result<(), RecordProblem> {
        let Some(received_at) = self.received_at else { return Ok(()) };
        let apart = |at: Nanos| at.saturating_sub(received_at);
        if apart(at).saturating_abs() <= APART_MOST {
            return Ok(());
        }
        let live = self.fields.live || self.fields.text(MessageField::ExchangeTime).is_some();
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
    fn unbelievable(&self, at: Nanos, received_at: Nanos, misread: bool) -> RecordProblem {
        let hint = if misread { "; it fits in the other epoch, 1970 for 1980" } else { "" };
        let venue = self.segment.venue;
        let detail =
            format!("its time in {venue} is {}, it was received at {}{hint}", time_text(at), time_text(received_at));
        RecordProblem::new("clock_mismatch", detail)
    }
}
