//! The scan of all indicators over finished bars of 500 instruments, arrangement included.
//!
//! Three workloads, per step and per instrument one change: the last bar changes (what ticks do between two bars), a bar is
//! appended, a bar 100 back is corrected. Each iteration is one step of 500 changes; a retirement keeps the series at 500
//! bars, as horizons do.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use differential_dataflow::input::InputSession;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};
use ticktide_base::epoch::{LAST_STEP, stamp};
use ticktide_base::time::{Interval, MINUTE};
use ticktide_flow::bars::finished::{BarHead, FinishedBar, Series};
use ticktide_flow::indicators::readings::{arrange, readings};
use ticktide_flow::indicators::{Composite, INDICATORS, build};
use ticktide_market::{Instrument, SCALE};
use timely::dataflow::ProbeHandle;

const INSTRUMENTS: i64 = 500;
const BARS: i64 = 500;

fn composite() -> Composite {
    let built = INDICATORS.iter().map(|spec| build(spec.name, &BTreeMap::new()).expect("defaults are allowed"));
    Composite::new(built.collect()).expect("no two outputs have one name")
}

fn bar(index: i64, price: i64) -> FinishedBar {
    let close = (1_000 + price % 97) * SCALE;
    FinishedBar {
        open: close,
        high: close + SCALE,
        low: close - SCALE,
        close,
        head: BarHead { open_at: index * MINUTE, phase: 0, trading_date: (index / 375) as i32 },
        volume: Some(i128::from(SCALE)),
        ..FinishedBar::default()
    }
}

#[derive(Clone, Copy)]
enum Load {
    ChangeLast,
    Append,
    Correct,
}

/// Time of `steps` steps after the series are filled.
fn run(load: Load, steps: u64) -> Duration {
    timely::execute_directly(move |worker| {
        let probe = ProbeHandle::new();
        let mut input = InputSession::<u64, (Series, FinishedBar), isize>::new();
        worker.dataflow::<u64, _, _>(|scope| {
            let arranged = arrange("Finished", input.to_collection(scope));
            let (readings, _) = readings("Indicators", arranged, Interval(MINUTE), composite(), HashMap::new());
            readings.probe_with(&probe);
        });
        let name = |index: i64| (Interval(MINUTE), Instrument::new("X", &index.to_string(), None));
        let mut all: Vec<(Series, VecDeque<FinishedBar>)> = (0..INSTRUMENTS)
            .map(|index| (name(index), (0..BARS).map(|at| bar(at, index + at * 31)).collect()))
            .collect();
        for (series, bars) in &all {
            for bar in bars {
                input.update((series.clone(), bar.clone()), 1);
            }
        }
        let mut next = 1;
        let mut start = Instant::now();
        for step in 0..=steps {
            // step 0 fills the series: time runs from its end
            input.advance_to(stamp(step + 1, 0));
            input.flush();
            while probe.less_than(input.time()) {
                worker.step();
            }
            if step == 0 {
                start = Instant::now();
            }
            if step == steps {
                break;
            }
            for (series, bars) in &mut all {
                let last = bars.len() - 1;
                let index = if matches!(load, Load::Correct) { last - 100 } else { last };
                next += 1;
                if matches!(load, Load::Append) {
                    let fresh = bar(bars[last].head.open_at / MINUTE + 1, next);
                    input.update((series.clone(), fresh.clone()), 1);
                    bars.push_back(fresh);
                } else {
                    let fresh = bar(bars[index].head.open_at / MINUTE, next);
                    if fresh != bars[index] {
                        input.update((series.clone(), std::mem::replace(&mut bars[index], fresh.clone())), -1);
                        input.update((series.clone(), fresh), 1);
                    }
                }
            }
            if matches!(load, Load::Append) {
                input.advance_to(stamp(step + 1, LAST_STEP));
                for (series, bars) in &mut all {
                    let oldest = bars.pop_front().expect("a series holds 500 bars");
                    input.update((series.clone(), oldest), -1);
                }
            }
        }
        start.elapsed()
    })
}

fn scan(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scan");
    group.sample_size(10).throughput(Throughput::Elements(INSTRUMENTS as u64));
    for (name, load) in [
        ("the last bar changes", Load::ChangeLast),
        ("a bar is appended and one retired", Load::Append),
        ("a bar 100 back is corrected", Load::Correct),
    ] {
        group.bench_function(name, |bencher| bencher.iter_custom(|steps| run(load, steps)));
    }
    group.finish();
}

criterion_group!(benches, scan);
criterion_main!(benches);
