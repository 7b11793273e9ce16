//! Setting a time back: stopped anywhere, raced by the lake's other work, and continued afterwards.

use super::doubles::{Faults, State, World};
use super::many::judge;
use super::scenario::{HASTY, check, process};
use crate::commit::slot::SlotKind;
use crate::maintain::Survey;
use crate::read::LakeReader;
use crate::read::past::Lineages;
use crate::state::lineage;
use crate::testing::options;
use crate::tests::scenario::{anomalies, bars, run, ticks};
use crate::{Lake, LakeError};
use std::sync::Arc;
use ticktide_base::epoch::{Binding, Epoch, Rewound};
use ticktide_base::error::{Classified, Kind};
use ticktide_base::time::Nanos;

const STEPS: i64 = 2;
const TO: Nanos = -7;

/// What the lake goes on from; the steps' own times are later.
fn back(before: &Binding) -> Binding {
    let mut after = before.clone();
    let place = after.places.get_mut("t/0").expect("the steps' partition");
    (place.event_at_max, place.running) = (Some(TO), vec![TO]);
    after.rewound = Some(Rewound { partition: "t/0".into(), to: TO, forgotten: Nanos::MIN });
    after
}

/// What a process of the command does.
async fn rewind(world: &World, faults: &Arc<Faults>) -> Result<Epoch, LakeError> {
    let (store, catalog) = world.process(faults);
    let mut lake = Lake::tend_on(store, catalog, HASTY).await?;
    let before = lake.binding().cloned().expect("steps were decided");
    lake.rewind(&before, back(&before)).await
}

async fn reader(world: &World) -> LakeReader {
    let (store, catalog) = world.process(&Faults::none());
    let identity = lineage::identity(&*store).await.expect("a lake");
    LakeReader::on(store, catalog, identity)
}

/// How many slots set a time back, and the partition's time at the log's end.
async fn told(world: &World) -> (usize, Option<Nanos>) {
    let reader = reader(world).await;
    let last = reader.decided_last().await.expect("read").expect("slots");
    let (mut count, mut at) = (0, None);
    for epoch in 0..=last {
        let slot = reader.decided(epoch).await.expect("a slot");
        count += usize::from(slot.kind == SlotKind::Rewind);
        at = slot.binding.and_then(|binding| binding.places["t/0"].event_at_max);
    }
    (count, at)
}

/// A lake that was set back after some steps.
async fn set_back() -> (World, Epoch) {
    let world = World::default();
    process(&world, &Faults::none(), STEPS).await.expect("runs");
    let epoch = rewind(&world, &Faults::none()).await.expect("set back");
    (world, epoch)
}

/// Every world that a stop of the command can leave.
fn stopped() -> Vec<State> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let world = World::default();
        process(&world, &Faults::none(), STEPS).await.expect("runs");
        world.record();
        rewind(&world, &Faults::none()).await.expect("set back");
        let mut worlds: Vec<State> = Vec::new();
        for state in world.recorded().into_iter().filter_map(|(_, state)| state) {
            if worlds.last().is_none_or(|last| *last != state) {
                worlds.push(state);
            }
        }
        worlds
    })
}

#[test]
fn a_command_stopped_anywhere_has_set_the_time_back_or_changed_nothing() {
    let worlds = stopped();
    let judged = judge(worlds.len(), async |number| {
        let world = World::at(worlds[number].clone());
        let (count, at) = told(&world).await;
        assert!((count, at) == (0, Some(STEPS - 1)) || (count, at) == (1, Some(TO)), "{number}: {count}, {at:?}");
        if number % 2 == 0 {
            // the next process finds a sound lake and goes on
            process(&world, &Faults::none(), STEPS + 1).await.map_err(|error| format!("{number}: {error}"))?;
            check(&world, STEPS + 1).await;
            assert_eq!(told(&world).await, (count, Some(STEPS)));
        } else {
            // or the command again
            rewind(&world, &Faults::none()).await.map_err(|error| format!("{number}: {error}"))?;
            check(&world, STEPS).await;
            assert_eq!(told(&world).await, (count + 1, Some(TO)));
        }
        Ok(count)
    });
    let judged = judged.unwrap_or_else(|failure| panic!("{failure}"));
    let behind: usize = judged.iter().sum();
    assert!(behind > 2 && judged.len() - behind > 2, "{behind} of {} worlds are after the slot", judged.len());
}

#[tokio::test]
async fn a_run_behind_it_derives_nothing_from_before_and_keeps_its_state() {
    let (world, epoch) = set_back().await;
    let open = async || {
        let (store, catalog) = world.process(&Faults::none());
        let specs = vec![bars(), ticks(), anomalies()];
        Lake::open_on(store, catalog, &options("unused".as_ref()), specs, HASTY).await.expect("opens")
    };
    let (_, resume) = open().await;
    let epochs = |bindings: &[Binding]| bindings.iter().map(|binding| binding.epoch).collect::<Vec<_>>();
    assert_eq!(epochs(&resume.bindings), [epoch]);
    assert_eq!(resume.bindings.last(), resume.binding.as_ref());
    assert!(resume.binding.expect("one").rewound.is_some_and(|rewound| rewound.to == TO));
    // a takeover carries it on; the next epoch is after it, and the state is that of all steps
    let (mut lake, resume) = open().await;
    run(&mut lake, &resume, STEPS + 1).await.expect("runs");
    let (_, resume) = open().await;
    assert_eq!(epochs(&resume.bindings), [epoch, epoch + 3]);
    assert!(resume.binding.is_some_and(|binding| binding.rewound.is_none()));
}

#[tokio::test]
async fn it_is_an_epoch_like_any_that_is_announced_maintained_and_repeated() {
    let (world, epoch) = set_back().await;
    process(&world, &Faults::none(), STEPS + 1).await.expect("runs");
    let reader = reader(&world).await;
    let rows = reader.epochs().await.expect("epochs");
    let row = rows.iter().find(|row| row.epoch == epoch).expect("announced");
    assert!(row.binding.as_ref().is_some_and(|binding| binding.contains("\"rewound\":{\"partition\":\"t/0\"")));
    // a replay sets back in this epoch, and not again where a takeover carries its binding
    let last = reader.decided_last().await.expect("read").expect("slots");
    let past = reader.past(0, last, Lineages::Any).await.expect("a range");
    let set = past.bindings.iter().filter(|binding| binding.rewound.is_some()).map(|binding| binding.epoch);
    assert_eq!(set.collect::<Vec<_>>(), [epoch]);

    let (store, catalog) = world.process(&Faults::none());
    let mut lake = Lake::tend_on(store, catalog, HASTY).await.expect("taken over");
    lake.compact(|_, _| ()).await.expect("compacts");
    lake.expire().await.expect("expires");
    check(&world, STEPS + 1).await;
    let (store, catalog) = world.process(&Faults::none());
    let found = Survey::open_on(store, catalog).await.expect("a lake").diagnose(false).await.expect("a diagnosis");
    assert_eq!(found.findings.iter().filter(|finding| finding.wrong).collect::<Vec<_>>().len(), 0);
}

#[tokio::test]
async fn what_another_decides_meanwhile_is_not_set_back() {
    let world = World::default();
    process(&world, &Faults::none(), STEPS).await.expect("runs");
    let (store, catalog) = world.process(&Faults::none());
    let mut lake = Lake::tend_on(store, catalog, HASTY).await.expect("taken over");
    let before = lake.binding().cloned().expect("steps were decided");
    let other = Binding { lake_time: Some(1), ..before.clone() };
    let refused = lake.rewind(&other, back(&other)).await.expect_err("it is not what the lake has");
    assert_eq!(refused.kind(), Kind::Fix);
    // a run takes the lake over: the command is fenced
    process(&world, &Faults::none(), STEPS + 1).await.expect("runs");
    let fenced = lake.rewind(&before, back(&before)).await.expect_err("another owns the lake");
    assert!(matches!(fenced, LakeError::Fenced { .. }), "{fenced}");
    assert_eq!(told(&world).await, (0, Some(STEPS)));
    // the command cannot unread a record either
    let (store, catalog) = world.process(&Faults::none());
    let mut lake = Lake::tend_on(store, catalog, HASTY).await.expect("taken over");
    let before = lake.binding().cloned().expect("steps were decided");
    let mut unread = back(&before);
    unread.places.get_mut("t/0").expect("it").offset_next -= 1;
    assert!(matches!(lake.rewind(&before, unread).await, Err(LakeError::Unbalanced { .. })));
    check(&world, STEPS + 1).await;
}
