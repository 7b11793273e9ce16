//! The start-up probe: a store that does not keep the promise of [`Store::create`] cannot hold the log (L8).
//!
//! Why a race and not one request: some servers ignore `If-None-Match`, others check first and write afterwards. Both let two
//! writers win one slot of the log, and one epoch's commit would silently replace another's.

use super::super::error::LakeError;
use super::{Created, Store};
use bytes::Bytes;
use futures::future::join_all;
use uuid::Uuid;

const RACERS: usize = 6;
/// A race that is not decided, because of lost answers, is run again under another name.
const RACES: usize = 3;

/// Races for a name that nothing else uses. Error of kind `Fix`: more than one create won, or a later one did.
pub async fn insist_on_conditions(store: &dyn Store) -> Result<(), LakeError> {
    let mut undecided = None;
    for _ in 0..RACES {
        let key = format!("probe/{}", Uuid::new_v4().simple());
        let outcome = race(store, &key).await;
        let removed = store.delete(&key).await;
        match outcome {
            Ok(Race::Kept) => return removed,
            Ok(Race::Undecided(error)) => undecided = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(undecided.expect("a race that was not decided says why"))
}

enum Race {
    /// The conditions were kept.
    Kept,
    /// Answers were lost, or came twice; the error to report if this is the last race.
    Undecided(LakeError),
}

async fn race(store: &dyn Store, key: &str) -> Result<Race, LakeError> {
    let body = |racer: usize| Bytes::from(format!("{key} {racer}"));
    let answers = join_all((0..RACERS).map(|racer| store.create(key, body(racer)))).await;
    let late = store.create(key, body(RACERS)).await;
    let mut winner = None;
    let mut lost = None;
    for (racer, answer) in answers.into_iter().chain([late]).enumerate() {
        match answer {
            Ok(Created::Won) if racer == RACERS => {
                return Err(refuse(store, "a name that was taken was created again"));
            }
            Ok(Created::Won) if winner.is_some() => {
                return Err(refuse(store, "more than one of several racing creates of a name won"));
            }
            Ok(Created::Won) => winner = Some(racer),
            Ok(Created::Exists) => {}
            Err(error) if error.perhaps_done() => lost = Some(error),
            Err(error) => return Err(error),
        }
    }
    match (winner, lost) {
        (None, Some(error)) => Ok(Race::Undecided(error)),
        // the winner was asked to repeat its request, and then found the name taken by its own object
        (None, None) => Ok(Race::Undecided(refuse(store, "none of several racing creates of a name won"))),
        (Some(racer), _) if store.get(key).await? == body(racer) => Ok(Race::Kept),
        (Some(_), _) => {
            Err(refuse(store, "a create replaced an object although its answer was that the name is taken"))
        }
    }
}

fn refuse(store: &dyn Store, what: &str) -> LakeError {
    LakeError::fix(
        format!("the store at {} does not honour conditional writes: {what}", store.location("")),
        "use a store that honours `If-None-Match: *`: Amazon S3 does, and so do recent versions of most others",
    )
}
