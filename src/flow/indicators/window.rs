//! The last n values of something, inside a state: how many were seen (at most n), then the values, oldest first.
//!
//! Why values are shifted and sums made anew at every bar: a ring needs an index and a running sum keeps the rounding of all
//! that went through it, and both would remember a bar after it has left the window (see the module above).

/// How many doubles a window of `period` values takes.
pub(super) const fn width(period: usize) -> usize {
    1 + period
}

/// Takes a value; the window from its nth value on. `state` is [`width`] doubles.
pub(super) fn push(state: &mut [f64], value: f64) -> Option<&[f64]> {
    let (seen, window) = state.split_first_mut()?;
    let last = window.len() - 1;
    window.copy_within(1.., 0);
    window[last] = value;
    if *seen < window.len() as f64 {
        *seen += 1.0;
    }
    (*seen == window.len() as f64).then_some(window)
}

/// The mean, summed oldest first.
pub(super) fn mean(window: &[f64]) -> f64 {
    window.iter().sum::<f64>() / window.len() as f64
}

pub(super) fn highest(window: &[f64]) -> f64 {
    window.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

pub(super) fn lowest(window: &[f64]) -> f64 {
    window.iter().copied().fold(f64::INFINITY, f64::min)
}

/// Whether a difference is nothing but the rounding of numbers of this size: TA-Lib's test for a flat window.
pub(super) fn is_flat(difference: f64, size: f64) -> bool {
    difference.abs() <= 1e-14 * size
}
