//! Promises of the simulated market: the same seed gives the same frames, and the truth is what they add up to.

use super::*;
use crate::produce;
use std::collections::{BTreeSet, HashMap};
use ticktide_feed::InstrumentTable;
use ticktide_feed::WireSpec;
use ticktide_feed::wire::recorded::Envelope;
use ticktide_feed::wire::{self, RawRecord};
use ticktide_market::{SCALE, TickKind};

fn spec() -> SimulateSpec {
    SimulateSpec {
        seed: 7,
        instruments: 10,
        active: None,
        date: 20_458, // Monday 2026-01-05
        from: PRE_OPEN,
        until: OPENS + 2 * MINUTE,
        codes: CODES.to_vec(),
        wrapped: false,
        master: true,
    }
}

#[test]
fn the_same_seed_gives_the_same_frames_and_fewer_codes_change_no_other() {
    let short = SimulateSpec { until: OPENS + MINUTE, ..spec() };
    let all: Vec<Simulated> = Simulation::new(&short).expect("a day").collect();
    let again: Vec<Simulated> = Simulation::new(&short).expect("a day").collect();
    assert_eq!(all, again);
    assert!(all.is_sorted_by_key(|frame| frame.received_at));
    let one = SimulateSpec { codes: vec![1501], ..short };
    let payloads = |frames: Vec<Simulated>| {
        let mut touchlines: Vec<_> = frames
            .into_iter()
            .filter(|frame| frame.code == 1501)
            .map(|frame| (frame.received_at, frame.payload))
            .collect();
        touchlines.sort();
        touchlines
    };
    assert_eq!(payloads(Simulation::new(&one).expect("a day").collect()), payloads(all));
}

#[test]
fn every_frame_decodes_and_its_instrument_is_where_it_belongs() {
    for wrapped in [false, true] {
        let spec = SimulateSpec { wrapped, ..spec() };
        let mut decoder = wire::build(&WireSpec { format: "xts-json".into(), ..WireSpec::default() }).expect("a wire");
        let mut instruments = InstrumentTable::default();
        let mut codes: BTreeMap<u16, u64> = BTreeMap::new();
        for frame in Simulation::new(&spec).expect("a day") {
            let origin = frame.origin();
            let received_at = frame.received_at.to_string();
            let envelope = Envelope {
                key: None,
                origin: Some(origin.as_bytes()),
                received_at: Some(received_at.as_bytes()),
                ..Envelope::default()
            };
            let record = RawRecord { envelope, ..RawRecord::of(&frame.payload) };
            let decoded = decoder.decode(&record, &mut instruments);
            let tick = decoded.unwrap_or_else(|reject| panic!("{}: {}", reject.reason, reject.detail));
            let notice = matches!(frame.code, MASTER | 1105 | 1505 | 1507);
            assert_eq!(tick.kind == TickKind::Notice, notice);
            let destination = produce::destination("xts-", origin.as_bytes(), &frame.payload);
            assert_eq!(destination.topic, frame.topic("xts-"));
            assert_eq!(destination.key, Some(produce::key(frame.venue, frame.instrument)));
            *codes.entry(frame.code).or_default() += 1;
        }
        assert_eq!(codes.len(), CODES.len() + 1, "{codes:?}");
    }
}

/// Property ids report the ends of every band: 87 and 111 the low ones, 88 and 110 the high ones.
#[test]
fn price_bands_are_told_mostly_as_execution_bands_and_none_is_lost() {
    let simulated = SimulateSpec { codes: vec![1105], instruments: 400, master: false, ..spec() };
    let spec = WireSpec { format: "xts-partial".into(), ..WireSpec::default() };
    let mut decoder = wire::build(&spec).expect("a wire");
    let mut instruments = InstrumentTable::default();
    let mut told: BTreeMap<Vec<&str>, u64> = BTreeMap::new();
    for frame in Simulation::new(&simulated).expect("a day") {
        let text = std::str::from_utf8(&frame.payload).expect("text");
        let properties: BTreeMap<&str, &str> = text.split(',').filter_map(|pair| pair.split_once(':')).collect();
        let ends = |ids: [&'static str; 2]| {
            let found = ids.into_iter().filter_map(|id| properties.get(id));
            found.map(|value| ticktide_market::decimal(value.as_bytes()).expect("a price"))
        };
        let tick = decoder.decode(&RawRecord::of(&frame.payload), &mut instruments).expect("properties");
        let snapshot = tick.snapshot.expect("a notice has one");
        let found = (snapshot.band_low.map(|price| price.0), snapshot.band_high.map(|price| price.0));
        assert_eq!(found, (ends(["87", "111"]).min(), ends(["88", "110"]).max()), "{text}");
        assert!(found.0 < found.1 && found.0.is_some(), "{text}");
        let ids = ["87", "88", "110", "111"].into_iter().filter(|id| properties.contains_key(id)).collect();
        *told.entry(ids).or_default() += 1;
    }
    let count = |ids: &[&str]| told.get(ids).copied().unwrap_or(0);
    let (execution, range, both) = (count(&["110", "111"]), count(&["87", "88"]), count(&["87", "88", "110", "111"]));
    assert!(told.len() == 3 && both > 100 && range > both && execution > 2 * (range + both), "{told:?}");
}

/// The traits of the real recording, as far as one can count them in the frames.
#[test]
fn the_feed_has_the_oddities_of_the_real_one() {
    let spec = SimulateSpec { codes: vec![1501], from: OPENS - MINUTE, until: OPENS + 6 * MINUTE, ..spec() };
    let mut simulation = Simulation::new(&spec).expect("a day");
    let mut decoder = wire::build(&WireSpec { format: "xts-json".into(), ..WireSpec::default() }).expect("a wire");
    let mut instruments = InstrumentTable::default();
    let (mut naive, mut steps, mut back, mut touchlines) = (0u128, 0u64, 0u64, 0u64);
    let mut last: HashMap<u32, (i128, Nanos)> = HashMap::new();
    let mut frames: Vec<Simulated> = simulation.by_ref().filter(|frame| frame.code != MASTER).collect();
    frames.sort_by_key(|frame| (frame.instrument, frame.received_at));
    for frame in &frames {
        let tick = decoder.decode(&RawRecord::of(&frame.payload), &mut instruments).expect("a touchline");
        let snapshot = tick.snapshot.expect("a snapshot");
        let is_index = frame.instrument == 26_000;
        assert_eq!(is_index, snapshot.cumulative_volume.is_none());
        naive += (tick.quantity.expect("a quantity").0 / SCALE) as u128;
        touchlines += 1;
        let (Some(volume), Some(trade_at)) = (snapshot.cumulative_volume, snapshot.trade_at) else { continue };
        let known = last.entry(frame.instrument).or_insert((0, trade_at));
        // frames that overtake another on their way report nothing new
        if volume > known.0 {
            steps += 1;
            back += u64::from(trade_at < known.1);
            *known = (volume, trade_at);
        }
    }
    let truth: u64 = simulation.truth().values().map(|traded| traded.volume).sum();
    let told: i128 = last.values().map(|(volume, _)| volume / i128::from(SCALE)).sum();
    assert_eq!(i128::from(truth), told, "the last counts are all that was traded");
    let percent = 100 * naive / u128::from(truth);
    assert!((20..=60).contains(&percent) && touchlines > 5_000, "last quantities are {percent} % of the volume");
    assert!(back * 100 > steps && back * 10 < steps, "{back} of {steps} steps go back");
    let of_a = frames.iter().filter(|frame| frame.payload.ends_with(b"\"SequenceNumber\":1583105123157252}")).count();
    assert_eq!(2 * of_a, frames.len(), "each touchline twice, one of them with the constant sequence");
}

#[test]
fn much_of_a_market_trades_rarely() {
    let (instruments, minutes) = (1_000, 3);
    let until = OPENS + minutes * MINUTE;
    let part = SimulateSpec { instruments, codes: vec![1501], from: OPENS, until, master: false, ..spec() };
    let mut simulation = Simulation::new(&SimulateSpec { active: Some(50), ..part }).expect("a day");
    let mut seconds: HashMap<u32, BTreeSet<Nanos>> = HashMap::new();
    let mut told = 0;
    for frame in simulation.by_ref().filter(|frame| frame.venue == "NSECM" && frame.instrument != 26_000) {
        // a receiver's clock is six seconds behind; a frame is on its way for less than a second
        seconds.entry(frame.instrument).or_default().insert((frame.received_at + BEHIND).div_euclid(SECOND));
        told += 1;
    }
    let a_second = told / (minutes * 60) / 4; // two snapshots, each by two publishers
    assert!((40..=55).contains(&a_second), "{a_second} shares a second");
    let of = |rank: u32| seconds.get(&(100 + rank)).map_or(0, BTreeSet::len);
    assert!(of(0) >= 180 && of(1) >= 180 && of(500) < 20, "{} {} {}", of(0), of(1), of(500));
    assert!(seconds.len() > 500, "{} of {instruments} shares have traded", seconds.len());
    assert_eq!(busy(1_000, 1_000), vec![MILLION; 1_000]);
    assert_eq!(busy(3, 0), [0, 0, 0]);
}

#[test]
fn settings_that_make_no_day_are_refused() {
    for spec in [
        SimulateSpec { instruments: 0, ..spec() },
        SimulateSpec { instruments: INSTRUMENTS_MOST + 1, ..spec() },
        SimulateSpec { from: OPENS, until: OPENS, ..spec() },
        SimulateSpec { until: 16 * HOUR, ..spec() },
        SimulateSpec { codes: vec![1504], ..spec() },
        SimulateSpec { date: i32::MAX, ..spec() },
        SimulateSpec { date: 20_458 - 2, ..spec() },
        SimulateSpec { date: 20_458 + 21, ..spec() }, // Republic Day
    ] {
        assert!(matches!(Simulation::new(&spec), Err(FeedError::Fix { .. })), "{spec:?}");
    }
}

#[test]
fn a_holiday_is_refused_with_the_next_trading_date_and_futures_have_their_auction_since_december_2025() {
    let refused = Simulation::new(&SimulateSpec { date: 20_458 + 21, ..spec() }).err();
    let Some(FeedError::Fix { message, hint }) = refused else { panic!("Republic Day is no trading date") };
    assert!(message.ends_with("2026-01-26") && hint.ends_with("2026-01-27"), "{message}: {hint}");
    let before_the_open = |date| {
        let spec = SimulateSpec {
            date,
            from: PRE_OPEN,
            until: PRE_OPEN + 2 * MINUTE,
            codes: vec![1501],
            master: false,
            ..spec()
        };
        let venues = Simulation::new(&spec).expect("a trading date").map(|frame| frame.venue);
        venues.collect::<BTreeSet<_>>()
    };
    // Friday 2025-12-05 and Monday 2025-12-08
    assert_eq!(before_the_open(20_427), ["NSECM"].into());
    assert_eq!(before_the_open(20_430), ["NSECM", "NSEFO"].into());
}
