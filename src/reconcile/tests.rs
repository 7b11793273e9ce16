//! A lake against candles made of its own bars: nothing differs; each planted fault is found, and named.

use super::bars::Bar;
use super::compare::{CandleFile, CompareOptions, Outcome, reconcile};
use super::timeline::DifferenceKind;
use super::*;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use std::sync::Mutex;
use ticktide_base::time::MICRO;
use ticktide_lake::LakeReader;
use ticktide_lake::table::spec::Value;
use ticktide_lake::testing as small;
use ticktide_market::{Price, SCALE};
use ticktide_query::Pinned;

/// 2025-01-06 09:15 in India.
pub const OPEN: Nanos = 1_736_135_100 * SECOND;
const INDIA_S: i64 = 19_800;
const DATE: i32 = 20_094;

/// A bar of continuous trading, made of snapshots, with prices around a whole number.
pub fn bar(open_at: Nanos, price: i64, volume: i64) -> Bar {
    let [open, high, low, close] = [price, price + 3, price - 2, price + 1].map(|price| price * SCALE);
    let volume = Some(i128::from(volume) * i128::from(SCALE));
    let trading_date = (open_at.div_euclid(SECOND) + INDIA_S).div_euclid(86_400) as i32;
    let (values, phase) = (BarValues { open, high, low, close, volume }, "continuous".to_owned());
    Bar { trading_date, open_at, values, snapshots: true, phase, partial: false, parts: Vec::new() }
}

/// The bar as a file would give it.
pub fn candle_of(bar: &Bar, row: u64) -> Candle {
    let name = FileInstrument { venue: "NSECM".into(), instrument: Some("2885".into()), ..FileInstrument::default() };
    Candle { row, name, label: TimeLabel::Wall(bar.open_at / SECOND + INDIA_S), values: bar.values, last: None }
}

fn cells(bar: &Bar, venue: &str, instrument: &str, symbol: &str) -> Vec<Value> {
    let money = |units: i64| Value::Decimal(i128::from(units));
    let volume = bar.values.volume.map_or(Value::Null, Value::Decimal);
    let [open, high, low, close] = bar.values.prices().map(money);
    vec![
        Value::Text(venue.into()),
        Value::Text(instrument.into()),
        if symbol.is_empty() { Value::Null } else { Value::Text(symbol.into()) },
        Value::Date(bar.trading_date),
        Value::Time(bar.open_at / MICRO),
        open,
        high,
        low,
        close,
        volume,
        Value::Null,
        Value::Null,
        Value::Null,
        Value::Long(2),
        Value::Null,
        Value::Text(bar.phase.as_str().into()),
        Value::Bool(bar.partial),
        Value::Bool(false),
        Value::Long(1),
    ]
}

/// (venue, instrument, symbol, bar)
type Row = (&'static str, &'static str, &'static str, Bar);

/// The result of `work` on a lake of these rows, by minutes and by days.
fn on_lake<T>(minutes: &[Row], days: &[Row], work: impl AsyncFnOnce(&Pinned) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    runtime.block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let specs = [ticktide_tables::bars(Interval(MINUTE)), ticktide_tables::bars(Interval(DAY))];
        let mut lake = small::open(&folder.path().join("lake"), specs.to_vec()).await;
        let row = |(venue, instrument, symbol, bar): &Row| cells(bar, venue, instrument, symbol);
        let rows = specs.into_iter().zip([minutes, days].map(|rows| rows.iter().map(row).collect()));
        small::commit(&mut lake, rows.collect()).await;
        let reader = LakeReader::open(&folder.path().join("lake"), None).await.expect("a lake");
        work(&Pinned::load(&reader, None).await.expect("pinned")).await
    })
}

fn terms() -> CompareOptions {
    CompareOptions { zone: TimeZone::get("Asia/Kolkata").expect("a zone"), tolerance: 0, instrument: None }
}

/// A text as a file with a name.
fn source(name: &str, text: &str) -> CandleFile {
    let format = FORMATS.iter().find(|format| (format.fits)(text)).expect("a format");
    let given = (format.read)(text, Path::new(name), &Asked::default()).expect("readable");
    CandleFile { path: name.into(), format, given }
}

/// Candles as XTS sends them, with times moved by `shift_s` seconds.
fn answer(candles: &[BarValues], shift_s: i64) -> String {
    let rows = candles.iter().enumerate().map(|(minute, values)| {
        let [open, high, low, close] = values.prices().map(|price| Price(price).to_string());
        let volume = values.volume.unwrap_or(0) / i128::from(SCALE);
        format!("{}|{open}|{high}|{low}|{close}|{volume}|0|", OPEN / SECOND + INDIA_S + minute as i64 * 60 + shift_s)
    });
    format!("{{\"type\":\"success\",\"result\":{{\"dataReponse\":\"{}\"}}}}", rows.collect::<Vec<_>>().join(","))
}

/// Ten minutes that all differ from each other, after an opening auction at 150.
fn session() -> Vec<Bar> {
    let auction = BarValues {
        open: 150 * SCALE,
        high: 150 * SCALE,
        low: 150 * SCALE,
        close: 150 * SCALE,
        volume: Some(777 * i128::from(SCALE)),
    };
    let pre_open = Bar { phase: "pre_open".into(), values: auction, ..bar(OPEN - 8 * MINUTE, 150, 777) };
    let minutes = (0..10).map(|minute| bar(OPEN + minute * MINUTE, 100 + 7 * minute, 1_000 + 13 * minute * minute));
    std::iter::once(pre_open).chain(minutes).collect()
}

fn rows(bars: &[Bar]) -> Vec<Row> {
    bars.iter().map(|bar| ("NSECM", "2885", "", bar.clone())).collect()
}

fn values(bars: &[Bar]) -> Vec<BarValues> {
    bars.iter().filter(|bar| bar.is_continuous()).map(|bar| bar.values).collect()
}

fn told(outcome: &Outcome) -> Vec<(i64, &'static str, &'static str)> {
    outcome.differences().map(|found| ((found.at - OPEN) / MINUTE, found.what.name(), found.reason)).collect()
}

#[test]
fn candles_made_of_the_lake_itself_match_however_they_are_labelled() {
    let bars = session();
    on_lake(&rows(&bars), &[], async |pinned| {
        for (shift_s, label) in [(0, "start"), (59, "last second"), (60, "end")] {
            let source = source("NSECM_2885_60.json", &answer(&values(&bars), shift_s));
            let outcome = reconcile(pinned, vec![source], &terms()).await.expect("compared");
            assert_eq!(told(&outcome), [], "{label}");
            let file = &outcome.files[0];
            assert_eq!((file.matches, file.candles, file.malformed.len()), (10, 10, 0));
            assert_eq!(file.times.map(|decided| decided.labelled.name()), Some(label));
        }
    });
}

#[test]
fn a_bhavcopy_is_found_by_token_by_symbol_and_by_what_another_file_says() {
    let day = |phase: &str, minute: Nanos, price: i64, volume: i64| Bar {
        phase: phase.into(),
        ..bar(OPEN + minute * MINUTE, price, volume)
    };
    let mut auction = day("pre_open", -15, 100, 5);
    auction.values =
        BarValues { open: 100 * SCALE, high: 100 * SCALE, low: 100 * SCALE, close: 100 * SCALE, ..auction.values };
    let days = |symbol: &'static str| {
        vec![("NSECM", "2885", symbol, auction.clone()), ("NSECM", "2885", symbol, day("continuous", 0, 100, 95))]
    };
    let udiff = "TradDt,Sgmt,Src,FinInstrmId,TckrSymb,SctySrs,OpnPric,HghPric,LwPric,ClsPric,LastPric,TtlTradgVol\n\
                 2025-01-06,CM,NSE,2885,RELIANCE,EQ,100,103,98,101,101,100\n2025-01-06,CM,NSE,1,OTHER,EQ,1,1,1,1,1,1\n";
    let legacy = "SYMBOL,SERIES,OPEN,HIGH,LOW,CLOSE,LAST,PREVCLOSE,TOTTRDQTY,TOTTRDVAL,TIMESTAMP\n\
                  RELIANCE,EQ,100,103,98,100.5,101,99,100,1,06-JAN-2025\nRELIANCE,N1,1,1,1,1,1,1,1,1,06-JAN-2025\n";
    for (symbol, texts, matches, elsewhere) in [
        ("", vec![udiff], 1, vec![1]),
        ("RELIANCE", vec![legacy], 0, vec![1]),
        ("RELIANCE-EQ", vec![legacy], 0, vec![1]),
        ("", vec![legacy, udiff], 1, vec![1, 1]),
    ] {
        on_lake(&[], &days(symbol), async |pinned| {
            let sources = texts.iter().map(|text| source("x.csv", text)).collect();
            let outcome = reconcile(pinned, sources, &terms()).await.expect("compared");
            let found: Vec<u64> = outcome.files.iter().map(|file| file.elsewhere).collect();
            assert_eq!(
                (outcome.files.iter().map(|file| file.matches).sum::<u64>(), found),
                (matches, elsewhere),
                "{symbol}"
            );
            // the legacy file's close is an average, its last price the lake's close
            let reasons: Vec<&str> = outcome.differences().map(|found| found.reason).collect();
            assert_eq!(reasons, vec!["closing_price"; usize::from(texts[0] == legacy)], "{symbol}");
        });
    }
}

#[test]
fn one_instrument_of_a_bhavcopy_is_compared_alone() {
    let days = [("NSECM", "2885", "RELIANCE", bar(OPEN, 100, 95)), ("NSECM", "1594", "INFY", bar(OPEN, 50, 7))];
    let udiff = "TradDt,Sgmt,Src,FinInstrmId,TckrSymb,SctySrs,OpnPric,HghPric,LwPric,ClsPric,LastPric,TtlTradgVol\n\
                 2025-01-06,CM,NSE,2885,RELIANCE,EQ,100,103,98,101,101,95\n";
    let legacy = "SYMBOL,SERIES,OPEN,HIGH,LOW,CLOSE,LAST,PREVCLOSE,TOTTRDQTY,TOTTRDVAL,TIMESTAMP\n\
                  RELIANCE,EQ,100,103,98,101,101,99,95,1,06-JAN-2025\nINFY,EQ,1,1,1,1,1,1,1,1,06-JAN-2025\n";
    on_lake(&[], &days, async |pinned| {
        // the lake has INFY, the file does not
        let outcome = reconcile(pinned, vec![source("x.csv", udiff)], &terms()).await.expect("compared");
        let found: Vec<(&str, DifferenceKind)> =
            outcome.differences().map(|found| (found.key.1.as_str(), found.what)).collect();
        assert_eq!(found, [("1594", DifferenceKind::NotTheirs)]);
        let only = CompareOptions { instrument: Some(instrument("NSECM|2885").expect("good")), ..terms() };
        for text in [udiff, legacy] {
            let outcome = reconcile(pinned, vec![source("x.csv", text)], &only).await.expect("compared");
            assert_eq!((outcome.files[0].matches, outcome.differences().count()), (1, 0), "{text}");
        }
        let other = CompareOptions { instrument: Some(instrument("NSECM|1594").expect("good")), ..terms() };
        let outcome = reconcile(pinned, vec![source("x.csv", udiff)], &other).await.expect("compared");
        assert_eq!(told(&outcome).len(), 1, "it is not in the file");
    });
}

#[test]
fn a_contract_is_not_taken_for_the_share_whose_symbol_it_has() {
    // the lake's feed names the exchange and the symbol
    let days = [("NSE", "RELIANCE", "", bar(OPEN, 100, 95)), ("NSEFO", "63806", "", bar(OPEN, 110, 500))];
    let head =
        "TradDt,Sgmt,Src,FinInstrmId,TckrSymb,SctySrs,OpnPric,HghPric,LwPric,ClsPric,LastPric,TtlTradgVol,NewBrdLotQty";
    let share = "2025-01-06,CM,NSE,2885,RELIANCE,EQ,100,103,98,101,101,95,1";
    let bare = "2025-01-06,CM,NSE,2885,RELIANCE,,100,103,98,101,101,95,1";
    let (near, far) = (
        "2025-01-06,FO,NSE,63806,RELIANCE,,110,113,108,111,111,2,250",
        "2025-01-06,FO,NSE,63807,RELIANCE,,120,123,118,121,121,2,250",
    );
    on_lake(&[], &days, async |pinned| {
        for (lines, matches, elsewhere) in
            [(vec![share, near, far], 2, 1), (vec![far, bare, near], 2, 1), (vec![far], 0, 1)]
        {
            let text = format!("{head}\n{}\n", lines.join("\n"));
            let outcome = reconcile(pinned, vec![source("x.csv", &text)], &terms()).await.expect("compared");
            let file = &outcome.files[0];
            assert_eq!((file.matches, file.elsewhere, file.malformed.len()), (matches, elsewhere, 0), "{text}");
            assert_eq!(file.differences, [], "{text}");
        }
    });
}

#[test]
fn an_epoch_without_bars_of_the_interval_is_the_users_to_know() {
    on_lake(&[], &[], async |pinned| {
        let error = reconcile(pinned, vec![source("NSECM_1_300.txt", "1736154959|1|1|1|1|1|0|")], &terms())
            .await
            .expect_err("no 5m");
        assert_eq!((error.kind, error.message.as_str()), (Kind::Fix, "the lake has no bars of 5m"));
        assert_eq!(error.hint.as_deref(), Some("there are bars_1d, bars_1m"));
    });
}

#[test]
fn every_format_reads_its_example_and_no_other_ones() {
    for format in FORMATS {
        let (name, text) = format.example;
        assert_eq!(source(name, text).given.candles.len(), 1, "{}", format.name);
        assert_eq!(FORMATS.iter().filter(|other| (other.fits)(text)).count(), 1, "{}", format.name);
        assert!(!format.doc.is_empty());
    }
}

#[test]
fn files_are_unpacked_by_what_they_begin_with_and_refused_in_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    };
    let text = ohlc::FORMAT.example.1.as_bytes();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gz, text).expect("written");
    let gz = gz.finish().expect("whole");
    let zst = zstd::encode_all(text, 1).expect("packed");
    for (name, bytes) in [("NSECM_1_60.txt", text), ("NSECM_1_60.txt.gz", &gz), ("NSECM_1_60.zst", &zst)] {
        let (format, given) = read(&path(name, bytes), &Asked::default()).expect(name);
        assert_eq!((format.name, given.candles.len()), ("xts-ohlc", 1), "{name}");
    }
    for (name, bytes, wanted) in [
        ("a", &b"hello"[..], "line 1 is of no known format: \"hello\""),
        ("b", b"", "line 1 is of no known format: \"\""),
        ("NSECM_1_60.x", b"1|2|3|4|5|6|,x|1|1|1|1|1|", "none of 2 rows is a candle; row 1: ts 1 is not a second"),
        ("NSECM_1_60.y", b"{\"dataReponse\":\"\"}", "it contains no candle"),
        ("c.gz", &gz[..gz.len() / 2], "cannot be unpacked"),
        ("d.zip", b"PK\x03\x04junk", "the zip archive is cut off or damaged"),
    ] {
        let error = read(&path(name, bytes), &Asked::default()).err().expect(name);
        assert!(error.to_string().contains(wanted), "{error}");
        assert!(error.kind() == Kind::Fix && error.hint().is_some());
    }
    let error = read(&folder.path().join("none"), &Asked::default()).err().expect("none");
    assert!(error.to_string().contains("cannot be read"), "{error}");
}

#[test]
fn flags_are_read_or_refused() {
    assert_eq!(instrument("NSECM|2885").expect("good").to_string(), "NSECM|2885");
    assert_eq!(interval("5m").expect("good"), Interval(5 * MINUTE));
    assert_eq!(interval("1d").expect("good"), Interval(DAY));
    for text in ["", "2885", "|1", "NSECM|"] {
        assert!(instrument(text).is_err(), "{text}");
    }
    for text in ["", "m", "0m", "-1m", "2d", "1w", "1µ", "9999999999999999999s"] {
        assert!(interval(text).is_err(), "{text}");
    }
}

/// A change of one candle, and the reason that must be found for it.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Edge,
    Inside,
    Wild,
    Lost,
    Counted,
}

impl Fault {
    fn plant(self, candles: &mut [BarValues], at: usize) {
        let lot = 7 * i128::from(SCALE);
        match self {
            Fault::Edge => {
                candles[at].volume = candles[at].volume.map(|volume| volume + lot);
                candles[at + 1].volume = candles[at + 1].volume.map(|volume| volume - lot);
            }
            Fault::Inside => candles[at].high -= SCALE,
            Fault::Wild => candles[at].low -= 50 * SCALE,
            Fault::Counted => candles[at].volume = candles[at].volume.map(|volume| volume + lot),
            Fault::Lost => {}
        }
    }

    fn expected(self, at: i64) -> Vec<(i64, &'static str, &'static str)> {
        match self {
            Fault::Edge => vec![(at, "volume", "edge_volume"), (at + 1, "volume", "edge_volume")],
            Fault::Inside => vec![(at, "high", "conflated")],
            Fault::Wild => vec![(at, "low", "unexplained")],
            Fault::Counted => vec![(at, "volume", "unexplained")],
            Fault::Lost => vec![(at, DifferenceKind::NotTheirs.name(), "unexplained")],
        }
    }
}

/// Drops row `lost` of an answer.
fn without(text: &str, lost: usize) -> String {
    let (head, rest) = text.split_once("dataReponse\":\"").expect("an answer");
    let (rows, tail) = rest.split_once('"').expect("an answer");
    let kept: Vec<&str> = rows.split(',').enumerate().filter(|(at, _)| *at != lost).map(|(_, row)| row).collect();
    format!("{head}dataReponse\":\"{}\"{tail}", kept.join(","))
}

#[test]
fn each_planted_fault_is_found_where_it_is_and_nothing_else() {
    let bars = session();
    let faults = [Fault::Edge, Fault::Inside, Fault::Wild, Fault::Lost, Fault::Counted];
    let plan = (0..faults.len(), 1usize..8, prop_oneof![Just(0i64), Just(59), Just(60)]);
    on_lake(&rows(&bars), &[], async |pinned| {
        let seen = Mutex::new([0u32; 5]);
        let mut runner = proptest::test_runner::TestRunner::default();
        let plans: Vec<(usize, usize, i64)> = (0..60)
            .map(|_| proptest::strategy::ValueTree::current(&plan.new_tree(&mut runner).expect("a plan")))
            .collect();
        for (fault, at, shift_s) in plans {
            let mut candles = values(&bars);
            faults[fault].plant(&mut candles, at);
            let mut text = answer(&candles, shift_s);
            if matches!(faults[fault], Fault::Lost) {
                text = without(&text, at);
            }
            let sources = vec![source("NSECM_2885_60.json", &text)];
            let outcome = reconcile(pinned, sources, &terms()).await.expect("compared");
            assert_eq!(told(&outcome), faults[fault].expected(at as i64), "{:?} {at} {shift_s}", faults[fault]);
            seen.lock().expect("one thread")[fault] += 1;
        }
        assert!(seen.lock().expect("one thread").iter().all(|count| *count > 0), "each fault was planted");
    });
}

#[test]
fn auctions_corrections_and_wrong_clocks_are_told_apart() {
    let bars = session();
    on_lake(&rows(&bars), &[], async |pinned| {
        let run = async |text: String| {
            let outcome =
                reconcile(pinned, vec![source("NSECM_2885_60.json", &text)], &terms()).await.expect("compared");
            told(&outcome)
        };
        let mut candles = values(&bars);
        candles[0].open = 150 * SCALE;
        candles[0].high = 150 * SCALE;
        candles[0].volume = candles[0].volume.map(|volume| volume + 777 * i128::from(SCALE));
        let wanted = [(0, "open", "exchange_open"), (0, "high", "auction"), (0, "volume", "auction")];
        assert_eq!(run(answer(&candles, 0)).await, wanted);
        // every candle is at the clock of UTC: found half a day away, and nothing is left over
        let shifted = run(answer(&values(&bars), -INDIA_S)).await;
        assert!(shifted.len() >= 10 && shifted.iter().all(|(_, _, reason)| *reason == "zone_offset"), "{shifted:?}");
        // the lake has nothing of any instrument an hour later
        let late = format!("{},{}|1|2|1|2|5|0|", ohlc_text(&values(&bars)), OPEN / SECOND + INDIA_S + 3_600);
        assert_eq!(run(late).await, [(60, "not in the lake", "not_recorded")]);
    });
}

/// The text of an answer, bare.
fn ohlc_text(candles: &[BarValues]) -> String {
    let text = answer(candles, 0);
    text.split('"').find(|part| part.contains('|')).expect("rows").to_owned()
}

#[test]
fn dates_of_the_test_are_what_they_say() {
    assert_eq!((bar(OPEN, 1, 1).trading_date, bars::date(DATE)), (DATE, "2025-01-06".to_owned()));
}
