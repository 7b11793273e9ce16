//! Presets: how the records of a known feed are read, by one name in `source`.
//!
//! ```text
//!   source = { preset = "binance-trades", … } ──▶ the preset's settings, laid under those of the file
//! ```
//!
//! One file and two lines each: the file holds the settings, their public source and records in its shape, the two lines are its
//! `mod` and its row in [`PRESETS`]. `list`, validation, `--sniff` and the tests read that table.
//!
//! Why settings and not code: a preset is what a user could have written, and each of its keys can be changed beside it. What must
//! always hold: a setting of the place that names the preset goes before the preset's; every preset names where its facts are published, and its examples
//! decode to what they say.

mod binance_combined;
mod binance_trades;
mod binance_trades_csv;
mod bybit_spot_csv;
mod coinbase_matches;
mod kite;
mod kraken_csv;
mod polygon_trades_csv;

use crate::{Dataflow, DataflowError};
use ticktide_base::document::{LocatedValue, Location, Problems, Table, TomlValue, parse};
use ticktide_base::error::nearest;
use ticktide_base::registry::{Entry, Family};
use ticktide_feed::WireSpec;

/// A preset: a row of [`PRESETS`].
pub struct Preset {
    /// What `preset = "…"` says.
    pub name: &'static str,
    /// One line for `list presets`.
    pub doc: &'static str,
    /// The public page that its facts are of.
    pub source: &'static str,
    /// Keys of `source`, as a dataflow's file writes them.
    pub settings: &'static str,
    /// Records in the shape of the source, made for the tests.
    pub examples: &'static [Example],
}

/// A record, and what it is.
pub struct Example {
    /// The name of its file, where the preset reads it.
    pub file: &'static str,
    /// The line that names the columns, if the files have one.
    pub header: Option<&'static str>,
    pub record: &'static str,
    pub is: Is,
}

/// What an example decodes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Is {
    /// Instrument, nanoseconds since 1970, price and quantity in units of 10⁻⁸.
    Trade(&'static str, i64, i64, i64),
    /// Instrument, nanoseconds since 1970, price and the day's volume in units of 10⁻⁸.
    Snapshot(&'static str, i64, i64, i128),
    /// A record of an ignored kind, with its word.
    Ignored(&'static str),
    /// A record that is refused, with the reason.
    Refused(&'static str),
}

/// Every preset.
pub static PRESETS: Family<Preset> = Family::new(
    "preset",
    &[
        &binance_trades::PRESET, //
        &binance_combined::PRESET,
        &binance_trades_csv::PRESET,
        &coinbase_matches::PRESET,
        &kraken_csv::PRESET,
        &bybit_spot_csv::PRESET,
        &polygon_trades_csv::PRESET,
        &kite::PRESET,
    ],
);

impl Preset {
    /// What a dataflow that names only the preset says of its wire.
    pub fn wire(&self) -> Result<WireSpec, DataflowError> {
        let text = format!("source = {{ preset = {:?} }}", self.name);
        Dataflow::from_text("preset", "preset.toml", &text, &[], &[]).map(|dataflow| dataflow.source.wire)
    }
}

impl Entry for Preset {
    fn name(&self) -> &'static str {
        self.name
    }
}

/// Lays the preset that a tree of settings names under it. A name that is none is a problem.
pub(crate) fn lay_under(tree: &mut Table, problems: &Problems) {
    let Some(source) = table(tree) else { return };
    let Some((name, place)) = source.get("preset").and_then(|node| Some((node.value.scalar()?, node.place.clone())))
    else {
        return;
    };
    let Some(preset) = PRESETS.find(&name) else {
        let names = PRESETS.names();
        let hint = match nearest(&name, &names) {
            Some(near) => format!("did you mean `preset = \"{near}\"`? `ticktide list presets` shows all"),
            None => format!("there are {}", names.join(", ")),
        };
        problems.add(&place, format!("`preset` is {name:?}, which does not exist"), hint);
        return;
    };
    let (from, named) = (Location::Name(format!("preset {name}")), rank(&place));
    let settings = parse(preset.name, preset.settings, &Problems::default());
    for (key, _, node) in settings.entries() {
        match &node.value {
            // the names of `fields` one by one; another table, like `types`, as a whole
            TomlValue::Table(fields) if key == "fields" => {
                for (name, _, node) in fields.entries() {
                    put_under(tree, &["source", key, name], node.clone().moved(&from), named);
                }
            }
            _ => put_under(tree, &["source", key], node.clone().moved(&from), named),
        }
    }
}

/// Puts a value at a path, unless the tree has one there that was set where the preset was named, or over it.
fn put_under(tree: &mut Table, path: &[&str], node: LocatedValue, named: u8) {
    let mut here = &*tree;
    for (index, part) in path.iter().enumerate() {
        match here.get(part) {
            None => break,
            Some(LocatedValue { value: TomlValue::Table(below), .. }) if index + 1 < path.len() => here = below,
            Some(set) if rank(&set.place) >= named => return,
            Some(_) => break,
        }
    }
    let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
    tree.put(&path, node);
}

/// What is laid over what: a file, then the environment and flags, then `--set`.
fn rank(place: &Location) -> u8 {
    match place {
        Location::File { .. } => 0,
        Location::Set(_) => 2,
        _ => 1,
    }
}

fn table(tree: &Table) -> Option<&Table> {
    match &tree.get("source")?.value {
        TomlValue::Table(table) => Some(table),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ticktide_feed::wire::{IGNORED, RawRecord, recorded::Envelope};
    use ticktide_feed::{InstrumentTable, wire};
    use ticktide_market::TickKind;

    fn dataflow(text: &str) -> Dataflow {
        Dataflow::from_text("own", "own.toml", text, &[], &[]).expect(text)
    }

    /// What a record of a preset is.
    fn decoded(preset: &Preset, example: &Example) -> Is {
        let mut decoder = wire::build(&preset.wire().expect(preset.name)).expect(preset.name);
        if let Some(header) = example.header {
            decoder = decoder.header(header.as_bytes()).expect(preset.name);
        }
        let mut instruments = InstrumentTable::default();
        let envelope = Envelope { file: Some(example.file), ..Envelope::default() };
        let record = RawRecord { envelope, ..RawRecord::of(example.record.as_bytes()) };
        let tick = match decoder.decode(&record, &mut instruments) {
            Ok(tick) => tick,
            Err(reject) if reject.reason == IGNORED => return Is::Ignored(reject.detail.leak()),
            Err(reject) => return Is::Refused(reject.reason),
        };
        let name = instruments.take_fresh().remove(0).instrument().to_owned().leak();
        let price = tick.price.map_or(0, |price| price.0);
        match tick.kind {
            TickKind::Snapshot => {
                let volume = tick.snapshot.and_then(|snapshot| snapshot.cumulative_volume);
                Is::Snapshot(name, tick.exchange_at, price, volume.unwrap_or(-1))
            }
            _ => Is::Trade(name, tick.exchange_at, price, tick.quantity.map_or(0, |quantity| quantity.0)),
        }
    }

    #[test]
    fn every_preset_reads_the_records_of_its_source_and_says_where_that_is() {
        for preset in PRESETS.iter() {
            assert!(preset.source.starts_with("https://") && !preset.doc.is_empty(), "{}", preset.name);
            for example in preset.examples {
                assert_eq!(decoded(preset, example), example.is, "{}: {}", preset.name, example.record);
            }
            let is_odd = |example: &Example| matches!(example.is, Is::Refused(_) | Is::Ignored(_));
            assert!(preset.examples.iter().any(is_odd), "{} has an odd record", preset.name);
            assert!(!preset.examples.iter().all(is_odd), "{} has a good record", preset.name);
        }
    }

    #[test]
    fn a_setting_of_the_file_goes_before_the_presets() {
        let plain = dataflow("source = { preset = \"coinbase-matches\" }");
        let own = "source = { preset = \"coinbase-matches\", fields = { venue = \"exchange\" }, types = { match = \"trade\" } }";
        let own = dataflow(own);
        assert_eq!(own.source.wire.fields["symbol"], plain.source.wire.fields["symbol"]);
        assert_ne!(own.source.wire.fields["venue"], plain.source.wire.fields["venue"]);
        assert_eq!((own.source.wire.types.len(), plain.source.wire.types.len()), (1, 3));
        assert_eq!(plain.origins["source.fields.symbol"].to_string(), "preset coinbase-matches");
        // a preset that a flag names goes before what the file says
        let set = ["source.preset=\"coinbase-matches\"".to_owned(), "source.fields.id=\"own\"".to_owned()];
        let file = "source = { wire = \"csv\", fields = { symbol = \"s\", id = \"file\" } }";
        let flagged = Dataflow::from_text("own", "own.toml", file, &[], &set).expect("good").source.wire;
        assert_eq!((flagged.format.as_str(), &flagged.fields["symbol"]), ("json", &plain.source.wire.fields["symbol"]));
        assert_eq!(flagged.fields["id"], "own".into());
        // what is recorded needs no preset any more
        let recorded =
            Dataflow::recorded("own", &serde_json::from_str(&plain.settings_json()).expect("JSON"), &[], &[]);
        assert_eq!(recorded.expect("readable").dataflow.source.wire, plain.source.wire);
    }

    #[test]
    fn an_unknown_preset_is_named_and_a_near_one_proposed() {
        let error = Dataflow::from_text("own", "own.toml", "source = { preset = \"binance-trade\" }", &[], &[]);
        let problem = error.expect_err("no such preset").problems.remove(0);
        assert_eq!(problem.message, "`preset` is \"binance-trade\", which does not exist");
        assert!(problem.hint.contains("did you mean `preset = \"binance-trades\"`?"), "{}", problem.hint);
    }
}
