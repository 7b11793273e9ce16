//! Ticks to bars on one core: added up per step, then kept by key. Target for minute bars: 3 M ticks a second.

mod cpu;

use cpu::ThreadCpu;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use ticktide_base::time::{DAY, Interval, MINUTE, Nanos, SECOND};
use ticktide_flow::bars::acc::TradeOrder;
use ticktide_flow::bars::keyed::{Aside, BarsSpec, Keyed};
use ticktide_flow::bars::partial::Partials;
use ticktide_flow::clean::EpochHorizons;
use ticktide_market::calendar::PhaseAt;
use ticktide_market::conditions::TradeEffect;
use ticktide_market::{Instrument, InstrumentId, SCALE};

const TICKS: i64 = 200_000;
/// Ticks of a step: a quarter of a second of 80,000 ticks a second.
const STEP: usize = 20_000;
const INSTRUMENTS: u32 = 500;

/// Ticks of ten minutes; the busiest instrument has one in eight, as in a real market.
fn ticks() -> Vec<(InstrumentId, TradeOrder)> {
    let mut state = 7u64;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let tick = |n: i64| {
        let instrument = (INSTRUMENTS as f64).powf(draw() as f64 / (1u64 << 31) as f64) as u32 % INSTRUMENTS;
        let at = 10 * MINUTE / TICKS * n;
        let price = (100 + (draw() % 50) as i64) * SCALE;
        let order = TradeOrder { at, sequence: n as u64, partition: 1, offset: n, price, quantity: 10 * SCALE };
        (InstrumentId(instrument), order)
    };
    (0..TICKS).map(tick).collect()
}

fn instruments() -> Vec<Instrument> {
    (0..INSTRUMENTS).map(|n| Instrument::new("NSECM", &format!("SYM{n:04}"), None)).collect()
}

/// All ticks through both halves of the bars, as one worker runs them.
fn run(
    keyed: &mut Keyed,
    finest: Interval,
    mask: u32,
    ticks: &[(InstrumentId, TradeOrder)],
    names: &[Instrument],
) -> usize {
    let phase = PhaseAt { phase: 0, trading_date: 0, start: 0, end: DAY };
    let intervals = mask.count_ones() as usize;
    let (mut partials, mut aside, mut out) = (Partials::new(finest, intervals), Aside::default(), Vec::new());
    keyed.begin(EpochHorizons {
        intervals: vec![Nanos::MIN; intervals],
        retained_from: Nanos::MIN,
        ..EpochHorizons::default()
    });
    for step in ticks.chunks(STEP) {
        for (instrument, order) in step {
            partials.add_trade(*instrument, phase, mask, order, TradeEffect::FULL);
        }
        for routed in partials.drain(names) {
            keyed.apply(routed, &mut aside);
        }
        keyed.changes(&mut out);
    }
    out.len()
}

fn bars(criterion: &mut Criterion<ThreadCpu>) {
    let (ticks, names) = (ticks(), instruments());
    let mut group = criterion.benchmark_group("bars");
    group.throughput(Throughput::Elements(TICKS as u64)).sample_size(10);
    for (name, intervals) in [("1m", vec![Interval(MINUTE)]), ("1s and 1m", vec![Interval(SECOND), Interval(MINUTE)])] {
        let (finest, mask) = (intervals[0], (1 << intervals.len()) - 1);
        let spec = BarsSpec { intervals, corrections: false, carries: false, dedupe_here: false, prices_signed: false };
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                || Keyed::new(spec.clone()),
                |keyed| black_box(run(keyed, finest, mask, &ticks, &names)),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(ThreadCpu);
    targets = bars
}
criterion_main!(benches);
