//! Why a record is too late, in words: by its own partition's past, or because the partition stood still meanwhile.
//!
//! Why two reasons: the first is a function of the partition's records and is the same in every run; the second depends on how
//! the partition was read. What must always hold: no record of a partition that never stopped braking stood still.

use super::Intake;
use super::admit::Admission;
use ticktide_market::TickKind;
use ticktide_market::calendar::time_text;

impl Intake {
    /// Reason and detail for a record that counts for no interval, or (`partly`) for some intervals only.
    pub(super) fn late(&self, admission: &mut Admission<'_>, partly: bool) -> (&'static str, String) {
        let (tick, bounds) = (admission.tick, &admission.partition.bounds);
        let at = tick.exchange_at;
        let (mut own, mut stood) = (Vec::new(), Vec::new());
        if matches!(tick.kind, TickKind::Cancel | TickKind::Correct) {
            let by_own = at < bounds.own().retained_from;
            if by_own { &mut own } else { &mut stood }.push("corrections".to_owned());
        } else {
            let reaches = bounds.own().intervals.iter().zip(&bounds.reaches().intervals).zip(&self.intervals);
            for ((by_own, by_both), interval) in reaches.filter(|((_, by_both), _)| at < **by_both) {
                let list = if at < *by_own { &mut own } else { &mut stood };
                debug_assert!(by_own <= by_both);
                list.push(interval.name());
            }
        }
        let mut detail = Vec::new();
        if !own.is_empty() {
            let come_to = bounds.running().map_or_else(|| "?".to_owned(), time_text);
            detail.push(format!("too late for {}: its partition had come to {come_to}", own.join(", ")));
        }
        if !stood.is_empty() {
            let why = admission.partition.place.stood.text();
            detail.push(format!("no longer kept for {}: its partition stood still, {why}", stood.join(", ")));
        }
        if partly {
            detail.push("the others count it".to_owned());
            admission.partition.count_partly(if stood.is_empty() { "late_partly" } else { "stood_still" });
            return ("late_partly", detail.join("; "));
        }
        (if stood.is_empty() { "too_late" } else { "stood_still" }, detail.join("; "))
    }
}
