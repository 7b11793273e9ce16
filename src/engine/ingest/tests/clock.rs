//! Times that a witness vouches for, and those that only our clock knows: live, and again without a clock.

use super::*;
use ticktide_market::{InstrumentId, Price, Quantity, Tick, TickKind};

const NOW: Nanos = 20_003 * DAY + 10 * HOUR;

/// An intake over one partition of a topic, at some moment.
struct Live {
    intake: Intake,
    next: i64,
}

impl Live {
    fn new(settings: &[&str], resumed: &Binding) -> Live {
        let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let dataflow = Dataflow::load("bars", &[], &settings).expect("a shipped dataflow");
        let partition = Partition {
            topic: "t".into(),
            partition: 0,
            source_id: String::new(),
            offset_start: 0,
            offset_end: i64::MAX,
        };
        let share = Share { index: 0, peers: 1 };
        let next = resumed.places.get("t/0").map_or(0, |place| place.offset_next);
        let mut intake = Intake::new(&dataflow, &[partition], &[(0, next)], resumed, share);
        intake.begin_epoch(EpochHorizons { intervals: vec![Nanos::MIN; 2], ..EpochHorizons::default() });
        intake.tell_clock(NOW);
        Live { intake, next }
    }

    fn batch(&mut self, ticks: &[(Nanos, Option<Nanos>, bool)]) -> Batch {
        let mut batch = Batch::of(0);
        if self.next == 0 {
            batch.instruments = vec![Instrument::new("X", "A", None)];
        }
        for (at, received_at, witnessed) in ticks {
            let tick = Tick {
                received_at: *received_at,
                witnessed: *witnessed,
                price: Some(Price(1)),
                quantity: Some(Quantity(1)),
                ..Tick::new(TickKind::Trade, InstrumentId(0), self.next, *at)
            };
            batch.push(tick, b"");
            self.next += 1;
        }
        (batch.records, batch.offset_next) = (ticks.len() as u64, self.next);
        batch
    }

    fn take(&mut self, ticks: &[(Nanos, Option<Nanos>, bool)]) -> Vec<(i64, &'static str)> {
        let batch = self.batch(ticks);
        let taken = self.intake.take(batch, Instant::now());
        taken.quarantine.iter().map(|row| (row.offset, row.reason)).collect()
    }
}

/// Records without a witness.
fn plain<const N: usize>(times: [Nanos; N]) -> [(Nanos, Option<Nanos>, bool); N] {
    times.map(|at| (at, None, false))
}

#[test]
fn a_first_record_of_now_is_believed_at_once_and_again_where_there_is_no_clock() {
    let mut live = Live::new(&[], &Binding::default());
    let times = [NOW - SECOND, NOW + 731 * DAY, NOW + 61 * SECOND, NOW, NOW + 59 * SECOND];
    let refused = [(1, "future_time"), (2, "future_time")];
    assert_eq!(live.take(&plain(times)), refused);
    let counts = live.intake.counts();
    assert_eq!((counts.accepted, counts.pending), (3, 0), "three records of now make bars");
    let places = live.intake.end_epoch(1).places;
    assert!(places["t/0"].clock.iter().any(|fact| fact.first) && places["t/0"].clock.len() == 2, "{places:?}");

    let mut again = Live::new(&["source.until=\"end\""], &Binding::default());
    again.intake.tell_clock(NOW + 10_000 * DAY);
    again.intake.recall(&places);
    assert_eq!(again.take(&plain(times)), refused);
    assert_eq!(again.intake.counts(), counts);

    // a record of long ago waits for others, and so does a current one where our clock is no witness
    for (settings, at) in [(&[][..], NOW - 8 * DAY), (&["source.clock=\"none\""][..], NOW)] {
        let mut live = Live::new(settings, &Binding::default());
        assert_eq!(live.take(&plain([at])), []);
        assert_eq!(live.intake.counts().pending, 1);
    }
}

#[test]
fn a_producers_receipt_refutes_nothing_and_moves_nothing_and_a_witness_does() {
    let long_ago = NOW - 400 * DAY;
    // CreateTime of today on a recording of last year; and one record two years ahead with a receipt to match
    let records = |witnessed: bool| -> Vec<(Nanos, Option<Nanos>, bool)> {
        let of = |second: i64| (long_ago + second * SECOND, Some(NOW), witnessed);
        let mut all: Vec<_> = (0..8).map(of).collect();
        all.insert(4, (NOW + 731 * DAY, Some(NOW + 731 * DAY), witnessed));
        all
    };
    let mut live = Live::new(&["source.until=\"end\""], &Binding::default());
    assert_eq!(live.take(&records(false)), []);
    let counts = live.intake.counts();
    assert_eq!((counts.accepted, counts.pending), (8, 1), "the one that is ahead waits, and moves nothing");
    let progress = &live.intake.progress(Instant::now())[0];
    assert_eq!(progress.running, Some(long_ago + 4 * SECOND));

    // a broker that took it then confirms that itself: its receipt is a witness
    let mut vouched = Live::new(&["source.until=\"end\""], &Binding::default());
    let ahead = (NOW + 61 * SECOND, Some(NOW), true);
    assert_eq!(vouched.take(&[(NOW, Some(NOW), true), ahead, (NOW + SECOND, Some(NOW), true)]), [(1, "future_time")]);
    assert_eq!(vouched.intake.counts().accepted, 2, "and nothing has to wait for others");
}

#[test]
fn notices_move_a_partition_without_ticks_by_a_witness_alone_and_for_closing_alone() {
    for (witnessed, ticked, moves) in [(true, false, true), (false, false, false), (true, true, false)] {
        let mut live = Live::new(&["source.until=\"end\""], &Binding::default());
        if ticked {
            live.take(&plain([NOW - 40 * DAY; 1]));
            live.take(&[(NOW - 40 * DAY, Some(NOW - 40 * DAY), true)]);
        }
        let mut batch = live.batch(&[(NOW, Some(NOW), witnessed)]);
        batch.ticks[0].kind = TickKind::Notice;
        live.intake.take(batch, Instant::now());
        let progress = &live.intake.progress(Instant::now())[0];
        assert_eq!(progress.event_at_max == Some(NOW - 60 * SECOND), moves, "{witnessed} {ticked}: {progress:?}");
        assert_eq!(progress.running, None, "ticks decide lateness");
    }
}

#[test]
fn where_receipts_turn_an_epoch_ends_and_one_that_always_turns_has_no_witness() {
    let mut live = Live::new(&["source.until=\"end\""], &Binding::default());
    let vouched = (NOW, Some(NOW), true);
    let batch = live.batch(&[vouched, vouched, (NOW, Some(NOW), false), vouched]);
    assert_eq!(live.intake.turns_at(&batch), Some(2), "inside of a batch");
    live.next = 0;
    live.take(&[vouched]);
    let batch = live.batch(&[(NOW, Some(NOW), false)]);
    assert_eq!(live.intake.turns_at(&batch), Some(1), "between two");
    live.next = 1;
    let places = live.intake.end_epoch(1).places;
    assert!(places["t/0"].witnessed);
    assert_eq!(live.intake.turns_at(&batch), None, "in the next epoch it begins");
    for epoch in 2..40 {
        live.take(&[(NOW, Some(NOW), epoch % 2 == 0)]);
        live.intake.end_epoch(epoch);
    }
    live.take(&[vouched]);
    assert!(!live.intake.end_epoch(40).places["t/0"].witnessed);
}

#[test]
fn what_waits_at_the_end_and_is_ahead_of_our_clock_is_refused_again_without_one() {
    let mut live = Live::new(&["source.until=\"end\""], &Binding::default());
    let times = [NOW - 5 * SECOND, NOW - 4 * SECOND, NOW - 3 * SECOND, NOW - 2 * SECOND, NOW + 731 * DAY];
    assert_eq!(live.take(&plain(times)), []);
    let reasons = |taken: Vec<BatchOutcome>| -> Vec<&'static str> {
        taken.iter().flat_map(|taken| taken.quarantine.iter().map(|row| row.reason)).collect()
    };
    assert_eq!(reasons(live.intake.flush()), ["future_time"]);
    let places = live.intake.end_epoch(1).places;
    let mut again = Live::new(&["source.until=\"end\""], &Binding::default());
    again.intake.tell_clock(NOW + 10_000 * DAY);
    again.intake.recall(&places);
    again.take(&plain(times));
    assert_eq!(reasons(again.intake.flush()), ["future_time"]);
    // before our clock it is history, and moves no time
    let mut later = Live::new(&["source.until=\"end\""], &Binding::default());
    later.intake.tell_clock(NOW + 10_000 * DAY);
    later.take(&plain(times));
    assert_eq!(reasons(later.intake.flush()), Vec::<&str>::new());
    let progress = &later.intake.progress(Instant::now())[0];
    assert_eq!((progress.event_at_max, progress.lone_max), (Some(NOW - 2 * SECOND), Some(NOW + 731 * DAY)));
}
