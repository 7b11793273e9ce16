//! What a tick is recognised by when it arrives again: its id or sequence with a hash of its content, or its content alone.
//!
//! Why ticktide's own hash: it goes into the durable state, so it must be the same in every run and on every machine. What must
//! always hold: the hash of a tick never changes, because a later run compares its own with it.

use serde::{Deserialize, Serialize};
use std::sync::Arc;
use ticktide_base::time::{MINUTE, Nanos};
use ticktide_market::{Tick, TickKind};

/// One remembered id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SeenEntry {
    /// sequence, hash of the content, minute of the event
    Sequence(u64, u32, i32),
    /// id, hash of the content, minute of the event
    Id(Arc<str>, u32, i32),
    /// content of a snapshot, minute of the event
    Content(u128, i32),
}

/// The name of a remembered tick, without its content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SeenName {
    Sequence(u64),
    Id(Arc<str>),
    Content(u128),
}

impl SeenEntry {
    /// Its name.
    pub fn name(&self) -> SeenName {
        match self {
            SeenEntry::Sequence(sequence, ..) => SeenName::Sequence(*sequence),
            SeenEntry::Id(id, ..) => SeenName::Id(id.clone()),
            SeenEntry::Content(content, _) => SeenName::Content(*content),
        }
    }

    /// How a tick is recognised when it arrives again; `None`: it has no id and no trusted sequence, so it is always new.
    #[inline]
    pub fn of(tick: &Tick, sequence_trusted: bool) -> Option<SeenEntry> {
        let minute = minute(tick.exchange_at);
        match (tick.kind, &tick.id, tick.sequence) {
            (TickKind::Snapshot, _, _) => Some(SeenEntry::Content(content_wide(tick), minute)),
            (_, Some(id), _) => Some(SeenEntry::Id(id.clone(), content(tick), minute)),
            (_, None, Some(sequence)) if sequence_trusted => Some(SeenEntry::Sequence(sequence, content(tick), minute)),
            _ => None,
        }
    }

    /// The minute of its event.
    pub(crate) fn minute(&self) -> i32 {
        match self {
            SeenEntry::Sequence(_, _, minute) | SeenEntry::Id(_, _, minute) => *minute,
            SeenEntry::Content(_, minute) => *minute,
        }
    }
}

/// The minute of a time; a time out of range counts as the nearest end.
pub(super) fn minute(at: Nanos) -> i32 {
    at.div_euclid(MINUTE).clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
}

/// FNV-1a over 64-bit words: a fixed function, because it goes into the durable state.
#[inline]
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
