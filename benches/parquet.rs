//! Rows of bars written durably into Parquet files of a folder; encoding, sorting and the content hash included.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::sync::Arc;
use ticktide_base::time::{Interval, MINUTE};
use ticktide_flow::bars::finished::{BarHead, FinishedBar, NamedRow};
use ticktide_lake::RowBuffer;
use ticktide_lake::store::FolderStore;
use ticktide_lake::table::files::write_files;
use ticktide_market::{Instrument, SCALE};
use ticktide_tables as tables;

const ROWS: i64 = 100_000;

fn rows() -> RowBuffer {
    let mut buffer = RowBuffer::new(Arc::new(tables::bars(Interval(MINUTE))));
    let names: Vec<_> =
        (0..500).map(|n| (Interval(MINUTE), Instrument::new("NSECM", &format!("SYM{n:04}"), None))).collect();
    for n in 0..ROWS {
        let (series, price) = (&names[(n % 500) as usize], (100 + n % 97) * SCALE);
        let bar = FinishedBar {
            head: BarHead { open_at: n / 500 * MINUTE, phase: 0, trading_date: 20_000 },
            open: price,
            high: price + SCALE,
            low: price - SCALE,
            close: price + SCALE / 2,
            volume: Some(i128::from(SCALE) * i128::from(n % 1_000)),
            turnover: Some(i128::from(price) * i128::from(SCALE) * i128::from(n % 1_000)),
            trades: Some(1 + (n % 40) as u64),
            updates: 1 + (n % 40) as u64,
            open_interest: None,
            partial: false,
            short: false,
            symbol: None,
        };
        let bar = NamedRow { row: bar, symbol: None };
        buffer.push(&tables::bar_row(series, &bar, "regular", 1));
    }
    buffer
}

fn parquet(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let store = FolderStore::open(folder.path()).expect("a store");
    let mut group = criterion.benchmark_group("parquet");
    group.sample_size(10).throughput(Throughput::Elements(ROWS as u64));
    group.bench_function("bars into columns", |bencher| bencher.iter(rows));
    let mut epoch = 0;
    group.bench_function("columns into a Parquet file", |bencher| {
        bencher.iter_batched(
            rows,
            |buffer| {
                epoch += 1;
                let written = runtime.block_on(write_files(&store, "bench", epoch, 0, 1, buffer)).expect("written");
                assert_eq!(written.0.len(), 1, "one trading date, one file");
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, parquet);
criterion_main!(benches);
