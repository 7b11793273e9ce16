//! The schemas of a lake, as they are in every lake.

use super::*;

/// A table as text: a line for each column, in order, then what the lake does with them.
fn shown(spec: &TableSpec) -> String {
    let kind = |column_type: ColumnType| match column_type {
        ColumnType::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
        other => format!("{other:?}").to_lowercase(),
    };
    let mut lines = vec![spec.name.clone()];
    lines.extend(spec.columns.iter().map(|column| {
        let mut line = format!("  {} {}", column.name, kind(column.column_type));
        let marks = [(!column.nullable, " required"), (!column.hashed, " unhashed"), (column.delta, " delta")];
        marks.iter().filter(|(is, _)| *is).for_each(|(_, mark)| line.push_str(mark));
        line
    }));
    let names =
        |places: &[usize]| places.iter().map(|at| spec.columns[*at].name.as_str()).collect::<Vec<_>>().join(" ");
    let about = [
        ("key", names(&spec.key)),
        ("partition", names(spec.partition.as_slice())),
        ("time", names(spec.time.as_slice())),
        ("sort", names(&spec.sort)),
        ("history", spec.history.to_string()),
    ];
    lines.extend(about.iter().map(|(what, said)| format!("{what}: {said}").trim_end().to_owned()));
    lines.join("\n")
}

const BARS: &str = "bars_1m
  venue text required
  instrument text required
  symbol text
  trading_date date required
  open_at time required delta
  open decimal(18,8)
  high decimal(18,8)
  low decimal(18,8)
  close decimal(18,8)
  volume decimal(38,8)
  turnover decimal(38,8)
  vwap decimal(18,8)
  trades long
  updates long
  open_interest decimal(38,8)
  phase text required
  partial bool required
  short bool required
  epoch long required unhashed
key: venue instrument phase open_at
partition: trading_date
time: open_at
sort: instrument open_at
history: true";

/// The flow refuses as an output's name exactly the other columns of the tables of readings.
#[test]
fn no_output_can_be_called_as_another_column() {
    let columns = indicators(Interval(MINUTE), &[]).columns;
    let names: Vec<&str> = columns.iter().map(|column| &*column.name).chain(["diff"]).collect();
    assert_eq!(names, ticktide_flow::indicators::COLUMNS);
}

const INDICATORS: &str = "indicators_1m
  venue text required
  instrument text required
  symbol text
  trading_date date required
  open_at time required delta
  phase text required
  ema_20 double
  rsi_14 double
  epoch long required unhashed
key: venue instrument phase open_at
partition: trading_date
time: open_at
sort: instrument open_at
history: true";

const ANOMALIES: &str = "anomalies
  venue text required
  instrument text required
  symbol text
  check text required
  interval text
  phase text required
  started_at time required delta
  ended_at time required delta
  severity text required
  observed double
  expected double
  parameters text required
  topic text
  partition int unhashed
  offset_first long unhashed
  offset_last long unhashed
  epoch long required unhashed
key: venue instrument check interval parameters started_at topic partition offset_first
partition:
time: started_at
sort: instrument started_at
history: true";

const TICKS: &str = "ticks
  venue text required
  instrument text required
  symbol text
  trading_date date required
  kind text required
  exchange_at time required delta
  exchange_ns long required delta
  received_at time unhashed delta
  sequence long delta
  id text
  price decimal(18,8)
  quantity decimal(18,8)
  cumulative_volume decimal(38,8)
  bid decimal(18,8)
  bid_quantity decimal(18,8)
  ask decimal(18,8)
  ask_quantity decimal(18,8)
  open_interest decimal(38,8)
  band_low decimal(18,8)
  band_high decimal(18,8)
  conditions text
  topic text required
  partition int required unhashed
  offset long required unhashed delta
  epoch long required unhashed
key:
partition: trading_date
time: exchange_at
sort:
history: false";

const INSTRUMENTS: &str = "instruments
  venue text required
  instrument text required
  symbol text
  listed_on date required
  valid_from time required delta
  kind text
  series text
  isin text
  description text
  tick_size decimal(18,8)
  band_low decimal(18,8)
  band_high decimal(18,8)
  freeze_quantity decimal(18,8)
  lot_size decimal(18,8)
  underlying text
  expiry date
  strike decimal(18,8)
  option_type text
  epoch long required unhashed
key: venue instrument valid_from
partition: listed_on
time: valid_from
sort: instrument valid_from
history: true";

const QUARANTINE: &str = "quarantine
  source text required
  topic text required
  partition int required unhashed
  offset long required unhashed delta
  received_at time unhashed delta
  reason text required
  detail text required
  payload binary required
  epoch long required unhashed
key:
partition:
time:
sort:
history: false";

fn outputs(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn every_table_has_the_schema_that_lakes_have() {
    let readings = outputs(&["ema_20", "rsi_14"]);
    assert_eq!(shown(&bars(Interval(MINUTE))), BARS);
    assert_eq!(shown(&indicators(Interval(MINUTE), &readings)), INDICATORS);
    assert_eq!(shown(&anomalies()), ANOMALIES);
    assert_eq!(shown(&ticks()), TICKS);
    assert_eq!(shown(&instruments()), INSTRUMENTS);
    assert_eq!(shown(&quarantine()), QUARANTINE);
}

#[test]
fn bars_of_a_day_and_more_have_no_partition_a_day() {
    let coarse = |text: &str| text.replace("_1m\n", "_1d\n").replace("partition: trading_date", "partition:");
    assert_eq!(shown(&bars(Interval(DAY))), coarse(BARS));
    assert_eq!(shown(&indicators(Interval(DAY), &outputs(&["ema_20", "rsi_14"]))), coarse(INDICATORS));
    assert_eq!(bars(Interval(DAY - SECOND)).partition, Some(3));
}

#[test]
fn what_was_added_to_a_lake_stands_behind_its_epoch() {
    let columns = |original| -> Vec<String> {
        let spec = evolved_indicators(Interval(MINUTE), &outputs(&["ema_20", "rsi_14", "obv"]), original);
        assert_eq!(original_outputs(&spec), original.min(3));
        spec.columns[6..].iter().map(|column| column.name.clone()).collect()
    };
    assert_eq!(columns(0), ["epoch", "ema_20", "rsi_14", "obv"]);
    assert_eq!(columns(1), ["ema_20", "epoch", "rsi_14", "obv"]);
    assert_eq!(columns(3), ["ema_20", "rsi_14", "obv", "epoch"]);
    assert_eq!(columns(9), ["ema_20", "rsi_14", "obv", "epoch"]);
}

#[test]
fn every_column_of_every_table_says_what_it_holds() {
    let docs = all();
    let names: Vec<&str> = docs.iter().map(|table| table.spec.name.as_str()).collect();
    let expected = ["bars_<interval>", "indicators_<interval>", "anomalies", "ticks", "instruments", "quarantine"];
    assert_eq!(names, expected);
    for TableDoc { row, spec } in docs {
        let columns = spec.columns.iter().map(|column| (column.name.as_str(), column.doc.as_str()));
        for (name, doc) in columns.chain([("", row)]) {
            let place = format!("{}.{name}: {doc:?}", spec.name);
            assert!(!doc.trim().is_empty() && doc.trim() == doc, "{place} is there");
            assert!(!doc.ends_with('.') && !doc.contains(';'), "{place} is one fact, as a fragment");
            assert!(doc.len() <= 120, "{place} fits a line");
        }
    }
}
