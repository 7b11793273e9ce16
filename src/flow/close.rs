//! Holds rows back until their bar is closed, and nets the changes: one per key and epoch.
//!
//! Why: a bar changes many times before its end, and a table takes it once. After publication each epoch writes at most
//! one correction per key, however many steps made it. What must always hold: summing the net changes up to an epoch gives
//! exactly the rows that the epoch's binding publishes, and a restored row that was published before is not published again.

use crate::bars::bucket;
use crate::bars::finished::{Headed, NamedRow, Series};
use crate::scan::Position;
use differential_dataflow::consolidation::consolidate;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;
use ticktide_base::epoch::Binding;
use ticktide_base::time::{DAY, Nanos};
use ticktide_market::calendar::{Phases, Session};

/// A row that belongs to a bar.
pub trait AtBar: Clone + Ord + 'static {
    /// The row's name inside its series; at most one live row has it.
    type Key: Clone + Ord + Hash;

    fn key(&self) -> Self::Key;
    /// The start of the bar that it is published with.
    fn open_at(&self) -> Nanos;
    /// The instrument's symbol on the wire.
    fn symbol(&self) -> Option<&str>;
    /// Its trading date; without one, the date of its start.
    fn trading_date(&self) -> i32 {
        i32::try_from(self.open_at().div_euclid(DAY)).unwrap_or(0)
    }
}

impl<R: Headed> AtBar for R {
    type Key = Position;

    #[inline]
    fn key(&self) -> Position {
        self.head().position()
    }

    #[inline]
    fn open_at(&self) -> Nanos {
        self.head().open_at
    }

    #[inline]
    fn symbol(&self) -> Option<&str> {
        Headed::symbol(self)
    }

    #[inline]
    fn trading_date(&self) -> i32 {
        self.head().trading_date
    }
}

impl<R: AtBar> AtBar for NamedRow<R> {
    type Key = R::Key;

    /// The master's symbol; without one, the wire's.
    fn symbol(&self) -> Option<&str> {
        self.symbol.as_deref().or(self.row.symbol())
    }

    fn key(&self) -> R::Key {
        self.row.key()
    }

    fn open_at(&self) -> Nanos {
        self.row.open_at()
    }

    fn trading_date(&self) -> i32 {
        self.row.trading_date()
    }
}

/// One key's net change in an epoch; at least one side is set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowChange<R> {
    pub series: Series,
    pub old: Option<R>,
    pub new: Option<R>,
}

impl<R> RowChange<R> {
    /// The same change, of rows that no master names.
    pub fn unnamed(self) -> RowChange<NamedRow<R>> {
        let [old, new] = [self.old, self.new].map(|side| side.map(|row| NamedRow { row, symbol: None }));
        RowChange { series: self.series, old, new }
    }
}

/// The rows of one worker that wait for their bar's end, and the changes of epochs that are not complete.
pub struct Close<R: AtBar> {
    session: Arc<Session>,
    phases: Phases,
    published: Binding,
    /// The live rows that are not published, and no others.
    held: HashMap<(Series, R::Key), R, ahash::RandomState>,
    /// Changes from a restored state, of rows that are not published.
    restored: Vec<((Series, R), isize)>,
    changes: BTreeMap<u64, (Vec<((Series, R), isize)>, usize)>,
}

impl<R: AtBar> Close<R> {
    /// `published`: the binding up to which an earlier run has published.
    pub fn new(session: Arc<Session>, published: Binding) -> Close<R> {
        let (phases, held, restored, changes) = Default::default();
        Close { session, phases, published, held, restored, changes }
    }

    /// Takes a change from a restored state: the row that remains is held if it is not published yet.
    pub fn restore(&mut self, series: Series, row: R, diff: isize) {
        if !self.is_due(&series, &row) {
            self.restored.push(((series, row), diff));
        }
    }

    /// Takes a change of the epoch.
    pub fn change(&mut self, epoch: u64, series: Series, row: R, diff: isize) {
        let (changes, consolidated) = self.changes.entry(epoch).or_default();
        changes.push(((series, row), diff));
        // an open bar changes each step: fold now and then, or an epoch holds every step's copy
        if changes.len() > 4_096 + 2 * *consolidated {
            consolidate(changes);
            *consolidated = changes.len();
        }
    }

    /// The epoch is complete: returns what it publishes, by key. Rows that it leaves open are held.
    pub fn close(&mut self, binding: &Binding) -> Vec<RowChange<R>> {
        let mut restored = std::mem::take(&mut self.restored);
        consolidate(&mut restored);
        self.held.extend(restored.into_iter().map(|((series, row), _)| ((series, row.key()), row)));
        let (mut changes, _) = self.changes.remove(&binding.epoch).unwrap_or_default();
        consolidate(&mut changes);
        // a key's old and new row may belong to two bars: another bar may report the anomaly now
        let mut by_key: BTreeMap<(Series, R::Key), (Option<R>, Option<R>)> = BTreeMap::new();
        for ((series, row), diff) in changes {
            let sides = by_key.entry((series, row.key())).or_default();
            let side = if diff < 0 { &mut sides.0 } else { &mut sides.1 };
            assert!(side.is_none() && diff.abs() == 1, "one live row per key");
            *side = Some(row);
        }
        self.published = binding.clone();
        let mut net = Vec::new();
        for (key, (old, new)) in by_key {
            let was_held = self.held.remove(&key).is_some();
            debug_assert!(!was_held || old.is_some(), "one live row per key");
            let old = old.filter(|_| !was_held);
            match (old, new) {
                (old, Some(row)) if old.is_none() || !self.is_due(&key.0, &row) => {
                    net.extend(old.map(|old| RowChange { series: key.0.clone(), old: Some(old), new: None }));
                    self.held.insert(key, row);
                }
                (None, None) => {}
                (old, new) => net.push(RowChange { series: key.0, old, new }),
            }
        }
        let mut due = Vec::new();
        for (key, row) in &self.held {
            let (session, phases) = (&self.session, &mut self.phases);
            if binding.publishes(row.open_at(), end_at(session, phases, &key.0, row)) {
                due.push(key.clone());
            }
        }
        due.sort_unstable();
        for key in due {
            if let Some(new) = self.held.remove(&key) {
                net.push(RowChange { series: key.0, old: None, new: Some(new) });
            }
        }
        net
    }

    /// Whether the newest binding publishes the row's bar.
    fn is_due(&mut self, series: &Series, row: &R) -> bool {
        self.published.publishes(row.open_at(), end_at(&self.session, &mut self.phases, series, row))
    }
}

/// The end of a row's bar: one interval after its start, or the end of its phase if that is earlier.
fn end_at<R: AtBar>(session: &Session, phases: &mut Phases, series: &Series, row: &R) -> Nanos {
    let open_at = row.open_at();
    let phase = phases.at(session, session.class_of(&series.1), open_at);
    phase.map_or(open_at + series.0.0, |phase| bucket(&phase, series.0, open_at).1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anomalies::{Anomaly, Severity};
    use crate::bars::finished::{BarHead, FinishedBar};
    use ticktide_base::time::{Interval, MINUTE};
    use ticktide_market::Instrument;

    fn bar(open_at: Nanos, close: i64) -> FinishedBar {
        FinishedBar {
            head: BarHead { open_at, phase: 0, trading_date: 0 },
            open: 1,
            high: 9,
            low: 1,
            close,
            volume: Some(1),
            turnover: Some(1),
            trades: Some(1),
            updates: 1,
            open_interest: None,
            ..FinishedBar::default()
        }
    }

    fn closing(epoch: u64, closed_until: Nanos) -> Binding {
        Binding { epoch, closed_until: Some(closed_until), ..Binding::default() }
    }

    fn fixture() -> (Close<FinishedBar>, Series) {
        let session = Arc::new(Session::preset("utc-day").expect("a preset"));
        (Close::new(session, Binding::default()), (Interval(MINUTE), Instrument::new("V", "S", None)))
    }

    #[test]
    fn a_bar_is_published_once_at_its_end_and_corrected_once_an_epoch() {
        let (mut close, series) = fixture();
        close.change(1, series.clone(), bar(0, 5), 1);
        assert!(close.close(&closing(1, MINUTE - 1)).is_empty(), "not closed yet");
        close.change(2, series.clone(), bar(0, 5), -1);
        close.change(2, series.clone(), bar(0, 6), 1);
        let net = close.close(&closing(2, MINUTE));
        assert_eq!(net, [RowChange { series: series.clone(), old: None, new: Some(bar(0, 6)) }]);
        for close_price in [7, 8] {
            close.change(3, series.clone(), bar(0, close_price - 1), -1);
            close.change(3, series.clone(), bar(0, close_price), 1);
        }
        let net = close.close(&closing(3, 2 * MINUTE));
        assert_eq!(net, [RowChange { series: series.clone(), old: Some(bar(0, 6)), new: Some(bar(0, 8)) }]);
        close.change(4, series.clone(), bar(0, 8), -1);
        let net = close.close(&closing(4, 2 * MINUTE));
        assert_eq!(net, [RowChange { series, old: Some(bar(0, 8)), new: None }]);
    }

    #[test]
    fn changes_that_cancel_out_inside_an_epoch_publish_nothing() {
        let (mut close, series) = fixture();
        close.change(1, series.clone(), bar(0, 5), 1);
        close.close(&closing(1, MINUTE));
        close.change(2, series.clone(), bar(0, 5), -1);
        close.change(2, series.clone(), bar(0, 5), 1);
        assert!(close.close(&closing(2, MINUTE)).is_empty());
    }

    #[test]
    fn a_restored_row_is_not_published_twice_and_an_open_one_not_lost() {
        let (_, series) = fixture();
        let session = Arc::new(Session::preset("utc-day").expect("a preset"));
        let mut close = Close::new(session, closing(7, MINUTE));
        close.restore(series.clone(), bar(0, 5), 1);
        close.restore(series.clone(), bar(MINUTE, 6), 1);
        let net = close.close(&closing(8, 2 * MINUTE));
        assert_eq!(net, [RowChange { series, old: None, new: Some(bar(MINUTE, 6)) }]);
    }

    #[test]
    fn a_row_that_another_bar_says_now_is_one_change_or_waits_for_that_bar() {
        let session = Arc::new(Session::preset("utc-day").expect("a preset"));
        let series: Series = (Interval(MINUTE), Instrument::new("V", "S", None));
        // a silence from 0 to the bar at a minute
        let until = |minute: i64| Anomaly {
            open_at: minute * MINUTE,
            phase: 0,
            check: 0,
            started_at: 0,
            ended_at: minute * MINUTE,
            severity: Severity::Warning,
            observed: 0,
            expected: 0,
            seen: None,
            symbol: None,
        };
        let change = |old: Option<i64>, new: Option<i64>| {
            vec![RowChange { series: series.clone(), old: old.map(until), new: new.map(until) }]
        };
        let mut close = Close::new(session, Binding::default());
        close.change(1, series.clone(), until(5), 1);
        assert_eq!(close.close(&closing(1, 8 * MINUTE)), change(None, Some(5)));
        // a late bar ends it sooner: its bar is closed, too
        close.change(2, series.clone(), until(5), -1);
        close.change(2, series.clone(), until(4), 1);
        assert_eq!(close.close(&closing(2, 8 * MINUTE)), change(Some(5), Some(4)));
        // that bar is cancelled, and the next one is still open
        close.change(3, series.clone(), until(4), -1);
        close.change(3, series.clone(), until(9), 1);
        assert_eq!(close.close(&closing(3, 8 * MINUTE)), change(Some(4), None));
        // while it waits it may change without a trace
        close.change(4, series.clone(), until(9), -1);
        close.change(4, series.clone(), until(10), 1);
        assert!(close.close(&closing(4, 9 * MINUTE)).is_empty());
        assert_eq!(close.close(&closing(5, 11 * MINUTE)), change(None, Some(10)));
    }
}
