//! Batches: some consecutive records of one partition, as ticks and rejects.
//!
//! Why all payloads are in one block: a tick that is refused later goes to the quarantine with its bytes, and an allocation
//! for each of them would cost more than reading it. What must always hold: `offset_next` of a batch = `offset_next` of the one
//! before + records + gaps, also when a batch is cut in two.

use crate::InstrumentTable;
use crate::wire::{Decoder, IGNORED, RawRecord};
use std::sync::Arc;
use ticktide_base::epoch::ReadSoFar;
use ticktide_base::time::Nanos;
use ticktide_market::{Instrument, Tick};

/// A batch is handed on when it holds this many records …
pub(crate) const BATCH_RECORDS: u64 = 2000;
/// … or this many bytes of payload.
pub(crate) const BATCH_BYTES: u64 = 256 << 10;

/// A record that is not a tick: kept as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    pub offset: i64,
    pub received_at: Option<Nanos>,
    /// A fixed word (`not_json`, `missing_field`, `out_of_range` …).
    pub reason: &'static str,
    pub detail: String,
    pub payload: Vec<u8>,
}

/// Some consecutive records of one partition.
#[derive(Debug, Default)]
pub struct Batch {
    /// Index into [`Source::partitions`].
    pub partition: usize,
    /// The first offset after the batch.
    pub offset_next: i64,
    /// Ticks, rejects and ignored records together.
    pub records: u64,
    /// Offsets skipped because they have no record.
    pub gaps: u64,
    /// Of the gaps: the ranges deleted before they were read, each from its first offset to the first that still exists.
    pub lost: Vec<(i64, i64)>,
    /// Payload bytes.
    pub bytes: u64,
    pub ticks: Vec<Tick>,
    /// Payloads of the ticks one after the other, for those that are refused later; see [`Batch::payload`].
    payloads: Vec<u8>,
    ends: Vec<u32>,
    pub rejects: Vec<Reject>,
    /// Records of kinds that the dataflow ignores: offset and the feed's word, in order.
    pub ignored: Vec<(i64, String)>,
    /// Instruments that this reader saw for the first time: they continue its table, in order of [`InstrumentId`].
    pub instruments: Vec<Instrument>,
    /// The line that names the fields of the partition's records, if one was read (see [`wire::Decoder::header`]).
    pub header: Option<Arc<str>>,
    /// Of a file: the bytes that all records up to the end of this batch were made of.
    pub read: Option<ReadSoFar>,
    /// Nothing unread was left after this batch when it was made.
    pub caught_up: bool,
    /// With `until_end`: the partition's end is reached, and no batch follows.
    pub finished: bool,
}

impl Batch {
    /// An empty batch of a partition.
    pub fn of(partition: usize) -> Batch {
        Batch { partition, ..Batch::default() }
    }

    /// Decodes a record and adds the tick or the reject with its payload. The caller sets `offset_next`: only a source knows
    /// which offsets it skipped.
    ///
    /// ```
    /// use ticktide_feed::{Batch, InstrumentTable, WireSpec, wire};
    /// let mut decoder = wire::build(&WireSpec { format: "json".into(), ..WireSpec::default() }).unwrap();
    /// let (mut batch, mut instruments) = (Batch::of(0), InstrumentTable::default());
    /// let good = br#"{"symbol":"A","time":1700000000,"price":5,"quantity":1}"#;
    /// for (offset, payload) in [good.as_slice(), b"?"].iter().enumerate() {
    ///     batch.take(&wire::RawRecord::new(payload, offset as i64, None), decoder.as_mut(), &mut instruments);
    /// }
    /// batch.offset_next = 2;
    /// assert_eq!((batch.records, batch.ticks.len(), batch.rejects[0].reason), (2, 1, "not_json"));
    /// ```
    pub fn take(&mut self, record: &RawRecord<'_>, decoder: &mut dyn Decoder, instruments: &mut InstrumentTable) {
        self.records += 1;
        self.bytes += record.payload.len() as u64;
        match decoder.decode(record, instruments) {
            Ok(tick) => self.push(tick, record.payload),
            Err(reject) => self.refuse(reject),
        }
    }

    /// Adds a record that is no tick: it is refused, or of a kind that the dataflow ignores.
    #[inline]
    pub fn refuse(&mut self, reject: Reject) {
        match reject.reason == IGNORED {
            true => self.ignored.push((reject.offset, reject.detail)),
            false => self.rejects.push(reject),
        }
    }

    /// Adds a tick and keeps the payload it came in.
    #[inline]
    pub fn push(&mut self, tick: Tick, payload: &[u8]) {
        self.payloads.extend_from_slice(payload);
        self.ends.push(self.payloads.len() as u32);
        self.ticks.push(tick);
    }

    /// Makes room for as much as another batch held.
    pub fn reserve_like(&mut self, other: &Batch) {
        self.ticks.reserve(other.ticks.len());
        self.ends.reserve(other.ends.len());
        self.payloads.reserve(other.payloads.len() + other.payloads.len() / 16);
    }

    /// Keeps what is before `offset` and returns the rest; `None`: nothing is at or after it. The instruments stay in the first
    /// part.
    pub fn split_off(&mut self, offset: i64) -> Option<Batch> {
        if offset >= self.offset_next {
            return None;
        }
        let begins = self.offset_next - (self.records + self.gaps) as i64;
        let ticks = self.ticks.partition_point(|tick| tick.offset < offset);
        let rejects = self.rejects.partition_point(|reject| reject.offset < offset);
        let ignored = self.ignored.partition_point(|(ignored, _)| *ignored < offset);
        let bytes = if ticks == 0 { 0 } else { self.ends[ticks - 1] };
        let mut rest = Batch {
            partition: self.partition,
            offset_next: self.offset_next,
            ticks: self.ticks.split_off(ticks),
            payloads: self.payloads.split_off(bytes as usize),
            ends: self.ends.split_off(ticks).into_iter().map(|end| end - bytes).collect(),
            rejects: self.rejects.split_off(rejects),
            ignored: self.ignored.split_off(ignored),
            header: self.header.clone(),
            read: self.read.take(),
            caught_up: std::mem::take(&mut self.caught_up),
            finished: std::mem::take(&mut self.finished),
            ..Batch::default()
        };
        rest.records = (rest.ticks.len() + rest.rejects.len() + rest.ignored.len()) as u64;
        let sized = |batch: &Batch| {
            (batch.payloads.len() + batch.rejects.iter().map(|r| r.payload.len()).sum::<usize>()) as u64
        };
        rest.bytes = sized(&rest);
        self.records -= rest.records;
        self.bytes = sized(self);
        self.offset_next = offset.max(begins);
        let gaps = (self.offset_next - begins) as u64 - self.records;
        rest.gaps = self.gaps - gaps;
        self.gaps = gaps;
        Some(rest)
    }

    /// The payload of the tick at `index`.
    #[inline]
    pub fn payload(&self, index: usize) -> &[u8] {
        let from = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        &self.payloads[from..self.ends[index] as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ticktide_market::InstrumentId;

    fn batch(offsets: &[(i64, bool)], gaps_after: i64) -> Batch {
        let read = Some(ReadSoFar { offset: 20, bytes: 99, xxh64: 1 });
        let mut batch = Batch { finished: true, read, ..Batch::default() };
        for (offset, is_tick) in offsets {
            let payload = format!("payload {offset}").into_bytes();
            batch.records += 1;
            if *is_tick {
                batch.push(Tick::new(ticktide_market::TickKind::Trade, InstrumentId(0), *offset, 0), &payload);
            } else {
                let detail = String::new();
                batch.rejects.push(Reject { offset: *offset, received_at: None, reason: "r", detail, payload });
            }
        }
        batch.offset_next = offsets.last().map_or(10, |(offset, _)| offset + 1) + gaps_after;
        batch.gaps = (batch.offset_next - 10) as u64 - batch.records;
        batch
    }

    #[test]
    fn a_batch_cut_anywhere_loses_no_record_and_no_gap() {
        // 10 to 19: ticks, rejects, gaps in the middle and at the end
        let offsets = [(11, true), (12, false), (13, true), (16, true), (17, false)];
        for cut in 8..22 {
            let mut front = batch(&offsets, 2);
            let rest = front.split_off(cut);
            assert_eq!(rest.is_none(), cut >= 20, "cut at {cut}");
            assert_eq!(front.finished, rest.is_none(), "the end is after the cut");
            assert_eq!(front.read.is_some(), rest.is_none(), "it is known of the end alone");
            assert!(rest.as_ref().is_none_or(|rest| rest.read.is_some()));
            let mut at = 10;
            for part in [Some(front), rest].into_iter().flatten() {
                assert_eq!(part.offset_next - at, (part.records + part.gaps) as i64, "cut at {cut}");
                assert_eq!(part.records as usize, part.ticks.len() + part.rejects.len());
                for (index, tick) in part.ticks.iter().enumerate() {
                    assert!((at..part.offset_next).contains(&tick.offset));
                    assert_eq!(part.payload(index), format!("payload {}", tick.offset).as_bytes());
                }
                assert!(part.rejects.iter().all(|reject| (at..part.offset_next).contains(&reject.offset)));
                at = part.offset_next;
            }
            assert_eq!(at, 20);
        }
    }
}
