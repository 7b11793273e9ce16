//! Plain records of files and topics: what is held and released, what a restart keeps, what is known of an idle partition.

use super::*;
use ticktide_base::epoch::Rewound;
use ticktide_base::rules::Rules;
use ticktide_flow::bars::trades::TradeKey;
use ticktide_lake::StateEntry;

/// Monday 2024-10-07, 10:00 in New York.
const OPEN: Nanos = 1_728_309_600 * SECOND;

/// A reader and its intake.
struct Plain {
    intake: Intake,
    decoder: Box<dyn wire::Decoder>,
    instruments: InstrumentTable,
    next: Vec<i64>,
}

impl Plain {
    /// Of the dataflow `bars` with these settings; goes on after a binding.
    fn new(settings: &[&str], topics: &[&str], resumed: &Binding) -> Plain {
        Plain::of(settings, topics, topics.len(), resumed, Share { index: 0, peers: 1 })
    }

    /// Of an intake that goes on from a state, under these horizons.
    fn with(
        settings: &[&str],
        topics: &[&str],
        resumed: &Binding,
        state: &[StateEntry],
        horizons: EpochHorizons,
    ) -> Plain {
        let mut plain = Plain::begun(settings, topics, topics.len(), resumed, Share { index: 0, peers: 1 });
        plain.restore(state);
        plain.intake.begin_epoch(horizons);
        plain
    }

    /// Of a worker that reads the first `assigned` partitions.
    fn of(settings: &[&str], topics: &[&str], assigned: usize, resumed: &Binding, share: Share) -> Plain {
        let mut plain = Plain::begun(settings, topics, assigned, resumed, share);
        plain.intake.begin_epoch(EpochHorizons {
            intervals: vec![Nanos::MIN; 2],
            retained_from: Nanos::MIN,
            ..EpochHorizons::default()
        });
        plain
    }

    /// One whose first epoch has not begun.
    fn begun(settings: &[&str], topics: &[&str], assigned: usize, resumed: &Binding, share: Share) -> Plain {
        let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let dataflow = Dataflow::load("bars", &[], &settings).expect("a shipped dataflow");
        let partition = |topic: &&str| Partition {
            topic: (*topic).to_owned(),
            partition: 0,
            source_id: String::new(),
            offset_start: 0,
            offset_end: i64::MAX,
        };
        let partitions: Vec<Partition> = topics.iter().map(partition).collect();
        let place = |partition: &Partition| resumed.places.get(&partition.name()).map_or(0, |place| place.offset_next);
        let next: Vec<i64> = partitions.iter().map(place).collect();
        let assigned: Vec<(usize, i64)> = next.iter().copied().enumerate().take(assigned).collect();
        let spec = WireSpec { format: "json".into(), ..WireSpec::default() };
        let intake = Intake::new(&dataflow, &partitions, &assigned, resumed, share);
        Plain { intake, decoder: wire::build(&spec).expect("a wire"), instruments: InstrumentTable::default(), next }
    }

    /// Takes records of a partition.
    fn take(&mut self, partition: usize, received_at: Option<Nanos>, records: &[String]) -> BatchOutcome {
        let mut batch = Batch::of(partition);
        for record in records {
            let raw = RawRecord::new(record.as_bytes(), self.next[partition], received_at);
            let raw = RawRecord { witnessed: received_at.is_some(), ..raw };
            let decoded = self.decoder.decode(&raw, &mut self.instruments);
            batch.push(decoded.unwrap_or_else(|reject| panic!("{}", reject.detail)), record.as_bytes());
            self.next[partition] += 1;
        }
        (batch.records, batch.offset_next) = (records.len() as u64, self.next[partition]);
        (batch.instruments, batch.caught_up) = (self.instruments.take_fresh(), true);
        self.intake.take(batch, Instant::now())
    }

    /// What the next run goes on with, if this one ends here.
    fn end(mut self) -> (Binding, Vec<StateEntry>) {
        let ended = self.intake.end_epoch(7);
        (Binding { places: ended.places, ..Binding::default() }, ended.state)
    }

    fn restore(&mut self, state: &[StateEntry]) {
        state.iter().for_each(|entry| assert!(self.intake.restore(entry).expect("its own state"), "it is taken"));
    }
}

/// A trade this many seconds after `OPEN`.
fn trade(seconds: i64) -> String {
    format!("{{\"symbol\":\"A\",\"time\":{},\"price\":1,\"quantity\":1}}", OPEN / SECOND + seconds)
}

#[test]
fn what_a_flush_decides_is_archived_of_every_partition() {
    let mut plain = Plain::new(&["ticks=true"], &["a", "b", "c"], &Binding::default());
    for partition in [0, 1] {
        let taken = plain.take(partition, None, &[trade(1), trade(2)]);
        assert!(taken.archived.is_none_or(|archived| archived.ticks.is_empty()), "first records wait");
    }
    let flushed = plain.intake.flush().into_iter().filter_map(|taken| taken.archived);
    let archived: Vec<(String, usize)> =
        flushed.map(|archived| (archived.partition.to_string(), archived.ticks.len())).collect();
    assert_eq!(archived, [("a/0".to_owned(), 2), ("b/0".to_owned(), 2), ("c/0".to_owned(), 0)]);
}

#[test]
fn what_was_believed_and_then_refused_is_believed_behind_a_restart() {
    const WEEK: i64 = 7 * 24 * 3_600;
    let settings = ["session=\"us\""];
    // the second group of times is a Saturday's, the last lies between
    let saturday = 5 * WEEK - 2 * 24 * 3_600;
    let first: Vec<String> = (0..4).map(trade).chain((0..4).map(|second| trade(saturday + second))).collect();
    let last = [trade(4 * WEEK)];
    let balance = |mut plain: Plain| {
        let taken = plain.take(0, None, &last);
        assert!(taken.quarantine.is_empty(), "{:?}", taken.quarantine);
        let counts = &plain.intake.end_epoch(8).counts["a/0"];
        (counts.accepted, counts.pending, plain.intake.progress(Instant::now())[0].event_at_max)
    };
    let first_rules =
        || EpochHorizons { intervals: vec![Nanos::MIN; 2], rules: Rules::First, ..EpochHorizons::default() };
    let mut plain = Plain::new(&settings, &["a"], &Binding::default());
    plain.intake.begin_epoch(first_rules());
    let reasons: Vec<&str> = plain.take(0, None, &first).quarantine.iter().map(|row| row.reason).collect();
    assert_eq!(reasons, ["off_session"; 4]);
    let (resumed, state) = plain.end();
    let resumed = Binding { wild_time: Rules::First, ..resumed };
    let again = Plain::with(&settings, &["a"], &resumed, &state, first_rules());
    let mut plain = Plain::new(&settings, &["a"], &Binding::default());
    plain.intake.begin_epoch(first_rules());
    plain.take(0, None, &first);
    plain.intake.end_epoch(7);
    let expected = (1, 0, Some(OPEN + 4 * WEEK * SECOND));
    assert_eq!([balance(plain), balance(again)], [expected; 2]);
}

#[test]
fn the_ids_of_a_partition_that_is_gone_are_forgotten_by_one_worker() {
    let settings = ["source.sequence=\"trusted\""];
    let mut plain = Plain::new(&settings, &["a"], &Binding::default());
    let numbered = trade(1).replace("\"price\"", "\"sequence\":5,\"price\"");
    plain.take(0, Some(OPEN + 2 * SECOND), &[numbered]);
    let (resumed, state) = plain.end();
    assert_eq!(state.iter().filter(|entry| &*entry.operator == SEEN).count(), 1);
    let tombstones = |topics: &[&str], index: usize, hours: i64| {
        // worker 0 reads everything
        let assigned = if index == 0 { topics.len() } else { 0 };
        let mut plain = Plain::of(&settings, topics, assigned, &resumed, Share { index, peers: 3 });
        plain.restore(&state);
        let horizon = OPEN + hours * HOUR;
        plain.intake.begin_epoch(EpochHorizons { intervals: vec![horizon; 2], ..EpochHorizons::default() });
        plain.intake.end_epoch(9).state.iter().filter(|entry| &*entry.operator == SEEN && entry.value.is_none()).count()
    };
    let of_all = |topics: &[&str], hours| (0..3).map(|index| tombstones(topics, index, hours)).collect::<Vec<_>>();
    assert_eq!(of_all(&["a", "b"], 1), [1, 0, 0], "by the worker that reads it");
    assert_eq!(of_all(&["b"], 1).iter().sum::<usize>(), 1, "by one of them");
    assert_eq!(of_all(&["b"], -1), [0; 3], "not before the horizon passes");
}

#[test]
fn a_partition_is_idle_only_while_it_is_known_that_nothing_waits() {
    let mut plain = Plain::new(&["idle_after=\"1s\""], &["a"], &Binding::default());
    plain.take(0, Some(OPEN + 60 * SECOND), &[trade(1)]);
    let began = Instant::now();
    let after = |millis: u64| began + Duration::from_millis(millis);
    let idle = |plain: &Plain, millis| plain.intake.progress(after(millis))[0].idle;
    plain.intake.look(after(100));
    plain.intake.drained(after(100));
    assert!(!idle(&plain, 100), "not for long enough");
    plain.intake.look(after(2_000));
    assert!(!idle(&plain, 2_000), "no check was made for a while");
    plain.intake.drained(after(2_000));
    assert!(idle(&plain, 2_000) && idle(&plain, 2_400));
    assert!(!idle(&plain, 2_600), "no check was made since");
    plain.intake.look(after(2_400));
    assert!(idle(&plain, 2_600), "a check was made, other partitions are read");
    plain.intake.look(after(9_000));
    assert!(!idle(&plain, 9_000), "what has come meanwhile is not read yet");
    plain.intake.drained(after(9_001));
    assert!(idle(&plain, 9_001));
}

#[test]
fn a_trading_day_alone_is_never_judged_as_a_time() {
    let settings = ["source.corrections=true", "session=\"us\""];
    let cancel =
        |date: &str| format!("{{\"type\":\"cancel\",\"symbol\":\"A\",\"id\":\"T1\",\"trading_date\":\"{date}\"}}");
    let waits = |taken: BatchOutcome| -> Vec<(String, Nanos)> {
        assert!(taken.quarantine.is_empty(), "{:?}", taken.quarantine);
        let told = taken.routed.into_iter().filter_map(|routed| match routed {
            Routed::Correction { key: TradeKey::Id(day, _), correction, .. } => {
                Some((ticktide_market::calendar::date_text(day), correction.order.1))
            }
            _ => None,
        });
        told.collect()
    };
    // at noon UTC of Tuesday it is before the receipt's next day, on Saturday off session, in September too late
    let dates = ["2024-10-08", "2024-10-05", "2024-09-03"];
    for received_at in [Some(OPEN + 10 * SECOND), None] {
        let mut plain = Plain::new(&settings, &["a", "b"], &Binding::default());
        plain.intake.begin_epoch(EpochHorizons {
            intervals: vec![OPEN - HOUR; 2],
            retained_from: OPEN - 2 * HOUR,
            rules: Rules::First,
            lake_time: None,
        });
        plain.take(0, received_at, &(0..5).map(trade).collect::<Vec<_>>());
        let newest = Some(OPEN + 4 * SECOND);
        assert_eq!(plain.intake.progress(Instant::now())[0].event_at_max, newest);
        let told = waits(plain.take(0, received_at, &dates.map(cancel)));
        let at = received_at.or(newest).expect("a time");
        assert_eq!(told, dates.map(|date| (date.to_owned(), at)), "by its receipt, or the newest time before it");
        // in a partition that has no time: the newest that the horizons know
        let told = waits(plain.take(1, received_at, &dates.map(cancel)));
        assert_eq!(told, dates.map(|date| (date.to_owned(), received_at.unwrap_or(OPEN))));
        let progress = plain.intake.progress(Instant::now());
        assert_eq!([progress[0].event_at_max, progress[1].event_at_max], [newest, None], "it has moved nothing");
        let pending: i64 = plain.intake.end_epoch(0).counts.values().map(|counts| counts.pending).sum();
        assert_eq!(pending, 6);
    }
}

#[test]
fn a_partition_that_was_set_back_goes_on_from_there_in_a_start_as_in_a_replay() {
    const YEARS: i64 = 2 * 365 * 86_400;
    let settings = ["session=\"utc-day\""];
    let (usual, later): (Vec<String>, Vec<String>) = ((0..6).map(trade).collect(), (6..9).map(trade).collect());
    let wild: Vec<String> = (0..4).map(|second| trade(YEARS + second)).collect();
    let all =
        || EpochHorizons { intervals: vec![Nanos::MIN; 2], retained_from: Nanos::MIN, ..EpochHorizons::default() };
    let moved = || {
        let mut plain = Plain::new(&settings, &["a"], &Binding::default());
        plain.take(0, None, &usual);
        plain.take(0, None, &wild);
        let late: Vec<&str> = plain.take(0, None, &later).quarantine.iter().map(|row| row.reason).collect();
        assert_eq!(late, ["too_late"; 3]);
        plain
    };
    let (before, state) = moved().end();
    let to = OPEN + 5 * SECOND;
    let mut after = before.clone();
    let place = after.places.get_mut("a/0").expect("it was read");
    place.event_at_max = Some(to);
    place.running = (0..4).rev().map(|more| to + more).collect();
    let rewound = Rewound { partition: "a/0".into(), to, forgotten: Nanos::MIN };
    after.rewound = Some(rewound.clone());

    let mut replayed = moved();
    replayed.intake.end_epoch(7);
    replayed.intake.rewind(&rewound, &after.places);
    replayed.intake.begin_epoch(all());
    let started = Plain::with(&settings, &["a"], &after, &state, all());
    let ends = [replayed, started].map(|mut plain| {
        let taken = plain.take(0, None, &later);
        assert!(taken.quarantine.is_empty(), "{:?}", taken.quarantine);
        let place = plain.intake.end_epoch(9).places["a/0"].clone();
        (place.event_at_max, place.running)
    });
    assert_eq!(ends[0], ends[1]);
    let times = [8, 7, 6].map(|second| OPEN + second * SECOND);
    assert_eq!(ends[0], (Some(times[0]), [&times[..], &[to + 3]].concat()));
    // without it they are too late after a restart, too
    let mut lost = Plain::with(&settings, &["a"], &before, &state, all());
    assert_eq!(lost.take(0, None, &later).quarantine.len(), 3);
}
