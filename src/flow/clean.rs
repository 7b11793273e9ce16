//! Which ticks count: wild times, sessions, lateness, duplicates, conditions.
//!
//! Runs on the worker that reads, in offset order, before anything is exchanged. Why here: a tick that moves the frontier
//! has to be believed first (one tick of 2099 must not send a whole feed to quarantine), and a tick that is refused needs
//! its payload, which only the reader has. What must always hold: each tick gets exactly one verdict, now or later (a held
//! tick gets its verdict when the records behind it arrive, or at the flush), and the verdict is a function of the
//! partition's records, the epoch's horizons and the dataflow, never of a clock.

use crate::calendar::{PhaseAt, Session};
use crate::conditions::{ConditionsSpec, Effect};
use crate::market::{Tick, TickKind};
use crate::time::{MINUTE, Nanos, SECOND};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

/// What the cleaner needs of a dataflow.
#[derive(Clone)]
pub struct CleanSpec {
    pub session: Arc<Session>,
    pub conditions: Option<ConditionsSpec>,
    /// Bars from cumulative volume of snapshots, not from trades.
    pub cumulative: bool,
    pub sequence_trusted: bool,
    pub corrections: bool,
    pub prices_signed: bool,
    /// Event time may run ahead of the broker's by this much.
    pub ahead_max: Nanos,
    pub max_jump: Nanos,
    pub confirmations: u64,
    /// A held jump is decided after this many further records.
    pub patience: u64,
}

impl CleanSpec {
    pub const AHEAD_MAX: Nanos = 60 * SECOND;
    pub const PATIENCE: u64 = 1_000;
}

/// An epoch's constants for lateness.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Horizons {
    /// One for each interval, finest first; a tick with an earlier time is too late for it.
    pub intervals: Vec<Nanos>,
    /// With corrections: earlier trades are no longer kept.
    pub retained_from: Nanos,
}

impl Horizons {
    /// Before it a tick is too late for everything.
    pub fn least(&self) -> Nanos {
        self.intervals.iter().copied().min().unwrap_or(Nanos::MIN)
    }
}

/// What becomes of a tick.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It counts, for the intervals of the mask (bit i = interval i).
    Accept {
        mask: u32,
        parts: Effect,
        phase: PhaseAt,
        /// Event time that the bars use (a snapshot's is that of its last trade).
        at: Nanos,
    },
    /// It counts and makes no bar: a baseline snapshot, a tick of the kind that this feed has no bars from.
    AcceptSilently,
    /// A cancel or a correction: decided behind the exchange.
    Correction,
    Reject {
        reason: &'static str,
        detail: String,
    },
}

/// Ids already seen of one (partition, instrument, trading day), with a hash of what came under them.
#[derive(Default)]
struct Seen {
    sequences: HashMap<u64, (u32, i32), ahash::RandomState>,
    ids: HashMap<Arc<str>, (u32, i32), ahash::RandomState>,
    contents: HashMap<u128, i32, ahash::RandomState>,
    fresh: SeenEntries,
}

/// Remembered ids as the durable state keeps them, in columns: there are as many as there are ticks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SeenEntries {
    /// sequence, hash of the content, minute of the event
    #[serde(with = "packed")]
    sequences: Vec<(u64, u32, i32)>,
    ids: Vec<(Arc<str>, u32, i32)>,
    contents: Vec<(u128, i32)>,
}

/// Sequences as bytes: differences to the entry before in as few bytes as they need, then the hash.
mod packed {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    fn put(mut value: u64, into: &mut Vec<u8>) {
        while value >= 0x80 {
            into.push(value as u8 | 0x80);
            value >>= 7;
        }
        into.push(value as u8);
    }

    fn take(from: &mut std::slice::Iter<'_, u8>) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *from.next()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn zigzag(value: i64) -> u64 {
        ((value << 1) ^ (value >> 63)) as u64
    }

    pub fn pack(entries: &[(u64, u32, i32)]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(entries.len() * 7);
        let mut before = (0u64, 0i32);
        for (sequence, content, minute) in entries {
            put(zigzag(sequence.wrapping_sub(before.0) as i64), &mut bytes);
            put(zigzag(i64::from(*minute) - i64::from(before.1)), &mut bytes);
            bytes.extend_from_slice(&content.to_le_bytes());
            before = (*sequence, *minute);
        }
        bytes
    }

    pub fn unpack(bytes: &[u8]) -> Option<Vec<(u64, u32, i32)>> {
        let back = |value: u64| (value >> 1) as i64 ^ -((value & 1) as i64);
        let (mut from, mut entries, mut before) = (bytes.iter(), Vec::new(), (0u64, 0i64));
        while !from.as_slice().is_empty() {
            before.0 = before.0.wrapping_add(back(take(&mut from)?) as u64);
            before.1 = before.1.wrapping_add(back(take(&mut from)?));
            let mut content = [0; 4];
            for byte in &mut content {
                *byte = *from.next()?;
            }
            entries.push((before.0, u32::from_le_bytes(content), i32::try_from(before.1).ok()?));
        }
        Some(entries)
    }

    pub fn serialize<S: Serializer>(entries: &[(u64, u32, i32)], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&pack(entries))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(u64, u32, i32)>, D::Error> {
        let bytes = Vec::<u8>::deserialize(deserializer)?;
        unpack(&bytes).ok_or_else(|| D::Error::custom("remembered sequences are cut off"))
    }
}

impl SeenEntries {
    fn push(&mut self, entry: SeenEntry) {
        match entry {
            SeenEntry::Sequence(sequence, content, minute) => self.sequences.push((sequence, content, minute)),
            SeenEntry::Id(id, content, minute) => self.ids.push((id, content, minute)),
            SeenEntry::Content(content, minute) => self.contents.push((content, minute)),
        }
    }

    fn into_entries(self) -> impl Iterator<Item = SeenEntry> {
        let sequences = self.sequences.into_iter();
        let sequences = sequences.map(|(sequence, content, minute)| SeenEntry::Sequence(sequence, content, minute));
        let ids = self.ids.into_iter().map(|(id, content, minute)| SeenEntry::Id(id, content, minute));
        let contents = self.contents.into_iter().map(|(content, minute)| SeenEntry::Content(content, minute));
        sequences.chain(ids).chain(contents)
    }

    fn len(&self) -> usize {
        self.sequences.len() + self.ids.len() + self.contents.len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The newest minute: when the horizon passes it, the chunk that holds them may go.
    pub fn newest_minute(&self) -> i32 {
        let sequences = self.sequences.iter().map(|(_, _, minute)| *minute);
        let ids = self.ids.iter().map(|(_, _, minute)| *minute);
        let contents = self.contents.iter().map(|(_, minute)| *minute);
        sequences.chain(ids).chain(contents).max().unwrap_or(i32::MIN)
    }
}

/// One remembered id, as the durable state keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SeenEntry {
    /// sequence, hash of the content, minute of the event
    Sequence(u64, u32, i32),
    /// id, hash of the content, minute of the event
    Id(Arc<str>, u32, i32),
    /// content of a snapshot, minute of the event
    Content(u128, i32),
}

impl SeenEntry {
    /// How a tick is recognised when it comes again; `None`: it has no id and no trusted sequence, so it is always new.
    pub fn of(tick: &Tick, sequence_trusted: bool) -> Option<SeenEntry> {
        let minute = (tick.exchange_at.div_euclid(MINUTE)) as i32;
        match (tick.kind, &tick.id, tick.sequence) {
            (TickKind::Snapshot, _, _) => Some(SeenEntry::Content(content_wide(tick), minute)),
            (_, Some(id), _) => Some(SeenEntry::Id(id.clone(), content(tick), minute)),
            (_, None, Some(sequence)) if sequence_trusted => Some(SeenEntry::Sequence(sequence, content(tick), minute)),
            _ => None,
        }
    }
}

impl Seen {
    /// Remembers an entry; `Some(same content?)` when its id was there already.
    fn remember(&mut self, entry: SeenEntry, fresh: bool) -> Option<bool> {
        use std::collections::hash_map::Entry;
        let known = match &entry {
            SeenEntry::Sequence(sequence, content, minute) => match self.sequences.entry(*sequence) {
                Entry::Occupied(old) => Some(old.get().0 == *content),
                Entry::Vacant(place) => {
                    place.insert((*content, *minute));
                    None
                }
            },
            SeenEntry::Id(id, content, minute) => match self.ids.entry(id.clone()) {
                Entry::Occupied(old) => Some(old.get().0 == *content),
                Entry::Vacant(place) => {
                    place.insert((*content, *minute));
                    None
                }
            },
            SeenEntry::Content(content, minute) => match self.contents.entry(*content) {
                Entry::Occupied(_) => Some(true),
                Entry::Vacant(place) => {
                    place.insert(*minute);
                    None
                }
            },
        };
        if known.is_none() && fresh {
            self.fresh.push(entry);
        }
        known
    }

    fn forget_before(&mut self, minute: i32) {
        self.sequences.retain(|_, (_, at)| *at >= minute);
        self.ids.retain(|_, (_, at)| *at >= minute);
        self.contents.retain(|_, at| *at >= minute);
    }

    fn is_empty(&self) -> bool {
        self.sequences.is_empty() && self.ids.is_empty() && self.contents.is_empty()
    }
}

/// The duplicates' memory of one scope: a partition's instruments, or an exchanged instrument.
#[derive(Default)]
pub struct Memory {
    days: HashMap<(u32, i32), Seen, ahash::RandomState>,
    touched: Vec<(u32, i32)>,
}

impl Memory {
    /// Remembers an entry; `Some(same content?)` when its id was there already.
    pub fn remember(&mut self, index: u32, trading_date: i32, entry: SeenEntry) -> Option<bool> {
        let seen = self.days.entry((index, trading_date)).or_default();
        let known = seen.remember(entry, true);
        if known.is_none() && seen.fresh.len() == 1 {
            self.touched.push((index, trading_date));
        }
        known
    }

    /// The entries remembered since the last call, by (instrument index, trading day).
    pub fn take_fresh(&mut self) -> Vec<((u32, i32), SeenEntries)> {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        let mut fresh = Vec::new();
        for key in touched {
            if let Some(seen) = self.days.get_mut(&key)
                && !seen.fresh.is_empty()
            {
                fresh.push((key, std::mem::take(&mut seen.fresh)));
            }
        }
        fresh
    }

    /// Puts entries back that an earlier run remembered.
    pub fn restore(&mut self, index: u32, trading_date: i32, entries: SeenEntries) {
        let seen = self.days.entry((index, trading_date)).or_default();
        for entry in entries.into_entries() {
            seen.remember(entry, false);
        }
    }

    /// Forgets what is older than every horizon: such a tick is too late before it is a duplicate.
    pub fn forget_before(&mut self, at: Nanos) {
        let minute = at.div_euclid(MINUTE).clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
        self.days.retain(|_, seen| {
            seen.forget_before(minute);
            !seen.is_empty() || !seen.fresh.is_empty()
        });
    }

    /// How many ids are remembered.
    pub fn len(&self) -> usize {
        self.days.values().map(|seen| seen.sequences.len() + seen.ids.len() + seen.contents.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.days.is_empty()
    }
}

/// FNV-1a over 64-bit words: a fixed function, for it goes into the durable state.
fn mix(hash: u64, word: u64) -> u64 {
    (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29)
}

fn content(tick: &Tick) -> u32 {
    let mut hash = mix(0xcbf2_9ce4_8422_2325, tick.exchange_at as u64);
    hash = mix(hash, tick.price.map_or(u64::MAX, |price| price.0 as u64));
    hash = mix(hash, tick.quantity.map_or(u64::MAX, |quantity| quantity.0 as u64));
    if let Some(conditions) = &tick.conditions {
        hash = conditions.bytes().fold(hash, |hash, byte| mix(hash, u64::from(byte)));
    }
    (hash ^ (hash >> 32)) as u32
}

fn content_wide(tick: &Tick) -> u128 {
    let snapshot = tick.snapshot.as_deref().cloned().unwrap_or_default();
    let optional = |value: Option<i64>| value.map_or(u64::MAX, |value| value as u64);
    let wide = |value: Option<i128>| value.map_or([u64::MAX; 2], |value| [value as u64, (value >> 64) as u64]);
    let words = [
        tick.exchange_at as u64,
        optional(tick.price.map(|price| price.0)),
        optional(tick.quantity.map(|quantity| quantity.0)),
        optional(snapshot.trade_at),
        optional(snapshot.bid.map(|price| price.0)),
        optional(snapshot.bid_quantity.map(|quantity| quantity.0)),
        optional(snapshot.ask.map(|price| price.0)),
        optional(snapshot.ask_quantity.map(|quantity| quantity.0)),
        optional(snapshot.day_open.map(|price| price.0)),
        optional(snapshot.day_high.map(|price| price.0)),
        optional(snapshot.day_low.map(|price| price.0)),
    ];
    let [volume_low, volume_high] = wide(snapshot.cumulative_volume);
    let [interest_low, interest_high] = wide(snapshot.open_interest);
    let all = words.into_iter().chain([volume_low, volume_high, interest_low, interest_high]);
    let (mut one, mut two) = (0xcbf2_9ce4_8422_2325u64, 0x9e37_79b9_7f4a_7c15u64);
    for word in all {
        one = mix(one, word);
        two = mix(two, word.rotate_left(17) ^ one);
    }
    (u128::from(one) << 64) | u128::from(two)
}

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
    confirmations: u64,
    age: u64,
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

    /// Puts back what an earlier run held.
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
        match self.clusters.iter_mut().find(near) {
            Some(cluster) => {
                cluster.confirmations += 1;
                cluster.held.push(held);
            }
            None => self.clusters.push(Cluster { first_at: at, confirmations: 0, age: 0, held: vec![held] }),
        }
        let mut released = Vec::new();
        if let Some(index) = self.clusters.iter().position(|cluster| cluster.confirmations >= spec.confirmations) {
            let cluster = self.clusters.remove(index);
            self.anchor = self.anchor.max(cluster.held.iter().map(|held| held.tick.exchange_at).max());
            released = cluster.held;
        }
        released
    }

    /// Counts a record that passed; gives up what waited too long: (ticks to take, ticks to refuse).
    pub fn age(&mut self, spec: &CleanSpec) -> (Vec<Held<T>>, Vec<Held<T>>) {
        if self.clusters.is_empty() {
            return (Vec::new(), Vec::new());
        }
        for cluster in &mut self.clusters {
            cluster.age += 1;
        }
        let patience = spec.patience;
        self.give_up(spec, |cluster| cluster.age > patience)
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
            // a first record has nothing to jump from: it is taken; behind an anchor a jump is refused
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

/// The verdicts that need no memory: session, lateness, parts. Keeps the last phase at hand.
pub struct Judge {
    pub spec: CleanSpec,
    phase: Option<PhaseAt>,
}

impl Judge {
    pub fn new(spec: CleanSpec) -> Judge {
        Judge { spec, phase: None }
    }

    /// The phase at an event time; most calls find it where the last one was.
    pub fn phase_at(&mut self, at: Nanos) -> Option<PhaseAt> {
        if let Some(phase) = self.phase
            && phase.start <= at
            && at < phase.end
        {
            return Some(phase);
        }
        let phase = self.spec.session.phase_at(at);
        if phase.is_some() {
            self.phase = phase;
        }
        phase
    }

    /// Whether the broker's clock refutes the event time.
    pub fn is_future(&self, tick: &Tick) -> bool {
        tick.received_at.is_some_and(|received| tick.exchange_at > received.saturating_add(self.spec.ahead_max))
    }

    /// Everything but duplicates, for a tick whose time is believed.
    pub fn judge(&mut self, tick: &Tick, horizons: &Horizons) -> Verdict {
        let reject = |reason, detail: String| Verdict::Reject { reason, detail };
        let Some(phase) = self.phase_at(tick.exchange_at) else {
            return reject("off_session", "its time is outside every phase of the session".into());
        };
        match tick.kind {
            TickKind::Cancel | TickKind::Correct if !self.spec.corrections => {
                return reject("corrections_off", "the source is declared with corrections = false".into());
            }
            TickKind::Cancel | TickKind::Correct => {
                return if tick.id.is_none() {
                    reject("missing_field", "a cancel or correction names no id".into())
                } else if tick.exchange_at < horizons.retained_from {
                    reject("too_late", "its time is older than the retention".into())
                } else {
                    Verdict::Correction
                };
            }
            TickKind::Trade | TickKind::Snapshot => {}
        }
        let mask = self.mask(tick.exchange_at, horizons);
        if mask == 0 {
            return reject("too_late", "its time is before every interval's horizon".into());
        }
        let Some(price) = tick.price else { return Verdict::AcceptSilently };
        if (tick.kind == TickKind::Snapshot) != self.spec.cumulative {
            return Verdict::AcceptSilently;
        }
        if tick.kind == TickKind::Snapshot {
            return self.judge_snapshot(tick, phase, mask, horizons);
        }
        if price.0 <= 0 && !self.spec.prices_signed {
            return Verdict::AcceptSilently;
        }
        let parts = match &self.spec.conditions {
            Some(conditions) => {
                let code = tick.conditions.as_deref().and_then(|text| conditions.code(text));
                conditions.effect(code.unwrap_or(0), tick.suspicious)
            }
            None => Effect::FULL,
        };
        if parts.sets_price || parts.adds_volume {
            Verdict::Accept { mask, parts, phase, at: tick.exchange_at }
        } else {
            Verdict::AcceptSilently
        }
    }

    /// A snapshot makes a bar at its last trade's time; one whose last trade is of an earlier day is a baseline only.
    fn judge_snapshot(&mut self, tick: &Tick, phase: PhaseAt, mask: u32, horizons: &Horizons) -> Verdict {
        let price = tick.price.map_or(0, |price| price.0);
        if price == 0 || (price < 0 && !self.spec.prices_signed) {
            return Verdict::AcceptSilently;
        }
        let at = tick.snapshot.as_ref().and_then(|snapshot| snapshot.trade_at).unwrap_or(tick.exchange_at);
        let Some(trade_phase) = self.phase_at(at) else { return Verdict::AcceptSilently };
        if trade_phase.trading_date != phase.trading_date {
            return Verdict::AcceptSilently;
        }
        // lateness is judged by the update; a bar that is frozen stays so: an old last trade is no news
        let mask = mask & self.mask(at, horizons);
        if mask == 0 {
            return Verdict::AcceptSilently;
        }
        Verdict::Accept { mask, parts: Effect::FULL, phase: trade_phase, at }
    }

    fn mask(&self, at: Nanos, horizons: &Horizons) -> u32 {
        let mut mask = 0;
        for (index, horizon) in horizons.intervals.iter().enumerate() {
            mask |= u32::from(at >= *horizon) << index;
        }
        mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::{InstrumentId, Price, Quantity};
    use proptest::prelude::*;

    fn spec() -> CleanSpec {
        CleanSpec {
            session: Arc::new(Session::preset("utc-day").expect("a preset")),
            conditions: None,
            cumulative: false,
            sequence_trusted: true,
            corrections: false,
            prices_signed: false,
            ahead_max: CleanSpec::AHEAD_MAX,
            max_jump: 7 * crate::time::DAY,
            confirmations: 3,
            patience: CleanSpec::PATIENCE,
        }
    }

    fn tick(exchange_at: Nanos, sequence: u64) -> Tick {
        Tick {
            kind: TickKind::Trade,
            suspicious: false,
            instrument: InstrumentId(0),
            offset: sequence as i64,
            exchange_at,
            received_at: None,
            sequence: Some(sequence),
            price: Some(Price(100)),
            quantity: Some(Quantity(1)),
            id: None,
            conditions: None,
            snapshot: None,
        }
    }

    /// Plays times through the jump filter: (times believed in order, times refused at the flush).
    fn play(times: &[Nanos]) -> (Vec<Nanos>, Vec<Nanos>) {
        let (spec, mut jumps) = (spec(), Jumps::<()>::new(None));
        let (mut believed, mut refused) = (Vec::new(), Vec::new());
        for (index, at) in times.iter().enumerate() {
            if jumps.is_believed(*at, &spec) {
                believed.push(*at);
                jumps.anchor = jumps.anchor.max(Some(*at));
            } else {
                let held = Held { tick: tick(*at, index as u64), extra: () };
                believed.extend(jumps.hold(*at, &spec, held).iter().map(|held| held.tick.exchange_at));
            }
            let (take, refuse) = jumps.age(&spec);
            believed.extend(take.iter().map(|held| held.tick.exchange_at));
            refused.extend(refuse.iter().map(|held| held.tick.exchange_at));
        }
        let (take, refuse) = jumps.flush(&spec);
        believed.extend(take.iter().map(|held| held.tick.exchange_at));
        refused.extend(refuse.iter().map(|held| held.tick.exchange_at));
        (believed, refused)
    }

    #[test]
    fn one_tick_of_2099_moves_nothing_wherever_it_stands() {
        let (day, wild) = (16_000 * crate::time::DAY, 47_000 * crate::time::DAY);
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
        let (day, later) = (16_000 * crate::time::DAY, 16_030 * crate::time::DAY);
        let times: Vec<Nanos> = (0..5).map(|n| day + n).chain((0..5).map(|n| later + n)).collect();
        assert_eq!(play(&times), (times.clone(), Vec::new()));
    }

    #[test]
    fn a_short_file_is_taken_at_its_end() {
        assert_eq!(play(&[5, 6]), (vec![5, 6], Vec::new()));
    }

    #[test]
    fn a_tick_is_too_late_by_its_epochs_horizons_alone() {
        let mut judge = Judge::new(spec());
        let day = 16_000 * crate::time::DAY;
        let horizons = Horizons { intervals: vec![day + 10 * SECOND, day], retained_from: day };
        let mask = |judge: &mut Judge, at| match judge.judge(&tick(at, 1), &horizons) {
            Verdict::Accept { mask, .. } => mask,
            Verdict::Reject { reason: "too_late", .. } => 0,
            other => panic!("{other:?}"),
        };
        assert_eq!([day - 1, day, day + 10 * SECOND].map(|at| mask(&mut judge, at)), [0, 0b10, 0b11]);
    }

    #[test]
    fn the_same_id_is_a_duplicate_with_the_same_content_and_a_conflict_with_another() {
        let mut memory = Memory::default();
        let entry = |price| SeenEntry::of(&Tick { price: Some(Price(price)), ..tick(5, 1) }, true).expect("a sequence");
        assert_eq!(memory.remember(0, 0, entry(1)), None);
        assert_eq!(memory.remember(0, 0, entry(1)), Some(true));
        assert_eq!(memory.remember(0, 0, entry(2)), Some(false));
        assert_eq!(memory.remember(0, 1, entry(2)), None, "ids start anew each trading day");
        assert_eq!(SeenEntry::of(&tick(5, 1), false), None, "without an id or a trusted sequence two are two");
    }

    proptest! {
        #[test]
        fn remembered_ids_come_back_as_they_were(entries in proptest::collection::vec(any::<(u64, u32, i32)>(), 0..50)) {
            let all = SeenEntries { sequences: entries, ..SeenEntries::default() };
            let bytes = bincode::serialize(&all).expect("plain values");
            prop_assert_eq!(bincode::deserialize::<SeenEntries>(&bytes).expect("its own bytes"), all);
        }

        #[test]
        fn bytes_that_are_no_ids_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Some(entries) = packed::unpack(&bytes) {
                prop_assert!(entries.len() * 6 <= bytes.len());
            }
        }
    }
}
