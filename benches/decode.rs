//! The cost of decoding a record into a tick: CPU time of one thread, so that a busy machine does not distort it.
//!
//! Targets: `decode/json mapped` at most 0.35 µs a record (205 bytes, six of its thirteen fields named); `decode/xts 1501` at
//! most 1 µs a message (682 bytes, its nineteen needed fields); `synthetic/generate and decode` below 1 µs.

mod cpu;

use cpu::ThreadCpu;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;
use ticktide_feed::wire::FieldSource;
use ticktide_feed::{Assignment, InstrumentTable, RecordType, SourceSpec, SyntheticSpec, WireSpec, open, wire};
use ticktide_market::TickKind;

const MAPPED: &[u8] = br#"{"symbol":"RELIANCE","exchange":"NSECM","ts":1767584700123456,"seq":17,"price":2445.35,"qty":10,"bid":2445.30,"ask":2445.40,"bid_qty":120,"ask_qty":80,"cum_volume":90211,"recv_ts":1767584700140000,"cond":"REG"}"#;
const PLAIN: &[u8] =
    br#"{"venue":"COMEX","symbol":"GC201312","time":1381204800374000,"sequence":113,"price":"1323.4","quantity":"1"}"#;
const CSV: &[u8] = b"trade,COMEX,GC201312,1381204800374000,113,A1,1323.4,1,20";
const QUOTED: &[u8] = b"trade,COMEX,\"GC201312\",1381204800374000,113,\"A1\",1323.4,1,20";
const SNAPSHOT: &[u8] = br#"{"type":"snapshot","venue":"NSECM","symbol":"RELIANCE","time":1767584700123456,"sequence":17,"price":2445.35,"cumulative_volume":90211,"bid":2445.30,"bid_quantity":120,"ask":2445.40,"ask_quantity":80,"day_open":2440,"day_high":2450.5,"day_low":2431}"#;

const XTS: &[u8] = br#"{"MessageCode":1501,"MessageVersion":4,"ApplicationType":0,"TokenID":0,"ExchangeSegment":1,"ExchangeInstrumentID":2885,"ExchangeTimeStamp":1420629367,"Touchline":{"BidInfo":{"Size":12,"Price":1224.6,"TotalOrders":3,"BuyBackMarketMaker":0},"AskInfo":{"Size":40,"Price":1224.7,"TotalOrders":2,"BuyBackMarketMaker":0},"LastTradedPrice":1224.65,"LastTradedQunatity":8,"TotalBuyQuantity":51200,"TotalSellQuantity":61830,"TotalTradedQuantity":1983015,"AverageTradedPrice":1226.1,"LastTradedTime":1420629366,"LastUpdateTime":1420629367,"PercentChange":-1.11,"Open":1238,"High":1240.95,"Low":1222.6,"Close":1238.4,"TotalValueTraded":null,"BuyBackTotalBuy":0,"BuyBackTotalSell":0},"BookType":1,"XMarketType":1,"SequenceNumber":1583105123157252}"#;
const PARTIAL: &[u8] = b"t:1_2885,ltp:1224.65,ltq:8,tb:51200,ts:61830,v:1983015,ap:1226.1,ltt:1420629366,lut:1420629367,pc:-1.11,o:1238,h:1240.95,l:1222.6,c:1238.4,vp:0";

fn mapped() -> WireSpec {
    let names = [
        ("symbol", "symbol"),
        ("venue", "exchange"),
        ("time", "ts"),
        ("sequence", "seq"),
        ("price", "price"),
        ("quantity", "qty"),
    ];
    WireSpec {
        format: "json".into(),
        fields: names.map(|(ours, theirs)| (ours.into(), theirs.into())).into(),
        ..WireSpec::default()
    }
}

const NESTED: &[u8] =
    br#"{"stream":"gc@trade","data":{"s":"GC201312","T":1381204800374,"t":113,"p":"1323.4","q":"1","m":true}}"#;
const SHEET: &[u8] = b"GC201312, 2013-10-08 04:00:00, \"1,323.40\", 1";

/// Values below the outermost object, a kind by a pattern.
fn nested() -> WireSpec {
    let names = [
        ("symbol", "data.s"),
        ("time", "data.T"),
        ("id", "data.t"),
        ("price", "data.p"),
        ("quantity", "data.q"),
        ("type", "stream"),
    ];
    WireSpec {
        format: "json".into(),
        fields: names.map(|(ours, theirs)| (ours.into(), theirs.into())).into(),
        types: vec![("*@trade".into(), RecordType::Tick(TickKind::Trade)), ("*".into(), RecordType::Ignored)],
        ..WireSpec::default()
    }
}

/// Names of the user's own, and a constant.
fn filled() -> WireSpec {
    let mut spec = mapped();
    spec.fields.insert("venue".into(), FieldSource::Constant("NSE".into()));
    spec
}

/// A spreadsheet: blanks, separators, times of a zone.
fn sheet() -> WireSpec {
    let columns = ["symbol", "time", "price", "quantity"].map(str::to_owned).into();
    WireSpec { format: "csv".into(), columns, zone: Some("UTC".into()), thousands: Some(b','), ..WireSpec::default() }
}

fn decode(c: &mut Criterion<ThreadCpu>) {
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(1));
    let plain = WireSpec { format: "json".into(), ..WireSpec::default() };
    let csv = WireSpec { format: "csv".into(), ..WireSpec::default() };
    let named = |format: &str| WireSpec { format: format.into(), ..WireSpec::default() };
    let (xts, partial, bridge) = (named("xts-json"), named("xts-partial"), named("bridge"));
    let event = format!("42[\"1501-json-full\",{:?}]", std::str::from_utf8(XTS).expect("text")).into_bytes();
    let watch = wire::FORMATS.find("bridge").expect("a row").example;
    for (name, spec, payload) in [
        ("xts 1501", &xts, XTS),
        ("xts 1501 event", &xts, event.as_slice()),
        ("xts partial", &partial, PARTIAL),
        ("bridge line", &bridge, watch),
        ("json mapped", &mapped(), MAPPED),
        ("json plain", &plain, PLAIN),
        ("json snapshot", &plain, SNAPSHOT),
        ("json paths and kinds", &nested(), NESTED),
        ("json with a constant", &filled(), MAPPED),
        ("csv of a spreadsheet", &sheet(), SHEET),
        ("csv", &csv, CSV),
        ("csv quoted", &csv, QUOTED),
    ] {
        let mut decoder = wire::build(spec).expect("a format of the registry");
        let mut instruments = InstrumentTable::default();
        group.bench_function(name, |b| {
            b.iter(|| decoder.decode(&wire::RawRecord::of(black_box(payload)), &mut instruments).expect("a tick"));
        });
    }
    group.finish();
}

fn synthetic(c: &mut Criterion<ThreadCpu>) {
    let spec = SourceSpec {
        uses: "synthetic".into(),
        synthetic: SyntheticSpec {
            seed: 7,
            instruments: 500,
            partitions: 4,
            trades_a_day: 2_000_000,
            first_day: 20_458,
            gaps: 0,
        },
        buffer_bytes: 1 << 20,
        ..SourceSpec::default()
    };
    let source = open(&spec, &BTreeMap::new()).expect("a source");
    let mut reader = source.reader(&[Assignment { partition: 0, offset: 0 }]).expect("a reader");
    let mut group = c.benchmark_group("synthetic");
    group.throughput(Throughput::Elements(2000));
    group.bench_function("generate and decode 2,000", |b| {
        b.iter(|| reader.poll(Duration::ZERO, &|_| false).expect("never fails").expect("endless"));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(ThreadCpu).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    targets = decode, synthetic
}
criterion_main!(benches);
