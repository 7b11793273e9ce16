//! The uncompressed bytes of a file as they are read, with the hash of the bytes that its records so far were made of.
//!
//! ```text
//!   hashed ───────────▶│ mark: the records end here │ an unfinished line │ not taken │
//!                      └───────────────────── buffer ─────────────────────────────────┘
//! ```
//!
//! Why here and not where lines are made: whole buffers are hashed, so a record costs nothing. Why XXH64 (seed 0): its
//! definition is fixed for good, and it is faster than every other step of reading. What must always hold: the hash of a mark
//! covers every byte before it and none after it, however often and in whatever pieces the file was read.

use std::hash::Hasher;
use std::io::{BufRead, Read};
use twox_hash::XxHash64;

/// A number of bytes, and their hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    pub bytes: u64,
    pub xxh64: u64,
}

/// Where the records read so far end.
enum Mark {
    In(usize),
    /// Before the buffer.
    Before(Digest),
}

/// A buffered reader that hashes what it reads.
pub struct HashingReader<R> {
    input: R,
    buffer: Box<[u8]>,
    position: usize,
    filled: usize,
    /// Where the bytes not yet hashed begin in the buffer; never after the mark.
    unhashed: usize,
    hash: XxHash64,
    bytes: u64,
    mark: Mark,
    /// The digest that the first bytes must have, until they were read.
    expected: Option<Digest>,
    differs: bool,
}

impl<R: Read> HashingReader<R> {
    pub fn new(input: R, size: usize) -> HashingReader<R> {
        HashingReader {
            input,
            buffer: vec![0; size].into(),
            position: 0,
            filled: 0,
            unhashed: 0,
            hash: XxHash64::with_seed(0),
            bytes: 0,
            mark: Mark::In(0),
            expected: None,
            differs: false,
        }
    }

    /// Sets the digest that the first bytes must have. Nothing may be read before.
    pub fn expect(&mut self, digest: Digest) {
        self.expected = Some(digest).filter(|digest| digest.bytes > 0);
    }

    /// Whether the bytes read differ from those expected.
    #[inline]
    pub fn differs(&self) -> bool {
        self.differs
    }

    /// Marks that all bytes taken so far belong to records.
    #[inline]
    pub fn mark(&mut self) {
        self.mark = Mark::In(self.position);
    }

    /// The digest of the bytes that the records so far were made of.
    pub fn marked(&mut self) -> Digest {
        match self.mark {
            Mark::In(at) => {
                self.hash_to(at);
                self.digest()
            }
            Mark::Before(digest) => digest,
        }
    }

    fn digest(&self) -> Digest {
        Digest { bytes: self.bytes, xxh64: self.hash.finish() }
    }

    fn hash_to(&mut self, to: usize) {
        let reached = |expected: &Digest| expected.bytes - self.bytes <= (to - self.unhashed) as u64;
        if let Some(expected) = self.expected.take_if(|expected| reached(expected)) {
            self.add(self.unhashed + (expected.bytes - self.bytes) as usize);
            self.differs = self.digest() != expected;
        }
        self.add(to);
    }

    fn add(&mut self, to: usize) {
        self.hash.write(&self.buffer[self.unhashed..to]);
        self.bytes += (to - self.unhashed) as u64;
        self.unhashed = to;
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}

impl<R: Read> BufRead for HashingReader<R> {
    #[inline]
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        if self.position == self.filled {
            if let Mark::In(_) = self.mark {
                self.mark = Mark::Before(self.marked());
            }
            self.hash_to(self.filled);
            (self.position, self.filled, self.unhashed) = (0, 0, 0);
            self.filled = self.input.read(&mut self.buffer)?;
        }
        Ok(&self.buffer[self.position..self.filled])
    }

    #[inline]
    fn consume(&mut self, count: usize) {
        self.position += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn digest(bytes: &[u8]) -> Digest {
        Digest { bytes: bytes.len() as u64, xxh64: XxHash64::oneshot(0, bytes) }
    }

    #[test]
    fn the_hash_is_the_published_one() {
        // the test vectors of the definition: https://github.com/Cyan4973/xxHash
        assert_eq!(digest(b"").xxh64, 0xef46_db37_51d8_e999);
        assert_eq!(digest(b"a").xxh64, 0xd24e_c4f1_a98c_6e5b);
    }

    proptest! {
        #[test]
        fn a_mark_is_hashed_as_the_bytes_before_it(
            bytes in prop::collection::vec(any::<u8>(), 0..400),
            size in 1usize..70,
            steps in prop::collection::vec((1usize..40, any::<bool>(), any::<bool>()), 0..60),
            expected in 0usize..400,
            wrong in any::<bool>(),
        ) {
            let mut hashed = HashingReader::new(&bytes[..], size);
            let expected = expected.min(bytes.len());
            let mut wanted = digest(&bytes[..expected]);
            wanted.xxh64 ^= u64::from(wrong);
            hashed.expect(wanted);
            let (mut taken, mut marked) = (0, 0);
            for (most, marks, asks) in steps {
                let there = hashed.fill_buf().expect("memory").len();
                let count = most.min(there);
                hashed.consume(count);
                taken += count;
                if marks {
                    hashed.mark();
                    marked = taken;
                }
                if asks {
                    prop_assert_eq!(hashed.marked(), digest(&bytes[..marked]));
                }
            }
            hashed.mark();
            prop_assert_eq!(hashed.marked(), digest(&bytes[..taken]));
            prop_assert_eq!(hashed.differs(), wrong && expected > 0 && expected <= taken);
        }
    }
}
