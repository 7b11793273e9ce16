//! What may be added to the dataflow of an existing lake, and when each addition begins.
//!
//! ```text
//!   settings of the lake ─┐                     new interval   bars that open after what was read before
//!   settings of this run ─┴▶ only additions? ─▶ new indicator  its column; null for bars that opened before
//!                                               new check      anomalies at such bars
//! ```
//!
//! Why after the greatest event time that was read before: a bar that opened earlier has records which the addition never saw.
//! What must always hold: the log alone decides when an addition begins, so that a restart and `verify` find the same time;
//! additions come after what existed, so that the state and the columns of the rest stay where they are.

use crate::checks::CheckName;
use crate::{Dataflow, IndicatorUse};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use ticktide_base::document::duration;
use ticktide_base::error::Error;
use ticktide_base::time::{Interval, Nanos};
use ticktide_flow::bars::finished::Reading;
use ticktide_flow::indicators::{self, Indicator};
use ticktide_lake::LineageStart;
use ticktide_lake::table::spec::{TableSpec, Value};
use ticktide_market::calendar;

/// Why a change is no addition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedChange {
    pub key: String,
    pub why: String,
}

/// When additions begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Additions {
    /// Bars of the interval that open at or before it are left out.
    pub bars: BTreeMap<Interval, Nanos>,
    /// By interval: readings at or before the time have no value from this output on; from output 0 on, there are none.
    pub readings: BTreeMap<Interval, Vec<(usize, Nanos)>>,
    /// Checks from this one on report nothing for bars that open at or before the time.
    pub checks: Vec<(u16, Nanos)>,
    /// By interval: how many outputs the table of readings had when it was made.
    pub outputs: BTreeMap<Interval, usize>,
}

fn list<'a>(settings: &'a Json, key: &str) -> &'a [Json] {
    settings.get(key).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

fn interval(text: &str) -> Option<Interval> {
    duration(text).ok().map(Interval)
}

fn intervals(settings: &Json) -> Vec<Interval> {
    list(settings, "bars").iter().filter_map(|name| interval(name.as_str()?)).collect()
}

/// The indicators of each interval, in the order of the file.
fn by_interval(settings: &Json) -> BTreeMap<Interval, Vec<&Json>> {
    let mut found: BTreeMap<Interval, Vec<&Json>> = BTreeMap::new();
    for usage in list(settings, "indicators") {
        if let Some(on) = usage.get("on").and_then(Json::as_str).and_then(interval) {
            found.entry(on).or_default().push(usage);
        }
    }
    found
}

/// Whether `new` only adds to `old`; otherwise every key in which it does more. `seen_until`: the greatest event time of the
/// lake, up to which a calendar must stay as it is. `rebuild`: the additions read all records.
pub fn only_adds(old: &Json, new: &Json, seen_until: Option<Nanos>, rebuild: bool) -> Result<(), Vec<RefusedChange>> {
    let mut refused = Vec::new();
    let mut refuse = |key: &str, why: &str| refused.push(RefusedChange { key: key.to_owned(), why: why.to_owned() });
    let (before, after) = (intervals(old), intervals(new));
    let fresh: Vec<Interval> = after.iter().filter(|interval| !before.contains(interval)).copied().collect();
    let keys = |settings: &Json| settings.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect();
    let (ours, theirs): (BTreeSet<String>, BTreeSet<String>) = (keys(new), keys(old));
    for key in ours.union(&theirs).filter(|key| *key != "running" && old.get(*key) != new.get(*key)) {
        match key.as_str() {
            "bars" => bars(new, &before, &after, rebuild, &mut refuse),
            "indicators" => {
                let now = by_interval(new);
                let kept = |(on, before): (Interval, Vec<&Json>)| {
                    now.get(&on).is_some_and(|now| now.len() >= before.len() && now[..before.len()] == before[..])
                };
                if !by_interval(old).into_iter().all(kept) {
                    refuse(
                        key,
                        "new indicators of an interval must come after the existing ones, which must stay as they are",
                    );
                }
            }
            "anomalies" => {
                let (before, now) = (list(old, key), list(new, key));
                if now.len() < before.len() || now[..before.len()] != *before {
                    refuse(key, "new checks must come after the existing ones, which must stay as they are");
                }
            }
            "ticks" if new.get(key) == Some(&Json::Bool(true)) => {}
            _ if fresh.iter().any(|interval| *key == format!("horizon.{}", interval.name())) => {}
            "session" => {
                let text = |settings: &'_ Json| settings.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
                if !calendar::adds_days(&text(old), &text(new), seen_until) {
                    refuse(key, "only a calendar file may change, and only for days after those that were read");
                }
            }
            _ => refuse(key, "existing rows would change"),
        }
    }
    if refused.is_empty() { Ok(()) } else { Err(refused) }
}

fn bars(new: &Json, before: &[Interval], after: &[Interval], rebuild: bool, refuse: &mut impl FnMut(&str, &str)) {
    if !before.iter().all(|interval| after.contains(interval)) {
        return refuse("bars", "an interval cannot be removed");
    }
    if before.first() != after.first() {
        return refuse("bars", "all bars are made from the finest ones, whose interval must stay the same");
    }
    if rebuild {
        return;
    }
    if new.get("source.volume").and_then(Json::as_str) == Some("cumulative") {
        return refuse(
            "bars",
            "with cumulative volume a new interval does not know the day's volume so far; add `--rebuild`",
        );
    }
    let child =
        |all: &[Interval], of: Interval| all.iter().filter(|finer| **finer < of && of.0 % finer.0 == 0).max().copied();
    let corrections = new.get("source.corrections") == Some(&Json::Bool(true));
    if corrections && before.iter().any(|interval| child(before, *interval) != child(after, *interval)) {
        refuse(
            "bars",
            "with corrections a coarser interval would be made from the new one, which lacks the earlier bars; add `--rebuild`",
        );
    }
}

/// The error of `run --evolve` with changes that are no additions.
pub fn refused(dataflow: &str, all: &[RefusedChange]) -> Error {
    let keys: Vec<&str> = all.iter().map(|refused| refused.key.as_str()).collect();
    let whys: Vec<String> = all.iter().map(|refused| format!("{}: {}", refused.key, refused.why)).collect();
    Error::fix(
        format!("dataflow {dataflow:?} does more than add to the lake's in [{}]: {}", keys.join(", "), whys.join("; ")),
        "set these keys back, or write into a new lake with another `--warehouse`",
    )
}

/// When the additions of a lake begin. `settings`: of all its dataflows, the oldest first; `begun`: of all but the first.
pub fn additions<'a>(
    settings: impl Iterator<Item = &'a Json>,
    begun: &[LineageStart],
    dataflow: &Dataflow,
) -> Result<Additions, Error> {
    let mut additions = Additions::default();
    let settings: Vec<&Json> = settings.collect();
    for (at, now) in settings.iter().enumerate() {
        for (on, usages) in by_interval(now) {
            if let std::collections::btree_map::Entry::Vacant(place) = additions.outputs.entry(on) {
                place.insert(outputs(dataflow, on, usages.len())?);
            }
        }
        let Some(before) = at.checked_sub(1).map(|at| settings[at]) else { continue };
        let begun = begun.get(at - 1).filter(|begun| !begun.lineage.rebuilt);
        let Some(until) = begun.and_then(|begun| begun.seen_until) else { continue };
        let known = intervals(before);
        additions.bars.extend(intervals(now).into_iter().filter(|on| !known.contains(on)).map(|on| (on, until)));
        let (had, has) = (by_interval(before), by_interval(now));
        for (on, usages) in has {
            let count = had.get(&on).map_or(0, Vec::len);
            if usages.len() > count {
                additions.readings.entry(on).or_default().push((outputs(dataflow, on, count)?, until));
            }
        }
        let checks = list(before, "anomalies").len();
        if list(now, "anomalies").len() > checks {
            additions.checks.push((checks as u16, until));
        }
    }
    Ok(additions)
}

/// How many outputs the first `count` indicators of an interval have.
fn outputs(dataflow: &Dataflow, on: Interval, count: usize) -> Result<usize, Error> {
    let mut outputs = 0;
    for usage in dataflow.indicators.iter().filter(|usage| usage.on == on).take(count) {
        outputs += built(usage)?.outputs().len();
    }
    Ok(outputs)
}

fn built(usage: &IndicatorUse) -> Result<Box<dyn Indicator>, Error> {
    let built = indicators::build(&usage.name, &usage.parameters);
    built.map_err(|error| Error::fix(error.message.clone(), error.hint.clone()))
}

/// What a dataflow has that the one before it did not have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// New tables. The archive is none of them: it begins when it is switched on.
    pub whole: BTreeSet<String>,
    /// New columns of existing tables.
    pub columns: BTreeMap<String, Vec<String>>,
    /// New checks, as their rows name them, if there were others before.
    pub checks: Vec<CheckName>,
}

/// What the newest of the dataflows adds to the one before it.
pub fn added(before: &Json, now: &Json, dataflow: &Dataflow) -> Result<Added, Error> {
    let mut added = Added::default();
    let known = intervals(before);
    let fresh = intervals(now).into_iter().filter(|on| !known.contains(on));
    added.whole.extend(fresh.map(|on| format!("bars_{}", on.name())));
    let had = by_interval(before);
    for (on, usages) in by_interval(now) {
        let count = had.get(&on).map_or(0, Vec::len);
        let table = format!("indicators_{}", on.name());
        if count == 0 {
            added.whole.insert(table);
        } else if usages.len() > count {
            let mut names = Vec::new();
            for usage in dataflow.indicators.iter().filter(|usage| usage.on == on).skip(count) {
                names.extend(built(usage)?.outputs());
            }
            added.columns.insert(table, names);
        }
    }
    let checks = list(before, "anomalies").len();
    let new = dataflow.anomalies.iter().skip(checks).map(CheckName::of).collect::<Vec<_>>();
    if checks == 0 && !new.is_empty() {
        added.whole.insert("anomalies".to_owned());
    } else {
        added.checks = new;
    }
    Ok(added)
}

impl Added {
    /// The tables that get rows or values.
    pub fn tables(&self) -> BTreeSet<String> {
        let mut tables: BTreeSet<String> = self.whole.iter().chain(self.columns.keys()).cloned().collect();
        if !self.checks.is_empty() {
            tables.insert("anomalies".to_owned());
        }
        tables
    }

    /// Whether a row is one of those that are added or changed.
    pub fn has(&self, table: &str, spec: &TableSpec, row: &[Value]) -> bool {
        let text = |name: &str| match spec.column(name).map(|at| &row[at]) {
            Some(Value::Text(text)) => Some(text.as_str()),
            _ => None,
        };
        self.whole.contains(table)
            || self.columns.contains_key(table)
            || self.checks.iter().any(|name| {
                let same = (text("check"), text("parameters")) == (Some(&*name.check), Some(&*name.parameters));
                same && text("interval") == name.interval.as_deref()
            })
    }
}

impl Additions {
    /// Whether the table has bars that open then.
    pub fn has_bar(&self, on: Interval, open_at: Nanos) -> bool {
        self.bars.get(&on).is_none_or(|until| open_at > *until)
    }

    /// The first output without a value at such a bar; 0: there is no reading at all.
    pub fn outputs_at(&self, on: Interval, open_at: Nanos) -> Option<usize> {
        let hidden = self.readings.get(&on)?.iter().filter(|(_, until)| open_at <= *until);
        hidden.map(|(first, _)| *first).min()
    }

    /// A reading as the lake has it; `None`: it has none there.
    pub fn shown(&self, on: Interval, mut reading: Reading) -> Option<Reading> {
        match self.outputs_at(on, reading.head.open_at) {
            None => Some(reading),
            Some(0) => None,
            Some(first) => {
                reading.values.iter_mut().skip(first).for_each(|bits| *bits = indicators::NULL.to_bits());
                Some(reading)
            }
        }
    }

    /// Whether a check reports on a bar that opens then.
    pub fn has_anomaly(&self, check: u16, open_at: Nanos) -> bool {
        !self.checks.iter().any(|(first, until)| check >= *first && open_at <= *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use ticktide_base::time::MINUTE;
    use ticktide_lake::state::lineage::Lineage;

    fn settings() -> Json {
        json!({
            "bars": ["1s", "1m", "1h"], "grace": "5s", "horizon.1s": "10m", "ticks": false, "source.corrections": false,
            "indicators": [{"use": "ema", "on": "1m", "period": "20"}, {"use": "sma", "on": "1h", "period": "5"}],
            "anomalies": [{"use": "return_z"}], "running": {"epoch.every": "10s"},
        })
    }

    fn with(key: &str, value: Json) -> Json {
        let mut settings = settings();
        settings[key] = value;
        settings
    }

    fn keys(old: &Json, new: &Json) -> Vec<String> {
        only_adds(old, new, None, false).err().unwrap_or_default().into_iter().map(|refused| refused.key).collect()
    }

    #[test]
    fn what_stands_behind_the_rest_is_an_addition_and_everything_else_is_refused_by_its_key() {
        let more = json!([{"use": "ema", "on": "1m", "period": "20"}, {"use": "rsi", "on": "1m"},
            {"use": "sma", "on": "1h", "period": "5"}, {"use": "rsi", "on": "1s"}]);
        let mut all = with("indicators", more);
        all["bars"] = json!(["1s", "1m", "5m", "1h"]);
        all["horizon.5m"] = json!("1 session");
        all["ticks"] = json!(true);
        all["anomalies"] = json!([{"use": "return_z"}, {"use": "feed_gap"}]);
        all["running"] = json!({});
        assert_eq!(only_adds(&settings(), &all, None, false), Ok(()));

        let refuses =
            |key: &str, value: Json| assert_eq!(keys(&settings(), &with(key, value.clone())), [key], "{value}");
        refuses("grace", json!("6s"));
        refuses("horizon.1s", json!("11m"));
        refuses("bars", json!(["1s", "1m"]));
        refuses("bars", json!(["500ms", "1s", "1m", "1h"]));
        refuses("indicators", json!([{"use": "ema", "on": "1m", "period": "20"}]));
        refuses(
            "indicators",
            json!([{"use": "rsi", "on": "1m"}, {"use": "ema", "on": "1m", "period": "20"}, {"use": "sma", "on": "1h", "period": "5"}]),
        );
        refuses("anomalies", json!([{"use": "feed_gap"}, {"use": "return_z"}]));
        assert_eq!(keys(&with("ticks", json!(true)), &settings()), ["ticks"], "an archive does not end");
        let mut two = with("grace", json!("6s"));
        two["bars"] = json!(["1m"]);
        assert_eq!(keys(&settings(), &two), ["bars", "grace"], "all of them are named");
    }

    #[test]
    fn an_interval_that_others_would_be_made_from_is_refused_where_corrections_rebuild_them() {
        let with_corrections = |bars: Json| {
            let mut settings = with("source.corrections", json!(true));
            settings["bars"] = bars;
            settings
        };
        let old = with_corrections(json!(["1s", "1m", "1h"]));
        assert_eq!(keys(&old, &with_corrections(json!(["1s", "1m", "5m", "1h"]))), ["bars"]);
        assert!(keys(&old, &with_corrections(json!(["1s", "1m", "1h", "1d"]))).is_empty());
    }

    #[test]
    fn a_calendar_may_change_behind_what_was_read_and_no_other_session() {
        let calendar =
            |last: &str| json!(format!("Asia/Kolkata\nphases a\nclass all\nfrom ever all mon a 0..60\non {last} all"));
        let (old, new) = (with("session", calendar("2026-12-25")), with("session", calendar("2026-12-26")));
        let seen = |time: &str| Some(time.parse::<jiff::Timestamp>().expect("a time").as_nanosecond() as Nanos);
        assert_eq!(only_adds(&old, &new, seen("2026-12-24T12:00:00Z"), false), Ok(()));
        let refused = only_adds(&old, &new, seen("2026-12-25T12:00:00Z"), false).expect_err("a day that was read");
        assert_eq!(refused[0].key, "session");
        assert_eq!(
            keys(&with("session", json!("UTC mon a 0..60")), &with("session", json!("UTC tue a 0..60"))),
            ["session"]
        );
    }

    #[test]
    fn an_addition_begins_behind_what_was_read_before_its_lineage_and_stays_so() {
        let text = "source = { use = \"file\", wire = \"json\" }\nbars = [\"1s\", \"1m\", \"5m\"]\nindicators = \
            [{ use = \"ema\", period = 3, on = \"1m\" }, { use = \"bbands\", on = \"1m\" }, { use = \"rsi\", on = \"1m\" }, \
            { use = \"ema\", period = 3, on = \"5m\" }]";
        let text = text.replace("[\"1s\", \"1m\", \"5m\"]", "[{ use = \"time\", every = \"1s\" }, { use = \"time\", every = \"1m\" }, { use = \"time\", every = \"5m\" }]");
        let dataflow = Dataflow::from_text("x", "x.toml", &text, &[], &[]).expect("a dataflow");
        let full: Json = serde_json::from_str(&dataflow.settings_json()).expect("JSON");
        let cut = |bars: usize, indicators: usize| {
            let mut settings = full.clone();
            settings["bars"] = list(&full, "bars")[..bars].to_vec().into();
            settings["indicators"] = list(&full, "indicators")[..indicators].to_vec().into();
            settings
        };
        let begun = |settings: &Json, seen_until| LineageStart {
            lineage: Lineage {
                number: 1,
                hash: String::new(),
                settings: settings.clone(),
                code_version: String::new(),
                after: 0,
                rebuilt: false,
            },
            first: Some(1),
            seen_until,
        };
        let chain = [cut(2, 1), cut(2, 2), cut(3, 4)];
        let begun = [begun(&chain[1], Some(100)), begun(&chain[2], Some(200))];
        let found = additions(chain.iter(), &begun, &dataflow).expect("known indicators");
        let (minute, five) = (Interval(MINUTE), Interval(5 * MINUTE));
        assert_eq!(found.bars, BTreeMap::from([(five, 200)]));
        assert_eq!(found.outputs, BTreeMap::from([(minute, 1), (five, 1)]));
        // ema 1 output, bbands 3
        assert_eq!(found.outputs_at(minute, 100), Some(1));
        assert_eq!(found.outputs_at(minute, 101), Some(4));
        assert_eq!(found.outputs_at(minute, 201), None);
        assert_eq!(found.outputs_at(five, 200), Some(0), "there is no such reading");
        assert!(found.has_bar(minute, 0) && !found.has_bar(five, 200) && found.has_bar(five, 201));
    }
}
