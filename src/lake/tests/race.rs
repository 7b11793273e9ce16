//! Generations that run at the same time: one is fenced, and the lake is as if only one had run.

use super::doubles::{Faults, World};
use super::scenario::{HASTY, anomalies, bars, check, fenced_of, process, run, ticks};
use crate::testing::options;
use crate::{Lake, LakeError};

#[tokio::test]
async fn of_two_racing_generations_one_is_fenced_and_no_row_is_lost_or_doubled() {
    const STEPS: i64 = 4;
    let mut fenced = 0;
    for seed in 0..40 {
        let world = World::default();
        let (left, right) = (Faults::yielding(seed), Faults::yielding(seed + 1_000));
        let (left, right) = tokio::join!(process(&world, &left, STEPS), process(&world, &right, STEPS));
        fenced += fenced_of([&left, &right], format!("seed {seed}"));
        assert!(left.is_ok() || right.is_ok(), "seed {seed}: the higher generation ends well");
        // what the fenced one decided before the takeover may still have to be applied
        process(&world, &Faults::none(), STEPS).await.expect("a third generation");
        check(&world, STEPS).await;
    }
    assert!(fenced > 10, "the race is one: {fenced} of 40");
}

#[tokio::test]
async fn after_a_takeover_the_old_generation_can_apply_but_not_decide() {
    let world = World::default();
    let (store, catalog) = world.process(&Faults::none());
    let specs = || vec![bars(), ticks(), anomalies()];
    let options = options("unused".as_ref());
    let open = || Lake::open_on(store.clone(), catalog.clone(), &options, specs(), HASTY);
    let (mut old, resume) = open().await.expect("the first generation");
    run(&mut old, &resume, 2).await.expect("two steps");
    let (mut new, resumed) = open().await.expect("the second generation");
    assert_eq!((old.generation(), new.generation()), (1, 2));

    // the old one thinks that it is at step 2
    let stale = crate::Resume { binding: resumed.binding.clone(), state: resumed.state.clone(), ..resume };
    let stale = crate::Resume { epoch_next: old.epoch_next(), ..stale };
    let error = run(&mut old, &stale, 3).await.expect_err("the log has a higher generation");
    assert!(matches!(error, LakeError::Fenced { ours: 1, theirs: 2, .. }), "{error}");
    old.apply().await.expect("applying what was decided is harmless");

    run(&mut new, &resumed, 4).await.expect("the new generation goes on");
    old.apply().await.expect("still harmless");
    check(&world, 4).await;
}
