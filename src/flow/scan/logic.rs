//! What a scan needs from its caller: values that know their position, a computation over them, a trace that lends both.
//!
//! Why the bounds of a trace have a name: otherwise every function of a scan would repeat them. What must always hold: `step`
//! is a pure function, and equal accumulators mean equal outputs from there on; otherwise a correction would stop too early.

use differential_dataflow::ExchangeData;
use differential_dataflow::trace::{Cursor, Navigable, TraceReader};
use serde::{Serialize, de::DeserializeOwned};

/// The position of a value in its series: (open_at, phase).
pub type Position = (i64, u8);

/// A value that knows its position; its order must compare positions first.
pub trait Positioned: Clone + Ord {
    fn position(&self) -> Position;
    /// The least value at a position, to seek with.
    fn floor(position: Position) -> Self;
}

/// What a scan computes.
pub trait Logic<K, V>: 'static {
    /// Everything a key's later outputs depend on. Two are equal iff all outputs after them are: floats by bits.
    type Acc: Clone + Eq + Serialize + DeserializeOwned + 'static;
    /// The output at a value; it carries the position where that matters.
    type Out: ExchangeData;

    /// Whether outputs of retired values are retracted at the time of retirement, for a downstream arrangement that
    /// retires them in turn.
    const FORWARDS: bool = false;

    /// The accumulator before a key's first value ever.
    fn initial(&self, key: &K) -> Self::Acc;
    /// Takes the next value; a pure function of its arguments.
    fn step(&self, key: &K, acc: &mut Self::Acc, value: &V) -> Self::Out;
    /// Whether this scan reads the key: scans of several intervals share one arrangement.
    fn applies(&self, _key: &K) -> bool {
        true
    }
}

/// A batch whose cursor lends keys and values; times are stamps, multiplicities whole numbers.
pub trait ScanBatch<K: 'static, V: 'static>:
    Navigable<Cursor: for<'a> Cursor<Key<'a> = &'a K, Val<'a> = &'a V, ValOwn = V, Time = u64, Diff = isize>>
{
}

impl<K: 'static, V: 'static, B> ScanBatch<K, V> for B where
    B: Navigable<Cursor: for<'a> Cursor<Key<'a> = &'a K, Val<'a> = &'a V, ValOwn = V, Time = u64, Diff = isize>>
{
}

/// A trace that a scan can read.
pub trait ScanTrace<K: 'static, V: 'static>: TraceReader<Time = u64, Batch: ScanBatch<K, V>> + Clone + 'static {}

impl<K: 'static, V: 'static, Tr> ScanTrace<K, V> for Tr where
    Tr: TraceReader<Time = u64, Batch: ScanBatch<K, V>> + Clone + 'static
{
}
