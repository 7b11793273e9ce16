//! The fields of a message in partial text: `t:1_2885,ltp:1224.65,ltq:8,v:1983015,ltt:1420629367,…`.
//!
//! A message does not say its code: the event's name does, or what it holds. `t` is segment_instrument; keys that are numbers
//! are instrument properties (1105): 87 and 88 end the price range, 111 and 110 the execution band, low before high. Quotes are levels `position|size|price|orders`, the best one at position 0: `bi:0|90|59991.6|2`
//! (the order of rmoneyonline's `Touchline.ParseTop`; in captured text the prices stand around `ltp`). With depth more levels
//! follow, which are not read.

use super::fields::{Fields, Slot};
use crate::wire::problem::{Problem, shorten};

/// Fills `fields` (fresh ones). Errors: it is no such text.
pub fn parse<'a>(text: &'a str, fields: &mut Fields<'a>) -> Result<(), Problem> {
    let mut told = Told::default();
    for pair in text.split(',') {
        let Some((key, value)) = pair.split_once(':') else {
            return Err(Problem::new("not_partial", format!("no `key:value`: {}", shorten(pair))));
        };
        // 25 NULs are how the feed writes an empty text
        told.put(key, value.trim_matches(['\0', ' ']), fields)?;
    }
    if !told.named {
        return Err(Problem::new("missing_field", "\"t\" (segment_instrument) is missing"));
    }
    let priced = fields.text(Slot::Price).is_some();
    if let Some(open) = told.open {
        fields.put(if priced || told.bar || told.interest { Slot::Open } else { Slot::Interest }, open);
    }
    fields.default_code(match (told.bar, priced, fields.text(Slot::Volume).is_some(), told.properties) {
        (true, ..) => "1505",
        (_, true, true, _) => "1501",
        (_, true, false, _) => "1512",
        (_, false, _, true) => "1105",
        (..) if fields.text(Slot::Interest).is_some() => "1510",
        _ => "0",
    });
    fields.live = true;
    Ok(())
}

/// What a message has told so far: it decides what the message is.
#[derive(Default)]
struct Told<'a> {
    /// Whom it is about.
    named: bool,
    /// An instrument property.
    properties: bool,
    /// A candle's time.
    bar: bool,
    /// The open interest under its own key.
    interest: bool,
    /// The day's open, or the open interest where nothing has traded.
    open: Option<&'a str>,
}

impl<'a> Told<'a> {
    /// Takes one pair of a message.
    #[inline(always)]
    fn put(&mut self, key: &str, value: &'a str, fields: &mut Fields<'a>) -> Result<(), Problem> {
        let slot = match key {
            "t" => {
                let Some((segment, instrument)) = value.split_once('_') else {
                    return Err(Problem::new("bad_field", format!("t is {}: no segment_instrument", shorten(value))));
                };
                self.named = true;
                fields.put(Slot::Segment, segment);
                fields.put(Slot::Instrument, instrument);
                return Ok(());
            }
            "ltp" => Slot::Price,
            "ltq" => Slot::Quantity,
            "v" => Slot::Volume,
            "ltt" => Slot::TradeTime,
            "lut" => Slot::UpdateTime,
            "h" => Slot::High,
            "l" => Slot::Low,
            "bt" => {
                self.bar = true;
                Slot::BarTime
            }
            "oi" => {
                self.interest = true;
                Slot::Interest
            }
            "o" => {
                self.open = Some(value);
                return Ok(());
            }
            "bi" => return quote(value, fields, Slot::BidPrice, Slot::BidSize),
            "ai" => return quote(value, fields, Slot::AskPrice, Slot::AskSize),
            "87" => Slot::BandLow,
            "88" => Slot::BandHigh,
            "110" => Slot::ExecutionBandHigh,
            "111" => Slot::ExecutionBandLow,
            _ => {
                self.properties |= key.bytes().all(|byte| byte.is_ascii_digit());
                return Ok(());
            }
        };
        self.properties |= key.starts_with(|first: char| first.is_ascii_digit());
        fields.put(slot, value);
        Ok(())
    }
}

/// Puts the best quote of a side, if it is told.
fn quote<'a>(value: &'a str, fields: &mut Fields<'a>, price: Slot, size: Slot) -> Result<(), Problem> {
    let mut parts = value.split('|');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("0"), Some(quoted), Some(at), Some(_orders)) => {
            fields.put(size, quoted);
            fields.put(price, at);
            Ok(())
        }
        // a change further down in the book
        (Some(position), Some(_), Some(_), Some(_)) if position.bytes().all(|byte| byte.is_ascii_digit()) => Ok(()),
        (Some(""), None, ..) => Ok(()),
        _ => {
            let detail = format!("a quote is {}: no position|size|price|orders", shorten(value));
            Err(Problem::new("bad_field", detail))
        }
    }
}
