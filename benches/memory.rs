//! The memory held per live bar, per retained trade and per indicator: resident bytes of this process before and after.
//!
//! Not a timing, so no criterion. Resident memory and not counted allocations: a machine must also have what the allocator
//! adds.

use differential_dataflow::input::InputSession;
use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;
use ticktide_base::epoch::stamp;
use ticktide_base::time::{DAY, Interval, MINUTE, Nanos, SECOND};
use ticktide_flow::bars::acc::TradeOrder;
use ticktide_flow::bars::finished::{FinishedBar, Series};
use ticktide_flow::bars::keyed::{Aside, BarsSpec, Keyed};
use ticktide_flow::bars::partial::Partials;
use ticktide_flow::bars::trades::{RecordOrigin, Trade, TradeKey};
use ticktide_flow::bars::{Reached, Routed};
use ticktide_flow::clean::EpochHorizons;
use ticktide_flow::indicators::readings::{arrange, readings};
use ticktide_flow::indicators::{Composite, INDICATORS, build};
use ticktide_flow::scan::Positioned;
use ticktide_market::calendar::PhaseAt;
use ticktide_market::conditions::TradeEffect;
use ticktide_market::{Instrument, InstrumentId, SCALE};
use timely::dataflow::ProbeHandle;

const INSTRUMENTS: u32 = 2_500;
const PHASE: PhaseAt = PhaseAt { phase: 0, trading_date: 0, start: 0, end: DAY };

/// Resident bytes of this process.
fn resident() -> i64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux reports a process's memory");
    let pages: i64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("the second number is pages");
    pages * 4096
}

fn instruments() -> Vec<Instrument> {
    (0..INSTRUMENTS).map(|n| Instrument::new("NSECM", &format!("SYM{n:04}"), None)).collect()
}

fn keyed(intervals: Vec<Interval>, corrections: bool) -> Keyed {
    let count = intervals.len();
    let mut keyed =
        Keyed::new(BarsSpec { intervals, corrections, carries: false, dedupe_here: false, prices_signed: false });
    keyed.begin(EpochHorizons {
        intervals: vec![Nanos::MIN; count],
        retained_from: Nanos::MIN,
        ..EpochHorizons::default()
    });
    keyed
}

fn order(at: Nanos, offset: i64) -> TradeOrder {
    TradeOrder { at, sequence: offset as u64, partition: 1, offset, price: 100 * SCALE, quantity: SCALE }
}

/// A bar of every instrument each second for five minutes, in the operator that owns them.
fn live_bar() -> (i64, u64) {
    let names = instruments();
    let before = resident();
    let mut keyed = keyed(vec![Interval(SECOND)], false);
    let (mut partials, mut aside, mut out) = (Partials::new(Interval(SECOND), 1), Aside::default(), Vec::new());
    for second in 0..300 {
        for id in 0..INSTRUMENTS {
            partials.add_trade(InstrumentId(id), PHASE, 1, &order(second * SECOND, second), TradeEffect::FULL);
        }
        partials.drain(&names).for_each(|routed| keyed.apply(routed, &mut aside));
        keyed.changes(&mut out);
        out.clear();
        keyed.retire(second as u64, &mut out, &mut aside); // what it encodes for the state is written and released
    }
    let bytes = resident() - before;
    black_box(&keyed);
    (bytes, 300 * u64::from(INSTRUMENTS))
}

/// Trades of a feed with corrections, each kept until its retention, beyond the bars that they make.
fn retained_trade() -> (i64, u64) {
    let names = instruments();
    let mut keyed = keyed(vec![Interval(MINUTE)], true);
    let mut aside = Aside::default();
    let mut next = 0;
    let mut add = |keyed: &mut Keyed, count: i64| {
        for _ in 0..count {
            for instrument in &names {
                next += 1;
                let trade =
                    Trade { order: order(next % MINUTE, next), bucket_at: 0, sets_price: true, adds_volume: true };
                let place = RecordOrigin {
                    partition: "ticks/0".into(),
                    offset: next,
                    received_at: None,
                    payload: Box::default(),
                };
                let key = TradeKey::Id(0, format!("T{next:012}").into());
                let instrument = instrument.clone();
                let reached = Reached { kept_from: Nanos::MIN, known_from: Nanos::MIN };
                keyed.apply(
                    Routed::Trade { instrument, phase: PHASE, mask: 1, key, trade, seen: None, reached, place },
                    &mut aside,
                );
            }
            keyed.changes(&mut Vec::new());
            keyed.retire(next as u64, &mut Vec::new(), &mut aside);
        }
    };
    add(&mut keyed, 1);
    let before = resident();
    add(&mut keyed, 300);
    let bytes = resident() - before;
    black_box(&keyed);
    (bytes, 300 * u64::from(INSTRUMENTS))
}

/// Bars of two hours of minutes in the shared arrangement, under this many of the indicators; steady, after the last step.
fn arranged(indicators: usize) -> (i64, u64) {
    const BARS: i64 = 120;
    timely::execute_directly(move |worker| {
        let before = resident();
        let probe = ProbeHandle::new();
        let mut input = InputSession::<u64, (Series, FinishedBar), isize>::new();
        worker.dataflow::<u64, _, _>(|scope| {
            let arranged = arrange("Finished", input.to_collection(scope));
            let built = INDICATORS.iter().take(indicators);
            let built = built.map(|spec| build(spec.name, &BTreeMap::new()).expect("defaults are allowed")).collect();
            let composite = Composite::new(built).expect("no two outputs have one name");
            let (readings, _) = readings("Indicators", arranged, Interval(MINUTE), composite, HashMap::new());
            readings.probe_with(&probe);
        });
        for at in 0..BARS {
            for (index, instrument) in instruments().into_iter().enumerate() {
                let close = (1_000 + (index as i64 + at * 31) % 97) * SCALE;
                let bar =
                    FinishedBar { open: close, high: close, low: close, close, ..FinishedBar::floor((at * MINUTE, 0)) };
                input.update(((Interval(MINUTE), instrument), bar), 1);
            }
            input.advance_to(stamp(at as u64 + 1, 0));
            input.flush();
            while probe.less_than(input.time()) {
                worker.step();
            }
        }
        (resident() - before, BARS as u64 * u64::from(INSTRUMENTS))
    })
}

/// One figure in a process of its own: memory that an earlier figure has released would be reused without being counted.
fn alone(name: &str) -> f64 {
    let program = std::env::current_exe().expect("this program");
    let said = std::process::Command::new(program).arg(name).output().expect("it starts");
    let said = String::from_utf8_lossy(&said.stdout);
    let (bytes, count) = said.trim().split_once(' ').expect("bytes and a count");
    bytes.parse::<f64>().expect("bytes") / count.parse::<f64>().expect("a count")
}

fn main() {
    let measure = std::env::args().nth(1).filter(|name| !name.starts_with("--"));
    let measured = measure.as_deref().map(|name| match name {
        "bar" => live_bar(),
        "trade" => retained_trade(),
        indicators => arranged(indicators.parse().expect("a number of indicators")),
    });
    if let Some((bytes, count)) = measured {
        return println!("{bytes} {count}");
    }
    let all = INDICATORS.iter().count();
    let (one, many) = (alone("1"), alone(&all.to_string()));
    println!("bytes per live bar, where it is kept:                {:.0}", alone("bar"));
    println!("bytes per retained trade of a feed with corrections: {:.0}", alone("trade"));
    println!("bytes per live bar in the shared arrangement, with one indicator: {one:.0}");
    println!("bytes per live bar and further indicator (of {all}):    {:.0}", (many - one) / (all - 1) as f64);
}
