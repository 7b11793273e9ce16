//! Compares bars from other makers with the lake's.
//!
//! Internal: programs use the crate `ticktide`; this crate may change with every version.
//!
//! ```text
//!   FILE ─▶ input (unpacked) ─▶ FORMATS: xts-ohlc, bhavcopy ─▶ Given: candles, malformed rows ─┐
//!                                                                                             ├─▶ timeline ─▶ compare ─▶ REASONS ─▶ Outcome
//!   lake, one epoch ─▶ bars: rows of bars_<interval>, its history ────────────────────────────┘
//! ```
//!
//! Why reasons: a broker's candles never equal bars made of its feed in all columns, and a bare number of differences hides
//! the one that matters among the known ones. So each difference is tried against explicit rules ([`reasons`]), the surest
//! first, and a difference that no rule fits is `unexplained`.
//!
//! What must always hold: every row of a file is a candle, a silent day or a malformed row; every candle and every bar of the
//! lake in a file's range matches, differs or is missing on one side; each difference has exactly one reason.

pub mod bars;
pub mod bhavcopy;
pub mod compare;
pub mod input;
pub mod label;
pub mod ohlc;
pub mod reasons;
#[cfg(test)]
mod tests;
pub mod timeline;
mod zip;

use std::fmt;
use std::path::{Path, PathBuf};
use ticktide_base::error::{Classified, Kind};
use ticktide_base::time::{DAY, HOUR, Interval, MINUTE, Nanos, SECOND};
use ticktide_market::{NumberError, decimal, decimal_wide};

/// A column that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BarColumn {
    Open,
    High,
    Low,
    Close,
    Volume,
}

impl BarColumn {
    /// Every column, in the order of a bar.
    pub const ALL: [BarColumn; 5] =
        [BarColumn::Open, BarColumn::High, BarColumn::Low, BarColumn::Close, BarColumn::Volume];

    /// Its name in tables and reports.
    pub fn name(self) -> &'static str {
        match self {
            BarColumn::Open => "open",
            BarColumn::High => "high",
            BarColumn::Low => "low",
            BarColumn::Close => "close",
            BarColumn::Volume => "volume",
        }
    }
}

/// The compared values of a bar, in units of 10⁻⁸.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarValues {
    /// The first price, in units of 10⁻⁸ of the currency.
    pub open: i64,
    /// The highest price, as `open`.
    pub high: i64,
    /// The lowest price, as `open`.
    pub low: i64,
    /// The last price, as `open`.
    pub close: i64,
    /// `None`: not given.
    pub volume: Option<i128>,
}

impl BarValues {
    /// One of the values, in units of 10⁻⁸.
    pub fn get(&self, column: BarColumn) -> Option<i128> {
        match column {
            BarColumn::Open => Some(self.open.into()),
            BarColumn::High => Some(self.high.into()),
            BarColumn::Low => Some(self.low.into()),
            BarColumn::Close => Some(self.close.into()),
            BarColumn::Volume => self.volume,
        }
    }

    /// Open, high, low, close.
    pub fn prices(&self) -> [i64; 4] {
        [self.open, self.high, self.low, self.close]
    }

    /// The bar is distinguishable from its neighbours: its price moved, or it was traded.
    fn is_telling(&self) -> bool {
        self.high > self.low || self.volume.is_some_and(|volume| volume > 0)
    }

    /// Why these values are impossible for a bar.
    fn impossible(&self) -> Option<&'static str> {
        let inside = |price: i64| (self.low..=self.high).contains(&price);
        match () {
            () if self.low > self.high => Some("its low is above its high"),
            () if !inside(self.open) => Some("its open is not between low and high"),
            () if !inside(self.close) => Some("its close is not between low and high"),
            () if self.volume.is_some_and(|volume| volume < 0) => Some("its volume is negative"),
            () if self.volume.is_some_and(|volume| volume > VOLUME_MOST) => Some("its volume is above 10^15"),
            () => None,
        }
    }
}

/// No exchange trades more in a day; sums of such volumes stay far from the bounds of their integers.
const VOLUME_MOST: i128 = 1_000_000_000_000_000 * ticktide_market::SCALE as i128;

/// How a file names an instrument.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileInstrument {
    /// The segment, e.g. `NSECM`.
    pub venue: String,
    /// The venue's token, if the file has it.
    pub instrument: Option<String>,
    /// The name for people, if the file has it.
    pub symbol: Option<String>,
    /// `EQ`, `BE`, …
    pub series: Option<String>,
}

impl fmt::Display for FileInstrument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = [Some(&self.venue), self.instrument.as_ref(), self.symbol.as_ref(), self.series.as_ref()];
        let texts: Vec<&str> = texts.into_iter().flatten().map(String::as_str).collect();
        write!(f, "{}", texts.join("|"))
    }
}

/// Which stretch of time a candle covers, as the file writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeLabel {
    /// A wall clock read as if it were UTC, seconds since 1970; [`label`] decides which part of the bar it labels.
    Wall(i64),
    /// A trading date, days since 1970.
    Day(i32),
}

/// A bar as a file gives it.
#[derive(Clone, Debug, PartialEq)]
pub struct Candle {
    /// Its row in the file, the first one is 1.
    pub row: u64,
    /// Its instrument.
    pub name: FileInstrument,
    /// Its time.
    pub label: TimeLabel,
    /// Its prices and volume.
    pub values: BarValues,
    /// The last traded price, where the close is not one.
    pub last: Option<i64>,
}

/// A row that is no candle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Its row in the file, the first one is 1.
    pub row: u64,
    /// Why it is not one, for people.
    pub reason: String,
    /// The row as it is in the file.
    pub text: String,
}

/// The content of a file.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// Which of a format's layouts it has.
    pub layout: &'static str,
    /// The width of its bars, if it says so.
    pub interval: Option<Interval>,
    /// Its bars, in the order of the file.
    pub candles: Vec<Candle>,
    /// Its other rows.
    pub malformed: Vec<Malformed>,
    /// Rows of instruments that did not trade that day.
    pub silent: u64,
    /// Digits that its prices have after the decimal point, at most.
    pub decimals: u32,
}

/// What the user adds for files that do not say it themselves.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// `NSECM|2885`.
    pub instrument: Option<FileInstrument>,
    /// The width of the bars.
    pub interval: Option<Interval>,
}

/// A kind of file: a row of [`FORMATS`].
pub struct FileFormat {
    /// What errors and reports call it.
    pub name: &'static str,
    /// One line for `--help` and errors.
    pub doc: &'static str,
    /// Whether a file looks like one.
    pub fits: fn(&str) -> bool,
    /// Its rows; errors: none can be read.
    pub read: fn(&str, &Path, &Asked) -> Result<Given, ReconcileError>,
    /// A name that such a file may have, and a file of one candle.
    pub example: (&'static str, &'static str),
}

/// Every kind of file.
pub static FORMATS: &[&FileFormat] = &[
    &ohlc::FORMAT, //
    &bhavcopy::FORMAT,
];

/// Why nothing is compared.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    #[error("{}: {message}", path.display())]
    File { path: PathBuf, message: String, hint: String },
    #[error("{0:?} names no instrument")]
    Instrument(String),
    #[error("{0:?} is not an interval")]
    Interval(String),
    #[error("{0:?} is not a tolerance")]
    Tolerance(String),
    #[error("the lake has no bars of {interval}")]
    NoBars { interval: String, tables: Vec<String> },
    #[error("the lake's table {table} is not as this version writes it: {message}")]
    Table { table: String, message: String },
}

impl ReconcileError {
    fn file(path: &Path, message: impl Into<String>, hint: impl Into<String>) -> ReconcileError {
        ReconcileError::File { path: path.into(), message: message.into(), hint: hint.into() }
    }
}

impl Classified for ReconcileError {
    fn kind(&self) -> Kind {
        match self {
            ReconcileError::Table { .. } => Kind::Corrupt,
            _ => Kind::Fix,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ReconcileError::File { hint, .. } => Some(hint.clone()),
            ReconcileError::Instrument(_) => Some("write segment and token, e.g. `--instrument 'NSECM|2885'`".into()),
            ReconcileError::Interval(_) => Some("write e.g. `--interval 1m`, 5m, 1h or 1d".into()),
            ReconcileError::Tolerance(_) => Some("write a price, e.g. `--tolerance 0.05`".into()),
            ReconcileError::NoBars { tables, .. } => Some(format!("there are {}", tables.join(", "))),
            ReconcileError::Table { .. } => Some("check the lake with `ticktide lake doctor`".into()),
        }
    }
}

/// A file's rows, by the first format that it looks like. Errors: it cannot be read, looks like no format, or has no row that
/// is a candle.
pub fn read(path: &Path, asked: &Asked) -> Result<(&'static FileFormat, Given), ReconcileError> {
    let text = input::text(path)?;
    let Some(format) = FORMATS.iter().find(|format| (format.fits)(&text)) else {
        let start: String = text.lines().next().unwrap_or_default().chars().take(80).collect();
        let docs: Vec<String> = FORMATS.iter().map(|format| format!("{}: {}", format.name, format.doc)).collect();
        let message = format!("line 1 is of no known format: {start:?}");
        return Err(ReconcileError::file(path, message, format!("give one of: {}", docs.join("; "))));
    };
    let given = (format.read)(&text, path, asked)?;
    if given.candles.is_empty() && given.silent == 0 {
        let (message, hint) = match given.malformed.first() {
            Some(first) => (
                format!("none of {} rows is a candle; row {}: {}", given.malformed.len(), first.row, first.reason),
                format!(
                    "a row of {} looks like {:?}",
                    format.name,
                    format.example.1.lines().last().unwrap_or_default()
                ),
            ),
            None => ("it contains no candle".to_owned(), "ask the broker for a range with trades".to_owned()),
        };
        return Err(ReconcileError::file(path, message, hint));
    }
    Ok((format, given))
}

/// Reads `NSECM|2885` (or `NSECM:2885`).
pub fn instrument(text: &str) -> Result<FileInstrument, ReconcileError> {
    match text.split_once(['|', ':']) {
        Some((venue, token)) if !venue.trim().is_empty() && !token.trim().is_empty() => Ok(FileInstrument {
            venue: venue.trim().into(),
            instrument: Some(token.trim().into()),
            ..FileInstrument::default()
        }),
        _ => Err(ReconcileError::Instrument(text.to_owned())),
    }
}

/// Reads `1m`, `5m`, `1h`, `1d`, `30s`.
pub fn interval(text: &str) -> Result<Interval, ReconcileError> {
    let wrong = || ReconcileError::Interval(text.to_owned());
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let unit = match unit {
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        "d" => DAY,
        _ => return Err(wrong()),
    };
    let count: Nanos = digits.parse().map_err(|_| wrong())?;
    let width = count.checked_mul(unit).filter(|width| (1..=DAY).contains(width)).ok_or_else(wrong)?;
    Ok(Interval(width))
}

/// Reads numbers of a file, and how many digits its prices have after the decimal point.
#[derive(Default)]
struct Numbers {
    decimals: u32,
}

impl Numbers {
    fn price(&mut self, name: &str, text: &str) -> Result<i64, String> {
        let units = decimal(text.as_bytes()).map_err(|error| wrong(name, text, error))?;
        let digits = text.split_once('.').map_or(0, |(_, behind)| behind.trim_end_matches('0').len());
        self.decimals = self.decimals.max(digits as u32);
        Ok(units)
    }

    fn volume(&self, name: &str, text: &str) -> Result<i128, String> {
        decimal_wide(text.as_bytes()).map_err(|error| wrong(name, text, error))
    }
}

fn wrong(name: &str, text: &str, error: NumberError) -> String {
    format!("{name} {text:?} is {error}")
}
