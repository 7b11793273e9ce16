//! Records in memory with their times, up to a limit.
//!
//! Why one block of bytes: an allocation for each line would cost more than sorting it. What must always hold: records of one
//! time come out in the order in which they went in.

use crate::FeedError;

/// Bytes of an entry of the index: a time and a position.
const ENTRY: usize = 16;
/// Bytes before each line: its length.
const LENGTH: usize = 4;
/// The index takes one of this many parts of the memory.
const INDEX_PART: usize = 5;

pub struct Pile {
    bytes: Vec<u8>,
    /// A record's time and where its bytes begin.
    index: Vec<(i64, u64)>,
    bytes_most: usize,
    index_most: usize,
}

impl Pile {
    /// A pile of at most that many bytes; it takes memory as it fills. Error: the system does not have that much.
    pub fn new(memory: u64) -> Result<Pile, FeedError> {
        let whole = usize::try_from(memory).unwrap_or(usize::MAX);
        let (index_most, bytes_most) = (whole / INDEX_PART / ENTRY, whole - whole / INDEX_PART);
        let mut pile = Pile { bytes: Vec::new(), index: Vec::new(), bytes_most, index_most };
        let reserved = pile.index.try_reserve_exact(index_most);
        match reserved.and_then(|()| pile.bytes.try_reserve_exact(bytes_most)) {
            Ok(()) => Ok(pile),
            Err(_) => Err(FeedError::fix(
                format!("{memory} bytes of memory are not available"),
                "give less with `--memory`: what does not fit goes to disk meanwhile",
            )),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Whether a line fits; an empty pile takes any line.
    pub fn has_room(&self, length: usize) -> bool {
        let fits = self.bytes.len() + LENGTH + length <= self.bytes_most;
        self.is_empty() || (fits && self.index.len() < self.index_most)
    }

    pub fn push(&mut self, at: i64, line: &[u8]) {
        self.index.push((at, self.bytes.len() as u64));
        self.bytes.extend_from_slice(&(line.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(line);
    }

    /// The records by time; records of one time in the order in which they were added.
    pub fn sorted(&mut self) -> impl Iterator<Item = (i64, &[u8])> {
        // positions ascend in the order of arrival: no two entries are equal
        self.index.sort_unstable();
        self.index.iter().map(|(at, begin)| {
            let begin = *begin as usize;
            let (length, rest) = self.bytes[begin..].split_first_chunk::<LENGTH>().expect("pushed with its length");
            (*at, &rest[..u32::from_le_bytes(*length) as usize])
        })
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.index.clear();
    }
}
