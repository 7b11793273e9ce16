//! `instruments`: the content of masters, a row for each instrument and day.

use crate::cells::{moment, price, quantity, text};
use crate::column::{Cells, DATE, List, MONEY, Schema, TEXT, TIME, column};
use crate::shared::{BAND_HIGH, BAND_LOW, Shape, epoch, keys};
use ticktide_base::epoch::Epoch;
use ticktide_base::time::DAY;
use ticktide_lake::table::spec::{Cell, TableSpec};
use ticktide_market::{Instrument, Listing};

/// How many columns the table has.
const WIDTH: usize = 19;

/// The values that a row is made of.
struct ListingRow<'a> {
    instrument: &'a Instrument,
    listed_on: i32,
    listing: &'a Listing,
    epoch: Epoch,
}

#[inline(always)]
fn columns<'a>(list: &mut impl List<'a, ListingRow<'a>>) {
    keys(list, |at| at.instrument, |at| at.listing.symbol.as_deref());
    list.add(column("listed_on", DATE, "date of the master on the session's wall clock").required(), |at| {
        Cell::Date(at.listed_on)
    });
    let valid_from = "midnight of `listed_on` as if the session's wall clock ran on UTC";
    list.add(column("valid_from", TIME, valid_from).required().by_delta(), |at| {
        moment(i64::from(at.listed_on).saturating_mul(DAY))
    });
    list.add(column("kind", TEXT, "equity, future, option, spread or another kind that the master names"), |at| {
        text(at.listing.kind.as_deref())
    });
    list.add(column("series", TEXT, "series that the exchange lists the instrument in, such as EQ or FUTSTK"), |at| {
        text(at.listing.series.as_deref())
    });
    list.add(column("isin", TEXT, "international securities identification number"), |at| {
        text(at.listing.isin.as_deref())
    });
    list.add(column("description", TEXT, "long name that the exchange gives the instrument"), |at| {
        text(at.listing.description.as_deref())
    });
    list.add(column("tick_size", MONEY, "number that prices are multiples of, in the instrument's currency"), |at| {
        price(at.listing.tick_size)
    });
    list.add(BAND_LOW, |at| price(at.listing.band_low));
    list.add(BAND_HIGH, |at| price(at.listing.band_high));
    list.add(column("freeze_quantity", MONEY, "greatest quantity of one order, in shares or contracts"), |at| {
        quantity(at.listing.freeze_quantity)
    });
    list.add(column("lot_size", MONEY, "number that quantities are multiples of, in shares or contracts"), |at| {
        quantity(at.listing.lot_size)
    });
    list.add(column("underlying", TEXT, "what a derivative is derived from"), |at| {
        text(at.listing.underlying.as_deref())
    });
    list.add(column("expiry", DATE, "date on which a derivative expires"), |at| {
        at.listing.expiry.map_or(Cell::Null, Cell::Date)
    });
    list.add(column("strike", MONEY, "price at which an option is exercised, in the instrument's currency"), |at| {
        price(at.listing.strike)
    });
    list.add(column("option_type", TEXT, "CE for a call, PE for a put"), |at| text(at.listing.option_type.as_deref()));
    epoch(list, |at| at.epoch);
}

/// The table of the content of masters.
pub fn instruments() -> TableSpec {
    let mut schema = Schema::default();
    columns(&mut schema);
    let shape = Shape {
        name: "instruments".into(),
        key: &["venue", "instrument", "valid_from"],
        partition: Some("listed_on"),
        time: Some("valid_from"),
        sort: &["instrument", "valid_from"],
        history: true,
    };
    shape.table(schema.0)
}

/// A listing as a row of its table; `listed_on`: days since 1970.
pub fn instrument_row<'a>(
    instrument: &'a Instrument,
    listed_on: i32,
    listing: &'a Listing,
    epoch: Epoch,
) -> [Cell<'a>; WIDTH] {
    let row = ListingRow { instrument, listed_on, listing, epoch };
    let mut cells = Cells::of(&row);
    columns(&mut cells);
    cells.done()
}
