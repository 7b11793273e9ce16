//! An instrument in several partitions, as a property over any order of what readers report.

use super::Random;
use crate::anomalies::Anomaly;
use crate::anomalies::two_partitions::{First, Partitions, Sighted, Sighting};
use std::collections::BTreeMap;
use std::sync::Arc;
use ticktide_base::time::{DAY, SECOND};
use ticktide_market::calendar::{Class, PhaseAt, Session};
use ticktide_market::{Instrument, InstrumentId, Tick, TickKind};

fn sighting(token: &str, day: i32, partition: &str, offset: i64, second: i64) -> Sighting {
    let first = First { offset, at: i64::from(day) * DAY + second * SECOND, phase: 0 };
    Sighting { day: (Instrument::new("V", token, None), day), partition: partition.into(), first }
}

/// The rows that are live: second, partition, offset, how many partitions.
fn live(changes: Vec<(Anomaly, isize)>, rows: &mut BTreeMap<Anomaly, isize>) -> Vec<(i64, String, i64, f64)> {
    for (row, diff) in changes {
        *rows.entry(row).or_default() += diff;
    }
    rows.retain(|_, count| *count != 0);
    assert!(rows.values().all(|count| *count == 1), "a row is live once: {rows:?}");
    let shown = |row: &Anomaly| {
        let seen = row.seen.as_ref().expect("its record");
        (
            row.started_at.rem_euclid(DAY) / SECOND,
            seen.partition.to_string(),
            seen.offset_first,
            f64::from_bits(row.observed),
        )
    };
    rows.keys().map(shown).collect()
}

#[test]
fn an_instrument_in_one_partition_is_ordinary_and_in_two_it_is_told_once_a_day() {
    let (mut partitions, mut rows) = (Partitions::default(), BTreeMap::new());
    let mut take = |told: Sighting| live(partitions.take(told, 3), &mut rows);
    assert!(take(sighting("A", 7, "t/0", 5, 100)).is_empty());
    assert!(take(sighting("A", 8, "t/1", 6, 100)).is_empty(), "on another day it may arrive elsewhere");
    assert!(take(sighting("B", 7, "t/1", 1, 100)).is_empty(), "another instrument");
    assert_eq!(take(sighting("A", 7, "t/1", 9, 300)), [(300, "t/1".into(), 9, 2.0)]);
    assert_eq!(take(sighting("A", 7, "t/1", 12, 301)), [(300, "t/1".into(), 9, 2.0)], "later records add nothing");
    assert_eq!(
        take(sighting("A", 7, "t/2", 1, 200)),
        [(200, "t/2".into(), 1, 3.0)],
        "the one that came second in time"
    );
    assert_eq!(
        take(sighting("A", 7, "t/0", 2, 250)),
        [(250, "t/0".into(), 2, 3.0)],
        "a record that was held comes before"
    );
}

#[test]
fn what_readers_tell_in_any_order_and_again_after_any_restart_leaves_the_same_rows() {
    for seed in 0..200 {
        let mut random = Random(seed);
        let told: Vec<Sighting> = (0..2 + random.below(20))
            .map(|_| {
                let (of, partition) = (random.below(2), format!("t/{}", random.below(4)));
                // a partition's record has one instrument and one time
                let offset = (random.below(50) * 2 + of) as i64;
                sighting(
                    ["A", "B"][of as usize],
                    7 + random.below(2) as i32,
                    &partition,
                    offset,
                    1_000 - offset * 7 % 900,
                )
            })
            .collect();
        let mut outcomes = Vec::new();
        for round in 0..4 {
            let mut order = told.clone();
            if round > 0 {
                (0..order.len()).for_each(|index| order.swap(index, random.below(told.len() as u64) as usize));
                order.extend(told.iter().filter(|_| round == 3).cloned());
            }
            let (mut partitions, mut rows) = (Partitions::default(), BTreeMap::new());
            let mut durable = BTreeMap::new();
            for sighting in order {
                live(partitions.take(sighting, 0), &mut rows);
                if random.below(4) == 0 {
                    for (day, firsts) in partitions.retire(7 * DAY) {
                        let bytes = firsts.map(|firsts| bincode::serialize(&firsts).expect("plain values"));
                        durable.insert(day, bytes);
                    }
                    partitions = Partitions::default();
                    for (day, bytes) in &durable {
                        let bytes = bytes.as_ref().expect("nothing is forgotten yet");
                        partitions.restore(day.clone(), bincode::deserialize(bytes).expect("what was serialised"));
                    }
                }
            }
            outcomes.push(rows);
        }
        assert!(outcomes.iter().all(|rows| *rows == outcomes[0]), "seed {seed}");
    }
}

#[test]
fn a_row_is_taken_back_under_the_symbol_it_had_whatever_symbols_are_told_later() {
    let named = |symbol, partition: &str, offset, second| {
        let told = sighting("A", 7, partition, offset, second);
        Sighting { day: (Instrument::new("V", "A", symbol), 7), ..told }
    };
    let (mut partitions, mut rows) = (Partitions::default(), BTreeMap::new());
    live(partitions.take(named(Some("S"), "t/0", 5, 100), 3), &mut rows);
    live(partitions.take(named(None, "t/1", 9, 300), 3), &mut rows);
    assert_eq!(rows.keys().map(|row| row.symbol.as_deref()).collect::<Vec<_>>(), [Some("S")]);
    let kept = partitions.retire(7 * DAY);
    assert_eq!(kept.iter().map(|(day, _)| day.0.symbol()).collect::<Vec<_>>(), [Some("S")], "one key");
    let mut partitions = Partitions::default();
    kept.into_iter().for_each(|(day, firsts)| partitions.restore(day, firsts.expect("kept")));
    live(partitions.take(named(Some("T"), "t/2", 1, 200), 3), &mut rows);
    assert_eq!(rows.keys().map(|row| row.symbol.as_deref()).collect::<Vec<_>>(), [Some("S")]);
}

#[test]
fn a_day_is_forgotten_when_no_record_of_it_can_come_any_more() {
    let mut partitions = Partitions::default();
    partitions.take(sighting("A", 7, "t/0", 5, 100), 0);
    let kept = partitions.retire(9 * DAY - 1);
    assert!(matches!(&kept[..], [(_, Some(firsts))] if firsts.len() == 1), "{kept:?}");
    assert!(partitions.retire(9 * DAY - 1).is_empty(), "nothing is new");
    assert!(matches!(&partitions.retire(9 * DAY)[..], [((_, 7), None)]));
    assert!(partitions.retire(9 * DAY).is_empty());
}

#[test]
fn a_reader_tells_the_first_record_of_each_day_and_one_before_it() {
    let session = Session::preset("utc-day").expect("a preset");
    let (instrument, partition): (_, Arc<str>) = (Instrument::new("V", "A", None), "t/0".into());
    let mut sighted = Sighted::default();
    let mut told = |kind: TickKind, instrument_id: u32, day: i64, offset: i64| {
        let tick = Tick::new(kind, InstrumentId(instrument_id), offset, day * DAY + 5);
        let phase: PhaseAt = session.phase_at(Class::ONLY, tick.exchange_at).expect("a day has no gaps");
        sighted.look(&tick, &phase, &instrument, &partition).map(|sighting| (sighting.day.1, sighting.first.offset))
    };
    assert_eq!(told(TickKind::Cancel, 0, 7, 1), None, "a cancel is no record of its own");
    assert_eq!(told(TickKind::Trade, 0, 7, 10), Some((7, 10)));
    assert_eq!(told(TickKind::Snapshot, 0, 7, 11), None);
    assert_eq!(told(TickKind::Trade, 5, 7, 12), Some((7, 12)), "another instrument");
    assert_eq!(told(TickKind::Trade, 0, 7, 4), Some((7, 4)), "it was held until now");
    assert_eq!(told(TickKind::Snapshot, 0, 8, 13), Some((8, 13)));
}
