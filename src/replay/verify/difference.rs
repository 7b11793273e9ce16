//! What differs, in a form that a person can check: table, epoch, key, and both rows.

use std::collections::BTreeMap;
use std::fmt;
use ticktide_base::epoch::{Conservation, Epoch};
use ticktide_base::time::MICRO;
use ticktide_lake::read::past::{PastRows, Sum};
use ticktide_lake::table::rows::hash_of;
use ticktide_lake::table::spec::{ColumnType, Row, TableSpec, Value};
use ticktide_lake::{KeptRows, LakeError};

/// The first difference between the lake and its recomputation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochDifference {
    pub table: String,
    pub epoch: Epoch,
    /// The least key that differs; `None` where the rows of the epoch cannot be read or there is none to name.
    pub key: Option<String>,
    pub recorded: String,
    pub recomputed: String,
}

impl fmt::Display for EpochDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {}, epoch {}", self.table, self.epoch)?;
        if let Some(key) = &self.key {
            write!(f, ", {key}")?;
        }
        write!(f, ": recorded {}, recomputed {}", self.recorded, self.recomputed)
    }
}

/// Columns that name a row of a table without a key, if it has them.
const NAMING: [&str; 6] = ["instrument", "kind", "exchange_at", "topic", "partition", "offset"];

/// Rows of one key on both sides, and by hash how many more of each the lake has.
#[derive(Default)]
struct Sides {
    more: BTreeMap<u128, i64>,
    recorded: Vec<Row>,
    recomputed: Vec<Row>,
}

/// A table's sums differ: finds the key by the rows themselves.
pub fn of_table(
    table: &str,
    epoch: Epoch,
    recorded: &Sum,
    recomputed: &Sum,
    kept: &[KeptRows],
    past: Result<PastRows, LakeError>,
) -> EpochDifference {
    let sum = |sum: &Sum| format!("{} rows added and {} taken back", sum.rows_added, sum.rows_removed);
    let plain = |recorded: String, recomputed: String| EpochDifference {
        table: table.to_owned(),
        epoch,
        key: None,
        recorded,
        recomputed,
    };
    let mut ours = Vec::new();
    let mut spec = None;
    for rows in kept.iter().filter(|rows| rows.spec.name == table) {
        spec = Some(rows.spec.clone());
        match rows.signed() {
            Ok(signed) => ours.extend(signed),
            Err(error) => return plain(sum(recorded), error.to_string()),
        }
    }
    let theirs = match past {
        Ok(past) => past,
        Err(error) => return plain(format!("{} (its rows cannot be read: {error})", sum(recorded)), sum(recomputed)),
    };
    let spec = spec.as_deref().unwrap_or(&theirs.spec);
    match first(spec, &theirs.rows, &ours) {
        Some((key, sides)) => {
            let (recorded, recomputed) = told(spec, &sides);
            EpochDifference { key: Some(key), ..plain(recorded, recomputed) }
        }
        None => {
            let hash = |sum: &Sum| format!("content hash {:032x}", sum.content_hash);
            plain(hash(recorded), format!("{} (the lake's rows equal the recomputed ones)", hash(recomputed)))
        }
    }
}

/// The counts of a partition differ.
pub fn of_balance(
    epoch: Epoch,
    partition: &str,
    recorded: &Conservation,
    recomputed: &Conservation,
) -> EpochDifference {
    let told = |counts: &Conservation| {
        let Conservation {
            records,
            accepted,
            duplicates,
            rejected,
            pending,
            ignored,
            gaps,
            reasons,
            silent,
            partly,
            ..
        } = counts;
        let whys = [reasons, silent, partly].into_iter().flatten();
        let whys: String = whys.map(|(why, records)| format!(", {records} {why}")).collect();
        format!(
            "{records} records = {accepted} accepted + {duplicates} duplicates + {rejected} rejected + {pending} pending \
             + {ignored} ignored and {gaps} gaps{whys}"
        )
    };
    EpochDifference {
        table: "epochs".to_owned(),
        epoch,
        key: Some(format!("partition {partition}")),
        recorded: told(recorded),
        recomputed: told(recomputed),
    }
}

/// The least key whose rows differ.
fn first(spec: &TableSpec, recorded: &[(Row, i64)], recomputed: &[(Row, i64)]) -> Option<(String, Sides)> {
    let mut naming = spec.key.clone();
    if naming.is_empty() {
        naming = NAMING.iter().filter_map(|name| spec.column(name)).collect();
    }
    let mut keys: BTreeMap<Vec<Value>, Sides> = BTreeMap::new();
    for (rows, side) in [(recorded, 1), (recomputed, -1)] {
        for (row, sign) in rows.iter().filter(|(row, _)| row.len() == spec.columns.len()) {
            let key = naming.iter().map(|at| row[*at].clone()).collect();
            let sides = keys.entry(key).or_default();
            *sides.more.entry(hash_of(spec, row)).or_default() += side * sign;
            let rows = if side > 0 { &mut sides.recorded } else { &mut sides.recomputed };
            if *sign > 0 {
                rows.push(row.clone());
            }
        }
    }
    let (key, sides) = keys.into_iter().find(|(_, sides)| sides.more.values().any(|count| *count != 0))?;
    let cells = naming.iter().zip(&key).filter(|(_, value)| **value != Value::Null);
    let named = cells.map(|(at, value)| format!("{} {}", spec.columns[*at].name, shown(spec, *at, value)));
    Some((named.collect::<Vec<_>>().join(", "), sides))
}

/// Both sides of a key: for one row each, only the columns that differ.
fn told(spec: &TableSpec, sides: &Sides) -> (String, String) {
    if let ([recorded], [recomputed]) = (&sides.recorded[..], &sides.recomputed[..]) {
        let differ = (0..spec.columns.len()).filter(|at| spec.columns[*at].hashed && recorded[*at] != recomputed[*at]);
        let differ: Vec<usize> = differ.collect();
        if !differ.is_empty() {
            let side = |row: &Row| {
                let cells =
                    differ.iter().map(|at| format!("{} {}", spec.columns[*at].name, shown(spec, *at, &row[*at])));
                cells.collect::<Vec<_>>().join(", ")
            };
            return (side(recorded), side(recomputed));
        }
    }
    let count = |rows: &[Row]| match rows.len() {
        0 => "no row".to_owned(),
        1 => "a row".to_owned(),
        count => format!("{count} rows"),
    };
    (count(&sides.recorded), count(&sides.recomputed))
}

/// A value as people write it.
fn shown(spec: &TableSpec, column: usize, value: &Value) -> String {
    match (value, spec.columns[column].column_type) {
        (Value::Null, _) => "null".to_owned(),
        (Value::Text(text), _) => format!("{text:?}"),
        (Value::Bool(value), _) => value.to_string(),
        (Value::Int(value), _) => value.to_string(),
        (Value::Long(value), _) => value.to_string(),
        (Value::Double(bits), _) => f64::from_bits(*bits).to_string(),
        (Value::Date(days), _) => ticktide_lake::table::names::date(*days),
        (Value::Time(micros), _) => {
            let at = i128::from(*micros) * i128::from(MICRO);
            jiff::Timestamp::from_nanosecond(at).map_or_else(|_| micros.to_string(), |at| at.to_string())
        }
        (Value::Binary(bytes), _) => format!("{:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(120)])),
        (Value::Decimal(value), ColumnType::Decimal { scale, .. }) => decimal(*value, scale),
        (Value::Decimal(value), _) => value.to_string(),
    }
}

/// A decimal in units of 10^-scale, without zeros at its end.
fn decimal(value: i128, scale: u32) -> String {
    let divisor = 10u128.pow(scale);
    let (whole, rest) = (value.unsigned_abs() / divisor, value.unsigned_abs() % divisor);
    let sign = if value < 0 { "-" } else { "" };
    let rest = format!("{rest:0width$}", width = scale as usize);
    match rest.trim_end_matches('0') {
        "" => format!("{sign}{whole}"),
        rest => format!("{sign}{whole}.{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ticktide_base::time::{Interval, MINUTE};
    use ticktide_tables as tables;

    fn bar(spec: &TableSpec, open_at: i64, close: i128) -> Row {
        let value = |column: &ticktide_lake::table::spec::Column| match (column.name.as_str(), column.column_type) {
            ("open_at", _) => Value::Time(open_at),
            ("close", _) => Value::Decimal(close),
            (_, ColumnType::Text) => Value::Text("X".into()),
            _ => Value::Null,
        };
        spec.columns.iter().map(value).collect()
    }

    #[test]
    fn the_least_key_that_differs_is_named_with_the_columns_that_do() {
        let spec = tables::bars(Interval(MINUTE));
        let recorded =
            [(bar(&spec, 0, 1), 1), (bar(&spec, 60_000_000, 150_000_000), 1), (bar(&spec, 120_000_000, 1), 1)];
        let recomputed = [(bar(&spec, 120_000_000, 2), 1), (bar(&spec, 60_000_000, -25), 1), (bar(&spec, 0, 1), 1)];
        let (key, sides) = first(&spec, &recorded, &recomputed).expect("they differ");
        assert!(key.contains("open_at 1970-01-01T00:01:00Z"), "{key}");
        assert_eq!(told(&spec, &sides), ("close 1.5".to_owned(), "close -0.00000025".to_owned()));
        assert!(first(&spec, &recorded, &recorded).is_none());
    }

    #[test]
    fn a_row_that_one_side_lacks_is_told_as_such() {
        let spec = tables::bars(Interval(MINUTE));
        let both = [(bar(&spec, 0, 1), -1), (bar(&spec, 0, 2), 1)];
        let (_, sides) = first(&spec, &both, &[(bar(&spec, 0, 1), -1)]).expect("a tombstone differs from a change");
        assert_eq!(told(&spec, &sides), ("a row".to_owned(), "no row".to_owned()));
    }
}
