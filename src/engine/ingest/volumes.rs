//! Whether the snapshots of this process have a volume at all.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use ticktide_market::Tick;

/// What one worker has seen in its snapshots.
#[derive(Default)]
pub struct Volumes {
    /// A snapshot had neither a volume nor the time of its last trade.
    last_prices: bool,
}

/// Some worker of the process has read a volume; a warning was given.
static VOLUME_TOLD: AtomicBool = AtomicBool::new(false);
static WARNED: Once = Once::new();

impl Volumes {
    #[inline]
    pub fn note(&mut self, tick: &Tick) {
        let Some(snapshot) = &tick.snapshot else { return };
        if snapshot.cumulative_volume.is_some() {
            VOLUME_TOLD.store(true, Ordering::Relaxed);
        } else {
            // an index has the time of its last trade
            self.last_prices |= tick.price.is_some() && snapshot.trade_at.is_none();
        }
    }

    /// Warns once that bars have no volume, and says what would give them one.
    pub fn warn(&self) {
        if self.last_prices && !VOLUME_TOLD.load(Ordering::Relaxed) {
            WARNED.call_once(|| {
                tracing::warn!(
                    "the snapshots have last prices without a volume (XTS code 1512): the bars' volume is null; \
                     subscribe to code 1501 or 1502 and read their topic instead"
                );
            });
        }
    }
}
