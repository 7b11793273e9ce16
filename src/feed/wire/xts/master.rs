//! Rows of the instrument master: `|`-separated text without a header; the number of columns decides what a row lists.
//!
//! | columns | lists |
//! |---|---|
//! | 22, older ones 19 | shares, indices, funds … |
//! | 21 | futures and spreads |
//! | 23 | options: the futures' with strike and option type before the display name |
//!
//! A row has no date: it belongs to the day on which it was received. What must always hold: a number that means "none" (0, −1,
//! a band as wide as numbers go) is none; any other text in place of a number is a reject. Why a band may be below 0: the price
//! of a spread is the difference of two contracts.

use super::segments::Segment;
use crate::wire::problem::{RecordProblem, shorten};
use ticktide_market::calendar::day_of;
use ticktide_market::{LIMIT, Listing, NumberError, Price, Quantity, SCALE, decimal};

/// The columns at the start of all rows.
const SEGMENT: usize = 0;
const INSTRUMENT: usize = 1;
const TYPE: usize = 2;
const NAME: usize = 3;
const DESCRIPTION: usize = 4;
const SERIES: usize = 5;
const BAND_HIGH: usize = 8;
const BAND_LOW: usize = 9;
const FREEZE_QUANTITY: usize = 10;
const TICK_SIZE: usize = 11;
const LOT_SIZE: usize = 12;
/// Of shares.
const ISIN: usize = 15;
const DETAILS: usize = 18;
/// Of derivatives.
const UNDERLYING: usize = 15;
const EXPIRY: usize = 16;
/// Of options.
const STRIKE: usize = 17;
const OPTION_TYPE: usize = 18;

/// A row of a master.
#[derive(Debug)]
pub struct MasterRow {
    pub segment: &'static Segment,
    pub instrument: u64,
    pub listing: Listing,
}

/// Whether a text looks like a row: a segment's name, then a separator.
#[inline]
pub fn is_row(text: &str) -> bool {
    let name = text.bytes().take_while(u8::is_ascii_uppercase).count();
    name > 0 && text.as_bytes().get(name) == Some(&b'|')
}

/// The segment and the instrument of a row, whatever the rest of it holds.
pub fn about(row: &str) -> Option<(&'static Segment, u64)> {
    let mut columns = row.split('|').map(str::trim);
    Some((Segment::named(columns.next()?.as_bytes())?, columns.next()?.parse().ok()?))
}

/// Reads a row. Errors: a number of columns that no master has, an unknown segment, a text that is not a number.
pub fn row(text: &str) -> Result<MasterRow, RecordProblem> {
    let columns: Vec<&str> = text.split('|').map(str::trim).collect();
    let (derivative, option) = match columns.len() {
        19 | 22 => (false, false),
        21 => (true, false),
        23 => (true, true),
        count => {
            let detail = format!("a row of a master has 19, 21, 22 or 23 columns, this has {count}: {}", shorten(text));
            return Err(RecordProblem::new("unknown_columns", detail));
        }
    };
    let Some(segment) = Segment::named(columns[SEGMENT].as_bytes()) else {
        return Err(RecordProblem::new("unknown_segment", format!("ExchangeSegment is {:?}", columns[SEGMENT])));
    };
    let instrument = columns[INSTRUMENT].parse().map_err(|_| wrong("ExchangeInstrumentID", columns[INSTRUMENT]))?;
    let price = |at: usize, name| Ok::<_, RecordProblem>(number(columns[at], name)?.map(Price));
    let band = |at: usize, name| Ok::<_, RecordProblem>(signed(columns[at], name)?.filter(is_band).map(Price));
    let text = |at: usize| (!columns[at].is_empty()).then(|| columns[at].into());
    let mut listing = Listing {
        // a share has one name; only its description distinguishes a contract from others of its underlying
        symbol: text(if derivative { DESCRIPTION } else { NAME }),
        kind: kind(columns[TYPE])?.map(Into::into),
        series: text(SERIES),
        tick_size: price(TICK_SIZE, "TickSize")?,
        band_low: band(BAND_LOW, "PriceBand.Low")?,
        band_high: band(BAND_HIGH, "PriceBand.High")?,
        // half a share cannot be ordered
        freeze_quantity: number(columns[FREEZE_QUANTITY], "FreezeQty")?.map(|most| Quantity(most / SCALE * SCALE)),
        lot_size: number(columns[LOT_SIZE], "LotSize")?.map(Quantity),
        description: text(if derivative { columns.len() - 1 } else { DETAILS }),
        ..Listing::default()
    };
    if derivative {
        listing.underlying = text(UNDERLYING).or_else(|| text(NAME));
        listing.expiry = expiry(columns[EXPIRY])?;
    } else {
        listing.isin = text(ISIN);
    }
    if option {
        listing.strike = price(STRIKE, "StrikePrice")?;
        listing.option_type = match columns[OPTION_TYPE] {
            "3" | "CE" => Some("CE".into()),
            "4" | "PE" => Some("PE".into()),
            "" => None,
            other => return Err(wrong("OptionType", other)),
        };
    }
    Ok(MasterRow { segment, instrument, listing })
}

#[cold]
fn wrong(column: &str, text: &str) -> RecordProblem {
    RecordProblem::new("bad_value", format!("{column} is {:?}", shorten(text)))
}

/// A number above 0; `None` if it means "none".
fn number(text: &str, column: &str) -> Result<Option<i64>, RecordProblem> {
    Ok(signed(text, column)?.filter(|units| *units > 0))
}

/// Whether a number is the end of a band, and does not mean "none".
fn is_band(units: &i64) -> bool {
    ![0, -SCALE].contains(units)
}

/// A number of either sign; `None` if it is as wide as numbers go.
fn signed(text: &str, column: &str) -> Result<Option<i64>, RecordProblem> {
    match decimal(text.as_bytes()) {
        Ok(units) if units.abs() < LIMIT / 10 => Ok(Some(units)),
        Ok(_) | Err(NumberError::OutOfRange | NumberError::TooPrecise) => Ok(None),
        Err(NumberError::NotANumber) if text.is_empty() => Ok(None),
        Err(NumberError::NotANumber) => Err(wrong(column, text)),
    }
}

/// The name for the bit of an instrument type.
fn kind(text: &str) -> Result<Option<&'static str>, RecordProblem> {
    let bits: u32 = text.parse().map_err(|_| wrong("InstrumentType", text))?;
    Ok(match bits {
        1 => Some("future"),
        2 => Some("option"),
        4 => Some("spread"),
        8 => Some("equity"),
        16 => Some("spot"),
        32 => Some("preference"),
        64 => Some("debenture"),
        128 => Some("warrant"),
        256 => Some("miscellaneous"),
        512 => Some("mutual_fund"),
        _ => None,
    })
}

/// The day of `2026-12-31T14:30:00`, in days since 1970; the 1980 of a spot means none.
fn expiry(text: &str) -> Result<Option<i32>, RecordProblem> {
    if text.is_empty() {
        return Ok(None);
    }
    let date: jiff::civil::Date = match text.parse::<jiff::civil::DateTime>() {
        Ok(at) => at.date(),
        Err(_) => text.parse().map_err(|_| wrong("ContractExpiration", text))?,
    };
    Ok(Some(day_of(date)).filter(|_| date.year() > 1980))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub const EQUITY: &str = "NSECM|4847|8|KIMS|KIMS-EQ|EQ|KIMS-EQ|1100100004847|2618.75|1745.85|45775|0.05|1|1|KIMS|INE967H01017|1|1|KRISHNA INST OF MED SCI L-EQ|0|-1|-1";
    const OPTION: &str = "NSEFO|43511|2|NIFTY|NIFTY26D3124000CE|OPTIDX|NIFTY-OPTIDX|2436500043511|9999999.99|0.05|1801.5|0.05|65|1|-1|Nifty 50|2026-12-31T14:30:00|24000|3|NIFTY 31DEC2026 CE 24000|1|1|NIFTY26D3124000CE";
    const FUTURE: &str = "NSEFO|49508|1|RELIANCE|RELIANCE26DECFUT|FUTSTK|RELIANCE-FUTSTK|2636500049508|1414.5|1157.4|20001|0.1|500|1|1100100002885|RELIANCE|2026-12-31T14:30:00|RELIANCE 31DEC2026|1|1|RELIANCE26DECFUT";

    fn units(text: &str) -> i64 {
        decimal(text.as_bytes()).expect("a number")
    }

    #[test]
    fn each_kind_of_row_says_what_its_columns_say() {
        let share = row(EQUITY).expect("a share");
        assert_eq!((share.segment.venue, share.instrument), ("NSECM", 4847));
        let listing = &share.listing;
        assert_eq!(listing.symbol.as_deref(), Some("KIMS"));
        assert_eq!((listing.kind.as_deref(), listing.isin.as_deref()), (Some("equity"), Some("INE967H01017")));
        assert_eq!(listing.description.as_deref(), Some("KRISHNA INST OF MED SCI L-EQ"));
        assert_eq!(listing.tick_size, Some(Price(units("0.05"))));
        assert_eq!(
            (listing.band_low, listing.band_high),
            (Some(Price(units("1745.85"))), Some(Price(units("2618.75"))))
        );
        let older: Vec<&str> = EQUITY.split('|').take(19).collect();
        assert_eq!(row(&older.join("|")).expect("an older share").listing, share.listing);

        let option = row(OPTION).expect("an option").listing;
        assert_eq!(
            (option.symbol.as_deref(), option.underlying.as_deref()),
            (Some("NIFTY26D3124000CE"), Some("Nifty 50"))
        );
        assert_eq!((option.strike, option.option_type.as_deref()), (Some(Price(units("24000"))), Some("CE")));
        assert_eq!(option.freeze_quantity, Some(Quantity(units("1801"))), "no half contracts");
        assert_eq!(option.expiry, Some(20_818), "2026-12-31");

        let future = row(FUTURE).expect("a future").listing;
        assert_eq!((future.kind.as_deref(), future.expiry, future.strike), (Some("future"), Some(20_818), None));
        assert_eq!((future.lot_size, future.tick_size), (Some(Quantity(units("500"))), Some(Price(units("0.1")))));
        assert_eq!(future.description.as_deref(), Some("RELIANCE26DECFUT"));
    }

    #[test]
    fn what_is_no_row_is_refused_with_its_column() {
        for (from, to, reason, named) in [
            ("NSECM", "NOWHERE", "unknown_segment", "NOWHERE"),
            ("|4847|", "|x|", "bad_value", "ExchangeInstrumentID"),
            ("|0.05|", "|five|", "bad_value", "TickSize"),
            ("|8|KIMS", "|EQ|KIMS", "bad_value", "InstrumentType"),
            ("|-1|-1", "|-1", "bad_value", "ContractExpiration"), // as long as a future's
            ("|-1|-1", "", "unknown_columns", "this has 20"),
        ] {
            let text = EQUITY.replacen(from, to, 1);
            let Err(problem) = row(&text) else { panic!("{text}") };
            assert_eq!(problem.reason, reason, "{text}");
            assert!(problem.detail.contains(named), "{}", problem.detail);
        }
    }

    #[test]
    fn numbers_that_stand_for_none_are_none() {
        let text = EQUITY.replace("2618.75", "0").replace("45775", "-1").replace("0.05", "99999999999");
        let listing = row(&text).expect("a row").listing;
        assert_eq!((listing.band_high, listing.freeze_quantity, listing.tick_size), (None, None, None));
    }

    #[test]
    fn a_spreads_band_may_be_below_nothing() {
        const SPREAD: &str = "NSEFO|900123|4|RELIANCE|RELIANCE26DEC27JANSPD|FUTSTK|RELIANCE-FUTSTK|2636500900123|12.9|-7.75|20001|0.05|500|1|1100100002885|RELIANCE|2026-12-31T14:30:00|RELIANCE DEC JAN SPD|1|1|RELIANCE26DEC27JANSPD";
        let band = |high: &str, low: &str| {
            let text = SPREAD.replace("|12.9|-7.75|", &format!("|{high}|{low}|"));
            let listing = row(&text).expect("a spread").listing;
            (listing.band_high.map(|price| price.0), listing.band_low.map(|price| price.0))
        };
        assert_eq!(band("12.9", "-7.75"), (Some(units("12.9")), Some(units("-7.75"))));
        assert_eq!(band("-0.5", "-1.05"), (Some(units("-0.5")), Some(units("-1.05"))));
        for none in ["0", "-1", "-1.00", "1000000000", "-1000000000", "-99999999999", "9223372036854775807"] {
            assert_eq!(band(none, none), (None, None), "{none}");
        }
        assert_eq!(band("999999999.99", "-999999999.99").1, Some(units("-999999999.99")));
    }

    #[test]
    fn a_row_that_cannot_be_read_still_says_whose_it_is() {
        for text in [EQUITY, "NSECM|4847|8|KIMS", "NSECM|4847", &EQUITY.replace("|0.05|", "|five|")] {
            let of = about(text).map(|(segment, instrument)| (segment.venue, instrument));
            assert_eq!(of, Some(("NSECM", 4847)), "{text}");
        }
        for text in ["NOWHERE|4847|8", "NSECM|x|8", "NSECM||8"] {
            assert!(about(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[A-Z]{1,6}(\\|[ -~]{0,6}){0,24}") {
            prop_assert_eq!(is_row(&text), text.contains('|'));
            if let Ok(row) = row(&text) {
                prop_assert_eq!(about(&text), Some((row.segment, row.instrument)));
            }
        }
    }
}
