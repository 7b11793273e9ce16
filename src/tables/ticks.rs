//! `ticks`: the archive, a row for each record that counts.

use crate::cells::{TopicPartition, count, moment, price, quantity, sum, text};
use crate::column::{Cells, LONG, List, MONEY, SUM, Schema, TEXT, TIME, column};
use crate::shared::{BAND_HIGH, BAND_LOW, OFFSET, PARTITION, RECEIVED_AT, Shape, TOPIC, TRADING_DATE, epoch, keys};
use std::sync::Arc;
use ticktide_base::epoch::Epoch;
use ticktide_lake::table::spec::{Cell, TableSpec};
use ticktide_market::{Instrument, Snapshot, Tick};

/// How many columns the table has.
const WIDTH: usize = 25;

/// A tick for the archive.
#[derive(Clone, Debug)]
pub struct ArchivedTick {
    pub tick: Tick,
    pub instrument: Instrument,
    /// Days since 1970.
    pub trading_date: i32,
}

/// Ticks of one partition for the archive.
#[derive(Clone, Debug)]
pub struct Archived {
    /// "topic/partition".
    pub partition: Arc<str>,
    pub ticks: Vec<ArchivedTick>,
}

impl Archived {
    /// The ticks as rows of the table, in order.
    #[inline]
    pub fn rows(&self, epoch: Epoch) -> impl Iterator<Item = [Cell<'_>; WIDTH]> {
        let origin = TopicPartition::of(&self.partition);
        self.ticks.iter().map(move |tick| tick_row(tick, origin, epoch))
    }
}

/// The values that a row is made of.
struct TickRow<'a> {
    tick: &'a Tick,
    snapshot: Option<&'a Snapshot>,
    instrument: &'a Instrument,
    trading_date: i32,
    origin: TopicPartition<'a>,
    epoch: Epoch,
}

impl TickRow<'_> {
    /// A field of the snapshot, if the tick is one.
    #[inline(always)]
    fn told<T>(&self, field: impl Fn(&Snapshot) -> Option<T>) -> Option<T> {
        self.snapshot.and_then(field)
    }
}

#[inline(always)]
fn columns<'a>(list: &mut impl List<'a, TickRow<'a>>) {
    keys(list, |at| at.instrument, |at| at.instrument.symbol());
    list.add(TRADING_DATE, |at| Cell::Date(at.trading_date));
    list.add(column("kind", TEXT, "trade, snapshot, cancel, correct or notice").required(), |at| {
        Cell::Text(at.tick.kind.name())
    });
    times(list);
    list.add(column("sequence", LONG, "number that the feed gave the record").by_delta(), |at| count(at.tick.sequence));
    list.add(column("id", TEXT, "id that the venue gave the trade"), |at| text(at.tick.id.as_deref()));
    quotes(list);
    list.add(column("conditions", TEXT, "codes that the venue gave the trade"), |at| {
        text(at.tick.conditions.as_deref())
    });
    list.add(TOPIC, |at| Cell::Text(at.origin.topic));
    list.add(PARTITION, |at| Cell::Int(at.origin.partition));
    list.add(OFFSET, |at| Cell::Long(at.tick.offset));
    epoch(list, |at| at.epoch);
}

#[inline(always)]
fn times<'a>(list: &mut impl List<'a, TickRow<'a>>) {
    let exchange_at = column("exchange_at", TIME, "time of the event at the exchange in UTC, to the microsecond");
    list.add(exchange_at.required().by_delta(), |at| moment(at.tick.exchange_at));
    let exchange_ns =
        column("exchange_ns", LONG, "time of the event at the exchange, in nanoseconds of UTC since 1970");
    list.add(exchange_ns.required().by_delta(), |at| Cell::Long(at.tick.exchange_at));
    list.add(RECEIVED_AT, |at| at.tick.received_at.map_or(Cell::Null, moment));
}

#[inline(always)]
fn quotes<'a>(list: &mut impl List<'a, TickRow<'a>>) {
    list.add(
        column("price", MONEY, "price of the trade, or last price of the snapshot, in the instrument's currency"),
        |at| price(at.tick.price),
    );
    list.add(
        column("quantity", MONEY, "quantity of the trade, or of the snapshot's last trade, in shares or contracts"),
        |at| quantity(at.tick.quantity),
    );
    list.add(
        column("cumulative_volume", SUM, "quantity traded since the start of the day, in shares or contracts"),
        |at| sum(at.told(|snapshot| snapshot.cumulative_volume)),
    );
    list.add(column("bid", MONEY, "best price that a buyer offers, in the instrument's currency"), |at| {
        price(at.told(|snapshot| snapshot.bid))
    });
    list.add(column("bid_quantity", MONEY, "quantity that is wanted at the best bid, in shares or contracts"), |at| {
        quantity(at.told(|snapshot| snapshot.bid_quantity))
    });
    list.add(column("ask", MONEY, "best price that a seller asks, in the instrument's currency"), |at| {
        price(at.told(|snapshot| snapshot.ask))
    });
    list.add(column("ask_quantity", MONEY, "quantity that is offered at the best ask, in shares or contracts"), |at| {
        quantity(at.told(|snapshot| snapshot.ask_quantity))
    });
    list.add(column("open_interest", SUM, "number of open contracts"), |at| {
        sum(at.told(|snapshot| snapshot.open_interest))
    });
    list.add(BAND_LOW, |at| price(at.told(|snapshot| snapshot.band_low)));
    list.add(BAND_HIGH, |at| price(at.told(|snapshot| snapshot.band_high)));
}

/// The table of accepted records.
pub fn ticks() -> TableSpec {
    let mut schema = Schema::default();
    columns(&mut schema);
    let shape = Shape {
        name: "ticks".into(),
        key: &[],
        partition: Some("trading_date"),
        time: Some("exchange_at"),
        sort: &[],
        history: false,
    };
    shape.table(schema.0)
}

#[inline]
fn tick_row<'a>(archived: &'a ArchivedTick, origin: TopicPartition<'a>, epoch: Epoch) -> [Cell<'a>; WIDTH] {
    let ArchivedTick { tick, instrument, trading_date } = archived;
    let snapshot = tick.snapshot.as_deref();
    let row = TickRow { tick, snapshot, instrument, trading_date: *trading_date, origin, epoch };
    let mut cells = Cells::of(&row);
    columns(&mut cells);
    cells.done()
}
