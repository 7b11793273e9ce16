//! The raw values of a record, as a format found them: by slot, not yet interpreted.
//!
//! Why arrays of a fixed size: they are made for each record and cost no allocation. What must always hold: a slot that was
//! filled twice is remembered, and its record is refused.

/// The slot of a field that nothing fills.
pub const NO_SLOT: u8 = u8::MAX;
/// More slots than fields: each field has at most one name in the record.
pub const SLOTS: usize = 32;

/// The type of a value; a format without types, like CSV, has only texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ValueKind {
    /// Missing, or null.
    #[default]
    Absent,
    /// A string: its text without quotes, escapes resolved.
    Text,
    /// A number as it was written.
    Number,
    /// `true`, `false`, an array or an object as it was written.
    Other,
    /// A string as it was written, whose escapes do not give a text (half a surrogate pair), or give a NUL, which separates the
    /// parts of an instrument's key.
    Unreadable,
}

/// The values of one record, by slot.
#[derive(Clone)]
pub struct Values<'a> {
    pub(in crate::wire) texts: [&'a str; SLOTS],
    pub(in crate::wire) kinds: [ValueKind; SLOTS],
    pub(in crate::wire) seen: u32,
    /// Slots that a key has filled which is written like a path.
    literal: u32,
    /// A slot whose key appeared twice.
    pub duplicate: Option<u8>,
}

impl Default for Values<'_> {
    #[inline]
    fn default() -> Self {
        Values { texts: [""; SLOTS], kinds: [ValueKind::Absent; SLOTS], seen: 0, literal: 0, duplicate: None }
    }
}

impl<'a> Values<'a> {
    #[inline(always)]
    pub fn get(&self, slot: u8) -> (ValueKind, &'a str) {
        match self.kinds.get(usize::from(slot)) {
            Some(kind) => (*kind, self.texts[usize::from(slot)]),
            None => (ValueKind::Absent, ""), // a field that no key fills
        }
    }

    #[inline(always)]
    pub fn put(&mut self, slot: u8, kind: ValueKind, text: &'a str) {
        let bit = 1u32.wrapping_shl(u32::from(slot));
        if self.seen & bit != 0 {
            self.duplicate = Some(slot);
        }
        self.seen |= bit;
        self.kinds[usize::from(slot)] = kind;
        self.texts[usize::from(slot)] = text;
    }

    /// A value that a path leads to; a literal key goes before it.
    pub fn put_nested(&mut self, slot: u8, kind: ValueKind, text: &'a str) {
        if self.literal & 1u32.wrapping_shl(u32::from(slot)) == 0 {
            self.put(slot, kind, text);
        }
    }

    /// The value of a key that is written like a path.
    pub fn put_literal(&mut self, slot: u8, kind: ValueKind, text: &'a str) {
        let bit = 1u32.wrapping_shl(u32::from(slot));
        if self.literal & bit == 0 {
            self.seen &= !bit;
        }
        self.literal |= bit;
        self.put(slot, kind, text);
    }
}
