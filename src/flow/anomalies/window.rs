//! The last bars of an instrument inside a check's state: how many were seen, then their values, oldest first.
//!
//! Why a check waits: a window of a few bars does not yet know what is ordinary, so it reports nothing before `warm_up`. What
//! must always hold: a window counts no further than its size and keeps nothing of a bar that has left it, so that a
//! correction ends.

use crate::bars::finished::FinishedBar;
use crate::parameters::Parameters;

/// How many bars a check judges by.
pub(super) struct Window {
    pub(super) size: usize,
    warm_up: usize,
}

impl Window {
    /// As the parameters `window` and `warm_up` set it.
    pub(super) fn of(parameters: &Parameters) -> Result<Window, String> {
        let (size, warm_up) = (parameters.count("window"), parameters.count("warm_up"));
        if warm_up > size {
            return Err(format!("warm_up {warm_up} is above window {size}"));
        }
        Ok(Window { size, warm_up })
    }

    /// Whether this many bars are enough to judge the next one.
    pub(super) fn is_warm(&self, seen: f64) -> bool {
        seen as usize >= self.warm_up
    }

    /// The values of the bars seen.
    pub(super) fn filled<'a>(&self, seen: f64, values: &'a [f64]) -> &'a [f64] {
        &values[self.size - seen as usize..]
    }

    /// Puts the newest value in; the oldest goes.
    pub(super) fn push(&self, values: &mut [f64], value: f64) {
        values.copy_within(1.., 0);
        values[self.size - 1] = value;
    }

    /// Counts one more bar.
    pub(super) fn count(&self, seen: &mut f64) {
        *seen = (*seen + 1.0).min(self.size as f64);
    }
}

/// The trading date and the phase of a bar, as a state has them: the phase plus 1, so that a fresh state is in none.
pub(super) fn session(bar: &FinishedBar) -> (f64, f64) {
    (f64::from(bar.head.trading_date), f64::from(bar.head.phase) + 1.0)
}
