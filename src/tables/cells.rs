//! Values of the flow as cells of the lake.
//!
//! What must hold: an unknown value is null and never 0, and no value is outside its column's type. A sum that is too great for
//! its column arrives as none; by the first rules it is the greatest that a DECIMAL(38,8) can hold.

use ticktide_base::time::MICRO;
use ticktide_lake::table::spec::{Cell, Row};
use ticktide_market::{Price, Quantity};

/// The greatest value of a DECIMAL(38,8).
const SUM_MOST: i128 = 10i128.pow(38) - 1;

/// `value` / `divisor`, rounded half to even.
///
/// ```
/// use ticktide_tables::divide_half_even;
/// assert_eq!([5, 15, 25, -5, -15, 7].map(|value| divide_half_even(value, 10)), [0, 2, 2, 0, -2, 1]);
/// ```
pub fn divide_half_even(value: i128, divisor: i128) -> i128 {
    let (quotient, rest) = (value.div_euclid(divisor), value.rem_euclid(divisor));
    let up = match (rest.saturating_mul(2)).cmp(&divisor) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Greater => true,
        std::cmp::Ordering::Equal => quotient % 2 != 0,
    };
    quotient + i128::from(up)
}

pub(crate) fn text(value: Option<&str>) -> Cell<'_> {
    value.map_or(Cell::Null, Cell::Text)
}

pub(crate) fn sum(value: Option<i128>) -> Cell<'static> {
    value.map_or(Cell::Null, |value| Cell::Decimal(value.clamp(-SUM_MOST, SUM_MOST)))
}

pub(crate) fn money(units: i64) -> Cell<'static> {
    Cell::Decimal(i128::from(units))
}

pub(crate) fn price(value: Option<Price>) -> Cell<'static> {
    value.map_or(Cell::Null, |price| money(price.0))
}

pub(crate) fn quantity(value: Option<Quantity>) -> Cell<'static> {
    value.map_or(Cell::Null, |quantity| money(quantity.0))
}

pub(crate) fn count(value: Option<u64>) -> Cell<'static> {
    value.map_or(Cell::Null, |value| Cell::Long(value as i64))
}

/// Nanoseconds as the microseconds that a lake stores.
pub(crate) fn moment(nanos: i64) -> Cell<'static> {
    Cell::Time(nanos.div_euclid(MICRO))
}

/// A double by its bits; NaN is null.
pub(crate) fn double(bits: u64) -> Cell<'static> {
    let value = f64::from_bits(bits);
    if value.is_nan() { Cell::Null } else { Cell::Double(value) }
}

/// Where records came from: the two parts of "topic/partition".
#[derive(Clone, Copy)]
pub(crate) struct TopicPartition<'a> {
    pub topic: &'a str,
    pub partition: i32,
}

impl<'a> TopicPartition<'a> {
    pub(crate) fn of(partition: &'a str) -> TopicPartition<'a> {
        let (topic, number) = partition.rsplit_once('/').unwrap_or((partition, "0"));
        TopicPartition { topic, partition: number.parse().unwrap_or(0) }
    }
}

/// The cells of a row as owned values.
pub fn owned(row: &[Cell<'_>]) -> Row {
    row.iter().map(|cell| cell.to_value()).collect()
}
