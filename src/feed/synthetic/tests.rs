//! Promises of the synthetic market: the same seed gives the same records and labels, read from any place on.

use super::*;
use std::collections::{BTreeMap, BTreeSet};
use ticktide_base::time::{DAY, HOUR, MINUTE, SECOND};
use ticktide_market::{InstrumentId, Tick, TickKind};

/// FNV-1a over the lines of the first day, computed by another program from the quarantine of a build without silences.
const FINGERPRINT: u64 = 0x46c6_af88_2111_737b;
/// Monday, 5 January 2026.
const MONDAY: i32 = 20_458;

fn spec() -> SourceSpec {
    SourceSpec {
        uses: "synthetic".into(),
        until_end: true,
        synthetic: SyntheticSpec {
            seed: 7,
            instruments: 40,
            partitions: 4,
            trades_a_day: 60_000,
            first_day: MONDAY,
            gaps: 0,
        },
        buffer_bytes: 1 << 20,
        ..SourceSpec::default()
    }
}

type Played = BTreeMap<usize, Vec<(String, Tick)>>;

/// Plays to the end: ticks with their symbols by partition, and the places after it.
fn play(spec: &SourceSpec, resume: &BTreeMap<String, i64>) -> (Played, BTreeMap<String, i64>) {
    let source = crate::open(spec, resume).expect("a source");
    let assigned = source.partitions().iter().enumerate();
    let assigned: Vec<_> = assigned
        .map(|(partition, p)| Assignment {
            partition,
            offset: resume.get(&p.name()).copied().unwrap_or(p.offset_start),
        })
        .collect();
    let mut reader = source.reader(&assigned).expect("a reader");
    let (mut played, mut places, mut symbols, mut finished) = (Played::new(), BTreeMap::new(), Vec::new(), 0);
    while finished < assigned.len() {
        let Some(batch) = reader.poll(Duration::ZERO, &|_| false).expect("never fails") else { continue };
        assert!(batch.rejects.is_empty());
        assert_eq!(batch.records, batch.ticks.len() as u64);
        symbols.extend(batch.instruments.iter().map(|instrument| instrument.instrument().to_owned()));
        places.insert(source.partitions()[batch.partition].name(), batch.offset_next);
        finished += usize::from(batch.finished);
        // ids mean something to one reader only
        let named = batch
            .ticks
            .into_iter()
            .map(|tick| (symbols[tick.instrument.0 as usize].clone(), Tick { instrument: InstrumentId(0), ..tick }));
        played.entry(batch.partition).or_default().extend(named);
    }
    (played, places)
}

fn new_lake() -> BTreeMap<String, i64> {
    BTreeMap::new()
}

#[test]
fn the_same_seed_gives_the_same_records_and_another_seed_others() {
    let (first, places) = play(&spec(), &new_lake());
    assert!((first.clone(), places) == play(&spec(), &new_lake()));
    let mut other = spec();
    other.synthetic.seed = 8;
    assert!(first != play(&other, &new_lake()).0);
}

#[test]
fn a_later_run_plays_the_next_day_and_a_broken_one_ends_its_own() {
    let (first, after_first) = play(&spec(), &new_lake());
    let (second, after_second) = play(&spec(), &after_first);
    for partition in 0..4 {
        let name = format!("synthetic/{partition}");
        assert_eq!(after_second[&name], 2 * after_first[&name], "the same number of records every day");
        let offsets = |played: &Played| played[&partition].iter().map(|(_, tick)| tick.offset).collect::<Vec<_>>();
        assert_eq!(offsets(&first), (0..after_first[&name]).collect::<Vec<_>>());
        assert_eq!(offsets(&second), (after_first[&name]..after_second[&name]).collect::<Vec<_>>());
    }
    // one partition has finished the day, one is in the middle of it, two have not begun
    let broken =
        BTreeMap::from([("synthetic/0".to_owned(), after_first["synthetic/0"]), ("synthetic/1".to_owned(), 5_000)]);
    let (rest, places) = play(&spec(), &broken);
    assert_eq!(places, after_first.clone().into_iter().collect());
    assert!(rest[&0].is_empty());
    assert!(rest[&1] == first[&1][5_000..]);
    assert!(rest[&2] == first[&2]);
}

#[test]
fn trades_lie_between_open_and_close_of_a_weekday() {
    let mut places = new_lake();
    for day in 0..6 {
        let (played, after) = play(&spec(), &places);
        let date = i64::from(MONDAY) + [0, 1, 2, 3, 4, 7][day];
        for (_, tick) in played.values().flatten() {
            let of_day = tick.exchange_at - date * DAY;
            assert!((9 * HOUR + 15 * MINUTE..15 * HOUR + 30 * MINUTE).contains(&of_day), "day {day}: {of_day}");
        }
        places = after;
    }
}

#[test]
fn the_kth_weekday_is_found_without_walking() {
    for first in MONDAY..MONDAY + 7 {
        let is_weekday = |day: &i32| (day - MONDAY).rem_euclid(7) < 5;
        let walked: Vec<i32> = (first..first + 40).filter(is_weekday).take(20).collect();
        assert_eq!((0..20).map(|k| hours::weekday(first, k)).collect::<Vec<_>>(), walked);
    }
}

#[test]
fn sequences_are_those_of_the_tape_and_repeat_only_in_duplicates() {
    let (played, _) = play(&spec(), &new_lake());
    let mut tape: BTreeMap<&str, BTreeMap<u64, &Tick>> = BTreeMap::new();
    let mut duplicates = 0;
    for (symbol, tick) in played.values().flatten().filter(|(_, tick)| tick.kind == TickKind::Trade) {
        if let Some(first) = tape.entry(symbol).or_default().insert(tick.sequence.expect("trusted"), tick) {
            duplicates += 1;
            assert_eq!((first.exchange_at, first.price, first.quantity), (tick.exchange_at, tick.price, tick.quantity));
        }
    }
    assert!((100..200).contains(&duplicates), "one in 400 of 60,000: {duplicates}");
    assert_eq!(tape.len(), 40);
    let mut counts: Vec<usize> = tape.values().map(BTreeMap::len).collect();
    counts.sort_unstable();
    assert!(counts[39] > 6 * counts[0], "a few names are busy: {counts:?}");
    for (symbol, trades) in &tape {
        assert_eq!(*trades.keys().last().expect("some") as usize, trades.len(), "{symbol} has no gap");
        let times: Vec<_> = trades.values().map(|tick| tick.exchange_at).collect();
        assert!(times.is_sorted(), "{symbol}: sequences follow time");
    }
}

#[test]
fn records_come_out_of_order_by_at_most_two_seconds_but_for_the_labelled_late_ones() {
    let (played, _) = play(&spec(), &new_lake());
    let late: BTreeSet<_> = labels(&spec().synthetic, 0)
        .expect("labels")
        .into_iter()
        .filter(|label| label.kind == LabelKind::Late)
        .map(|label| (label.partition as usize, label.offset))
        .collect();
    let mut disordered = 0;
    for (partition, ticks) in &played {
        let mut newest = i64::MIN;
        let mut seen = BTreeSet::new();
        for (symbol, tick) in ticks.iter().filter(|(_, tick)| tick.kind == TickKind::Trade) {
            let behind = newest.saturating_sub(tick.exchange_at).max(0);
            let first = seen.insert((symbol, tick.sequence));
            disordered += usize::from(behind > 0);
            if late.contains(&(*partition, tick.offset)) {
                assert!(behind > 30 * SECOND, "late: {behind}");
            } else if first {
                assert!(behind <= 2 * SECOND, "{behind}");
            }
            assert!(tick.received_at.expect("it has an arrival") >= tick.exchange_at);
            newest = newest.max(tick.exchange_at);
        }
    }
    assert!(disordered > 400, "{disordered}");
    assert!(late.len() >= 50, "one in 1,000: {}", late.len());
}

#[test]
fn labels_name_the_records_that_are_played() {
    let (_, after) = play(&spec(), &new_lake());
    let (played, _) = play(&spec(), &after);
    let labels = labels(&spec().synthetic, 1).expect("labels");
    let at = |label: &TradeLabel| {
        let first = after[&format!("synthetic/{}", label.partition)];
        &played[&(label.partition as usize)][(label.offset - first) as usize]
    };
    for label in &labels {
        let (symbol, tick) = at(label);
        assert_eq!((symbol, tick.exchange_at, tick.price), (&label.symbol, label.at, Some(label.price)));
        assert_eq!(tick.id.as_deref(), label.id.as_deref());
        assert_eq!(tick.offset, label.offset);
    }
    let bad: Vec<_> = labels.iter().filter(|label| label.kind == LabelKind::BadPrint).collect();
    assert!(bad.len() >= 8, "one in 5,000: {}", bad.len());
    for label in bad {
        // the same instrument's trade before it on the tape
        let (symbol, tick) = at(label);
        let before = tick.sequence.expect("trusted") - 1;
        let neighbour = played[&(label.partition as usize)]
            .iter()
            .find(|(name, other)| name == symbol && other.sequence == Some(before))
            .and_then(|(_, other)| other.price);
        if let Some(price) = neighbour {
            let ratio = label.price.to_f64() / price.to_f64();
            assert!((1.25..1.35).contains(&ratio.max(1.0 / ratio)), "{ratio}");
        }
    }
}

#[test]
fn every_cancelled_trade_is_cancelled_later_and_every_correction_names_a_trade() {
    let (played, _) = play(&spec(), &new_lake());
    let labels = labels(&spec().synthetic, 0).expect("labels");
    let labelled: BTreeSet<_> =
        labels.iter().filter(|l| l.kind == LabelKind::Cancelled).map(|l| l.id.clone().expect("it has one")).collect();
    let (mut cancelled, mut corrected) = (BTreeSet::new(), 0);
    for ticks in played.values() {
        let mut trades = BTreeMap::new();
        for (symbol, tick) in ticks {
            let Some(id) = &tick.id else {
                assert_eq!(tick.kind, TickKind::Trade);
                continue;
            };
            match tick.kind {
                TickKind::Trade => {
                    trades.insert(id.clone(), (symbol, tick.exchange_at));
                }
                _ => assert_eq!(trades.get(id), Some(&(symbol, tick.exchange_at)), "of the trade, after it"),
            }
            corrected += usize::from(tick.kind == TickKind::Correct);
            if tick.kind == TickKind::Cancel {
                cancelled.insert(id.to_string());
            }
        }
    }
    assert_eq!(cancelled, labelled);
    assert!(cancelled.len() >= 20 && corrected >= 20);
}

#[test]
fn a_paced_play_gives_nothing_before_it_arrives() {
    let spec = SourceSpec { speed: Speed::Times(1000.0), ..spec() };
    let source = crate::open(&spec, &new_lake()).expect("a source");
    let mut reader = source.reader(&[Assignment { partition: 0, offset: 0 }]).expect("a reader");
    let opens = i64::from(MONDAY) * DAY + 9 * HOUR + 15 * MINUTE;
    let started = std::time::Instant::now();
    let mut seen = 0;
    while seen < 100 {
        let Some(batch) = reader.poll(Duration::from_millis(1), &|_| false).expect("never fails") else { continue };
        // play begins with the first arrival, at most some seconds after the open
        let played = opens + 60 * SECOND + started.elapsed().as_nanos() as i64 * 1000;
        assert!(batch.ticks.iter().all(|tick| tick.received_at.expect("it has one") <= played));
        assert!(batch.caught_up, "a day is not over in a moment");
        seen += batch.records;
    }
}

#[test]
fn impossible_markets_are_refused_with_the_values() {
    let changes: [fn(&mut SyntheticSpec); 4] =
        [|s| s.instruments = 0, |s| s.partitions = 0, |s| s.partitions = 41, |s| s.trades_a_day = 39];
    for change in changes {
        let mut spec = spec();
        change(&mut spec.synthetic);
        assert!(matches!(crate::open(&spec, &new_lake()), Err(FeedError::Fix { .. })));
        assert!(labels(&spec.synthetic, 0).is_err());
    }
    let spec = SourceSpec { from: StartFrom::Latest, ..spec() };
    assert!(matches!(crate::open(&spec, &new_lake()), Err(FeedError::Fix { .. })));
}

#[test]
fn planted_silences_are_silent_and_a_day_keeps_its_records() {
    let mut with = spec();
    with.synthetic.gaps = 8;
    let (_, without_gaps) = play(&spec(), &new_lake());
    let (played, places) = play(&with, &new_lake());
    assert_eq!(places, without_gaps, "as many records as a day without");
    let silences = gaps(&with.synthetic, 0).expect("gaps");
    let of_feed: Vec<&PlantedGap> = silences.iter().filter(|gap| gap.symbol.is_none()).collect();
    assert_eq!((of_feed.len(), silences.len()), (8, 8 + 4 * 8));
    let trades = || played.values().flatten().filter(|(_, tick)| tick.kind == TickKind::Trade);
    for gap in &silences {
        assert!(gap.until - gap.from >= 2 * MINUTE);
        let is_its = |symbol: &String| gap.symbol.as_ref().is_none_or(|silent| silent == symbol);
        let spoken = |from, until| {
            trades().filter(|(symbol, tick)| is_its(symbol) && (from..until).contains(&tick.exchange_at)).count()
        };
        assert_eq!(spoken(gap.from, gap.until), 0, "{gap:?}");
        assert!(spoken(gap.from - MINUTE, gap.from) > 0 && spoken(gap.until, gap.until + MINUTE) > 0, "{gap:?}");
    }
    assert!(gaps(&with.synthetic, 1).expect("gaps")[0].from != of_feed[0].from + DAY, "another day, other silences");
    with.synthetic.gaps = 11;
    assert!(gaps(&with.synthetic, 0).is_err());
}

#[test]
fn a_market_without_silences_has_the_bytes_it_always_had() {
    let market = Market::new(&spec().synthetic).expect("a market");
    let (mut sum, mut line) = (0u64, Vec::new());
    for partition in 0..4 {
        for record in MarketDay::new(&market, partition, 0) {
            line.clear();
            record.write(&market, &mut line);
            sum = line.iter().fold(sum, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
        }
    }
    assert_eq!(sum, FINGERPRINT, "{sum:#x}");
}

#[test]
fn a_day_that_no_clock_has_is_refused_and_the_market_closes_for_good_before_it() {
    let of = |first_day| SyntheticSpec { first_day, ..spec().synthetic };
    for first_day in [i32::MIN, -1, DAY_LAST + 1, i32::MAX] {
        assert!(matches!(Market::new(&of(first_day)), Err(FeedError::Fix { .. })), "{first_day}");
    }
    for day in [90_000, u64::MAX] {
        let errors = [labels(&spec().synthetic, day).err(), gaps(&spec().synthetic, day).err()];
        for error in errors {
            assert!(
                matches!(&error, Some(FeedError::Fix { hint, .. }) if hint.contains("0 (the first) to")),
                "{error:?}"
            );
        }
    }
    for first_day in (DAY_LAST - 20..=DAY_LAST).chain([0, MONDAY]) {
        let market = Market::new(&of(first_day)).expect("good");
        let weekdays = (first_day..=DAY_LAST).filter(|day| (day + 3).rem_euclid(7) < 5).count();
        assert_eq!(market.days(), weekdays as u64, "{first_day}");
    }
    // two days are left, and then nothing arrives although the run has no end
    let small = SyntheticSpec { instruments: 1, partitions: 1, trades_a_day: 50, ..of(DAY_LAST - 1) };
    let spec = SourceSpec { until_end: false, synthetic: small, ..spec() };
    let (_, places) = play(&spec, &new_lake());
    let a_day = Market::new(&spec.synthetic).expect("good").records_a_day(0);
    assert_eq!(places["synthetic/0"], 2 * a_day);
    let (_, again) = play(&spec, &places);
    assert_eq!(again, places);
}
