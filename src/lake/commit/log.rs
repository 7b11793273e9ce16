//! Drives the log's state machines against the store.

use crate::commit::protocol::{Claim, Decide, LogAnswer, LogStep};
use crate::commit::slot::{LOG, Slot, slot_epoch, slot_key};
use crate::error::LakeError;
use crate::store::{Created, Store};
use ticktide_base::epoch::Epoch;

/// The slot of an epoch; `None` if it is free.
pub(crate) async fn read_slot(store: &dyn Store, epoch: Epoch) -> Result<Option<Slot>, LakeError> {
    match store.get(&slot_key(epoch)).await {
        Ok(bytes) => Slot::from_bytes(epoch, &bytes).map(Some),
        Err(LakeError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The number of slots whose names differ only in the last three digits: one page of a listing.
const PAGE: u64 = 1_000;

/// The epochs of the log's last slots, in order: at least those of the last page. The log never deletes a slot (L1), so its
/// end is searched, not listed: the number of requests grows with the logarithm of its length.
pub(crate) async fn last_epochs(store: &dyn Store) -> Result<Vec<Epoch>, LakeError> {
    let begun = async |page: u64| Ok::<bool, LakeError>(store.size(&slot_key(page * PAGE)).await?.is_some());
    // the last page is in [page, page + ahead]
    let (mut page, mut ahead) = (0, 1);
    while begun(page + ahead).await? {
        (page, ahead) = (page + ahead, 2 * ahead);
    }
    while ahead > 1 {
        ahead /= 2;
        if begun(page + ahead).await? {
            page += ahead;
        }
    }
    // after the page that seems to be the last, there may be one that has begun since, or one whose first slot is missing
    let page_of = async |page: u64| listed(store, &format!("{LOG}{page:017}")).await;
    let mut epochs = page_of(page).await?;
    loop {
        page += 1;
        let more = page_of(page).await?;
        if more.is_empty() {
            return Ok(epochs);
        }
        epochs.extend(more);
    }
}

/// The epochs of the slots whose names begin with `prefix`, in order.
pub(crate) async fn listed(store: &dyn Store, prefix: &str) -> Result<Vec<Epoch>, LakeError> {
    let names = store.list(prefix).await?;
    let mut epochs: Vec<Epoch> = names.iter().filter_map(|name| slot_epoch(name)).collect();
    epochs.sort_unstable();
    Ok(epochs)
}

/// The last slot found; others may follow. Error: the slots listed before it are not contiguous (L4).
pub(crate) async fn last_listed(store: &dyn Store) -> Result<Option<Slot>, LakeError> {
    let epochs = last_epochs(store).await?;
    let Some(last) = epochs.last() else { return Ok(None) };
    if let Some(pair) = epochs.windows(2).find(|pair| pair[1] != pair[0] + 1) {
        let message = format!("the log has epochs {} and {}, but none between", pair[0], pair[1]);
        return Err(LakeError::corrupt(message, "restore the missing files of log/ from a backup"));
    }
    read_slot(store, *last).await
}

/// The cuts of epochs, all of which are in the log.
pub(crate) async fn cuts(store: &dyn Store, epochs: std::ops::Range<Epoch>) -> Result<Vec<(Epoch, i64)>, LakeError> {
    let slots = slots(store, epochs).await?;
    Ok(slots.iter().map(|slot| (slot.epoch, slot.cut_at)).collect())
}

/// The slots of epochs, all of which are in the log.
pub(crate) async fn slots(store: &dyn Store, epochs: std::ops::Range<Epoch>) -> Result<Vec<Slot>, LakeError> {
    let mut slots = Vec::new();
    for first in epochs.clone().step_by(READ_AT_ONCE) {
        let some = first..epochs.end.min(first + READ_AT_ONCE as u64);
        slots.extend(futures::future::try_join_all(some.map(|epoch| present(store, epoch))).await?);
    }
    Ok(slots)
}

async fn present(store: &dyn Store, epoch: Epoch) -> Result<Slot, LakeError> {
    let missing = || {
        let message = format!("epoch {epoch} is missing in the log");
        LakeError::corrupt(message, "restore the missing files of log/ from a backup")
    };
    read_slot(store, epoch).await?.ok_or_else(missing)
}

/// Slots that are read concurrently.
const READ_AT_ONCE: usize = 32;

/// Performs one operation of a machine on the log; `None`: the machine has ended.
async fn perform(
    store: &dyn Store,
    step: &LogStep,
    slot: impl FnOnce() -> Slot,
) -> Result<Option<LogAnswer>, LakeError> {
    Ok(Some(match step {
        LogStep::Read(epoch) => LogAnswer::Slot(read_slot(store, *epoch).await?.map(Box::new)),
        LogStep::Create(epoch) => {
            let slot = slot();
            debug_assert_eq!(slot.epoch, *epoch);
            match store.create(&slot_key(*epoch), slot.to_bytes()?).await {
                Ok(created) => LogAnswer::Created(created),
                Err(error) if error.perhaps_done() => {
                    tracing::warn!(epoch, %error, "the answer to creating a slot was lost, looking it up");
                    LogAnswer::Lost
                }
                Err(error) => return Err(error),
            }
        }
        _ => return Ok(None),
    }))
}

fn ended(step: LogStep, epoch: Epoch, ours: u64) -> Result<Epoch, LakeError> {
    match step {
        LogStep::Won(epoch) => Ok(epoch),
        LogStep::Fenced { theirs } => Err(LakeError::Fenced { epoch, ours, theirs }),
        LogStep::Stop(message) => Err(LakeError::corrupt(message, "run `ticktide lake doctor`")),
        LogStep::GiveUp | LogStep::Read(_) | LogStep::Create(_) => Err(LakeError::Store {
            operation: "create",
            key: slot_key(epoch),
            perhaps: true,
            cause: "every answer was lost".to_owned(),
            full: false,
        }),
    }
}

/// Walks to the end of the log, creates the takeover there and returns it; `takeover` makes it from the last slot, the
/// generation and the token.
pub(crate) async fn claim(
    store: &dyn Store,
    token: String,
    takeover: impl Fn(Option<&Slot>, u64, &str) -> Slot,
) -> Result<Slot, LakeError> {
    let mut machine = Claim::new(token, last_listed(store).await?);
    let mut step = machine.start();
    loop {
        let slot = || takeover(machine.last(), machine.generation(), machine.token());
        match perform(store, &step, slot).await? {
            Some(answer) => step = machine.on(answer),
            None => break,
        }
    }
    let epoch = ended(step, 0, machine.generation())?;
    // the slot as it was written, not as it would be made now
    read_slot(store, epoch).await?.ok_or_else(|| LakeError::Missing { key: slot_key(epoch) })
}

/// Creates the slot of an epoch: THE commit.
pub(crate) async fn decide(store: &dyn Store, slot: &Slot) -> Result<(), LakeError> {
    let mut machine = Decide::new(slot);
    let mut step = machine.start();
    while let Some(answer) = perform(store, &step, || slot.clone()).await? {
        step = machine.on(answer);
    }
    ended(step, slot.epoch, slot.generation).map(drop)
}

/// Answers lost in a row after which [`create_or_get`] gives up.
const LOST_MAX: usize = 5;

/// Creates an object that every racing process would create alike, and returns what the store then holds. After a lost
/// answer, the outcome is looked up (L3).
pub(crate) async fn create_or_get(
    store: &dyn Store,
    key: &str,
    bytes: bytes::Bytes,
) -> Result<bytes::Bytes, LakeError> {
    let mut lost = 0;
    loop {
        let error = match store.create(key, bytes.clone()).await {
            Ok(Created::Won) => return Ok(bytes),
            Ok(Created::Exists) => return store.get(key).await,
            Err(error) if error.perhaps_done() => error,
            Err(error) => return Err(error),
        };
        match store.get(key).await {
            Err(LakeError::Missing { .. }) if lost < LOST_MAX => lost += 1,
            Err(_) => return Err(error),
            found => return found,
        }
    }
}
