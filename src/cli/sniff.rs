//! `list formats --sniff`: which formats and presets decode the first records of a file, and a `source` line for it.
//!
//! ```text
//!   file ─▶ every format as it is ─┐
//!        ─▶ every preset ──────────┼─▶ the one that decodes most ─▶ a line of `source`, tried before it is shown
//!        ─▶ a mapping by the names of its keys or columns ─┘
//! ```
//!
//! Why it is tried: names mislead, records do not. What must always hold: a proposal has decoded at least half of the records that it
//! is shown for; what it cannot know (a zone) is asked for.

use super::list::shown;
use super::{aligned, print};
use serde_json::{Value, json};
use std::path::Path;
use ticktide_base::error::Error;
use ticktide_dataflow::{Dataflow, presets};
use ticktide_feed::sniff::{self, Sniffed};

/// Records that a mapping is guessed from.
const GUESSED_FROM: usize = 50;

/// What feeds call the four fields that a trade must have, likeliest first.
const NAMES: [(&str, &[&str]); 4] = [
    (
        "symbol",
        &["symbol", "s", "sym", "ticker", "product_id", "instrument", "instId", "coin", "pair", "market", "code"],
    ),
    (
        "time",
        &[
            "time",
            "T",
            "timestamp",
            "ts",
            "trade_time",
            "datetime",
            "date_time",
            "exchange_timestamp",
            "ts_event",
            "t",
            "date",
        ],
    ),
    ("price", &["price", "p", "px", "last_price", "last", "rate", "trade_price", "close"]),
    ("quantity", &["quantity", "qty", "q", "size", "sz", "amount", "volume", "vol", "v", "last_traded_quantity"]),
];

/// A line of `source` for a file.
struct Proposal {
    /// TOML, after `source = `.
    source: String,
    result: Sniffed,
    /// What only the user knows.
    question: Option<&'static str>,
}

/// Prints what formats and presets make of a file's first records, and a proposal. Error: nothing decodes any of them.
pub fn sniff(path: &Path, most: u64, as_json: bool) -> Result<(), Error> {
    let found = sniff::sniff(path, most)?;
    let proposal = proposal(path, most, &found)?;
    if as_json {
        found.iter().try_for_each(|format| print(&format!("{}\n", sniffed_json(format))))?;
        if let Some(Proposal { source, result, question }) = &proposal {
            let ticks = (result.records, result.ticks, result.ignored);
            let line = json!({ "source": source, "records": ticks.0, "ticks": ticks.1, "ignored": ticks.2, "question": question });
            print(&format!("{line}\n"))?;
        }
    } else {
        print(&aligned(&found.iter().flat_map(rows).collect::<Vec<_>>()))?;
        if let Some(proposal) = &proposal {
            print(&proposed(proposal, path))?;
        }
    }
    if proposal.is_none() {
        let message = format!("no format decodes any of the first {} records of {}", found[0].records, path.display());
        return Err(Error::fix(message, mapping(&sniff::first_lines(path, 1)?)));
    }
    Ok(())
}

fn rows(format: &Sniffed) -> Vec<Vec<String>> {
    let count = format!("{} of {} records decode", format.ticks, format.records);
    let mut rows = vec![vec![format.format.to_owned(), count]];
    for (reason, refused) in &format.rejects {
        let line = format!("record {}: {}: {}", refused.offset, refused.detail, shown(&refused.payload));
        rows.push(vec![String::new(), format!("{} {reason}", refused.records), line]);
    }
    rows
}

fn proposed(proposal: &Proposal, path: &Path) -> String {
    let Proposal { source, result, question } = proposal;
    let ignored = if result.ignored > 0 { format!(", {} are ignored", result.ignored) } else { String::new() };
    let question = question.map_or(String::new(), |question| format!("open: {question}\n"));
    format!(
        "\nproposal: {} of {} records decode{ignored}\n{question}\nsource = {source}\n\ntry it: ticktide run bars --source file --path {} --until end --set 'source={source}'\n",
        result.ticks,
        result.records,
        path.display()
    )
}

/// Decodes at least half of what it does not ignore.
fn is_good(result: &Sniffed) -> bool {
    result.ticks > 0 && 2 * result.ticks >= result.records - result.ignored
}

/// The best proposal: a format as it is, a preset, or a mapping that the names of the file suggest.
fn proposal(path: &Path, most: u64, found: &[Sniffed]) -> Result<Option<Proposal>, Error> {
    if let Some(plain) = found.first().filter(|format| is_good(format)) {
        let source = format!("{{ wire = \"{}\" }}", plain.format);
        return Ok(Some(Proposal { source, result: plain.clone(), question: None }));
    }
    let mut all = Vec::new();
    for preset in presets::PRESETS.iter() {
        all.extend(tried(path, most, format!("{{ preset = \"{}\" }}", preset.name), None)?);
    }
    // the more a preset reads, and the less it ignores, the better it fits
    all.sort_by_key(|proposal: &Proposal| (std::cmp::Reverse(proposal.result.ticks), proposal.result.ignored));
    if let Some(best) = all.into_iter().next() {
        return Ok(Some(best));
    }
    let lines = sniff::first_lines(path, GUESSED_FROM)?;
    for (source, question) in guesses(&lines) {
        if let Some(proposal) = tried(path, most, source, question)? {
            return Ok(Some(proposal));
        }
    }
    Ok(None)
}

/// The proposal, if it decodes enough.
fn tried(path: &Path, most: u64, source: String, question: Option<&'static str>) -> Result<Option<Proposal>, Error> {
    let Ok(dataflow) = Dataflow::from_text("sniffed", "sniffed.toml", &format!("source = {source}"), &[], &[]) else {
        return Ok(None);
    };
    // a file that lacks what its settings need is another file
    let Ok(result) = sniff::sniff_as(path, most, "proposal", &dataflow.source.wire) else { return Ok(None) };
    Ok(is_good(&result).then_some(Proposal { source, result, question }))
}

/// Lines of `source` that the names of a file suggest, likeliest first.
fn guesses(lines: &[String]) -> Vec<(String, Option<&'static str>)> {
    let objects: Vec<Value> =
        lines.iter().filter_map(|line| serde_json::from_str(line).ok()).filter(Value::is_object).collect();
    if !objects.is_empty() {
        return json_guesses(&objects);
    }
    csv_guesses(lines)
}

fn json_guesses(objects: &[Value]) -> Vec<(String, Option<&'static str>)> {
    let mut paths: Vec<(String, usize)> = Vec::new();
    for object in objects {
        leaves(object, String::new(), &mut |path| match paths.iter_mut().find(|(known, _)| known == path) {
            Some((_, count)) => *count += 1,
            None => paths.push((path.to_owned(), 1)),
        });
    }
    let names: Vec<&str> = paths.iter().map(|(path, _)| path.as_str()).collect();
    let Some(fields) = fields(&names) else { return Vec::new() };
    let mapped = |more: &str, rest: &str| format!("{{ wire = \"json\", fields = {{ {fields}{more} }}{rest} }}");
    let mut guesses = vec![(mapped("", ""), None)];
    // a feed of several kinds has a word for them
    for kind in ["type", "e", "event", "channel", "stream", "topic"].iter().filter(|kind| names.contains(*kind)) {
        for word in words(objects, kind) {
            let types = format!(", types = {{ {word:?} = \"trade\", \"*\" = \"ignore\" }}");
            guesses.push((mapped(&format!(", type = \"{kind}\""), &types), None));
        }
    }
    let zones = [("{ wire", "{ zone = \"UTC\", wire")];
    let zoned: Vec<_> =
        guesses.iter().map(|(guess, _)| (guess.replacen(zones[0].0, zones[0].1, 1), Some(ZONE))).collect();
    guesses.into_iter().chain(zoned).collect()
}

const ZONE: &str = "the times have no zone; set `zone` to that of the feed, e.g. \"Asia/Kolkata\"";

/// The words of a key, those of trades first.
fn words(objects: &[Value], key: &str) -> Vec<String> {
    let mut words: Vec<String> =
        objects.iter().filter_map(|object| Some(object.get(key)?.as_str()?.to_owned())).collect();
    words.sort();
    words.dedup();
    words.sort_by_key(|word| !(word.contains("trade") || word.contains("match")));
    words.truncate(8);
    words
}

/// Calls `each` with the path of every value of an object that is a text or a number; of a list only the first element is read.
fn leaves(value: &Value, above: String, each: &mut dyn FnMut(&str)) {
    match value {
        Value::Object(entries) => {
            for (name, below) in entries {
                let path = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
                leaves(below, path, each);
            }
        }
        Value::String(_) | Value::Number(_) => each(&above),
        _ => {}
    }
}

/// `symbol = "s", time = "data.T", …`; `None`: some field has no name that could be its.
fn fields(names: &[&str]) -> Option<String> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or(name).trim().to_owned();
    let mut fields = Vec::new();
    for (field, candidates) in NAMES {
        let found = candidates.iter().find_map(|candidate| {
            let exact = names.iter().find(|name| last(name) == *candidate);
            exact.or_else(|| names.iter().find(|name| last(name).eq_ignore_ascii_case(candidate)))
        });
        fields.push(format!("{field} = {:?}", found?.trim()));
    }
    Some(fields.join(", "))
}

/// The character between the columns of a line, if it has columns.
fn delimiter(line: &str) -> Option<char> {
    let count = |mark: &char| line.matches(*mark).count();
    let marks = [';', '\t', '|', ','].into_iter().filter(|mark| count(mark) >= 2);
    marks.max_by_key(count).filter(|_| !line.starts_with(['{', '[']))
}

/// A hint: how a dataflow could describe the records.
fn mapping(lines: &[String]) -> String {
    let Some(delimiter) = lines.first().and_then(|line| delimiter(line)) else {
        return "map the records' fields in `source.fields` of a dataflow; the reasons are above".to_owned();
    };
    format!(
        "the file seems to have columns: set `source = {{ wire = \"csv\"{}, columns = [\"symbol\", \"time\", \"price\", \
         \"quantity\"] }}`, in their order; if its first line names them, leave `columns` out and map the names in `fields`",
        given(delimiter)
    )
}

/// The setting of a delimiter, unless it is the format's own.
fn given(delimiter: char) -> String {
    if delimiter == ',' { String::new() } else { format!(", delimiter = \"{}\"", delimiter.escape_default()) }
}

fn csv_guesses(lines: &[String]) -> Vec<(String, Option<&'static str>)> {
    let Some(first) = lines.first() else { return Vec::new() };
    let Some(delimiter) = delimiter(first) else { return Vec::new() };
    let names: Vec<&str> = first.split(delimiter).map(|name| name.trim().trim_matches('"')).collect();
    let given = given(delimiter);
    let mut guesses = Vec::new();
    let day_and_time = ["date", "time"].map(|word| names.iter().find(|name| name.eq_ignore_ascii_case(word)));
    if let Some(fields) = fields(&names) {
        guesses.push((format!("{{ wire = \"csv\"{given}, fields = {{ {fields} }} }}"), None));
        guesses.push((format!("{{ wire = \"csv\"{given}, zone = \"UTC\", fields = {{ {fields} }} }}"), Some(ZONE)));
        guesses.push((format!("{{ wire = \"csv\"{given}, thousands = \",\", fields = {{ {fields} }} }}"), None));
        if let [Some(day), Some(time)] = day_and_time {
            let joined = fields.split(", ").filter(|field| !field.starts_with("time")).collect::<Vec<_>>().join(", ");
            let source = format!(
                "{{ wire = \"csv\"{given}, zone = \"UTC\", fields = {{ {joined}, time = [{day:?}, {time:?}] }} }}"
            );
            guesses.push((source, Some(ZONE)));
        }
    }
    guesses
}

fn sniffed_json(format: &Sniffed) -> Value {
    let rejects = format.rejects.iter().map(|(reason, refused)| {
        let payload = String::from_utf8_lossy(&refused.payload);
        json!({ "reason": reason, "records": refused.records, "offset": refused.offset, "detail": refused.detail, "payload": payload })
    });
    let rejects: Vec<Value> = rejects.collect();
    json!({ "format": format.format, "records": format.records, "ticks": format.ticks, "rejects": rejects })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proposed_for(name: &str, lines: &[&str]) -> Option<Proposal> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        std::fs::write(&path, lines.join("\n") + "\n").expect("written");
        let found = sniff::sniff(&path, 1_000).expect("records");
        proposal(&path, 1_000, &found).expect("readable")
    }

    #[test]
    fn the_records_of_every_preset_are_known_again() {
        for preset in presets::PRESETS.iter() {
            let good = preset
                .examples
                .iter()
                .find(|example| matches!(example.is, presets::Is::Trade(..) | presets::Is::Snapshot(..)));
            let good = good.expect("a good record");
            let name = if good.file.is_empty() { "records.jsonl".to_owned() } else { format!("{}.csv", good.file) };
            let lines: Vec<&str> = good.header.into_iter().chain([good.record; 3]).collect();
            let proposal = proposed_for(&name, &lines).expect(preset.name);
            assert_eq!(proposal.source, format!("{{ preset = {:?} }}", preset.name));
        }
    }

    #[test]
    fn an_unknown_shape_gets_a_mapping_that_was_tried() {
        let nested = r#"{"ch":"x","d":{"ticker":"A","ts":1769418000130,"px":"5.5","sz":2}}"#;
        let proposal = proposed_for("t.jsonl", &[nested, nested]).expect("a mapping");
        let fields = r#"symbol = "d.ticker", time = "d.ts", price = "d.px", quantity = "d.sz""#;
        assert_eq!(proposal.source, format!("{{ wire = \"json\", fields = {{ {fields} }} }}"));
        let beat = r#"{"event":"beat","sym":"A","time":1769418000130}"#;
        let trade = r#"{"event":"trades","sym":"A","time":1769418000130,"price":5,"vol":1}"#;
        let proposal = proposed_for("t.jsonl", &[trade, beat, beat, beat]).expect("a mapping");
        assert!(proposal.source.contains(r#"types = { "trades" = "trade", "*" = "ignore" }"#), "{}", proposal.source);
        let bare = r#"{"code":"A","datetime":"2026-01-27 09:20:45","last":5,"amount":1}"#;
        let proposal = proposed_for("t.jsonl", &[bare]).expect("a mapping");
        assert!(proposal.question.is_some() && proposal.source.contains("zone = \"UTC\""), "{}", proposal.source);
        assert!(proposed_for("t.jsonl", &[r#"{"a":1}"#]).is_none());
    }

    #[test]
    fn columns_are_mapped_by_their_names() {
        let lines = ["Symbol, Time, Price, Qty", "ACC, 2026-01-05T09:15:00+05:30, \"1,311.00\", 5"];
        let proposal = proposed_for("t.csv", &lines).expect("a mapping");
        assert!(proposal.source.contains("thousands = \",\""), "{}", proposal.source);
        let lines = ["symbol;Date;Time;Close;Volume", "ESTX;2006-01-02;08:00:00;5.5;3"];
        let proposal = proposed_for("t.csv", &lines).expect("a mapping");
        assert!(
            proposal.source.contains(r#"delimiter = ";""#) && proposal.source.contains(r#"time = ["Date", "Time"]"#)
        );
    }
}
