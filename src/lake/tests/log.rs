//! Where the log ends, however long it is.

use super::doubles::{Faults, State, World};
use crate::commit::log::{last_epochs, last_listed};
use crate::commit::slot::slot_key;
use bytes::Bytes;
use ticktide_base::epoch::Epoch;
use ticktide_base::error::Classified;

/// A log of these epochs, its slots without content.
fn log(epochs: impl Iterator<Item = Epoch>) -> World {
    let objects = epochs.map(|epoch| (slot_key(epoch), Bytes::new())).collect();
    World::at(State { objects, ..State::default() })
}

#[tokio::test]
async fn the_end_of_the_log_is_found_without_listing_all_of_it() {
    for count in [0, 1, 17, 999, 1_000, 1_001, 1_999, 2_000, 3_000, 3_001, 7_999, 8_000, 64_500, 100_000] {
        let world = log(0..count);
        let (store, _) = world.process(&Faults::none());
        world.record();
        let epochs = last_epochs(&*store).await.expect("a log");
        assert_eq!(epochs.last().copied(), count.checked_sub(1), "{count} slots");
        assert!(epochs.len() <= 1_000, "one page: {}", epochs.len());
        let requests = world.recorded().len() - 1;
        assert!(requests <= 3 + 2 * (count / 1_000 + 1).ilog2() as usize, "{requests} requests for {count} slots");
    }
}

#[tokio::test]
async fn a_hole_near_the_end_is_no_end() {
    // the last slot before the hole is never taken for the last one
    for (count, missing) in [(300, 150), (2_500, 2_400), (2_500, 2_000), (5_000, 4_000), (9_000, 8_000)] {
        let world = log((0..count).filter(|epoch| *epoch != missing));
        let (store, _) = world.process(&Faults::none());
        let last = last_epochs(&*store).await.expect("a log").last().copied();
        assert_eq!(last, Some(count - 1), "{count} slots without {missing}");
        let error = last_listed(&*store).await.expect_err("a hole");
        assert!(error.to_string().contains("none between") && error.hint().is_some(), "{error}");
    }
}
