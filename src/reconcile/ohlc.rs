//! Answers of XTS's `/instruments/ohlc`: the JSON as it came, or only its text.
//!
//! Rows `ts|open|high|low|close|volume|open interest|` are joined by commas; `ts` is India's wall clock read as if it were
//! UTC. An answer names neither its instrument nor its interval: they come from the command line or from the file's name,
//! `NSECM_2885_60.json` (segment, token, `compressionValue`: seconds or `D`). Without either the interval is the smallest
//! distance between two rows. The open interest is not compared: it is not known at which moment of the bar it was.

use super::{
    Asked, BarValues, Candle, FileFormat, FileInstrument, Given, Malformed, Numbers, ReconcileError, TimeLabel,
};
use serde_json::Value;
use std::path::Path;
use ticktide_base::time::{DAY, Interval, MINUTE, SECOND};
use ticktide_feed::wire::xts::Segment;

pub static FORMAT: FileFormat = FileFormat {
    name: "xts-ohlc",
    doc: "an answer of XTS's /instruments/ohlc as JSON, or its text `ts|o|h|l|c|v|oi|,…`",
    fits,
    read,
    example: ("NSECM_2885_60.json", "1736154959|1245.5|1246|1245|1245.9|17376|0|"),
};

/// Both spellings of the API.
const KEYS: [&str; 2] = ["dataReponse", "dataResponse"];
/// How much of a malformed row is kept.
const SHOWN: usize = 120;

fn fits(text: &str) -> bool {
    let start = text.trim_start();
    start.starts_with(['{', '[']) || start.split([',', '\n']).next().is_some_and(|row| row.matches('|').count() >= 5)
}

fn read(text: &str, path: &Path, asked: &Asked) -> Result<Given, ReconcileError> {
    let named = Named::of(path)?;
    let name = asked.instrument.clone().or(named.name).ok_or_else(|| {
        let hint =
            "add e.g. `--instrument 'NSECM|2885'`, or call the file NSECM_2885_60.json (segment, token, interval)";
        ReconcileError::file(path, "an answer does not name its instrument", hint)
    })?;
    let (mut given, mut numbers) = (Given::default(), Numbers::default());
    given.layout = if text.trim_start().starts_with(['{', '[']) { "json" } else { "text" };
    let rows = match given.layout {
        "json" => answers(text, path)?,
        _ => vec![text.to_owned()],
    };
    let rows = rows.iter().flat_map(|text| text.split([',', '\n'])).map(str::trim).filter(|row| !row.is_empty());
    for (row, text) in (1..).zip(rows) {
        match candle(text, &mut numbers) {
            Ok((ts, values)) => {
                given.candles.push(Candle { row, name: name.clone(), label: TimeLabel::Wall(ts), values, last: None });
            }
            Err(reason) => {
                given.malformed.push(Malformed { row, reason, text: text.chars().take(SHOWN).collect() });
            }
        }
    }
    given.decimals = numbers.decimals;
    given.interval = asked.interval.or(named.interval).or_else(|| Some(least_distance(&given.candles)));
    if given.interval == Some(Interval(DAY)) {
        given.candles.iter_mut().for_each(as_day);
    }
    Ok(given)
}

/// A daily candle is labelled with some moment of its day.
fn as_day(candle: &mut Candle) {
    if let TimeLabel::Wall(ts) = candle.label {
        candle.label = TimeLabel::Day(ts.div_euclid(DAY / SECOND) as i32);
    }
}

/// The texts in a file of one or more answers. Errors: it is not JSON, or an answer reports a failure.
fn answers(text: &str, path: &Path) -> Result<Vec<String>, ReconcileError> {
    let mut texts = Vec::new();
    for answer in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        let answer = answer.map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let message = format!("line {line}, column {column}: it begins like JSON but is not JSON: {error}");
            ReconcileError::file(path, message, "fetch the answer again; it may be cut off")
        })?;
        let several = match answer {
            Value::Array(several) => several,
            one => vec![one],
        };
        for answer in several {
            texts.push(rows_of(&answer).ok_or_else(|| failed(&answer, path))?);
        }
    }
    Ok(texts)
}

fn rows_of(answer: &Value) -> Option<String> {
    let holders = [&answer["result"], answer];
    let found = holders.iter().flat_map(|holder| KEYS.iter().filter_map(|key| holder.get(*key))).next()?;
    found.as_str().map(str::to_owned)
}

fn failed(answer: &Value, path: &Path) -> ReconcileError {
    let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
    let message = match (text("code"), text("description")) {
        (code, description) if code.is_empty() && description.is_empty() => {
            "an answer has no text under `result.dataReponse`".to_owned()
        }
        (code, description) => format!("an answer says {code} {description:?}, and has no candles"),
    };
    ReconcileError::file(path, message, "keep the answers whose type is success")
}

/// What the name of a file gives.
struct Named {
    name: Option<FileInstrument>,
    interval: Option<Interval>,
}

impl Named {
    /// Errors: it names weeks or months, for which the lake has no bars.
    fn of(path: &Path) -> Result<Named, ReconcileError> {
        let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let stem = file.split('.').next().unwrap_or_default();
        let mut parts = stem.split('_');
        let (venue, token, width) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        let segment = match venue.parse() {
            Ok(number) => Segment::of(number),
            Err(_) => Segment::named(venue.as_bytes()),
        };
        let digits = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let (Some(segment), Some(token)) = (segment, token.filter(digits)) else {
            return Ok(Named { name: None, interval: None });
        };
        let name =
            FileInstrument { venue: segment.venue.into(), instrument: Some(token.into()), ..FileInstrument::default() };
        let interval = match width {
            Some("D" | "d") => Some(Interval(DAY)),
            Some(other @ ("W" | "M")) => {
                let message = format!("compressionValue {other} is weeks or months; the lake has no such bars");
                return Err(ReconcileError::file(path, message, "ask the API for `compressionValue=D`"));
            }
            Some(other) => other.parse().ok().and_then(seconds),
            None => None,
        };
        Ok(Named { name: Some(name), interval })
    }
}

fn seconds(count: i64) -> Option<Interval> {
    count.checked_mul(SECOND).filter(|width| (1..=DAY).contains(width)).map(Interval)
}

/// The width of candles that follow one another.
fn least_distance(candles: &[Candle]) -> Interval {
    let label = |candle: &Candle| match candle.label {
        TimeLabel::Wall(ts) => Some(ts),
        TimeLabel::Day(_) => None,
    };
    let mut labels: Vec<i64> = candles.iter().filter_map(label).collect();
    labels.sort_unstable();
    let distances = labels.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).filter(|distance| *distance > 0);
    distances.min().map_or(Interval(MINUTE), |least| seconds(least).unwrap_or(Interval(DAY)))
}

fn candle(row: &str, numbers: &mut Numbers) -> Result<(i64, BarValues), String> {
    let fields: Vec<&str> = row.split('|').map(str::trim).collect();
    let [ts, open, high, low, close, volume, ..] = fields[..] else {
        return Err(format!("it has {} fields, not ts|o|h|l|c|v|oi|", fields.len()));
    };
    let ts = ts.parse::<i64>().map_err(|_| format!("ts {ts:?} is not a number of seconds"))?;
    // 1980 to 2200: any other number counts milliseconds, or is not a time
    if !(315_532_800..7_258_118_400).contains(&ts) {
        return Err(format!("ts {ts} is not a second between 1980 and 2200"));
    }
    let values = BarValues {
        open: numbers.price("open", open)?,
        high: numbers.price("high", high)?,
        low: numbers.price("low", low)?,
        close: numbers.price("close", close)?,
        volume: Some(numbers.volume("volume", volume)?),
    };
    values.impossible().map_or(Ok((ts, values)), |reason| Err(reason.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROW: &str = FORMAT.example.1;

    fn given(text: &str, path: &str) -> Given {
        read(text, Path::new(path), &Asked::default()).expect(text)
    }

    #[test]
    fn an_answer_is_the_same_in_every_dress() {
        let two = format!("{ROW},1736155019|1245.9|1246|1245.05|1245.1|5|0|");
        let dresses = [
            two.clone(),
            two.replace(',', "\n"),
            format!(
                "{{\"type\":\"success\",\"code\":\"s-ohlc-0001\",\"result\":{{\"exchangeSegment\":\"NSECM\",\"dataReponse\":\"{two}\"}}}}"
            ),
            format!("{{\"result\":{{\"dataResponse\":\"{two}\"}}}}"),
            format!("{{\"dataReponse\":\"{two},\"}}"),
            format!(
                "[{{\"dataReponse\":\"{ROW}\"}},{{\"dataReponse\":\"1736155019|1245.9|1246|1245.05|1245.1|5|0|\"}}]"
            ),
        ];
        for text in &dresses {
            assert!(fits(text), "{text}");
            let found = given(text, "NSECM_2885_60.json");
            assert_eq!(found.candles.len(), 2, "{text}");
            assert_eq!((found.decimals, found.interval), (2, Some(Interval(MINUTE))));
            let last = &found.candles[1];
            assert_eq!((last.row, last.label), (2, TimeLabel::Wall(1_736_155_019)));
            assert_eq!(last.values.low, 124_505_000_000);
            assert_eq!(last.values.volume, Some(500_000_000));
            assert_eq!(last.name.to_string(), "NSECM|2885");
        }
    }

    #[test]
    fn a_name_tells_segment_token_and_interval() {
        let name = |path: &str| {
            let named = Named::of(Path::new(path)).expect(path);
            (named.name.map(|name| name.to_string()), named.interval.map(Interval::name))
        };
        let told = |name: &str, interval: &str| (Some(name.to_owned()), Some(interval.to_owned()));
        assert_eq!(name("/a/NSECM_2885_60.json"), told("NSECM|2885", "1m"));
        assert_eq!(name("1_2885_300_2025-01-06.txt.gz"), told("NSECM|2885", "5m"));
        assert_eq!(name("NSEFO_43423_D.json"), told("NSEFO|43423", "1d"));
        assert_eq!(name("BSECM_500325.json"), (Some("BSECM|500325".to_owned()), None));
        for path in ["reliance.json", "NSECM_RELIANCE_60.json", "99_1_60.json", "", "_", "NSECM_"] {
            assert_eq!(name(path), (None, None), "{path}");
        }
        let error = Named::of(Path::new("NSECM_2885_W.json")).err().expect("weeks");
        assert!(error.to_string().contains("compressionValue W"), "{error}");
    }

    #[test]
    fn malformed_rows_are_kept_with_their_numbers() {
        let text = format!("{ROW},x|1|1|1|1|1|0|,1736155019|1|2|3|1|1|0|,1736155079|1|1|1,1736155079000|1|1|1|1|1|");
        let found = given(&text, "NSECM_2885_60.json");
        assert_eq!(found.candles.len(), 1);
        let told: Vec<(u64, &str)> = found.malformed.iter().map(|row| (row.row, row.reason.as_str())).collect();
        assert_eq!(
            told,
            [
                (2, "ts \"x\" is not a number of seconds"),
                (3, "its low is above its high"),
                (4, "it has 4 fields, not ts|o|h|l|c|v|oi|"),
                (5, "ts 1736155079000 is not a second between 1980 and 2200"),
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_says_where_and_what_to_do() {
        let refused =
            |text: &str, path: &str| read(text, Path::new(path), &Asked::default()).expect_err(text).to_string();
        assert!(refused(ROW, "x.json").contains("does not name its instrument"));
        assert!(refused("{\"result\":\n{\"dataReponse\":\"", "NSECM_1_60.json").contains("line 2, column"));
        let error = refused(
            "{\"type\":\"error\",\"code\":\"e-ohlc-1\",\"description\":\"Data not available\"}",
            "NSECM_1_60.json",
        );
        assert!(error.contains("an answer says e-ohlc-1 \"Data not available\""), "{error}");
    }

    #[test]
    fn daily_candles_are_of_their_date() {
        let found = given("1737331200|1|1|1|1|1|0|", "NSECM_2885_D.json");
        assert_eq!(found.candles[0].label, TimeLabel::Day(20_108)); // 2025-01-20
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "[0-9|,.{}\":a\\-\n\\[]{0,80}", name in "[A-Z0-9_.]{0,20}") {
            let asked = Asked { instrument: Some(FileInstrument::default()), interval: None };
            let _ = (fits(&text), read(&text, Path::new(&name), &asked));
        }

        #[test]
        fn every_row_is_a_candle_or_malformed(rows in proptest::collection::vec("[0-9|.]{1,40}", 1..20)) {
            let asked = Asked { instrument: Some(FileInstrument::default()), interval: None };
            let found = read(&rows.join(","), Path::new("x"), &asked).expect("text");
            prop_assert_eq!(found.candles.len() + found.malformed.len(), rows.len());
        }
    }
}
