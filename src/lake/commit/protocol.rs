//! The commit protocol as pure state machines: answers in, the next operation out, no I/O.
//!
//! ```text
//!  Claim   Read(e) ──slot──▶ Read(e+1) … ──none──▶ Create(takeover) ──won──▶ log taken over
//!                              ▲                        │ exists / unknown
//!                              └────────── Read ◀───────┘   our token: won · another's: history to adopt
//!  Decide  Create(e) ──won──▶ decided        exists / unknown ──▶ Read(e): our token: decided · higher generation: fenced
//!  Apply   Load ──▶ judge ──▶ Swap ──done──▶ applied         conflict / unknown ──▶ Load
//! ```
//!
//! What must hold: L1 a slot is created at most once (by the store), L2 an epoch's rows are visible in a table exactly once
//! (a swap carries the snapshot and the applied epoch together), L3 after a lost answer the outcome is looked up and nothing
//! is blindly repeated, L4 slots are contiguous, L5 after a generation has taken over, no slot of a lower one appears.

use crate::commit::slot::Slot;
use crate::store::Created;
use ticktide_base::epoch::Epoch;

/// After more lost answers than this a machine gives up; the next start looks again.
const LOST_MAX: u32 = 5;

/// An answer from the log.
#[derive(Debug)]
pub(crate) enum LogAnswer {
    /// What the slot holds; `None`: it is free.
    Slot(Option<Box<Slot>>),
    Created(Created),
    /// The create may have landed (L3).
    Lost,
}

/// The next operation on the log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LogStep {
    Read(Epoch),
    Create(Epoch),
    /// This process created the slot.
    Won(Epoch),
    /// A higher generation owns the log (L5).
    Fenced {
        theirs: u64,
    },
    /// The log breaks its own rules.
    Stop(String),
    /// Too many answers were lost.
    GiveUp,
}

/// A new generation walks to the end of the log and claims it.
#[derive(Debug)]
pub(crate) struct Claim {
    token: String,
    at: Epoch,
    last: Option<Box<Slot>>,
    lost: u32,
}

impl Claim {
    /// Starts after `last`, the last slot known.
    pub(crate) fn new(token: String, last: Option<Slot>) -> Claim {
        let at = last.as_ref().map_or(0, |slot| slot.epoch + 1);
        Claim { token, at, last: last.map(Box::new), lost: 0 }
    }

    pub(crate) fn start(&self) -> LogStep {
        LogStep::Read(self.at)
    }

    /// The generation to claim with: one above the last slot's.
    pub(crate) fn generation(&self) -> u64 {
        self.last.as_ref().map_or(1, |slot| slot.generation + 1)
    }

    /// The last slot before the one that is claimed.
    pub(crate) fn last(&self) -> Option<&Slot> {
        self.last.as_deref()
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    pub(crate) fn on(&mut self, answer: LogAnswer) -> LogStep {
        match answer {
            LogAnswer::Slot(None) => LogStep::Create(self.at),
            LogAnswer::Slot(Some(slot)) if slot.token == self.token => LogStep::Won(self.at),
            LogAnswer::Slot(Some(slot)) => {
                if let Some(last) = &self.last
                    && slot.generation < last.generation
                {
                    return LogStep::Stop(lower_after_higher(&slot, last.generation));
                }
                self.at = slot.epoch + 1;
                self.lost = 0;
                self.last = Some(slot);
                LogStep::Read(self.at)
            }
            LogAnswer::Created(Created::Won) => LogStep::Won(self.at),
            LogAnswer::Created(Created::Exists) => LogStep::Read(self.at),
            LogAnswer::Lost => look_again(&mut self.lost, self.at),
        }
    }
}

/// A generation that owns the log decides an epoch.
#[derive(Debug)]
pub(crate) struct Decide {
    token: String,
    generation: u64,
    epoch: Epoch,
    lost: u32,
}

impl Decide {
    pub(crate) fn new(slot: &Slot) -> Decide {
        Decide { token: slot.token.clone(), generation: slot.generation, epoch: slot.epoch, lost: 0 }
    }

    pub(crate) fn start(&self) -> LogStep {
        LogStep::Create(self.epoch)
    }

    pub(crate) fn on(&mut self, answer: LogAnswer) -> LogStep {
        match answer {
            LogAnswer::Slot(None) => LogStep::Create(self.epoch),
            LogAnswer::Slot(Some(slot)) if slot.token == self.token => LogStep::Won(self.epoch),
            LogAnswer::Slot(Some(slot)) if slot.generation > self.generation => {
                LogStep::Fenced { theirs: slot.generation }
            }
            LogAnswer::Slot(Some(slot)) => LogStep::Stop(lower_after_higher(&slot, self.generation)),
            LogAnswer::Created(Created::Won) => LogStep::Won(self.epoch),
            LogAnswer::Created(Created::Exists) => LogStep::Read(self.epoch),
            LogAnswer::Lost => look_again(&mut self.lost, self.epoch),
        }
    }
}

fn lower_after_higher(slot: &Slot, generation: u64) -> String {
    let (epoch, theirs) = (slot.epoch, slot.generation);
    format!("epoch {epoch} was decided by generation {theirs}, although generation {generation} had already taken over")
}

fn look_again(lost: &mut u32, at: Epoch) -> LogStep {
    *lost += 1;
    if *lost > LOST_MAX { LogStep::GiveUp } else { LogStep::Read(at) }
}

/// The state of a table, as its head says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableState {
    pub uuid: String,
    /// The property `ticktide.applied-epoch`: missing, before the first epoch, or an epoch.
    pub applied: Applied,
    /// The epoch that made ticktide's newest snapshot on the main branch; `None`: there is none, or it is not known.
    pub main: Option<Epoch>,
    /// Whether it has the snapshot whose id the epoch's slot chose.
    pub has_snapshot: bool,
}

impl TableState {
    /// Describes a rollback of the branch alone: the property stays, but rows of epochs that it covers are gone.
    fn rolled_back(&self) -> Option<String> {
        let (Some(main), Applied::Epoch(applied)) = (self.main, self.applied) else { return None };
        (main < applied)
            .then(|| format!("was rolled back to epoch {main}, but its property names epoch {applied} as applied"))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    Missing,
    Nothing,
    Epoch(Epoch),
}

/// An answer from the catalog.
#[derive(Debug)]
pub(crate) enum TableAnswer {
    Loaded(TableState),
    Swapped,
    /// Another process swapped first.
    Conflict,
    /// The swap may have landed (L3).
    Lost,
}

/// The next operation on a table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TableStep {
    Load,
    /// Stage new files on the head that was loaded last, under new names, and swap.
    Swap,
    /// The table has the epoch.
    Applied,
    Stop(String),
    GiveUp,
}

/// One epoch on its way into one table.
#[derive(Debug)]
pub(crate) struct Apply {
    table: String,
    epoch: Epoch,
    uuid: String,
    previous: Option<Epoch>,
    lost: u32,
}

impl Apply {
    /// Applies the slot to a table that it touches; `None`: the slot does not touch it.
    pub(crate) fn new(slot: &Slot, table: &str) -> Option<Apply> {
        let entry = slot.tables.get(table).filter(|entry| entry.work.is_some())?;
        let (uuid, previous) = (entry.uuid.clone(), entry.previous);
        Some(Apply { table: table.to_owned(), epoch: slot.epoch, uuid, previous, lost: 0 })
    }

    pub(crate) fn start(&self) -> TableStep {
        TableStep::Load
    }

    pub(crate) fn on(&mut self, answer: TableAnswer) -> TableStep {
        match answer {
            TableAnswer::Loaded(head) => self.judge(&head),
            TableAnswer::Swapped => TableStep::Applied,
            TableAnswer::Conflict => TableStep::Load,
            TableAnswer::Lost => {
                self.lost += 1;
                if self.lost > LOST_MAX { TableStep::GiveUp } else { TableStep::Load }
            }
        }
    }

    fn judge(&self, head: &TableState) -> TableStep {
        let (table, epoch) = (&self.table, self.epoch);
        if head.uuid != self.uuid {
            return TableStep::Stop(format!(
                "table {table} has uuid {}, but epoch {epoch} was decided for uuid {}",
                head.uuid, self.uuid
            ));
        }
        let applied = match head.applied {
            Applied::Missing => {
                return TableStep::Stop(format!("table {table} has lost its property of the applied epoch"));
            }
            Applied::Nothing => None,
            Applied::Epoch(applied) => Some(applied),
        };
        if let Some(message) = head.rolled_back() {
            return TableStep::Stop(format!("table {table} {message}"));
        }
        if applied >= Some(epoch) {
            return TableStep::Applied;
        }
        if applied != self.previous {
            let name = |epoch: Option<Epoch>| epoch.map_or("nothing".to_owned(), |epoch| format!("epoch {epoch}"));
            return TableStep::Stop(format!(
                "table {table} has {}, but epoch {epoch} was decided after {}",
                name(applied),
                name(self.previous)
            ));
        }
        if head.has_snapshot {
            return TableStep::Stop(format!(
                "table {table} has the snapshot of epoch {epoch}, but its property says that it lacks the epoch"
            ));
        }
        TableStep::Swap
    }
}

/// The epochs that an announcing table lacks, up to `last`. Error: they cannot be determined.
pub(crate) fn unannounced(head: &TableState, last: Epoch) -> Result<std::ops::RangeInclusive<Epoch>, String> {
    if let Some(message) = head.rolled_back() {
        return Err(message);
    }
    match head.applied {
        Applied::Missing => Err("has lost its property of the applied epoch".to_owned()),
        Applied::Nothing => Ok(0..=last),
        Applied::Epoch(applied) => Ok(applied + 1..=last),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::slot::{SlotKind, TableEntry, TableWork};
    use crate::state::format::FORMAT;
    use std::collections::BTreeMap;

    fn slot(epoch: Epoch, generation: u64, token: &str) -> Slot {
        let entry = TableEntry {
            uuid: "u".into(),
            previous: epoch.checked_sub(1),
            work: Some(TableWork::default()),
            ..TableEntry::default()
        };
        Slot {
            format: FORMAT,
            epoch,
            kind: SlotKind::Data,
            generation,
            token: token.into(),
            cut_at: 0,
            decided_at: 0,
            binding: None,
            conservation: BTreeMap::new(),
            tables: BTreeMap::from([("t".to_owned(), entry)]),
            state: Vec::new(),
            state_base: None,
            state_from: 0,
            retention: None,
            retention_at: None,
        }
    }

    fn found(slot: Slot) -> LogAnswer {
        LogAnswer::Slot(Some(Box::new(slot)))
    }

    #[test]
    fn a_claim_adopts_what_is_there_and_takes_the_first_free_slot_with_a_higher_generation() {
        let mut claim = Claim::new("mine".into(), None);
        assert_eq!(claim.start(), LogStep::Read(0));
        assert_eq!(claim.on(found(slot(0, 1, "a"))), LogStep::Read(1));
        assert_eq!(claim.on(LogAnswer::Slot(None)), LogStep::Create(1));
        assert_eq!(claim.generation(), 2);
        // another claims first
        assert_eq!(claim.on(LogAnswer::Created(Created::Exists)), LogStep::Read(1));
        assert_eq!(claim.on(found(slot(1, 2, "b"))), LogStep::Read(2));
        assert_eq!(claim.on(LogAnswer::Slot(None)), LogStep::Create(2));
        assert_eq!(claim.generation(), 3);
        assert_eq!(claim.on(LogAnswer::Created(Created::Won)), LogStep::Won(2));
    }

    #[test]
    fn a_lost_answer_is_looked_up_before_anything_is_repeated() {
        let mut decide = Decide::new(&slot(4, 2, "mine"));
        assert_eq!(decide.start(), LogStep::Create(4));
        assert_eq!(decide.on(LogAnswer::Lost), LogStep::Read(4));
        assert_eq!(decide.on(found(slot(4, 2, "mine"))), LogStep::Won(4));

        let mut claim = Claim::new("mine".into(), Some(slot(3, 1, "a")));
        assert_eq!(claim.on(LogAnswer::Lost), LogStep::Read(4));
        assert_eq!(claim.on(LogAnswer::Slot(None)), LogStep::Create(4));
        assert_eq!(claim.on(LogAnswer::Created(Created::Exists)), LogStep::Read(4));
        assert_eq!(claim.on(found(slot(4, 2, "mine"))), LogStep::Won(4));
    }

    #[test]
    fn a_slot_of_a_higher_generation_fences_and_one_of_a_lower_generation_is_corrupt() {
        let mut decide = Decide::new(&slot(4, 2, "mine"));
        assert_eq!(decide.on(LogAnswer::Created(Created::Exists)), LogStep::Read(4));
        assert_eq!(decide.on(found(slot(4, 3, "b"))), LogStep::Fenced { theirs: 3 });
        let mut decide = Decide::new(&slot(4, 2, "mine"));
        assert!(matches!(decide.on(found(slot(4, 1, "b"))), LogStep::Stop(_)));
    }

    #[test]
    fn an_epoch_is_applied_only_behind_the_one_it_was_decided_after() {
        let at = |applied, main, has_snapshot| TableState { uuid: "u".into(), applied, main, has_snapshot };
        let head = |applied, has_snapshot| TableAnswer::Loaded(at(applied, None, has_snapshot));
        let apply = || Apply::new(&slot(4, 1, "a"), "t").expect("the table is touched");
        assert_eq!(apply().on(head(Applied::Epoch(3), false)), TableStep::Swap);
        assert_eq!(apply().on(head(Applied::Epoch(4), true)), TableStep::Applied);
        assert_eq!(apply().on(head(Applied::Epoch(9), true)), TableStep::Applied);
        for wrong in [
            head(Applied::Epoch(2), false),
            head(Applied::Nothing, false),
            head(Applied::Missing, false),
            head(Applied::Epoch(3), true),
            TableAnswer::Loaded(TableState { uuid: "other".into(), ..at(Applied::Epoch(3), Some(3), false) }),
            TableAnswer::Loaded(at(Applied::Epoch(3), Some(2), false)),
            TableAnswer::Loaded(at(Applied::Epoch(4), Some(3), true)),
        ] {
            assert!(matches!(apply().on(wrong), TableStep::Stop(_)));
        }
        assert_eq!(apply().on(TableAnswer::Loaded(at(Applied::Epoch(3), Some(3), false))), TableStep::Swap);
        assert_eq!(unannounced(&at(Applied::Epoch(3), Some(3), false), 5), Ok(4..=5));
        assert!(unannounced(&at(Applied::Epoch(3), Some(2), false), 5).is_err());
        let mut apply = apply();
        assert_eq!(apply.on(TableAnswer::Lost), TableStep::Load);
        assert_eq!(apply.on(TableAnswer::Conflict), TableStep::Load);
        assert_eq!(apply.on(head(Applied::Epoch(4), true)), TableStep::Applied);
    }
}
