//! Frames of the XTS feed → bars, as a run makes them: days on which a naive pipeline is wrong.

mod clock;
mod plain;
mod world;

use super::*;
use crate::ingest::state::PartitionState;
use crate::states::{PARTITION, SEEN};
use differential_dataflow::input::InputSession;
use std::cell::RefCell;
use std::rc::Rc;
use ticktide_base::rules::Rules;
use ticktide_base::time::{HOUR, MINUTE, SECOND};
use ticktide_feed::wire::xts::segments::Epoch;
use ticktide_feed::wire::{self, RawRecord};
use ticktide_feed::{Batch, InstrumentTable, WireSpec};
use ticktide_flow::bars::finished::{FinishedBar, Series};
use ticktide_flow::bars::keyed::{Aside, BarsSpec, Emitted, Keyed};
use ticktide_flow::bars::volume;
use ticktide_market::SCALE;

/// Midnight of Monday 2026-01-05 in India.
const MONDAY: Nanos = 1_767_551_400 * SECOND;
const DAY: Nanos = 24 * HOUR;

fn at(hours: i64, minutes: i64, seconds: i64) -> Nanos {
    MONDAY + hours * HOUR + minutes * MINUTE + seconds * SECOND
}

/// One touchline of share 2885.
#[derive(Clone, Copy)]
struct Shot {
    updated: Nanos,
    traded: Nanos,
    price: i64,
    count: i64,
}

fn shot(updated: Nanos, traded: Nanos, price: i64, count: i64) -> Shot {
    Shot { updated, traded, price, count }
}

impl Shot {
    /// As one of the publishers writes it.
    fn frame(&self, publisher: char) -> String {
        let [updated, traded] = [self.updated, self.traded].map(|at| Epoch::Wall1980.seconds(at));
        let (price, count) = (self.price, self.count);
        let fields = format!(
            "\"LastTradedPrice\":{price},\"LastTradedQunatity\":1,\"TotalTradedQuantity\":{count},\"LastTradedTime\":{traded},\
             \"LastUpdateTime\":{updated},\"BidInfo\":{{\"Size\":1,\"Price\":{price}}}"
        );
        let head = "\"MessageCode\":1501,\"ExchangeSegment\":1,\"ExchangeInstrumentID\":2885";
        match publisher {
            'A' => format!("{{{head},\"Touchline\":{{{fields}}},\"SequenceNumber\":7}}"),
            _ => format!("{{\"SequenceNumber\":{count},\"Touchline\":{{{fields}}},{head}}}"),
        }
    }
}

/// The minute's bars of frames in partitions, each received as it was updated.
fn bars(partitions: &[Vec<(Nanos, String)>]) -> Vec<FinishedBar> {
    bars_in("\"nse\"", partitions)
}

/// The same in a session.
fn bars_in(session: &str, partitions: &[Vec<(Nanos, String)>]) -> Vec<FinishedBar> {
    let mut intake = intake(session, partitions.len());
    intake.begin_epoch(EpochHorizons { intervals: vec![Nanos::MIN], ..EpochHorizons::default() });
    let mut frames_of = Frames::new();
    for (index, frames) in partitions.iter().enumerate() {
        let taken = intake.take(frames_of.batch(index, 0, frames), Instant::now());
        assert!(taken.quarantine.is_empty(), "{:?}", taken.quarantine);
    }
    let spec = BarsSpec {
        intervals: vec![Interval(MINUTE)],
        corrections: false,
        carries: false,
        dedupe_here: false,
        prices_signed: false,
    };
    let (mut keyed, mut changes) = (Keyed::new(spec), Vec::new());
    intake.end_step().for_each(|routed| keyed.apply(routed, &mut Aside::default()));
    keyed.changes(&mut changes);
    let ended = intake.end_epoch(0);
    for counts in ended.counts.values() {
        assert_eq!(counts.records, counts.accepted + counts.duplicates + counts.rejected + counts.pending);
    }
    finished(changes)
}

/// One that reads all partitions of the feed.
fn intake(session: &str, partitions: usize) -> Intake {
    let session = format!("session = {session}");
    let settings = ["bars = [{ use = \"time\", every = \"1m\" }]", "indicators = []", "anomalies = []", &session];
    let settings = settings.map(str::to_owned).map(|setting| setting.replacen(" = ", "=", 1));
    let dataflow = Dataflow::load("iifl", &[], &settings).expect("a shipped dataflow");
    let places: Vec<Partition> = (0..partitions)
        .map(|index| Partition {
            topic: "xts-1501".into(),
            partition: index as i32,
            source_id: String::new(),
            offset_start: 0,
            offset_end: i64::MAX,
        })
        .collect();
    let assigned: Vec<(usize, i64)> = (0..partitions).map(|index| (index, 0)).collect();
    Intake::new(&dataflow, &places, &assigned, &Binding::default(), Share { index: 0, peers: 1 })
}

/// What a reader makes of frames.
struct Frames {
    decoder: Box<dyn wire::Decoder>,
    instruments: InstrumentTable,
}

impl Frames {
    fn new() -> Frames {
        let spec = WireSpec { format: "xts-json".into(), ..WireSpec::default() };
        Frames { decoder: wire::build(&spec).expect("a wire"), instruments: InstrumentTable::default() }
    }

    /// Frames of a partition from an offset on, each with the time of its receipt.
    fn batch(&mut self, partition: usize, offset: i64, frames: &[(Nanos, String)]) -> Batch {
        let mut batch = Batch::of(partition);
        for ((received_at, frame), offset) in frames.iter().zip(offset..) {
            let record = RawRecord::new(frame.as_bytes(), offset, Some(*received_at));
            let record = RawRecord { witnessed: true, ..record };
            let decoded = self.decoder.decode(&record, &mut self.instruments);
            batch.push(decoded.unwrap_or_else(|reject| panic!("{}", reject.detail)), frame.as_bytes());
        }
        (batch.records, batch.offset_next) = (frames.len() as u64, offset + frames.len() as i64);
        batch.instruments = self.instruments.take_fresh();
        batch
    }
}

/// What the volume scan makes of them, in order.
fn finished(changes: Vec<(Series, Emitted, isize)>) -> Vec<FinishedBar> {
    timely::execute_directly(move |worker| {
        let seen: Rc<RefCell<Vec<FinishedBar>>> = Rc::default();
        let mut input = InputSession::new();
        worker.dataflow::<u64, _, _>(|scope| {
            let (finished, _) = volume::finish(Rules::NEWEST, "Volume", input.to_collection(scope), HashMap::new());
            let seen = seen.clone();
            finished.inspect(move |((_, bar), _, diff)| {
                assert_eq!(*diff, 1);
                seen.borrow_mut().push(bar.clone());
            });
        });
        for (series, emitted, diff) in changes {
            let Emitted::Snapshot(bar) = emitted else { panic!("a bar of snapshots") };
            input.update((series, *bar), diff);
        }
        input.advance_to(1);
        drop(input);
        while worker.step() {}
        let mut bars = seen.take();
        bars.sort_by_key(|bar| bar.head.open_at);
        bars
    })
}

fn of_shots(shots: &[Shot]) -> Vec<FinishedBar> {
    bars(&[shots.iter().map(|shot| (shot.updated, shot.frame('A'))).collect()])
}

/// (start, open, high, low, close, volume, partial)
type Shown = (Nanos, [i64; 4], Option<i128>, bool);

fn shown(bars: &[FinishedBar]) -> Vec<Shown> {
    let show = |bar: &FinishedBar| {
        let prices = [bar.open, bar.high, bar.low, bar.close].map(|price| price / SCALE);
        (bar.head.open_at, prices, bar.volume.map(|volume| volume / i128::from(SCALE)), bar.partial)
    };
    bars.iter().map(show).collect()
}

#[test]
fn a_new_day_begins_at_0() {
    let tuesday = |minutes, seconds| at(24 + 9, minutes, seconds);
    let bars = of_shots(&[
        shot(at(9, 5, 0), at(9, 5, 0) - DAY, 90, 0),
        shot(at(15, 29, 50), at(15, 29, 50), 100, 500),
        shot(tuesday(5, 0), at(15, 29, 50), 100, 0),
        shot(tuesday(15, 5), tuesday(15, 4), 110, 20),
        shot(tuesday(16, 5), tuesday(16, 5), 108, 50),
    ]);
    let expected = [
        (at(15, 29, 0), [100; 4], Some(500), false),
        (tuesday(15, 0), [110; 4], Some(20), false),
        (tuesday(16, 0), [108; 4], Some(30), false),
    ];
    assert_eq!(shown(&bars), expected);
}

#[test]
fn a_vendors_reset_is_flagged_and_adds_nothing_twice() {
    let bars = of_shots(&[
        shot(at(9, 10, 0), at(9, 10, 0) - DAY, 90, 0),
        shot(at(9, 15, 5), at(9, 15, 5), 100, 1_000),
        shot(at(9, 16, 5), at(9, 16, 5), 101, 4),
        shot(at(9, 17, 5), at(9, 17, 5), 102, 1_020),
    ]);
    let expected = [
        (at(9, 15, 0), [100; 4], Some(1_000), false),
        (at(9, 16, 0), [101; 4], Some(0), true),
        (at(9, 17, 0), [102; 4], Some(20), false),
    ];
    assert_eq!(shown(&bars), expected);
}

#[test]
fn a_late_start_counts_what_it_saw_and_says_so() {
    let bars = of_shots(&[
        shot(at(11, 0, 5), at(11, 0, 4), 100, 70_000),
        shot(at(11, 0, 9), at(11, 0, 9), 103, 70_040),
        shot(at(11, 1, 9), at(11, 1, 9), 101, 70_050),
    ]);
    let expected = [(at(11, 0, 0), [100, 103, 100, 103], Some(40), true), (at(11, 1, 0), [101; 4], Some(10), false)];
    assert_eq!(shown(&bars), expected);
}

#[test]
fn yesterdays_last_trade_in_a_pre_open_frame_makes_no_bar() {
    let friday = at(15, 29, 59) - 3 * DAY;
    let bars = of_shots(&[
        shot(at(9, 0, 5), friday, 98, 0),
        shot(at(9, 7, 59), friday, 98, 0),
        shot(at(9, 8, 3), at(9, 8, 2), 99, 5_000),
        shot(at(9, 14, 0), at(9, 8, 2), 99, 5_000),
        shot(at(9, 15, 1), at(9, 15, 0), 100, 5_010),
    ]);
    let expected = [(at(9, 8, 0), [99; 4], Some(5_000), false), (at(9, 15, 0), [100; 4], Some(10), false)];
    assert_eq!(shown(&bars), expected);
    assert_eq!(
        bars.iter().map(|bar| bar.head.phase).collect::<Vec<u8>>(),
        [0, 1],
        "the auction has a phase of its own"
    );
}

#[test]
fn an_index_has_prices_and_no_volume() {
    let index = |shot: Shot| {
        let frame = shot.frame('A').replace("2885", "26000").replace("Qunatity\":1", "Qunatity\":0");
        (shot.updated, frame)
    };
    let shots = [(5, 23_739), (6, 23_741), (7, 23_738)]
        .map(|(seconds, price)| index(shot(at(9, 15, seconds), at(9, 15, seconds), price, 0)));
    let bars = shown(&bars(&[shots.to_vec()]));
    assert_eq!(bars, [(at(9, 15, 0), [23_739, 23_741, 23_738, 23_738], None, false)]);
}

#[test]
fn quotes_alone_of_a_silent_name_change_its_last_bar_in_nothing_but_updates() {
    let traded = at(9, 20, 30);
    let first = [shot(at(9, 10, 0), traded - DAY, 55, 0), shot(traded, traded, 56, 300)];
    let quotes = (1..100).map(|minute| shot(traded + minute * MINUTE, traded, 56, 300));
    let all: Vec<Shot> = first.into_iter().chain(quotes).collect();
    let (one, many) = (of_shots(&first), of_shots(&all));
    assert_eq!(shown(&many), [(at(9, 20, 0), [56; 4], Some(300), false)]);
    assert_eq!(many[0].updates, 100);
    assert_eq!(one, [FinishedBar { updates: 1, ..many[0].clone() }]);
}

#[test]
fn both_publishers_in_two_partitions_make_the_bar_of_one() {
    // the last trade's time steps back at 09:16:02 while the count rises
    let shots = [
        shot(at(9, 10, 0), at(9, 10, 0) - DAY, 90, 0),
        shot(at(9, 15, 5), at(9, 15, 5), 100, 10),
        shot(at(9, 15, 59), at(9, 15, 59), 103, 60),
        shot(at(9, 16, 2), at(9, 16, 2), 102, 90),
        shot(at(9, 16, 2), at(9, 16, 1), 104, 95),
        shot(at(9, 16, 40), at(9, 16, 39), 99, 120),
    ];
    let as_told = |publisher: char| -> Vec<(Nanos, String)> {
        shots.iter().map(|shot| (shot.updated, shot.frame(publisher))).collect()
    };
    let expected =
        [(at(9, 15, 0), [100, 103, 100, 103], Some(60), false), (at(9, 16, 0), [102, 104, 99, 99], Some(60), false)];
    assert_eq!(shown(&bars(&[as_told('A')])), expected);
    let mut turned = as_told('B');
    turned.reverse();
    assert_eq!(shown(&bars(&[as_told('A'), turned])), expected);
    // in one partition the second of two equal updates is a duplicate, whatever its sequence says
    let interleaved: Vec<(Nanos, String)> =
        as_told('A').into_iter().zip(as_told('B')).flat_map(|(a, b)| [a, b]).collect();
    let (both, one) = (bars(&[interleaved]), bars(&[as_told('A')]));
    assert_eq!(both, one);
    assert_eq!(one[0].updates, 2);
}

#[test]
fn open_interest_comes_from_messages_of_its_own() {
    let minute = |minutes: i64| shot(at(9, minutes, 20), at(9, minutes, 20), 100, minutes * 10);
    let interest = |at: Nanos, value: i64| {
        let seconds = Epoch::Wall1980.seconds(at);
        let frame = format!(
            "{{\"MessageCode\":1510,\"ExchangeSegment\":1,\"ExchangeInstrumentID\":2885,\"ExchangeTimeStamp\":{seconds},\"OpenInterest\":{value}}}"
        );
        (at, frame)
    };
    let prices = [15, 16, 18].map(|minutes| (minute(minutes).updated, minute(minutes).frame('A')));
    let told = vec![interest(at(9, 16, 50), 700), interest(at(9, 16, 10), 650), interest(at(9, 17, 5), 800)];
    let bars = bars(&[prices.to_vec(), told]);
    let interests: Vec<(Nanos, Option<i128>)> =
        bars.iter().map(|bar| (bar.head.open_at, bar.open_interest.map(|units| units / i128::from(SCALE)))).collect();
    // what comes in a minute without a price makes no bar
    let expected = [(at(9, 15, 0), None), (at(9, 16, 0), Some(700)), (at(9, 18, 0), Some(700))];
    assert_eq!(interests, expected);
}

#[test]
fn a_closing_auction_has_bars_of_its_own_for_stocks_that_have_one() {
    // Monday 2026-08-03
    let at = |hours: i64, minutes, seconds| at(hours + 210 * 24, minutes, seconds);
    let shots = [
        shot(at(9, 10, 0), at(9, 10, 0) - 3 * DAY, 90, 0),
        shot(at(15, 14, 59), at(15, 14, 59), 100, 70),
        shot(at(15, 15, 1), at(15, 14, 59), 100, 75),
        shot(at(15, 31, 20), at(15, 31, 10), 103, 5_075),
    ];
    let frames = [shots.iter().map(|shot| (shot.updated, shot.frame('A'))).collect::<Vec<_>>()];
    let phased =
        |bars: &[FinishedBar]| -> Vec<(u8, Shown)> { bars.iter().map(|bar| bar.head.phase).zip(shown(bars)).collect() };
    let last = (at(15, 14, 0), [100; 4], Some(75), false);
    let print = (at(15, 31, 0), [103; 4], Some(5_000), false);
    let listed = "{ calendar = \"nse\", instruments = { closing_auction = [\"2885\"] } }";
    assert_eq!(phased(&bars_in(listed, &frames)), [(1, last), (3, print)], "continuous, closing_auction");
    assert_eq!(phased(&bars(&frames)), [(1, last), (2, print)], "a stock that is not listed: continuous, post_close");
}

#[test]
fn what_is_known_of_a_day_is_forgotten_when_its_ticks_are_too_late() {
    let (mut intake, mut frames_of) = (intake("\"utc-day\"", 1), Frames::new());
    let mut most = 0;
    for day in 0..10 {
        let at = at(10, 0, 0) + day * DAY;
        // a session's horizon: the trading day before
        intake.begin_epoch(EpochHorizons { intervals: vec![at - DAY], ..EpochHorizons::default() });
        let frames = [(at, shot(at, at, 100, 0).frame('A'))];
        let taken = intake.take(frames_of.batch(0, day, &frames), Instant::now());
        assert!(taken.quarantine.is_empty(), "{:?}", taken.quarantine);
        let ended = intake.end_epoch(day as u64);
        let entry = ended.state.iter().find(|entry| &*entry.operator == PARTITION).expect("a day is new");
        let value = entry.value.as_ref().expect("a partition is never forgotten");
        let state: PartitionState = bincode::deserialize(value).expect("its own bytes");
        let newest = state.days.keys().next_back().copied();
        assert_eq!(state.zero.iter().map(|(day, _)| *day).next_back(), newest, "the day itself is known");
        most = most.max(state.days.len()).max(state.zero.len());
    }
    assert!((2..=4).contains(&most), "{most} days are kept");
}
