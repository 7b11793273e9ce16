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

use super::{aligned, print, shown};
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

/// Keys of `source` with their values in TOML.
type Settings = Vec<(&'static str, String)>;

/// What `source` could say of a file.
struct Proposal {
    settings: Settings,
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
        if let Some(Proposal { settings, result, question }) = &proposal {
            let (source, set) = (line(settings), flags(settings));
            let ticks = (result.records, result.ticks, result.ignored);
            let line = json!({ "source": source, "set": set, "records": ticks.0, "ticks": ticks.1, "ignored": ticks.2, "question": question });
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

pub(super) fn rows(format: &Sniffed) -> Vec<Vec<String>> {
    let count = format!("{} of {} records decode", format.ticks, format.records);
    let ignored = if format.ignored > 0 { format!(", {} are ignored", format.ignored) } else { String::new() };
    let mut rows = vec![vec![format.format.to_owned(), format!("{count}{ignored}")]];
    for (reason, refused) in &format.rejects {
        let line = format!("record {}: {}: {}", refused.offset, refused.detail, shown(&refused.payload));
        rows.push(vec![String::new(), format!("{} {reason}", refused.records), line]);
    }
    rows
}

fn proposed(proposal: &Proposal, path: &Path) -> String {
    let Proposal { settings, result, question } = proposal;
    let ignored = if result.ignored > 0 { format!(", {} are ignored", result.ignored) } else { String::new() };
    let question = question.map_or(String::new(), |question| format!("open: {question}\n"));
    let (ticks, records, source, path) = (result.ticks, result.records, line(settings), path.display());
    let set: String = flags(settings).iter().map(|flag| format!(" --set '{flag}'")).collect();
    format!(
        "\nproposal: {ticks} of {records} records decode{ignored}\n{question}\nsource = {source}\n\n\
         try it: ticktide run bars --source file --path {path} --until end{set}\n"
    )
}

/// The settings as a value of `source`.
fn line(settings: &Settings) -> String {
    let settings: Vec<String> = settings.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    format!("{{ {} }}", settings.join(", "))
}

/// The settings as values of `--set`.
fn flags(settings: &Settings) -> Vec<String> {
    settings.iter().map(|(key, value)| format!("source.{key}={value}")).collect()
}

/// Whether it decodes at least half of what it does not ignore.
pub(super) fn is_good(result: &Sniffed) -> bool {
    result.ticks > 0 && 2 * result.ticks >= result.records - result.ignored
}

/// The best proposal: a format as it is, a preset, or a mapping that the names of the file suggest.
fn proposal(path: &Path, most: u64, found: &[Sniffed]) -> Result<Option<Proposal>, Error> {
    if let Some(plain) = found.first().filter(|format| is_good(format)) {
        let settings = vec![("wire", quoted(plain.format))];
        return Ok(Some(Proposal { settings, result: plain.clone(), question: None }));
    }
    let mut all = Vec::new();
    for preset in presets::PRESETS.iter() {
        all.extend(tried(path, most, vec![("preset", quoted(preset.name))], None)?);
    }
    // the more a preset reads, and the less it ignores, the better it fits
    all.sort_by_key(|proposal: &Proposal| (std::cmp::Reverse(proposal.result.ticks), proposal.result.ignored));
    if let Some(best) = all.into_iter().next() {
        return Ok(Some(best));
    }
    let lines = sniff::first_lines(path, GUESSED_FROM)?;
    for (settings, question) in guesses(&lines) {
        if let Some(proposal) = tried(path, most, settings, question)? {
            return Ok(Some(proposal));
        }
    }
    Ok(None)
}

/// The proposal, if it decodes enough.
fn tried(
    path: &Path,
    most: u64,
    settings: Settings,
    question: Option<&'static str>,
) -> Result<Option<Proposal>, Error> {
    let Ok(dataflow) =
        Dataflow::from_text("sniffed", "sniffed.toml", &format!("source = {}", line(&settings)), &[], &[])
    else {
        return Ok(None);
    };
    // a file that lacks what its settings need is another file
    let Ok(result) = sniff::sniff_as(path, most, "proposal", &dataflow.source.wire) else { return Ok(None) };
    Ok(is_good(&result).then_some(Proposal { settings, result, question }))
}

/// A guess, and what only the user knows.
type Guess = (Settings, Option<&'static str>);

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// What the names of a file suggest, likeliest first.
fn guesses(lines: &[String]) -> Vec<Guess> {
    let objects: Vec<Value> =
        lines.iter().filter_map(|line| serde_json::from_str(line).ok()).filter(Value::is_object).collect();
    if objects.is_empty() { csv_guesses(lines) } else { json_guesses(&objects) }
}

fn json_guesses(objects: &[Value]) -> Vec<Guess> {
    let mut paths: Vec<String> = Vec::new();
    for object in objects {
        leaves(object, String::new(), &mut |path| {
            if !paths.iter().any(|known| known == path) {
                paths.push(path.to_owned());
            }
        });
    }
    let names: Vec<&str> = paths.iter().map(String::as_str).collect();
    let Some(fields) = fields(&names) else { return Vec::new() };
    let mapped = |more: &str| vec![("wire", quoted("json")), ("fields", format!("{{ {fields}{more} }}"))];
    let mut plain = vec![mapped("")];
    // a feed of several kinds has a word for them
    for kind in ["type", "e", "event", "channel", "stream", "topic"].iter().filter(|kind| names.contains(*kind)) {
        for word in words(objects, kind) {
            let types = ("types", format!("{{ {word:?} = \"trade\", \"*\" = \"ignore\" }}"));
            plain.push(mapped(&format!(", type = \"{kind}\"")).into_iter().chain([types]).collect());
        }
    }
    let zoned: Vec<Guess> = plain.iter().map(|settings| with_zone(settings)).collect();
    plain.into_iter().map(|settings| (settings, None)).chain(zoned).collect()
}

/// The same with a zone, which only the user knows.
fn with_zone(settings: &Settings) -> Guess {
    (settings.iter().cloned().chain([("zone", quoted("UTC"))]).collect(), Some(ZONE))
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
    let given =
        if delimiter == ',' { String::new() } else { format!(", delimiter = \"{}\"", delimiter.escape_default()) };
    format!(
        "the file seems to have columns: set `source = {{ wire = \"csv\"{given}, columns = [\"symbol\", \"time\", \"price\", \
         \"quantity\"] }}`, in their order; if its first line names them, leave `columns` out and map the names in `fields`"
    )
}

fn csv_guesses(lines: &[String]) -> Vec<Guess> {
    let Some(first) = lines.first() else { return Vec::new() };
    let Some(delimiter) = delimiter(first) else { return Vec::new() };
    let names: Vec<&str> = first.split(delimiter).map(|name| name.trim().trim_matches('"')).collect();
    let Some(fields) = fields(&names) else { return Vec::new() };
    let own = (delimiter != ',').then(|| ("delimiter", quoted(&delimiter.to_string())));
    let mapped = |fields: &str| -> Settings {
        [("wire", quoted("csv"))]
            .into_iter()
            .chain(own.clone())
            .chain([("fields", format!("{{ {fields} }}"))])
            .collect()
    };
    let plain = mapped(&fields);
    let thousands = plain.iter().cloned().chain([("thousands", quoted(","))]).collect();
    let mut guesses = vec![(plain.clone(), None), with_zone(&plain), (thousands, None)];
    let [day, time] = ["date", "time"].map(|word| names.iter().find(|name| name.eq_ignore_ascii_case(word)));
    if let (Some(day), Some(time)) = (day, time) {
        let others: Vec<&str> = fields.split(", ").filter(|field| !field.starts_with("time")).collect();
        guesses.push(with_zone(&mapped(&format!("{}, time = [{day:?}, {time:?}]", others.join(", ")))));
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
            assert_eq!(line(&proposal.settings), format!("{{ preset = {:?} }}", preset.name));
        }
    }

    #[test]
    fn an_unknown_shape_gets_a_mapping_that_was_tried() {
        let nested = r#"{"ch":"x","d":{"ticker":"A","ts":1769418000130,"px":"5.5","sz":2}}"#;
        let proposal = proposed_for("t.jsonl", &[nested, nested]).expect("a mapping");
        let fields = r#"symbol = "d.ticker", time = "d.ts", price = "d.px", quantity = "d.sz""#;
        assert_eq!(line(&proposal.settings), format!("{{ wire = \"json\", fields = {{ {fields} }} }}"));
        let beat = r#"{"event":"beat","sym":"A","time":1769418000130}"#;
        let trade = r#"{"event":"trades","sym":"A","time":1769418000130,"price":5,"vol":1}"#;
        let proposal = proposed_for("t.jsonl", &[trade, beat, beat, beat]).expect("a mapping");
        assert!(
            line(&proposal.settings).contains(r#"types = { "trades" = "trade", "*" = "ignore" }"#),
            "{}",
            line(&proposal.settings)
        );
        let bare = r#"{"code":"A","datetime":"2026-01-27 09:20:45","last":5,"amount":1}"#;
        let proposal = proposed_for("t.jsonl", &[bare]).expect("a mapping");
        assert!(
            proposal.question.is_some() && line(&proposal.settings).contains("zone = \"UTC\""),
            "{}",
            line(&proposal.settings)
        );
        assert!(proposed_for("t.jsonl", &[r#"{"a":1}"#]).is_none());
    }

    #[test]
    fn columns_are_mapped_by_their_names() {
        let lines = ["Symbol, Time, Price, Qty", "ACC, 2026-01-05T09:15:00+05:30, \"1,311.00\", 5"];
        let proposal = proposed_for("t.csv", &lines).expect("a mapping");
        assert!(line(&proposal.settings).contains("thousands = \",\""), "{}", line(&proposal.settings));
        let lines = ["symbol;Date;Time;Close;Volume", "ESTX;2006-01-02;08:00:00;5.5;3"];
        let proposal = proposed_for("t.csv", &lines).expect("a mapping");
        assert!(
            line(&proposal.settings).contains(r#"delimiter = ";""#)
                && line(&proposal.settings).contains(r#"time = ["Date", "Time"]"#)
        );
    }
}
