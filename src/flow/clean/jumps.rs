//! Wild times: without a broker's timestamp a jump of the event time needs witnesses.
//!
//! Why: one tick of 2099, or milliseconds read as microseconds, would move the frontier and send the whole feed to
//! quarantine. So a partition's first record and any jump over `max_jump` are held until later records lie
//! within `max_jump` of them. What must always hold: a held record is released once, taken or refused, as a function of
//! the partition's records alone.

use crate::clean::CleanSpec;
use serde::{Deserialize, Serialize};
use ticktide_base::time::Nanos;
use ticktide_market::Tick;

/// A tick that waits for its time to be confirmed, with the payload it came in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held<T> {
    pub tick: Tick,
    /// What the caller needs to go on with the tick later (payload, conditions of the record).
    pub extra: T,
}

/// Records whose times agree with each other and with nothing else so far.
struct Cluster<T> {
    first_at: Nanos,
    /// The offset of the first record.
    first: i64,
    confirmations: u64,
    held: Vec<Held<T>>,
}

/// One partition's belief about the time: without a broker's timestamp a jump needs witnesses.
pub struct Jumps<T> {
    /// The greatest event time believed; `None` until a first record is.
    pub anchor: Option<Nanos>,
    clusters: Vec<Cluster<T>>,
}

impl<T> Jumps<T> {
    /// `anchor`: the greatest event time that an earlier run believed.
    pub fn new(anchor: Option<Nanos>) -> Jumps<T> {
        Jumps { anchor, clusters: Vec::new() }
    }

    /// Records that wait.
    pub fn held(&self) -> impl Iterator<Item = &Held<T>> {
        self.clusters.iter().flat_map(|cluster| cluster.held.iter())
    }

    pub fn is_quiet(&self) -> bool {
        self.clusters.is_empty()
    }

    /// Whether a time needs no witness.
    #[inline]
    pub fn is_believed(&self, at: Nanos, spec: &CleanSpec) -> bool {
        self.anchor.is_some_and(|anchor| at <= anchor.saturating_add(spec.max_jump))
    }

    /// Restores what an earlier run held.
    pub fn restore(&mut self, held: Vec<Held<T>>, spec: &CleanSpec) {
        for held in held {
            let at = held.tick.exchange_at;
            let released = self.hold(at, spec, held);
            debug_assert!(released.is_empty(), "what was held by an earlier run was not confirmed in it");
        }
    }

    /// Holds a record whose time is not believed; gives those that it confirms, itself among them, in offset order.
    pub fn hold(&mut self, at: Nanos, spec: &CleanSpec, held: Held<T>) -> Vec<Held<T>> {
        let near = |cluster: &&mut Cluster<T>| at.saturating_sub(cluster.first_at).saturating_abs() <= spec.max_jump;
        let first = held.tick.offset;
        match self.clusters.iter_mut().find(near) {
            Some(cluster) => {
                cluster.confirmations += 1;
                cluster.held.push(held);
            }
            None => self.clusters.push(Cluster { first_at: at, first, confirmations: 0, held: vec![held] }),
        }
        let mut released = Vec::new();
        if let Some(index) = self.clusters.iter().position(|cluster| cluster.confirmations >= spec.confirmations) {
            let cluster = self.clusters.remove(index);
            self.anchor = self.anchor.max(cluster.held.iter().map(|held| held.tick.exchange_at).max());
            released = cluster.held;
        }
        released
    }

    /// The partition has reached `offset`: gives up what waited too long, as (ticks to take, ticks to refuse). Offsets measure
    /// the wait, not a counter, so it does not begin anew with each run.
    pub fn pass(&mut self, offset: i64, spec: &CleanSpec) -> (Vec<Held<T>>, Vec<Held<T>>) {
        let patience = i64::try_from(spec.patience).unwrap_or(i64::MAX);
        self.give_up(spec, |cluster| offset.saturating_sub(cluster.first) >= patience)
    }

    /// Decides everything that still waits.
    pub fn flush(&mut self, spec: &CleanSpec) -> (Vec<Held<T>>, Vec<Held<T>>) {
        self.give_up(spec, |_| true)
    }

    fn give_up(&mut self, spec: &CleanSpec, ripe: impl Fn(&Cluster<T>) -> bool) -> (Vec<Held<T>>, Vec<Held<T>>) {
        let (mut take, mut refuse) = (Vec::new(), Vec::new());
        let mut rest = Vec::new();
        for cluster in std::mem::take(&mut self.clusters) {
            if !ripe(&cluster) {
                rest.push(cluster);
                continue;
            }
            // a first record has nothing to jump from: it is taken; with an anchor a jump is refused
            match self.anchor {
                Some(anchor) if cluster.first_at > anchor.saturating_add(spec.max_jump) => refuse.extend(cluster.held),
                _ => {
                    self.anchor = self.anchor.max(cluster.held.iter().map(|held| held.tick.exchange_at).max());
                    take.extend(cluster.held);
                }
            }
        }
        self.clusters = rest;
        (take, refuse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clean::samples::{spec, tick};
    use ticktide_base::time::SECOND;

    /// Plays times through the jump filter: (times believed in order, times refused).
    fn play(times: &[Nanos]) -> (Vec<Nanos>, Vec<Nanos>) {
        play_in_runs(times, &spec(), usize::MAX)
    }

    /// The same, as a run that ends before one of them, and the next.
    fn play_in_runs(times: &[Nanos], spec: &CleanSpec, second: usize) -> (Vec<Nanos>, Vec<Nanos>) {
        let mut jumps = Jumps::<()>::new(None);
        let (mut believed, mut refused) = (Vec::new(), Vec::new());
        for (index, at) in times.iter().enumerate() {
            if index == second {
                let held = jumps.held().cloned().collect();
                jumps = Jumps::new(jumps.anchor);
                jumps.restore(held, spec);
            }
            if jumps.is_believed(*at, spec) {
                believed.push(*at);
                jumps.anchor = jumps.anchor.max(Some(*at));
            } else {
                let held = Held { tick: tick(*at, index as u64), extra: () };
                believed.extend(jumps.hold(*at, spec, held).iter().map(|held| held.tick.exchange_at));
            }
            let (take, refuse) = jumps.pass(index as i64, spec);
            believed.extend(take.iter().map(|held| held.tick.exchange_at));
            refused.extend(refuse.iter().map(|held| held.tick.exchange_at));
        }
        let (take, refuse) = jumps.flush(spec);
        believed.extend(take.iter().map(|held| held.tick.exchange_at));
        refused.extend(refuse.iter().map(|held| held.tick.exchange_at));
        (believed, refused)
    }

    #[test]
    fn one_tick_of_2099_moves_nothing_wherever_it_stands() {
        let (day, wild) = (16_000 * ticktide_base::time::DAY, 47_000 * ticktide_base::time::DAY);
        for place in 0..10 {
            let mut times: Vec<Nanos> = (0..9).map(|second| day + second * SECOND).collect();
            times.insert(place, wild);
            let (mut believed, refused) = play(&times);
            believed.sort_unstable();
            times.remove(place);
            assert_eq!((believed, refused), (times, vec![wild]), "at place {place}");
        }
    }

    #[test]
    fn a_jump_that_later_records_confirm_is_believed_with_them() {
        let (day, later) = (16_000 * ticktide_base::time::DAY, 16_030 * ticktide_base::time::DAY);
        let times: Vec<Nanos> = (0..5).map(|n| day + n).chain((0..5).map(|n| later + n)).collect();
        assert_eq!(play(&times), (times.clone(), Vec::new()));
    }

    #[test]
    fn a_restart_changes_nothing_of_what_is_believed() {
        let (day, wild) = (16_000 * ticktide_base::time::DAY, 47_000 * ticktide_base::time::DAY);
        let spec = CleanSpec { patience: 6, ..spec() };
        // four wild ones, but never four within the patience
        let times: Vec<Nanos> =
            (0..40).map(|second| if [7, 8, 12, 14].contains(&second) { wild } else { day } + second * SECOND).collect();
        let whole = play_in_runs(&times, &spec, usize::MAX);
        assert_eq!(whole.1.len(), 4);
        for second in 0..times.len() {
            assert_eq!(play_in_runs(&times, &spec, second), whole, "a run ends before record {second}");
        }
    }

    #[test]
    fn a_short_file_is_taken_at_its_end() {
        assert_eq!(play(&[5, 6]), (vec![5, 6], Vec::new()));
    }
}
