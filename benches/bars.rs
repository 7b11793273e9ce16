//! Ticks to bars of a second and of a minute on one core: added up per step, then kept by key. Target: 3 M ticks a second.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use ticktide::calendar::PhaseAt;
use ticktide::flow::bars::acc::{Acc, TradeAcc, TradeOrder};
use ticktide::flow::bars::keyed::{Aside, BarsSpec, Keyed};
use ticktide::flow::bars::partial::Partials;
use ticktide::flow::clean::Horizons;
use ticktide::market::{Instrument, InstrumentId, SCALE};
use ticktide::time::{DAY, Interval, MINUTE, Nanos, SECOND};

const TICKS: i64 = 200_000;
const STEP: usize = 5_000;
const INSTRUMENTS: u32 = 500;

/// Ticks of ten minutes; the busiest instrument has one in eight, as a market's have.
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

fn keyed_bars(criterion: &mut Criterion) {
    let (ticks, names) = (ticks(), instruments());
    let phase = PhaseAt { phase: 0, trading_date: 0, start: 0, end: DAY };
    let intervals = vec![Interval(SECOND), Interval(MINUTE)];
    let spec = BarsSpec { intervals: intervals.clone(), corrections: false, carries: false, dedupe_here: false };
    let horizons = || Horizons { intervals: vec![Nanos::MIN; 2], retained_from: Nanos::MIN };
    let mut group = criterion.benchmark_group("bars");
    group.throughput(Throughput::Elements(TICKS as u64)).sample_size(20);
    group.bench_function("ticks to 1s and 1m bars", |bencher| {
        bencher.iter_batched_ref(
            || Keyed::new(spec.clone()),
            |keyed| {
                let (mut partials, mut aside, mut out) = (Partials::new(intervals[0], 2), Aside::default(), Vec::new());
                keyed.begin(horizons());
                for step in ticks.chunks(STEP) {
                    for (instrument, order) in step {
                        partials.add(
                            *instrument,
                            phase,
                            order.at,
                            0b11,
                            &Acc::Trades(TradeAcc::of(*order, true, true)),
                        );
                    }
                    for routed in partials.drain(&names) {
                        keyed.apply(routed, &mut aside);
                    }
                    keyed.changes(&mut out);
                }
                black_box(out.len())
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, keyed_bars);
criterion_main!(benches);
