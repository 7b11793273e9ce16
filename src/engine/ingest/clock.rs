//! What our clock says about a partition's records while they are read live, and what a replay uses instead.
//!
//! Why recorded: a record that our clock refutes is refused for good, so a replay of the epoch must refuse it, too, and has no
//! such clock. What must always hold: the facts of an epoch give each of its records the verdict that it got, and are as few
//! as possible.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use ticktide_base::epoch::ClockFact;
use ticktide_base::error::Error;
use ticktide_base::time::{MINUTE, Nanos};
use ticktide_flow::clean::CleanSpec;

/// Our clock at the time when records are taken.
#[derive(Clone, Copy, Debug)]
pub struct OurClock {
    pub now: Nanos,
    /// Records are read as they are made, so our clock refutes what is ahead of it.
    pub live: bool,
}

impl OurClock {
    fn limit(&self) -> Nanos {
        self.now.saturating_add(CleanSpec::AHEAD_MAX)
    }
}

/// More facts than these end the epoch.
const FACTS_MOST: usize = 1_000;

/// The facts of one partition in the current epoch.
#[derive(Default)]
pub(super) struct ClockBook {
    /// In a replay: the recorded facts. It has no clock.
    recorded: Option<Vec<ClockFact>>,
    facts: Vec<ClockFact>,
    /// Since the last limit: the greatest time believed and the least refuted.
    open: Option<(Nanos, Nanos)>,
    /// Judged by our clock since the last call of `judged`: believed, refuted, and the furthest ahead.
    judged: (u32, u32, Nanos),
}

impl ClockBook {
    /// The next epoch of a replay begins, with these facts.
    pub(super) fn recall(&mut self, facts: Vec<ClockFact>) {
        self.recorded = Some(facts);
    }

    /// Whether this is the book of a replay.
    pub(super) fn is_recalled(&self) -> bool {
        self.recorded.is_some()
    }

    /// Whether a time is ahead of our clock.
    #[inline]
    pub(super) fn refutes(&mut self, offset: i64, at: Nanos, clock: &OurClock) -> bool {
        if let Some(recorded) = &self.recorded {
            let fact = recorded.iter().rev().find(|fact| !fact.first && fact.from <= offset);
            return fact.is_some_and(|fact| at > fact.limit);
        }
        if !clock.live {
            return false;
        }
        let refuted = at > clock.limit();
        self.judged.0 += u32::from(!refuted);
        self.judged.1 += u32::from(refuted);
        self.judged.2 = self.judged.2.max(at.saturating_sub(clock.now));
        self.note(offset, at, refuted);
        refuted
    }

    /// Whether a partition's first record is believed at once: its time is now.
    pub(super) fn believes_first(&mut self, offset: i64, at: Nanos, clock: &OurClock, max_jump: Nanos) -> bool {
        if let Some(recorded) = &self.recorded {
            return recorded.iter().any(|fact| fact.first && fact.from == offset);
        }
        let of_now = clock.live && at >= clock.now.saturating_sub(max_jump) && at <= clock.limit();
        if of_now {
            self.facts.push(ClockFact { from: offset, limit: at, first: true });
        }
        of_now
    }

    /// The limit at the end of the partition, at the offset `next`: later times are ahead of our clock.
    pub(super) fn at_end(&self, next: i64, clock: &OurClock) -> Nanos {
        match &self.recorded {
            Some(recorded) => {
                recorded.iter().find(|fact| !fact.first && fact.from == next).map_or(Nanos::MAX, |fact| fact.limit)
            }
            None => clock.limit(),
        }
    }

    /// Records that waited at the partition's end were refused by that limit.
    pub(super) fn refuted_at_end(&mut self, next: i64, limit: Nanos) {
        if self.recorded.is_none() {
            self.facts.push(ClockFact { from: next, limit, first: false });
        }
    }

    fn note(&mut self, offset: i64, at: Nanos, refuted: bool) {
        let limit = |limit| ClockFact { from: offset, limit, first: false };
        match (&mut self.open, refuted) {
            (None, false) => {}
            (Some((believed, least)), false) if at < *least => *believed = at.max(*believed),
            (Some(_), false) => {
                self.facts.push(limit(Nanos::MAX));
                self.open = None;
            }
            (Some((_, least)), true) if at >= *least => {}
            (Some((believed, least)), true) if at > *believed => {
                *least = at;
                if let Some(fact) = self.facts.iter_mut().rev().find(|fact| !fact.first) {
                    fact.limit = at - 1;
                }
            }
            (_, true) => {
                self.facts.push(limit(at - 1));
                self.open = Some((Nanos::MIN, at));
            }
        }
    }

    /// Whether the epoch has as many facts as one may have.
    pub(super) fn is_full(&self) -> bool {
        self.facts.len() >= FACTS_MOST
    }

    /// The facts of the epoch that ends.
    pub(super) fn take(&mut self) -> Vec<ClockFact> {
        self.open = None;
        match self.recorded.take() {
            Some(recorded) => recorded, // a replay recalls each epoch's own
            None => std::mem::take(&mut self.facts),
        }
    }

    /// What our clock has judged since the last call: believed, refuted, and the furthest ahead.
    pub(super) fn judged(&mut self) -> (u32, u32, Nanos) {
        std::mem::take(&mut self.judged)
    }
}

/// Judges our clock itself: if it refutes most records, it is more likely wrong than the feed.
#[derive(Default)]
pub struct Jury(Mutex<Window>);

#[derive(Default)]
struct Window {
    /// Numbers of believed and refuted records, the oldest first.
    heard: VecDeque<(Instant, u32, u32)>,
    believed: u64,
    refuted: u64,
}

/// Records that a verdict on our clock takes …
const RECORDS: u64 = 1_000;
/// … or this many over this time.
const FEWER: u64 = 100;
const FEWER_OVER: Duration = Duration::from_secs(60);

impl Jury {
    pub fn shared() -> Arc<Jury> {
        Arc::default()
    }

    /// Adds records that our clock has judged; it was at most `ahead` behind the feed. Error of kind `Fix`: it has refuted
    /// most of the last ones.
    pub(super) fn hear(&self, now: Instant, (believed, refuted, ahead): (u32, u32, Nanos)) -> Result<(), Error> {
        if believed + refuted == 0 {
            return Ok(());
        }
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        window.heard.push_back((now, believed, refuted));
        window.believed += u64::from(believed);
        window.refuted += u64::from(refuted);
        while let Some((_, believed, refuted)) = window.heard.front().copied() {
            let left = window.believed + window.refuted - u64::from(believed + refuted);
            if left < RECORDS {
                break;
            }
            window.heard.pop_front();
            window.believed -= u64::from(believed);
            window.refuted -= u64::from(refuted);
        }
        let records = window.believed + window.refuted;
        let over = window.heard.front().map_or(Duration::ZERO, |(first, ..)| now.saturating_duration_since(*first));
        let enough = records >= RECORDS || (records >= FEWER && over >= FEWER_OVER);
        if !enough || window.refuted <= window.believed {
            return Ok(());
        }
        let refuted = window.refuted;
        let minutes = (ahead / MINUTE).max(1);
        Err(Error::fix(
            format!(
                "this machine's clock is {minutes} min behind the feed, or the feed is ahead: {refuted} of the last {records} \
                 records are later than now"
            ),
            "set the clock (`timedatectl` shows it), or the feed's time field and zone; `source.clock = \"none\"` takes the feed \
             at its word; nothing of this epoch was committed",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use ticktide_base::time::SECOND;

    proptest! {
        #[test]
        fn the_facts_of_an_epoch_give_each_record_the_verdict_that_it_got(
            records in proptest::collection::vec((0i64..300, 0i64..4), 0..80)
        ) {
            let mut book = ClockBook::default();
            let mut now = 0;
            let verdicts: Vec<bool> = records.iter().zip(0..).map(|((at, passes), offset)| {
                now += passes * SECOND;
                book.refutes(offset, at * SECOND, &OurClock { now, live: true })
            }).collect();
            let facts = book.take();
            prop_assert!(facts.len() <= verdicts.iter().filter(|refuted| **refuted).count() * 2);
            let mut replayed = ClockBook::default();
            replayed.recall(facts);
            let clock = OurClock { now: 0, live: false };
            for (((at, _), verdict), offset) in records.iter().zip(verdicts).zip(0..) {
                prop_assert_eq!(replayed.refutes(offset, at * SECOND, &clock), verdict);
            }
        }
    }

    #[test]
    fn a_producer_that_is_always_ahead_makes_one_fact() {
        let mut book = ClockBook::default();
        for offset in 0..10_000 {
            let clock = OurClock { now: offset * SECOND, live: true };
            let ahead = if offset % 2 == 0 { 120 } else { 0 };
            assert_eq!(book.refutes(offset, clock.now + ahead * SECOND, &clock), ahead > 0);
        }
        assert!(book.take().len() < 200);
    }

    #[test]
    fn a_clock_that_refutes_most_ends_the_run_and_a_few_wild_records_do_not() {
        let now = Instant::now();
        let jury = Jury::default();
        assert!(jury.hear(now, (0, 40, MINUTE)).is_ok(), "too few");
        assert!(jury.hear(now, (900, 40, MINUTE)).is_ok());
        let error = (0..20).find_map(|_| jury.hear(now, (0, 100, 3 * MINUTE)).err()).expect("most are refuted");
        assert!(error.message.contains("3 min behind"), "{error}");
        // a slow feed: a hundred over a minute
        let jury = Jury::default();
        let heard = (0..100).map(|n| jury.hear(now + Duration::from_secs(n), (0, 1, MINUTE)));
        assert_eq!(heard.filter(Result::is_err).count(), 1, "with the hundredth");
        assert!(Jury::default().hear(now, (0, 0, 0)).is_ok());
    }
}
