//! One key of a scan: its accumulators, and how they follow changes of its values.
//!
//! What must always hold between changes: `base` is the accumulator before the first live value; `head` is the last live
//! value with the accumulators before and after it; every checkpoint lies at a live value before the head and is the
//! accumulator after it. Nothing else is kept per value: outputs that change are computed again from the old values.

use super::logic::{Position, Positioned};
use std::collections::BTreeMap;

/// The live values of one key in order, before and at the time of a change.
pub(super) trait LiveValues<V> {
    /// Makes the first position at or after `from` the next one; without `from`, the first of all.
    fn seek(&mut self, from: Option<Position>);
    /// The next position with a live value on either side.
    fn next(&mut self) -> Result<Option<PositionValues<'_, V>>, Fault>;
}

/// What is live at one position: before the time of the change, and at it.
pub(super) struct PositionValues<'a, V> {
    pub(super) position: Position,
    pub(super) old: Option<&'a V>,
    pub(super) new: Option<&'a V>,
}

/// What no sequence of ticktide's changes may do; always a bug upstream.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("bug: more than one live value, or less than none, at position {0:?}")]
    Multiplicity(Position),
    #[error("bug: the value at position {0:?} is retired, but the one at {1:?} below it is not")]
    Order(Position, Position),
    #[error("bug: position {0:?} changes, but everything up to {1:?} is retired")]
    Retired(Position, Position),
    #[error("bug: position {0:?} gains a value at a time of retirement")]
    Gain(Position),
}

/// One change of a value: (time, value, multiplicity).
pub(super) type Update<'a, V> = (u64, &'a V, isize);

pub(super) struct Series<V, A, O> {
    base: A,
    checkpoints: BTreeMap<Position, A>,
    /// About how many values lie between the last checkpoint and the head: only the spacing depends on it.
    since: usize,
    every: usize,
    head: Option<Head<V, A, O>>,
    retired: Option<Position>,
}

struct Head<V, A, O> {
    value: V,
    before: A,
    at: A,
    out: O,
}

impl<V: Positioned, A: Clone + Eq, O: Clone + Eq> Series<V, A, O> {
    pub(super) fn new(base: A, every: usize) -> Self {
        Series { base, checkpoints: BTreeMap::new(), since: 0, every, head: None, retired: None }
    }

    /// The accumulator after the last retired value.
    pub(super) fn base(&self) -> &A {
        &self.base
    }

    /// Follows the changes of one time, in the order of their values. `history` opens the live values if they are needed.
    pub(super) fn change<H: LiveValues<V>>(
        &mut self,
        step: &impl Fn(&mut A, &V) -> O,
        updates: &[Update<'_, V>],
        history: impl FnOnce() -> H,
        emit: &mut impl FnMut(O, isize),
    ) -> Result<(), Fault> {
        let first = updates[0].1.position();
        if let Some(retired) = self.retired
            && first <= retired
        {
            return Err(Fault::Retired(first, retired));
        }
        if self.extend(step, updates, emit)? {
            return Ok(());
        }
        let last = updates[updates.len() - 1].1.position();
        self.rescan(step, first, last, &mut history(), emit)
    }

    /// The fast path: values appended, or the last one replaced. Returns false, with nothing done, for any other change.
    fn extend(
        &mut self,
        step: &impl Fn(&mut A, &V) -> O,
        updates: &[Update<'_, V>],
        emit: &mut impl FnMut(O, isize),
    ) -> Result<bool, Fault> {
        let place = self.head.as_ref().map(|head| head.value.position());
        let mut removed = false;
        let mut added: Option<Position> = place;
        for (_, value, diff) in updates {
            let position = value.position();
            if place.is_some_and(|place| position < place) {
                return Ok(false);
            }
            match (&self.head, diff) {
                (Some(head), -1) if head.value == **value && !removed => removed = true,
                (_, 1) => (),
                _ => return Err(Fault::Multiplicity(position)),
            }
        }
        if removed {
            added = None;
            if updates.len() == 1 {
                return Ok(false);
            }
        }
        for (_, value, diff) in updates {
            if *diff == 1 {
                let position = value.position();
                if added.is_some_and(|added| position <= added) {
                    return Err(Fault::Multiplicity(position));
                }
                added = Some(position);
            }
        }
        for (_, value, diff) in updates {
            if *diff == 1 {
                self.append(std::mem::take(&mut removed), step, value, emit);
            }
        }
        Ok(true)
    }

    /// Puts a value after the head, or replaces the head by it.
    fn append(&mut self, replaces: bool, step: &impl Fn(&mut A, &V) -> O, value: &V, emit: &mut impl FnMut(O, isize)) {
        let Some(head) = &mut self.head else {
            let (before, mut at) = (self.base.clone(), self.base.clone());
            let out = step(&mut at, value);
            emit(out.clone(), 1);
            self.head = Some(Head { value: value.clone(), before, at, out });
            return;
        };
        if replaces {
            head.at.clone_from(&head.before);
            let out = step(&mut head.at, value);
            if out != head.out {
                emit(std::mem::replace(&mut head.out, out.clone()), -1);
                emit(out, 1);
            }
        } else {
            self.since += 1;
            if self.since >= self.every {
                self.checkpoints.insert(head.value.position(), head.at.clone());
                self.since = 0;
            }
            head.before.clone_from(&head.at);
            head.out = step(&mut head.at, value);
            emit(head.out.clone(), 1);
        }
        head.value = value.clone();
    }

    /// Walks old and new values side by side from the checkpoint before `first` until, past `last`, both accumulators agree.
    fn rescan(
        &mut self,
        step: &impl Fn(&mut A, &V) -> O,
        first: Position,
        last: Position,
        history: &mut impl LiveValues<V>,
        emit: &mut impl FnMut(O, isize),
    ) -> Result<(), Fault> {
        let place = self.head.as_ref().map(|head| head.value.position());
        let at_end = |position: Position| place.is_none_or(|place| position >= place);
        let (from, mut new) = self.start_before(first, at_end(last));
        let (mut old, mut before) = (new.clone(), new.clone());
        let mut diverged = false;
        let mut since = 0;
        let mut newest: Option<(V, O)> = None;
        let mut ended = true;
        history.seek(from);
        while let Some(slot) = history.next()? {
            if !diverged && slot.old != slot.new {
                old.clone_from(&new);
            }
            if slot.new.is_some() {
                before.clone_from(&new);
            }
            let said = slot.new.map(|value| step(&mut new, value));
            if diverged || slot.old != slot.new {
                let had = slot.old.map(|value| step(&mut old, value));
                if had != said {
                    had.into_iter().for_each(|out| emit(out, -1));
                    said.iter().for_each(|out| emit(out.clone(), 1));
                }
                diverged = old != new;
            }
            let position = slot.position;
            match slot.new.zip(said) {
                Some((value, out)) => {
                    newest = Some((value.clone(), out));
                    since = self.checkpoint(position, &new, since + 1);
                }
                None => {
                    self.checkpoints.remove(&position);
                }
            }
            if position >= last && !diverged {
                ended = at_end(position);
                break;
            }
        }
        if ended {
            debug_assert!(newest.is_some() || from.is_none(), "a checkpoint lies at a live value before the head");
            self.head = newest.map(|(value, out)| Head { value, before, at: new, out });
            self.since = since;
            if let Some(head) = &self.head {
                self.checkpoints.split_off(&head.value.position());
            }
        }
        Ok(())
    }

    /// Where a walk over changes from `first` on starts, and the accumulator before it. When the head leaves, the value before
    /// it becomes the head: the walk must pass that value, even if a checkpoint lies on it.
    fn start_before(&self, first: Position, head_goes: bool) -> (Option<Position>, A) {
        let mut below = self.checkpoints.range(..first).rev();
        match if head_goes { below.nth(1) } else { below.next() } {
            Some((position, acc)) => (Some(after(*position)), acc.clone()),
            None => (None, self.base.clone()),
        }
    }

    /// A walk has passed a value, the `since`th after the last checkpoint: renews the checkpoint there, or sets one where it is
    /// due. Returns how many values now lie after the last checkpoint.
    #[inline]
    fn checkpoint(&mut self, position: Position, acc: &A, since: usize) -> usize {
        if let Some(checkpoint) = self.checkpoints.get_mut(&position) {
            checkpoint.clone_from(acc);
        } else if since >= self.every {
            self.checkpoints.insert(position, acc.clone());
        } else {
            return since;
        }
        0
    }

    /// Retires the lowest values: the accumulator after them becomes the base. Returns true when the base changed.
    /// `forward` receives their outputs as retractions.
    pub(super) fn retire(
        &mut self,
        step: &impl Fn(&mut A, &V) -> O,
        updates: &[Update<'_, V>],
        history: &mut impl LiveValues<V>,
        mut forward: Option<&mut dyn FnMut(O, isize)>,
    ) -> Result<bool, Fault> {
        let last = updates[updates.len() - 1].1.position();
        if let Some((_, value, _)) = updates.iter().find(|(_, _, diff)| *diff > 0) {
            return Err(Fault::Gain(value.position()));
        }
        // Below earlier retirements there is only what the trace has yet to compact.
        history.seek(self.retired.map(after));
        while let Some(slot) = history.next()? {
            if slot.position > last {
                break;
            }
            if slot.new.is_some() {
                return Err(Fault::Order(last, slot.position));
            }
        }
        let kept = self.checkpoints.split_off(&after(last));
        let passed = std::mem::replace(&mut self.checkpoints, kept);
        let gone = self.head.take_if(|head| head.value.position() <= last);
        let (from, mut acc) = match (passed.last_key_value(), &forward) {
            (Some((position, acc)), None) => (Some(*position), acc.clone()),
            _ => (None, self.base.clone()),
        };
        match gone {
            Some(head) if forward.is_none() => acc = head.at,
            _ => {
                for (_, value, _) in updates.iter().filter(|(_, value, _)| Some(value.position()) > from) {
                    let out = step(&mut acc, value);
                    if let Some(forward) = &mut forward {
                        forward(out, -1);
                    }
                }
            }
        }
        self.retired = Some(last);
        let changed = acc != self.base;
        self.base = acc;
        Ok(changed)
    }
}

/// The least position above another.
fn after((at, phase): Position) -> Position {
    match phase.checked_add(1) {
        Some(phase) => (at, phase),
        None => (at + 1, 0),
    }
}
