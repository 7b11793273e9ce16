//! Conservation: an epoch is not committed unless each of its records is counted in exactly one place.

use super::doubles::{Faults, World};
use super::scenario::{HASTY, anomalies, bars, run, ticks};
use crate::testing::options;
use crate::{Lake, LakeError};
use std::collections::BTreeMap;
use ticktide_base::epoch::{Binding, Conservation, Place};
use ticktide_base::error::{Classified, Kind};

type Counts = BTreeMap<String, Conservation>;

fn place(offset_next: i64) -> Place {
    Place { source_id: "s".into(), offset_next, ..Place::default() }
}

/// 10 offsets of one place with every term in use, 4 of another.
fn sound() -> Counts {
    let one = Conservation {
        advanced: 10,
        gaps: 2,
        records: 8,
        accepted: 5,
        duplicates: 1,
        rejected: 3,
        pending: -1,
        ..Conservation::default()
    };
    let two = Conservation { advanced: 4, records: 4, accepted: 4, ..Conservation::default() };
    BTreeMap::from([("t/0".to_owned(), one), ("t/1".to_owned(), two)])
}

/// Each way to be wrong, with a word for it.
fn unsound() -> Vec<(&'static str, Counts)> {
    let mut all: Vec<(&'static str, Counts)> = Vec::new();
    let terms: [(&'static str, fn(&mut Conservation) -> &mut i64); 7] = [
        ("advanced", |counts| &mut counts.advanced),
        ("gaps", |counts| &mut counts.gaps),
        ("records", |counts| &mut counts.records),
        ("accepted", |counts| &mut counts.accepted),
        ("duplicates", |counts| &mut counts.duplicates),
        ("rejected", |counts| &mut counts.rejected),
        ("pending", |counts| &mut counts.pending),
    ];
    for (name, term) in terms {
        for by in [-1, 1] {
            let mut counts = sound();
            *term(counts.get_mut("t/0").expect("it is there")) += by;
            all.push((name, counts));
        }
    }
    let changed = |name: &'static str, change: &dyn Fn(&mut Counts)| {
        let mut counts = sound();
        change(&mut counts);
        (name, counts)
    };
    let accepted = |counts: &mut Counts, place: &str, by: i64| {
        counts.get_mut(place).expect("it is there").accepted += by;
    };
    all.push(changed("one place's loss is the other's gain", &|counts| {
        accepted(counts, "t/0", -1);
        accepted(counts, "t/1", 1);
    }));
    all.push(changed("balanced, but not what the offsets say", &|counts| {
        let one = counts.get_mut("t/1").expect("it is there");
        *one = Conservation { advanced: 3, records: 3, accepted: 3, ..Conservation::default() };
    }));
    all.push(changed("a place without counts", &|counts| {
        counts.remove("t/1");
    }));
    all.push(changed("counts of a place that nobody knows", &|counts| {
        counts.insert("t/2".to_owned(), Conservation::default());
    }));
    all
}

#[tokio::test]
async fn an_epoch_with_a_balance_that_is_not_zero_is_not_committed_and_the_next_sound_one_is() {
    let world = World::default();
    let (store, catalog) = world.process(&Faults::none());
    let specs = vec![bars(), ticks(), anomalies()];
    let opened = Lake::open_on(store, catalog, &options("unused".as_ref()), specs, HASTY).await;
    let (mut lake, resume) = opened.expect("a new lake");
    run(&mut lake, &resume, 1).await.expect("one step of t/0");
    let binding = |lake: &Lake, places: &[(&str, i64)]| Binding {
        epoch: lake.epoch_next(),
        generation: lake.generation(),
        places: places.iter().map(|(name, offset)| ((*name).to_owned(), place(*offset))).collect(),
        ..Binding::default()
    };
    // t/1 comes in: a new place starts where its reader says
    let counts = Counts::from([("t/1".to_owned(), Conservation { advanced: 7, gaps: 7, ..Conservation::default() })]);
    let next = binding(&lake, &[("t/0", 1), ("t/1", 7)]);
    lake.decide(next, counts, Vec::new()).await.expect("a sound epoch");

    let places = [("t/0", 11), ("t/1", 11)];
    let before = world.state();
    for (what, counts) in unsound() {
        let next = binding(&lake, &places);
        let epoch = next.epoch;
        let error = lake.decide(next, counts, Vec::new()).await.expect_err(what);
        assert!(matches!(&error, LakeError::Unbalanced { epoch: of, .. } if *of == epoch), "{what}: {error}");
        assert_eq!(error.kind(), Kind::Bug, "{what}: it is not the user's to mend");
        assert!(error.to_string().contains("t/"), "{what}: the place is named: {error}");
        assert!(world.state() == before, "{what}: nothing was written");
    }
    let forgotten = binding(&lake, &places[..1]);
    let one = sound().into_iter().filter(|(name, _)| name == "t/0").collect();
    let error = lake.decide(forgotten, one, Vec::new()).await.expect_err("a place was forgotten");
    assert!(matches!(error, LakeError::Unbalanced { .. }) && error.to_string().contains("t/1"), "{error}");

    let next = binding(&lake, &places);
    lake.decide(next, sound(), Vec::new()).await.expect("a sound epoch");
    lake.apply().await.expect("applied");
    let slots = world.state().objects.keys().filter(|key| key.starts_with("log/")).count();
    assert_eq!(slots, 4, "the takeover and three epochs");
}

#[tokio::test]
async fn a_source_that_was_replaced_under_its_name_starts_where_its_reader_says() {
    let world = World::default();
    let (store, catalog) = world.process(&Faults::none());
    let specs = vec![bars(), ticks(), anomalies()];
    let opened = Lake::open_on(store, catalog, &options("unused".as_ref()), specs, HASTY).await;
    let (mut lake, resume) = opened.expect("a new lake");
    run(&mut lake, &resume, 2).await.expect("two steps");
    let again = Place { source_id: "another".into(), offset_next: 5, ..Place::default() };
    let next = Binding {
        epoch: lake.epoch_next(),
        generation: lake.generation(),
        places: BTreeMap::from([("t/0".to_owned(), again)]),
        ..Binding::default()
    };
    let counts = Conservation { advanced: 5, records: 5, accepted: 5, ..Conservation::default() };
    lake.decide(next, Counts::from([("t/0".to_owned(), counts)]), Vec::new()).await.expect("another source");
}
