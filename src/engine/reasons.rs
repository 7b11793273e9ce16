//! What helps when a record comes to nothing: the reasons of refusals and of silence, each with the key that changes it.
//!
//! Why one table: the same word appears in the quarantine, in a run's last lines, in `epochs show` and in warnings, and must
//! lead to the same key in all of them. What must always hold: every reason that the code can give has its row here (a test
//! reads the sources of the stages that refuse records); every row says what to do.

/// A reason, and what helps.
#[derive(Debug)]
pub struct ReasonEntry {
    pub word: &'static str,
    /// What is wrong, with the key that changes it.
    pub hint: &'static str,
    /// Whether a decoder gives it: another wire format or mapping may read the record.
    pub decoder: bool,
}

impl ReasonEntry {
    /// The code that people search for and `ticktide explain` explains: it follows from the word, and neither ever changes.
    pub fn code(&self) -> String {
        format!("TT-{}", self.word.to_ascii_uppercase().replace('_', "-"))
    }
}

const fn decoder(word: &'static str, hint: &'static str) -> ReasonEntry {
    ReasonEntry { word, hint, decoder: true }
}

const fn judge(word: &'static str, hint: &'static str) -> ReasonEntry {
    ReasonEntry { word, hint, decoder: false }
}

/// The reasons of the quarantine.
pub static REASONS: &[ReasonEntry] = &[
    // of lines and objects
    decoder("not_json", "the record is not JSON: `source.wire` names its format"),
    decoder("not_an_object", "a record must be one JSON object: `source.wire` names another format"),
    decoder(
        "not_csv",
        "the line is not CSV: `source.wire` names its format, `source.delimiter` what separates its columns",
    ),
    decoder("not_utf8", "the record is not text: `source.wire` names its format"),
    decoder("not_hex", "the bytes of the record are not hexadecimal text: `source.wire` names its format"),
    decoder("not_partial", "the record is not partial text: `source.wire` names its format"),
    decoder("empty", "the record has no bytes: its producer sent none"),
    decoder("tombstone", "the record has no value: a compacted topic keeps such a record in place of a deleted one"),
    decoder(
        "field_count",
        "the line does not have as many fields as there are names: set `source.columns`, or give the file a header",
    ),
    decoder("unknown_columns", "the list of instruments has columns that are not known: its producer has changed it"),
    // of fields
    decoder("missing_field", "the record lacks a required field: `source.fields` says what the record calls it"),
    decoder("duplicate_field", "the record has a field twice: its producer must write it once"),
    decoder("bad_field", "a field is neither text nor a number: `source.fields` names another one"),
    decoder("bad_value", "a value of the list of instruments cannot be read: its producer has changed it"),
    decoder(
        "unknown_type",
        "the kind of the record is not known: `source.types` maps the feed's words (`{ match = \"trade\", \"*\" = \"ignore\" }`), `source.fields` names their field",
    ),
    decoder(
        "bad_time",
        "the time cannot be read: `source.fields` names its field (`time = \"…\"`); it is a number of s, ms, µs or ns, RFC 3339, of `source.zone`, or of the form `source.time_format`",
    ),
    decoder(
        "ambiguous_time",
        "the clocks of the zone show the time twice or never: `source.ambiguous` chooses a moment",
    ),
    decoder("undated", "the record has no date: its feed must give one"),
    decoder("clock_mismatch", "the times of the record are not from one clock: `source.wire` names its format"),
    decoder("not_a_number", "a price or quantity is not a number: `source.fields` names its field"),
    decoder(
        "out_of_range",
        "a number or time is outside the range that can be stored: `source.fields` names its field; its unit may \
         differ",
    ),
    decoder(
        "too_precise",
        "a price or quantity has more than eight digits after the point: its producer must round it, or `source.round` does",
    ),
    decoder("negative_quantity", "a quantity is below 0: `source.fields` names its field (`quantity = \"…\"`)"),
    decoder("bad_sequence", "the sequence is not a whole number: `source.fields` names its field (`sequence = \"…\"`)"),
    // of exchanges and brokers
    decoder("bad_divisor", "the price's divisor cannot be used: `source.wire` names the record's format"),
    decoder("bad_length", "the length of the packet does not fit its code: `source.wire` names the record's format"),
    decoder("no_instrument", "the record names no instrument: its key or header must"),
    decoder("not_an_event", "the record is not an event of the feed: `source.wire` names its format"),
    decoder(
        "unknown_code",
        "the code of the message is not known: `source.topics` names the topics of the known codes",
    ),
    decoder("unknown_event", "the code of the event is not known: `source.topics` names the topics of the known codes"),
    decoder("unknown_packet", "the code of the packet is not known: `source.wire` names the record's format"),
    decoder(
        "unknown_segment",
        "the exchange's segment is not known: `source.topics` names the topics of the known segments",
    ),
    // of time
    judge(
        "too_late",
        "it is older than its partition still accepts: sort files by time with `ticktide feed sort`, or reach further \
         back with the key `horizon`; both need a new lake for records already refused. If wild times have moved the \
         partition ahead, `ticktide lake rewind` sets it back",
    ),
    judge(
        "late_partly",
        "it is too old for some intervals: `ticktide feed sort` sorts files by time, the key `horizon` reaches further \
         back; both need a new lake",
    ),
    judge(
        "stood_still",
        "its partition came back after others had gone on without it: a longer `idle_after` waits for it, a longer `horizon` \
         reaches further back",
    ),
    judge(
        "off_session",
        "its time is outside every phase of the session: set `session` (`ticktide calendar` shows it)",
    ),
    judge(
        "future_time",
        "its time is too far ahead to be believed: a longer `max_jump` allows gaps; the clock of the sender (or of \
         this machine) may be wrong",
    ),
    // of what was there before
    judge(
        "conflicting_id",
        "its id or sequence came before with other content: `dedupe` says where it must be unique, `source.fields` \
         names its field",
    ),
    judge("corrections_off", "it cancels or corrects a trade: set `source.corrections = true`"),
    judge("unmatched", "no trade has arrived for a cancel or correction: a longer `retention` waits for it"),
    judge("lost_range", "the broker deleted records before they were read: a longer retention of the topic keeps them"),
];

/// Why an accepted record makes no bar.
pub static SILENT: &[ReasonEntry] = &[
    judge("notice", "it describes instruments or the feed, not a trade"),
    judge("snapshot", "snapshots make bars under `source.volume = \"cumulative\"`, and here it is \"trade\""),
    judge("trade", "trades make bars under `source.volume = \"trade\"`, and here it is \"cumulative\""),
    judge("no_price", "it has no price that a bar can use: `prices = \"signed\"` accepts prices of 0 and below"),
    judge("conditions", "its `conditions` let it set no price and add no volume"),
    judge("other_day", "the last trade that it reports is of another day"),
    judge(
        "frozen_bar",
        "the last trade that it reports is in a bar that no longer changes: a longer `horizon` reaches further back",
    ),
];

/// The row of a word.
pub fn reason(word: &str) -> Option<&'static ReasonEntry> {
    REASONS.iter().chain(SILENT).find(|reason| reason.word == word)
}

/// What helps against a word; empty for one that is not known here.
pub fn hint(word: &str) -> &'static str {
    reason(word).map_or("", |reason| reason.hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    /// What precedes the word of a reason in the code that gives one.
    const GIVES: [&str; 8] =
        ["Problem::new(", "wrong(", "refuse(", "reject(", "quarantine(", "count_partly(", "reason: ", "NumberError::"];

    fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("the folders of the sources are siblings") {
            let path = entry.expect("readable").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            match path.is_dir() {
                true if name != "tests" => sources(&path, into),
                false if name.ends_with(".rs") && !name.starts_with("tests") => into.push(path),
                _ => {}
            }
        }
    }

    /// The words that a file's code gives as reasons.
    fn given(text: &str) -> BTreeSet<String> {
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let mut words = BTreeSet::new();
        for gives in GIVES {
            for (at, _) in code.match_indices(gives) {
                let mut rest = code[at + gives.len()..].trim_start();
                if gives == "NumberError::" {
                    let Some((_, value)) = rest.split_once("=> ").filter(|(name, _)| name.len() < 20) else { continue };
                    rest = value;
                }
                let word = rest.strip_prefix('"').and_then(|rest| rest.split_once('"')).map_or("", |(word, _)| word);
                if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
                    words.insert(word.to_owned());
                }
            }
        }
        words
    }

    #[test]
    fn every_reason_that_the_code_can_give_has_its_row() {
        let mut files = Vec::new();
        for stage in ["feed", "flow", "engine"] {
            sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(stage), &mut files);
        }
        let mut all = BTreeSet::new();
        for path in &files {
            all.extend(given(&std::fs::read_to_string(path).expect("readable")));
        }
        // one of each way to give a reason: the walk finds them
        for word in
            ["not_json", "too_precise", "off_session", "future_time", "unmatched", "late_partly", "clock_mismatch"]
        {
            assert!(all.contains(word), "{word} is not found in the sources");
        }
        let missing: Vec<&String> = all.iter().filter(|word| reason(word).is_none()).collect();
        assert!(missing.is_empty(), "without a row: {missing:?}");
    }

    #[test]
    fn every_word_is_there_once_and_says_what_helps() {
        for table in [REASONS, SILENT] {
            let words: BTreeSet<&str> = table.iter().map(|reason| reason.word).collect();
            assert_eq!(words.len(), table.len());
            assert!(table.iter().all(|reason| reason.hint.len() > 20 && !reason.hint.ends_with('.')));
        }
        let late = hint("too_late");
        assert!(["feed sort", "horizon", "new lake"].into_iter().all(|word| late.contains(word)), "{late}");
    }
}
