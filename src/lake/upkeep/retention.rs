//! Which epochs stay readable: a pure function of the log's own cuts.
//!
//! ```text
//!   day ─ … ─ day ─ hour ─ hour ─ … ─ hour ─┬─ every epoch ─ … ─ newest
//!    the last epoch of each                since
//! ```
//!
//! Why by cuts and not by a clock: two processes that read the same log must keep the same epochs, and a lake that nothing
//! was written to for a month must not lose its last hour. Why not by a calendar's sessions: the only known time of an epoch
//! is its cut. A day of UTC takes the role of a session, and every session with epochs has one that is the last of its day.
//!
//! What must hold: an expired epoch never comes back (the epochs kept next are a subset of those kept now); the newest epoch
//! always stays; a retention is in the log before anything that it expires is touched.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use ticktide_base::epoch::Epoch;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// How much of the past stays. Spans are counted back from the newest cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Every epoch of this span, in milliseconds …
    pub all_ms: i64,
    /// … but at most this many: one hour of epochs of 10 s. Shorter epochs would fill the metadata.
    pub all: usize,
    /// Before them, the last epoch of each interval of `hour_ms`, for `hourly_ms` back from the newest cut.
    pub hour_ms: i64,
    pub hourly_ms: i64,
    /// The last epoch of each of this many days of UTC that have epochs.
    pub days: usize,
}

impl Default for Keep {
    fn default() -> Keep {
        Keep { all_ms: HOUR_MS, all: 360, hour_ms: HOUR_MS, hourly_ms: 7 * DAY_MS, days: 400 }
    }
}

/// What stays readable according to the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// Every epoch from here on.
    pub since: Epoch,
    /// The epochs before `since` that stay, the oldest first, with their cuts.
    pub kept: Vec<(Epoch, i64)>,
}

impl Retention {
    /// Whether an epoch stays readable.
    pub fn keeps(&self, epoch: Epoch) -> bool {
        epoch >= self.since || self.kept.binary_search_by_key(&epoch, |(kept, _)| *kept).is_ok()
    }

    /// The first epoch from `from` on and before `to` that stays; all of these share a table's snapshot.
    pub fn first_in(&self, from: Epoch, to: Epoch) -> Option<Epoch> {
        let at = self.kept.partition_point(|(kept, _)| *kept < from);
        let first = self.kept.get(at).map_or(self.since.max(from), |(kept, _)| *kept);
        (first < to).then_some(first)
    }

    /// The epochs of `kept` from `from` on and before `to`.
    pub fn kept_in(&self, from: Epoch, to: Epoch) -> impl Iterator<Item = Epoch> {
        let (first, last) =
            (self.kept.partition_point(|kept| kept.0 < from), self.kept.partition_point(|kept| kept.0 < to));
        self.kept.get(first..last).unwrap_or_default().iter().map(|(epoch, _)| *epoch)
    }
}

/// What stays after the last of `cuts`: every epoch from `before.since` on with its cut, the oldest first.
pub fn retain(before: &Retention, cuts: &[(Epoch, i64)], keep: &Keep) -> Retention {
    let Some((_, now)) = cuts.last().copied() else { return before.clone() };
    let dense = dense_from(cuts, keep);
    let since = cuts[dense].0;
    let known = before.kept.iter().chain(cuts);
    let (mut hours, mut days) = (BTreeMap::new(), BTreeMap::new());
    for (epoch, cut) in known {
        // in ascending order: the last epoch of each interval remains
        hours.insert(cut.div_euclid(keep.hour_ms.max(1)), (*epoch, *cut));
        days.insert(cut.div_euclid(DAY_MS), (*epoch, *cut));
    }
    let hours = hours.into_values().filter(|(_, cut)| *cut > now.saturating_sub(keep.hourly_ms));
    let days = days.into_values().rev().take(keep.days);
    let kept: BTreeMap<Epoch, i64> = hours.chain(days).filter(|(epoch, _)| *epoch < since).collect();
    Retention { since, kept: kept.into_iter().collect() }
}

/// The index in `cuts` from which on every epoch stays; `cuts` is not empty.
fn dense_from(cuts: &[(Epoch, i64)], keep: &Keep) -> usize {
    let last = cuts.len() - 1;
    let from = cuts[last].1.saturating_sub(keep.all_ms);
    let by_time = cuts.partition_point(|(_, cut)| *cut <= from);
    by_time.max(cuts.len().saturating_sub(keep.all)).min(last)
}

/// The number of epochs of `cuts` that would leave the range in which every epoch stays.
pub fn leaving(cuts: &[(Epoch, i64)], keep: &Keep) -> usize {
    if cuts.is_empty() { 0 } else { dense_from(cuts, keep) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// A midnight of UTC.
    const DAY0: i64 = 20_000 * DAY_MS;

    /// Retains like a run that checks every `batch` epochs.
    fn run(cuts: &[(Epoch, i64)], keep: &Keep, batch: usize) -> Vec<Retention> {
        let mut all = vec![Retention::default()];
        for end in 1..=cuts.len() {
            let last = all.last().expect("one at least");
            let known = &cuts[last.since as usize..end];
            if leaving(known, keep) >= batch {
                let next = retain(last, known, keep);
                all.push(next);
            }
        }
        all
    }

    #[test]
    fn all_of_the_last_hour_stay_then_one_an_hour_for_a_week_then_one_a_day() {
        // an epoch a minute for thirty days
        let cuts: Vec<_> = (0..30 * 24 * 60).map(|minute| (minute as Epoch, DAY0 + minute * MINUTE_MS)).collect();
        let last = run(&cuts, &Keep::default(), 1).pop().expect("retentions");
        let now = cuts.last().expect("epochs").1;
        let expected: BTreeSet<Epoch> = cuts
            .iter()
            .filter(|(_, cut)| {
                let (hour, day) = ((cut / MINUTE_MS) % 60 == 59, (cut / MINUTE_MS) % (24 * 60) == 24 * 60 - 1);
                *cut > now - HOUR_MS || (hour && *cut > now - 7 * DAY_MS) || day
            })
            .map(|(epoch, _)| *epoch)
            .collect();
        let found: BTreeSet<Epoch> = cuts.iter().map(|cut| cut.0).filter(|epoch| last.keeps(*epoch)).collect();
        assert_eq!(found, expected);
        assert_eq!(found.len(), 60 + 7 * 24 - 1 + 30 - 7);
    }

    #[test]
    fn what_has_left_never_comes_back_however_often_one_looks() {
        // irregular: bursts, nights without an epoch, a month of silence
        let mut at = DAY0;
        let cuts: Vec<(Epoch, i64)> = (0..4_000u64)
            .map(|epoch| {
                at += match epoch % 997 {
                    0 => 31 * DAY_MS,
                    remainder if remainder % 101 == 0 => 9 * HOUR_MS,
                    remainder => 1 + (remainder as i64 * 7_919) % 40_000,
                };
                (epoch, at)
            })
            .collect();
        for batch in [1, 7, 50] {
            let retentions = run(&cuts, &Keep::default(), batch);
            assert!(retentions.len() > 10, "batch {batch}");
            for pair in retentions.windows(2) {
                assert!(pair[1].since >= pair[0].since);
                let back = pair[1].kept.iter().find(|(epoch, _)| !pair[0].keeps(*epoch));
                assert_eq!(back, None, "batch {batch}: an epoch came back");
            }
            let last = retentions.last().expect("retentions");
            assert!(last.keeps(3_999) && last.kept.len() < 600, "{}", last.kept.len());
        }
    }

    #[test]
    fn a_silent_month_takes_nothing_and_the_newest_epoch_stays_alone() {
        let keep = Keep { all: 1, all_ms: 0, ..Keep::default() };
        assert_eq!(retain(&Retention::default(), &[(0, DAY0)], &keep), Retention::default());
        let cuts = [(0, DAY0), (1, DAY0 + 1), (2, DAY0 + 31 * DAY_MS)];
        let kept = retain(&Retention::default(), &cuts, &keep);
        assert_eq!((kept.since, kept.kept.as_slice()), (2, &[(1, DAY0 + 1)][..]), "the last epoch of its day");
    }

    #[test]
    fn epochs_that_share_a_snapshot_keep_it_as_long_as_one_of_them_stays() {
        let retention = Retention { since: 100, kept: vec![(10, 0), (50, 0)] };
        assert_eq!(retention.first_in(0, 10), None);
        assert_eq!(retention.first_in(5, 11), Some(10));
        assert_eq!(retention.first_in(11, 100), Some(50));
        assert_eq!(retention.first_in(51, 100), None);
        assert_eq!(retention.first_in(51, 101), Some(100));
        assert_eq!(retention.first_in(200, 300), Some(200));
        assert_eq!(retention.kept_in(10, 51).collect::<Vec<_>>(), [10, 50]);
        assert!(retention.keeps(10) && !retention.keeps(11) && retention.keeps(100));
    }
}
