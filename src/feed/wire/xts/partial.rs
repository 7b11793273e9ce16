//! The fields of a message in partial text: `t:1_2885,ltp:1224.65,ltq:8,v:1983015,ltt:1420629367,…`.
//!
//! A message does not contain its code: the event's name gives it, or the message's fields do. `t` is segment_instrument. Keys
//! that are numbers are instrument properties (1105): 87 and 88 are the low and high end of the price range, 111 and 110 those
//! of the execution band. Quotes are levels `position|size|price|orders`, the best at position 0: `bi:0|90|59991.6|2` (the
//! order of rmoneyonline's `Touchline.ParseTop`; in captured text the prices are around `ltp`). With depth more levels follow,
//! which are not read.

use super::fields::{Fields, MessageField};
use crate::wire::problem::{RecordProblem, shorten};

/// Fills `fields` (which must be empty). Errors: the text is not partial text.
pub fn parse<'a>(text: &'a str, fields: &mut Fields<'a>) -> Result<(), RecordProblem> {
    let mut content = Content::default();
    for pair in text.split(',') {
        let Some((key, value)) = pair.split_once(':') else {
            return Err(RecordProblem::new("not_partial", format!("no `key:value`: {}", shorten(pair))));
        };
        // the feed writes an empty text as 25 NULs
        content.put(key, value.trim_matches(['\0', ' ']), fields)?;
    }
    if !content.named {
        return Err(RecordProblem::new("missing_field", "\"t\" (segment_instrument) is missing"));
    }
    let priced = fields.text(MessageField::Price).is_some();
    if let Some(open) = content.open {
        fields.put(
            if priced || content.bar || content.interest { MessageField::Open } else { MessageField::Interest },
            open,
        );
    }
    fields.default_code(match (content.bar, priced, fields.text(MessageField::Volume).is_some(), content.properties) {
        (true, ..) => "1505",
        (_, true, true, _) => "1501",
        (_, true, false, _) => "1512",
        (_, false, _, true) => "1105",
        (..) if fields.text(MessageField::Interest).is_some() => "1510",
        _ => "0",
    });
    fields.live = true;
    Ok(())
}

/// The content of a message so far: it decides the message's code.
#[derive(Default)]
struct Content<'a> {
    /// It names its instrument.
    named: bool,
    /// An instrument property.
    properties: bool,
    /// A candle's time.
    bar: bool,
    /// The open interest under its own key.
    interest: bool,
    /// The day's open, or the open interest if nothing has traded.
    open: Option<&'a str>,
}

impl<'a> Content<'a> {
    /// Adds one pair of a message.
    #[inline(always)]
    fn put(&mut self, key: &str, value: &'a str, fields: &mut Fields<'a>) -> Result<(), RecordProblem> {
        let slot = match key {
            "t" => {
                let Some((segment, instrument)) = value.split_once('_') else {
                    return Err(RecordProblem::new(
                        "bad_field",
                        format!("t is {}: no segment_instrument", shorten(value)),
                    ));
                };
                self.named = true;
                fields.put(MessageField::Segment, segment);
                fields.put(MessageField::Instrument, instrument);
                return Ok(());
            }
            "ltp" => MessageField::Price,
            "ltq" => MessageField::Quantity,
            "v" => MessageField::Volume,
            "ltt" => MessageField::TradeTime,
            "lut" => MessageField::UpdateTime,
            "h" => MessageField::High,
            "l" => MessageField::Low,
            "bt" => {
                self.bar = true;
                MessageField::BarTime
            }
            "oi" => {
                self.interest = true;
                MessageField::Interest
            }
            "o" => {
                self.open = Some(value);
                return Ok(());
            }
            "bi" => return quote(value, fields, MessageField::BidPrice, MessageField::BidSize),
            "ai" => return quote(value, fields, MessageField::AskPrice, MessageField::AskSize),
            "87" => MessageField::BandLow,
            "88" => MessageField::BandHigh,
            "110" => MessageField::ExecutionBandHigh,
            "111" => MessageField::ExecutionBandLow,
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

/// Puts the best quote of a side, if the value has one.
fn quote<'a>(
    value: &'a str,
    fields: &mut Fields<'a>,
    price: MessageField,
    size: MessageField,
) -> Result<(), RecordProblem> {
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
            Err(RecordProblem::new("bad_field", detail))
        }
    }
}
