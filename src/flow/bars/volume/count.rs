//! What a bar of snapshots adds to its day's count.
//!
//! ```text
//!   count of the day    0        500      1000        3        8       30
//!   bars                ├─ +500 ─┼─ +500 ─┼── falls ──┼─ below again: the day goes on from 3, +5, partial ─┼─ +22 ─┤
//! ```
//!
//! Why by bars: the sum of a bar has its first, its greatest and its last count, and no more. A bar is judged by its last
//! count, so a wrong count in the middle of it adds nothing. Why a fall waits for the next bar: the time of the last trade
//! steps back, so a bar may end below an earlier one that was filled later; after a vendor's reset the count stays low. So a
//! bar that ends below the day's count adds nothing. If the next one with a count ends below it, too, the day goes on from the
//! fallen count, and that bar is `partial`: what was traded around the reset was not seen. Otherwise the fall is dropped, and
//! what follows is compared with the count before it. A fall by more than half makes its own bar `partial`, too.
//!
//! Why yesterday's count is ignored: before a day's first trade many feeds repeat the whole volume of the day before. A count
//! equal to it in the first snapshots of a day adds nothing, and the day begins at 0.
//!
//! What must always hold: no bar adds a negative volume; what a bar adds does not depend on the bars after it.

use super::SnapshotBar;
use serde::{Deserialize, Serialize};
use ticktide_base::rules::Rules;

/// What is known of a day's counts apart from the one that the next bar is compared with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    /// The last count of the day's last bar that has one.
    ended: Option<i128>,
    /// The last count of the day before, until this day has one of its own.
    yesterday: Option<i128>,
    /// The last count of the bar before, if it was below the day's count.
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

    /// What a bar adds to the day's count, `None` if the bar has no count; and whether that is `partial`.
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
    // without a volume there is no baseline either: the first bar with a volume lacks one
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
