//! Reads the live values of one key from the batches of a trace, as they are before and at a time.
//!
//! Why not differential's `CursorList`: its `seek_val` (0.26.0) also moves cursors that are past their last key, which
//! indexes out of bounds. Here every batch has its own cursor and only those that have the key are moved.

use super::logic::{Position, Positioned, ScanBatch};
use super::series::{Fault, LiveValues, PositionValues};
use differential_dataflow::trace::{Cursor, Navigable};

/// Cursors over the batches of a trace; keys must be requested in ascending order.
pub(super) struct BatchReader<B: Navigable> {
    batches: Vec<B>,
    cursors: Vec<B::Cursor>,
    /// Which cursors have the current key.
    active: Vec<usize>,
}

impl<B: Navigable> BatchReader<B> {
    pub(super) fn new(batches: Vec<B>) -> Self {
        BatchReader { cursors: batches.iter().map(B::cursor).collect(), batches, active: Vec::new() }
    }

    /// The values of `key`: live before `time`, live at `time`.
    pub(super) fn read<K: Ord + 'static, V: 'static>(&mut self, key: &K, time: u64) -> KeyReader<'_, B>
    where
        B: ScanBatch<K, V>,
    {
        self.active.clear();
        for (index, cursor) in self.cursors.iter_mut().enumerate() {
            let batch = &self.batches[index];
            cursor.seek_key(batch, key);
            if cursor.get_key(batch) == Some(key) {
                self.active.push(index);
            }
        }
        KeyReader { reader: self, time }
    }
}

pub(super) struct KeyReader<'r, B: Navigable> {
    reader: &'r mut BatchReader<B>,
    time: u64,
}

impl<B, V> LiveValues<V> for KeyReader<'_, B>
where
    B: Navigable,
    B::Cursor: for<'b> Cursor<Val<'b> = &'b V, ValOwn = V, Time = u64, Diff = isize>,
    V: Positioned,
{
    fn seek(&mut self, from: Option<Position>) {
        let floor = from.map(V::floor);
        for index in &self.reader.active {
            let (cursor, batch) = (&mut self.reader.cursors[*index], &self.reader.batches[*index]);
            cursor.rewind_vals(batch);
            if let Some(floor) = &floor {
                cursor.seek_val(batch, floor);
            }
        }
    }

    fn next(&mut self) -> Result<Option<PositionValues<'_, V>>, Fault> {
        let BatchReader { batches, cursors, active } = &mut *self.reader;
        let batches: &[B] = batches;
        let mut slot: Option<PositionValues<'_, V>> = None;
        loop {
            let next = active.iter().filter_map(|index| cursors[*index].get_val(&batches[*index])).min();
            let Some(value) = next else { break };
            let position = value.position();
            if let Some(slot) = &slot
                && slot.position != position
                && (slot.old.is_some() || slot.new.is_some())
            {
                break;
            }
            let (mut old, mut new) = (0, 0);
            for index in active.iter() {
                let (cursor, batch) = (&mut cursors[*index], &batches[*index]);
                if cursor.get_val(batch) == Some(value) {
                    cursor.map_times(batch, |time, diff| {
                        let time = <B::Cursor as Cursor>::owned_time(time);
                        let diff = <B::Cursor as Cursor>::owned_diff(diff);
                        old += if time < self.time { diff } else { 0 };
                        new += if time <= self.time { diff } else { 0 };
                    });
                    cursor.step_val(batch);
                }
            }
            let slot = match &mut slot {
                Some(slot) if slot.position == position => slot,
                _ => slot.insert(PositionValues { position, old: None, new: None }),
            };
            for (count, side) in [(old, &mut slot.old), (new, &mut slot.new)] {
                match count {
                    0 => (),
                    1 if side.is_none() => *side = Some(value),
                    _ => return Err(Fault::Multiplicity(position)),
                }
            }
        }
        Ok(slot.filter(|slot| slot.old.is_some() || slot.new.is_some()))
    }
}
