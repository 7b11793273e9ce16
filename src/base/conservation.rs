//! The balance of a partition's records in an epoch: where each of them went, and why some of them count for nothing.
//!
//! ```text
//!   advanced = records + gaps          records = accepted + duplicates + rejected + pending + ignored
//!                                                   │                       └ by reason: `reasons`
//!                                                   └ without a bar, by reason: `silent`; for some intervals only: `partly`
//! ```
//!
//! Why the reasons are in the balance: every worker's balance reaches the slot of the epoch, so the losses are known as long
//! as the log exists. What must always hold: `reasons` add up to `rejected`; an older slot, which has none, reads as one
//! without losses and is compared by its terms alone; between workers every field is written, since their format has no names.

use serde::ser::{SerializeStruct, Serializer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Numbers of records, by the fixed word for their reason.
pub type ByReason = BTreeMap<String, i64>;

/// The reason of an accepted record from which no bar can be made.
pub const NOTICE: &str = "notice";

/// Words of ignored records that are counted apart, and what the others are counted under.
const WORDS_MOST: usize = 32;
const OTHER_WORDS: &str = "(others)";

/// Records of one partition in one epoch: where each of them went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Conservation {
    /// `offset_next` of this epoch minus that of the one before.
    pub advanced: i64,
    /// Offsets without a record: control records, compacted ones, records without a value.
    pub gaps: i64,
    pub records: i64,
    pub accepted: i64,
    pub duplicates: i64,
    pub rejected: i64,
    /// Change of the records that wait for a decision (held jumps, unmatched cancels); may be negative.
    pub pending: i64,
    /// The rejected records, by reason.
    #[serde(default)]
    pub reasons: ByReason,
    /// Accepted records that made no bar, by reason.
    #[serde(default)]
    pub silent: ByReason,
    /// Accepted records that count for some intervals only, by reason.
    #[serde(default)]
    pub partly: ByReason,
    /// Of the gaps: records that were deleted before they were read.
    #[serde(default)]
    pub lost: i64,
    /// Records of kinds that the dataflow ignores.
    #[serde(default)]
    pub ignored: i64,
    /// The ignored ones, by the feed's word for their kind.
    #[serde(default)]
    pub words: ByReason,
}

impl Conservation {
    /// How many offsets and how many records are unaccounted for; any number but zero was lost or counted twice.
    pub fn balance(&self) -> [i64; 2] {
        let placed = self.accepted + self.duplicates + self.rejected + self.pending + self.ignored;
        [self.advanced - self.records - self.gaps, self.records - placed]
    }

    /// Whether both numbers are zero; if not, a bug must stop the commit.
    pub fn balances(&self) -> bool {
        self.balance() == [0, 0]
    }

    /// Counts a refused record.
    pub fn refuse(&mut self, reason: &str) {
        self.rejected += 1;
        count(&mut self.reasons, reason, 1);
    }

    /// Counts a record of a kind that the dataflow ignores.
    pub fn ignore(&mut self, word: &str) {
        self.ignored += 1;
        self.count_word(word, 1);
    }

    /// Only so many words are counted apart: some feeds put a number into theirs.
    fn count_word(&mut self, word: &str, records: i64) {
        let is_apart = self.words.len() < WORDS_MOST || self.words.contains_key(word);
        count(&mut self.words, if is_apart { word } else { OTHER_WORDS }, records);
    }

    /// Whether some record counts for a bar, waits, or is a notice (which describes instruments and never makes a bar).
    pub fn gives(&self) -> bool {
        let silent = self.silent.iter().filter(|(why, _)| *why != NOTICE);
        let silent: i64 = silent.map(|(_, records)| records).sum();
        self.accepted - silent > 0 || self.pending > 0
    }

    /// The most frequent reason of the records that count for nothing.
    pub fn why(&self) -> Option<&str> {
        let whys = self.reasons.iter().chain(&self.silent).map(|(why, records)| (why.as_str(), *records));
        let whys = whys
            .chain([("duplicates", self.duplicates), ("ignored", self.ignored)])
            .filter(|(_, records)| *records > 0);
        whys.max_by_key(|(_, records)| *records).map(|(why, _)| why)
    }

    pub fn add(&mut self, other: &Conservation) {
        self.advanced += other.advanced;
        self.gaps += other.gaps;
        self.records += other.records;
        self.accepted += other.accepted;
        self.duplicates += other.duplicates;
        self.rejected += other.rejected;
        self.pending += other.pending;
        self.lost += other.lost;
        self.ignored += other.ignored;
        other.words.iter().for_each(|(word, records)| self.count_word(word, *records));
        for (all, more) in
            [(&mut self.reasons, &other.reasons), (&mut self.silent, &other.silent), (&mut self.partly, &other.partly)]
        {
            more.iter().for_each(|(why, records)| count(all, why, *records));
        }
    }

    /// Whether a recomputation gives the recorded numbers. Reasons are compared only where they were recorded; deleted records
    /// are not compared, since the broker deletes them.
    pub fn agrees_with(&self, recomputed: &Conservation) -> bool {
        let terms = |counts: &Conservation| {
            let Conservation { advanced, gaps, records, accepted, duplicates, rejected, pending, ignored, .. } =
                *counts;
            [advanced, gaps, records, accepted, duplicates, rejected, pending, ignored]
        };
        let whys = |counts: &Conservation| [counts.reasons.clone(), counts.silent.clone(), counts.partly.clone()];
        let untold = whys(self).iter().all(BTreeMap::is_empty);
        terms(self) == terms(recomputed) && (untold || whys(self) == whys(recomputed))
    }
}

/// Counts records under a reason.
pub fn count(all: &mut ByReason, why: &str, records: i64) {
    match all.get_mut(why) {
        Some(sum) => *sum += records,
        None => drop(all.insert(why.to_owned(), records)),
    }
}

impl Serialize for Conservation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let by_name = serializer.is_human_readable();
        let mut fields = serializer.serialize_struct("Conservation", 13)?;
        fields.serialize_field("advanced", &self.advanced)?;
        fields.serialize_field("gaps", &self.gaps)?;
        fields.serialize_field("records", &self.records)?;
        fields.serialize_field("accepted", &self.accepted)?;
        fields.serialize_field("duplicates", &self.duplicates)?;
        fields.serialize_field("rejected", &self.rejected)?;
        fields.serialize_field("pending", &self.pending)?;
        for (name, all) in [("reasons", &self.reasons), ("silent", &self.silent), ("partly", &self.partly)] {
            match by_name && all.is_empty() {
                true => fields.skip_field(name)?,
                false => fields.serialize_field(name, all)?,
            }
        }
        match by_name && self.lost == 0 {
            true => fields.skip_field("lost")?,
            false => fields.serialize_field("lost", &self.lost)?,
        }
        match by_name && self.ignored == 0 {
            true => fields.skip_field("ignored")?,
            false => fields.serialize_field("ignored", &self.ignored)?,
        }
        match by_name && self.words.is_empty() {
            true => fields.skip_field("words")?,
            false => fields.serialize_field("words", &self.words)?,
        }
        fields.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lossy() -> Conservation {
        let mut counts =
            Conservation { advanced: 9, gaps: 2, records: 7, accepted: 4, lost: 1, ..Conservation::default() };
        ["too_late", "not_json", "too_late"].into_iter().for_each(|reason| counts.refuse(reason));
        count(&mut counts.silent, "notice", 3);
        count(&mut counts.partly, "late_partly", 1);
        ["heartbeat", "ack", "heartbeat"].into_iter().for_each(|word| counts.ignore(word));
        (counts.records, counts.advanced) = (counts.records + 3, counts.advanced + 3);
        counts
    }

    #[test]
    fn a_refused_record_is_counted_under_its_reason() {
        let counts = lossy();
        assert!(counts.balances(), "{counts:?}");
        assert_eq!(counts.reasons, ByReason::from([("not_json".into(), 1), ("too_late".into(), 2)]));
        let mut twice = counts.clone();
        twice.add(&counts);
        assert_eq!((twice.rejected, twice.reasons["too_late"], twice.silent["notice"]), (6, 4, 6));
        assert_eq!((twice.partly["late_partly"], twice.lost), (2, 2));
    }

    #[test]
    fn one_without_losses_is_written_as_ever_and_one_of_before_is_read() {
        let plain = Conservation { advanced: 1, records: 1, accepted: 1, ..Conservation::default() };
        let before =
            "{\"advanced\":1,\"gaps\":0,\"records\":1,\"accepted\":1,\"duplicates\":0,\"rejected\":0,\"pending\":0}";
        assert_eq!(serde_json::to_string(&plain).expect("JSON"), before);
        assert_eq!(serde_json::from_str::<Conservation>(before).expect("one of before"), plain);
        let text = serde_json::to_string(&lossy()).expect("JSON");
        assert_eq!(serde_json::from_str::<Conservation>(&text).expect("JSON"), lossy());
    }

    #[test]
    fn between_workers_nothing_is_left_out() {
        for counts in [Conservation::default(), lossy()] {
            let many = vec![counts.clone(), counts.clone()];
            let bytes = bincode::serialize(&many).expect("bytes");
            assert_eq!(bincode::deserialize::<Vec<Conservation>>(&bytes).expect("whole"), many);
        }
    }

    #[test]
    fn a_recomputation_agrees_by_its_reasons_only_where_reasons_were_recorded() {
        let now = lossy();
        let before =
            Conservation { reasons: ByReason::new(), silent: ByReason::new(), partly: ByReason::new(), ..now.clone() };
        assert!(before.agrees_with(&now) && now.agrees_with(&now));
        assert!(now.agrees_with(&Conservation { lost: 0, ..now.clone() }));
        let mut other = now.clone();
        other.reasons = ByReason::from([("too_late".into(), 3)]);
        assert!(!now.agrees_with(&other));
        assert!(!before.agrees_with(&Conservation { accepted: 5, ..now.clone() }));
    }
}
