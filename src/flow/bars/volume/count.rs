//! What a bar of snapshots adds to its day's count.
//!
//! ```text
//!   count of the day    0        500      1000        3        8       30
//!   bars                ├─ +500 ─┼─ +500 ─┼── falls ──┼─ below again: the day goes on from 3, +5, partial ─┼─ +22 ─┤
//! ```
//!
//! Why by bars: the sum of a bar has its first, its greatest and its last count, and no more. A bar goes by its last count, so that
//! a wrong count in the middle of it adds nothing. Why a fall waits for the next bar: the time of the last trade steps back, so
//! that a bar may end below one that lies before it and was filled later; a vendor's reset stays. So a bar that ends below the
//! day's count adds nothing. If the next one that tells a count ends below it, too, the day goes on from the fallen count, and
//! that bar is `partial`: what was traded around the reset was not seen. Else the fall is dropped, and what follows is held
//! against the count of before it. A fall by more than half makes its own bar `partial`, too.
//!
//! Why yesterday's count is none: before a day's first trade many feeds repeat the whole volume of the day before. What equals
//! it at the first snapshots of a day adds nothing, and the day begins at 0.
//!
//! What must always hold: nothing that is added is negative; what a bar adds does not depend on the bars behind it.

use super::SnapshotBar;
use serde::{Deserialize, Serialize};
use ticktide_base::rules::Rules;

/// What is known of a day's counts besides the one that the next bar is held against.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    /// As the last bar of the day that tells one ends.
    ended: Option<i128>,
    /// The last count of the day before, until this day has one of its own.
    yesterday: Option<i128>,
    /// As the bar before ended, if that was below the count of the day.
    fallen: Option<i128>,
}

impl Counts {
    /// What the next day knows of this one, whose count is `counted`.
    pub(super) fn of_next_day(&self, rules: Rules, counted: Option<i128>) -> Counts {
        match rules {
            Rules::First => Counts::default(),
            Rules::Second => Counts { yesterday: self.ended.or(self.yesterday).or(counted), ..Counts::default() },
        }
    }

    /// What a bar adds to the day's count, `None` if it tells none; and whether that is `partial`.
    pub(super) fn take(&mut self, counted: &mut Option<i128>, bar: &SnapshotBar) -> (Option<i128>, bool) {
        let Some(last) = bar.cumulative_last.or(bar.cumulative_greatest) else { return (None, false) };
        let stale = self.yesterday.is_some() && bar.cumulative_first == self.yesterday;
        if stale {
            *counted = Some(0);
            if self.yesterday == Some(last) {
                return (Some(0), false);
            }
        }
        self.yesterday = None;
        self.ended = Some(last);
        let mut partial = counted.is_none() || (!stale && fell(bar.cumulative_greatest.unwrap_or(last), last));
        let before = counted.or(bar.cumulative_first).unwrap_or(last);
        let fallen = self.fallen.take();
        let from = match fallen {
            Some(fallen) if last < before => {
                partial = true;
                fallen
            }
            _ => {
                partial |= fell(before, last);
                before
            }
        };
        if last < from {
            self.fallen = Some(last);
        }
        *counted = Some(from.max(last));
        (Some((last - from).max(0)), partial)
    }
}

/// The first rules: what a bar's greatest count adds to the greatest of all bars before it. After a fall nothing is added until
/// the count passes its old greatest.
pub(super) fn by_greatest(counted: &mut Option<i128>, bar: &SnapshotBar) -> (Option<i128>, bool) {
    let Some(greatest) = bar.cumulative_greatest else { return (None, false) };
    // without a volume there is nothing that a baseline would tell: the first bar with one lacks it
    let mut partial = counted.is_none();
    let before = counted.or(bar.cumulative_first).unwrap_or(greatest);
    partial |= fell(before, greatest) || bar.cumulative_last.is_some_and(|last| fell(greatest, last));
    *counted = Some(before.max(greatest));
    (Some((greatest - before).max(0)), partial)
}

/// Whether a count fell as only a vendor's reset does: by more than half.
fn fell(from: i128, to: i128) -> bool {
    to < from / 2
}
