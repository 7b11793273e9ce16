//! The losses of a run or an epoch, for people and for programs: counts by reason, each with the key that helps.
//!
//! Why one place: the last lines of a run and `epochs show` report the same counts in the same words. What must always hold:
//! the lines about refused records add up to `rejected`; if nothing was lost, nothing is printed.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use ticktide_base::conservation::ByReason;
use ticktide_base::epoch::Conservation;
use ticktide_engine::{RunReport, reasons};

/// How many partitions are named at most.
const NAMED: usize = 20;

/// The losses of some records: a word for the verdict, and the reasons.
fn verdicts<'a>(
    reasons: &'a ByReason,
    partly: &'a ByReason,
    silent: &'a ByReason,
) -> [(&'static str, &'a ByReason); 3] {
    [("rejected", reasons), ("accepted for some intervals", partly), ("accepted without a bar", silent)]
}

/// The last lines of a run; none if nothing was lost.
pub fn lines(report: &RunReport) -> Vec<String> {
    let mut lines = by_reason(&verdicts(&report.reasons, &report.partly, &report.silent));
    if report.ignored > 0 {
        let mut words: Vec<(&String, &i64)> = report.words.iter().collect();
        words.sort_by_key(|(word, records)| (-**records, *word));
        let words: Vec<String> = words.into_iter().map(|(word, records)| format!("{records} {word:?}")).collect();
        lines.push(format!("{} ignored, by their type: {}", report.ignored, words.join(", ")));
    }
    if report.gaps > 0 {
        let lost = if report.lost > 0 {
            format!(", {} of them deleted before they were read", report.lost)
        } else {
            String::new()
        };
        lines.push(format!("{} offsets without a record{lost}", report.gaps));
    }
    if !report.barren.is_empty() {
        lines.push(format!("{} of {} partitions gave nothing:", report.barren.len(), report.partitions.len()));
        lines.extend(report.barren.iter().take(NAMED).map(|barren| {
            let why = barren.why.as_deref().map_or(String::new(), |why| format!(", most of them {why}"));
            format!("  {}: {} records{why}", barren.partition, barren.records)
        }));
        if report.barren.len() > NAMED {
            lines.push(format!("  and {} more", report.barren.len() - NAMED));
        }
    }
    lines
}

/// A line for each reason, those with the most records first.
fn by_reason(verdicts: &[(&'static str, &ByReason)]) -> Vec<String> {
    let lines = verdicts.iter().flat_map(|(verdict, all)| {
        let mut all: Vec<(&String, &i64)> = all.iter().collect();
        all.sort_by_key(|(why, records)| (-**records, *why));
        all.into_iter().map(move |(why, records)| {
            let hint = reasons::hint(why);
            format!("{records} {verdict}: {why}{}{hint}", if hint.is_empty() { "" } else { ": " })
        })
    });
    lines.collect()
}

/// The lines of an epoch's partitions.
pub fn epoch_lines(counts: &BTreeMap<String, Conservation>) -> Vec<String> {
    let all = sum(counts);
    by_reason(&verdicts(&all.reasons, &all.partly, &all.silent))
}

fn sum(counts: &BTreeMap<String, Conservation>) -> Conservation {
    counts.values().fold(Conservation::default(), |mut sum, counts| {
        sum.add(counts);
        sum
    })
}

/// The losses by reason, with the key that helps.
pub fn by_reason_json(reasons: &ByReason, partly: &ByReason, silent: &ByReason) -> Value {
    let verdicts = [("rejected", reasons), ("partly", partly), ("silent", silent)];
    let all = verdicts.into_iter().flat_map(|(verdict, all)| {
        all.iter().map(move |(why, records)| {
            json!({ "verdict": verdict, "reason": why, "records": records, "hint": reasons::hint(why) })
        })
    });
    all.collect()
}

/// The same for an epoch's partitions.
pub fn epoch_json(counts: &BTreeMap<String, Conservation>) -> Value {
    let all = sum(counts);
    by_reason_json(&all.reasons, &all.partly, &all.silent)
}

/// Partitions of an epoch that were read and gave nothing.
pub fn epoch_barren(counts: &BTreeMap<String, Conservation>) -> Value {
    let barren = counts.iter().filter(|(_, counts)| counts.records > 0 && !counts.gives());
    barren
        .map(|(partition, counts)| json!({ "partition": partition, "records": counts.records, "why": counts.why() }))
        .collect()
}

/// The fields of a run's report.
pub fn report_json(report: &RunReport) -> Value {
    let barren = report.barren.iter();
    let barren: Value = barren
        .map(|barren| json!({ "partition": barren.partition, "records": barren.records, "why": barren.why }))
        .collect();
    json!({
        "gaps": report.gaps, "lost": report.lost, "barren": barren,
        "losses": by_reason_json(&report.reasons, &report.partly, &report.silent),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(all: &[(&str, i64)]) -> ByReason {
        all.iter().map(|(why, records)| ((*why).to_owned(), *records)).collect()
    }

    #[test]
    fn the_last_lines_name_each_loss_with_the_key_that_helps_and_add_up() {
        let report = RunReport {
            rejected: 12,
            gaps: 7,
            lost: 2,
            reasons: by(&[("missing_field", 3), ("too_late", 9)]),
            silent: by(&[("snapshot", 5)]),
            partly: by(&[("late_partly", 4)]),
            ..RunReport::default()
        };
        let lines = lines(&report);
        let starts = [
            "9 rejected: too_late: ",
            "3 rejected: missing_field: ",
            "4 accepted for some intervals: late_partly: ",
            "5 accepted without a bar: snapshot: ",
            "7 offsets without a record, 2 of them deleted",
        ];
        assert_eq!(lines.len(), starts.len(), "{lines:?}");
        lines.iter().zip(starts).for_each(|(line, start)| assert!(line.starts_with(start), "{line}"));
        assert!(lines[0].contains("`ticktide feed sort`") && lines[0].contains("`horizon`"));
        assert!(lines[1].contains("`source.fields`") && lines[3].contains("`source.volume"));
        let number = |line: &String| line.split(' ').next().and_then(|number| number.parse::<u64>().ok());
        let refused: u64 = lines.iter().filter(|line| line.contains(" rejected: ")).filter_map(number).sum();
        assert_eq!(refused, report.rejected);
    }

    #[test]
    fn where_nothing_was_lost_nothing_is_said() {
        assert!(lines(&RunReport { records: 5, accepted: 5, ..RunReport::default() }).is_empty());
    }
}
