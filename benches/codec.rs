//! The cost of sending a tick to another process, by codec: bytes a tick, and CPU time to encode and to decode it.
//!
//! A message is 1,000 ticks of a seeded walk, once without texts (7 numbers) and once with an id and conditions. Decoding
//! ends with a sum over every field, so that a codec that only lends a view pays for its use, too. What each gives:
//!
//! | codec | decoded | texts | untrusted bytes |
//! |---|---|---|---|
//! | bincode | owned values | yes | an error |
//! | columnar | a view of columns | yes | must be validated first |
//! | bytemuck | a view of records | no: fixed layout only | an error by size; any bit pattern is a number |
//! | abomonation | a view of records, pointers written into the buffer | yes | undefined behaviour |
//!
//! Why ticktide sends bincode although a view is cheaper: it is safe for any bytes and needs no alignment, and 25 ns (150 ns
//! with two texts, nearly all of it their allocation) are little compared with decoding a tick from its feed (`decode.rs`).
//!
//! Soundness of abomonation: it is unmaintained and unsound; it is a dev-dependency, only for comparison. It copies structs
//! with their padding, which must not be read, and returns references into a byte buffer whatever its alignment: a debug
//! build aborts on a misaligned one (`unsafe precondition(s) violated: slice::from_raw_parts_mut requires the pointer to be
//! aligned`), a release build has undefined behaviour. The buffer here starts at a multiple of 8, and only letters
//! follow the records; a socket gives no such promise.

#![allow(unsafe_code)] // for abomonation's two calls only

mod cpu;

use columnar::bytes::indexed;
use columnar::{Borrow, BorrowedOf, Clear, Columnar, FromBytes, Index, Len, Push};
use cpu::ThreadCpu;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::hint::black_box;
use std::time::Duration;

const TICKS: usize = 1_000;

/// kind, instrument, offset, exchange_at, sequence, price, quantity.
type Numbers = (u32, u32, i64, i64, u64, i64, i64);
/// The same with an id and conditions.
type Texts = (u32, u32, i64, i64, u64, i64, i64, String, Option<String>);

#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Flat {
    kind: u32,
    instrument: u32,
    offset: i64,
    exchange_at: i64,
    sequence: u64,
    price: i64,
    quantity: i64,
}

/// A seeded walk: the same ticks in every run.
fn numbers() -> Vec<Numbers> {
    let mut seed = 7u64;
    let mut draw = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let (mut at, mut price) = (1_767_584_700_000_000_000, 244_535_000_000);
    let tick = |index: usize| {
        at += draw(2_000_000) as i64;
        price += draw(21) as i64 * 5_000_000 - 50_000_000;
        (0, draw(500) as u32, index as i64, at, index as u64 + 17, price, (1 + draw(200) as i64) * 100_000_000)
    };
    (0..TICKS).map(tick).collect()
}

fn texts() -> Vec<Texts> {
    let with = |(kind, instrument, offset, at, sequence, price, quantity): Numbers| {
        let conditions = (offset % 3 > 0).then(|| format!("{:X}", 0x20 << (offset % 5)));
        (kind, instrument, offset, at, sequence, price, quantity, format!("T{:08}", 40_000_000 + offset), conditions)
    };
    numbers().into_iter().map(with).collect()
}

/// Reads every field, as a reader of the message would.
trait Look {
    fn look(&self) -> u64;
}

impl Look for Numbers {
    fn look(&self) -> u64 {
        let (kind, instrument, offset, at, sequence, price, quantity) = *self;
        let sum = u64::from(kind) + u64::from(instrument);
        sum.wrapping_add(sequence).wrapping_add((offset ^ at ^ price ^ quantity) as u64)
    }
}

impl Look for Texts {
    fn look(&self) -> u64 {
        let (kind, instrument, offset, at, sequence, price, quantity, id, conditions) = self;
        let letters = id.len() + conditions.as_ref().map_or(0, String::len);
        (*kind, *instrument, *offset, *at, *sequence, *price, *quantity).look().wrapping_add(letters as u64)
    }
}

fn looked<T: Look>(ticks: &[T]) -> u64 {
    ticks.iter().fold(0, |sum, tick| sum.wrapping_add(tick.look()))
}

fn told(group: &str, codec: &str, bytes: usize) {
    eprintln!("{group}/{codec}: {:.1} bytes a tick", bytes as f64 / TICKS as f64);
}

type Group<'c> = criterion::BenchmarkGroup<'c, ThreadCpu>;

fn bincode<T: Serialize + DeserializeOwned + Look>(group: &mut Group<'_>, name: &str, ticks: &[T]) {
    let mut bytes = Vec::new();
    bincode::serialize_into(&mut bytes, ticks).expect("memory takes it");
    told(name, "bincode", bytes.len());
    let decode = |bytes: &[u8]| bincode::deserialize::<Vec<T>>(bytes).expect("just encoded");
    assert_eq!(looked(&decode(&bytes)), looked(ticks));
    group.bench_function("bincode encode", |b| {
        b.iter(|| {
            bytes.clear();
            bincode::serialize_into(&mut bytes, black_box(ticks)).expect("memory takes it");
        });
    });
    group.bench_function("bincode decode", |b| b.iter(|| looked(&decode(black_box(&bytes)))));
}

/// Memory that starts at a multiple of 8, with room for a message.
struct Aligned {
    words: Vec<u64>,
    length: usize,
}

impl Aligned {
    fn bytes(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[..self.length]
    }
}

impl std::io::Write for Aligned {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let end = self.length + bytes.len();
        if end.div_ceil(8) > self.words.len() {
            self.words.resize(end.div_ceil(8).next_power_of_two(), 0);
        }
        bytemuck::cast_slice_mut::<u64, u8>(&mut self.words)[self.length..end].copy_from_slice(bytes);
        self.length = end;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[allow(clippy::ptr_arg)] // abomonation knows vectors, not slices
fn abomonation<T: abomonation::Abomonation + Look>(group: &mut Group<'_>, name: &str, ticks: &Vec<T>) {
    let encode = |into: &mut Aligned| {
        into.length = 0;
        // SAFETY: none in general (padding is read); the types here have none but inside `Option` and at a struct's end
        unsafe { ::abomonation::encode(ticks, into) }.expect("memory takes it");
    };
    let decode = |bytes: &mut [u8]| {
        // SAFETY: the bytes are those that `encode` has just written in this process, and start at a multiple of 8
        let (ticks, _) = unsafe { ::abomonation::decode::<Vec<T>>(bytes) }.expect("just encoded");
        looked(ticks)
    };
    let mut bytes = Aligned { words: Vec::new(), length: 0 };
    encode(&mut bytes);
    told(name, "abomonation", bytes.length);
    assert_eq!(decode(bytes.bytes()), looked(ticks));
    group.bench_function("abomonation encode", |b| b.iter(|| encode(black_box(&mut bytes))));
    group.bench_function("abomonation decode", |b| b.iter(|| decode(black_box(bytes.bytes()))));
}

fn without_texts(c: &mut Criterion<ThreadCpu>) {
    let (name, ticks) = ("codec without texts", numbers());
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements(TICKS as u64));
    bincode(&mut group, name, &ticks);

    let (mut columns, mut words) = (<Numbers as Columnar>::Container::default(), Vec::new());
    let mut encode = |words: &mut Vec<u64>| {
        columns.clear();
        words.clear();
        black_box(&ticks).iter().for_each(|tick| columns.push(tick));
        indexed::encode(words, &columns.borrow());
    };
    encode(&mut words);
    told(name, "columnar", 8 * words.len());
    let decode = |words: &[u64]| {
        let columns = BorrowedOf::<'_, Numbers>::from_bytes(&mut indexed::decode(words));
        (0..columns.len()).fold(0, |sum: u64, index| {
            let (kind, instrument, offset, at, sequence, price, quantity) = columns.get(index);
            sum.wrapping_add((*kind, *instrument, *offset, *at, *sequence, *price, *quantity).look())
        })
    };
    assert_eq!(decode(&words), looked(&ticks));
    group.bench_function("columnar encode", |b| b.iter(|| encode(&mut words)));
    group.bench_function("columnar decode", |b| b.iter(|| decode(black_box(&words))));

    let flat = |(kind, instrument, offset, exchange_at, sequence, price, quantity): &Numbers| Flat {
        kind: *kind,
        instrument: *instrument,
        offset: *offset,
        exchange_at: *exchange_at,
        sequence: *sequence,
        price: *price,
        quantity: *quantity,
    };
    let flats: Vec<Flat> = ticks.iter().map(flat).collect();
    let mut bytes: Vec<u8> = bytemuck::cast_slice(&flats).to_vec();
    told(name, "bytemuck", bytes.len());
    // a record at a time, for a buffer of any alignment
    let decode = |bytes: &[u8]| {
        bytes.chunks_exact(size_of::<Flat>()).fold(0, |sum: u64, record| {
            let Flat { kind, instrument, offset, exchange_at, sequence, price, quantity } =
                bytemuck::pod_read_unaligned(record);
            sum.wrapping_add((kind, instrument, offset, exchange_at, sequence, price, quantity).look())
        })
    };
    assert_eq!(decode(&bytes), looked(&ticks));
    group.bench_function("bytemuck encode", |b| {
        b.iter(|| {
            bytes.clear();
            bytes.extend_from_slice(bytemuck::cast_slice(black_box(&flats)));
        });
    });
    group.bench_function("bytemuck decode", |b| b.iter(|| decode(black_box(&bytes))));
    abomonation(&mut group, name, &ticks);
    group.finish();
}

fn with_texts(c: &mut Criterion<ThreadCpu>) {
    let (name, ticks) = ("codec with texts", texts());
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements(TICKS as u64));
    bincode(&mut group, name, &ticks);

    let (mut columns, mut words) = (<Texts as Columnar>::Container::default(), Vec::new());
    let mut encode = |words: &mut Vec<u64>| {
        columns.clear();
        words.clear();
        black_box(&ticks).iter().for_each(|tick| columns.push(tick));
        indexed::encode(words, &columns.borrow());
    };
    encode(&mut words);
    told(name, "columnar", 8 * words.len());
    let decode = |words: &[u64]| {
        let columns = BorrowedOf::<'_, Texts>::from_bytes(&mut indexed::decode(words));
        (0..columns.len()).fold(0, |sum: u64, index| {
            let (kind, instrument, offset, at, sequence, price, quantity, id, conditions) = columns.get(index);
            let letters = id.len() + conditions.map_or(0, |conditions| conditions.len());
            let numbers = (*kind, *instrument, *offset, *at, *sequence, *price, *quantity).look();
            sum.wrapping_add(numbers).wrapping_add(letters as u64)
        })
    };
    assert_eq!(decode(&words), looked(&ticks));
    group.bench_function("columnar encode", |b| b.iter(|| encode(&mut words)));
    group.bench_function("columnar decode", |b| b.iter(|| decode(black_box(&words))));
    abomonation(&mut group, name, &ticks);
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(ThreadCpu).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    targets = without_texts, with_texts
}
criterion_main!(benches);
