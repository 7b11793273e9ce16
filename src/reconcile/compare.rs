//! Files against the lake: instruments found, times decided, bars paired, differences explained.

use super::bars::{Bar, Key, LakeBars};
use super::label::{Clock, Labelled, TimeReading, decide, instant};
use super::reasons::{UNEXPLAINED, explain};
use super::timeline::{DifferenceKind, Placed, Timeline};
use super::{Candle, FileFormat, FileInstrument, Given, Malformed, TimeLabel};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use ticktide_base::epoch::Epoch;
use ticktide_base::error::Error;
use ticktide_base::time::{DAY, Interval, MINUTE, Nanos, SECOND};
use ticktide_feed::wire::xts::Segment;
use ticktide_market::{Price, Quantity};
use ticktide_query::Pinned;

/// A file that was read.
pub struct CandleFile {
    pub path: PathBuf,
    pub format: &'static FileFormat,
    pub given: Given,
}

/// How to compare.
#[derive(Clone, Debug)]
pub struct CompareOptions {
    /// The time zone of the files' times and dates.
    pub zone: TimeZone,
    /// Prices that differ by no more are equal, in units of 10⁻⁸.
    pub tolerance: i64,
    /// If given, only this instrument is compared, whatever the files list.
    pub instrument: Option<FileInstrument>,
}

/// A value, or a whole bar, that is not equal.
#[derive(Clone, Debug, PartialEq)]
pub struct BarDifference {
    pub key: Key,
    /// The bar's start; of a day, its date's midnight in UTC.
    pub at: Nanos,
    pub what: DifferenceKind,
    /// The candle's row in the file.
    pub row: Option<u64>,
    pub theirs: Option<String>,
    pub ours: Option<String>,
    pub reason: &'static str,
    pub evidence: String,
}

/// The result for one file.
#[derive(Clone, Debug)]
pub struct Compared {
    pub path: PathBuf,
    pub format: &'static str,
    pub layout: &'static str,
    pub interval: Interval,
    /// How the times were read; `None`: the candles have dates only.
    pub times: Option<TimeReading>,
    /// Rows that are candles of the lake's instruments.
    pub candles: u64,
    pub matches: u64,
    /// The matches that are equal only within the tolerance.
    pub near: u64,
    pub differences: Vec<BarDifference>,
    pub malformed: Vec<Malformed>,
    /// Rows of instruments without a trade.
    pub silent: u64,
    /// Rows of instruments that the lake does not have.
    pub elsewhere: u64,
}

/// The result for all files.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub epoch: Epoch,
    pub files: Vec<Compared>,
}

impl Outcome {
    pub fn differences(&self) -> impl Iterator<Item = &BarDifference> {
        self.files.iter().flat_map(|file| &file.differences)
    }

    /// The number of differences that no rule explains.
    pub fn unexplained(&self) -> usize {
        self.differences().filter(|difference| difference.reason == UNEXPLAINED).count()
    }

    /// Differences by their reason.
    pub fn by_reason(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::new();
        self.differences().for_each(|difference| *counts.entry(difference.reason).or_default() += 1);
        counts
    }
}

/// Compares every file with the lake at one epoch. Errors: the lake has no bars of a file's interval, or cannot be read.
pub async fn reconcile(pinned: &Pinned, sources: Vec<CandleFile>, terms: &CompareOptions) -> Result<Outcome, Error> {
    let tokens = Tokens::of(&sources);
    let mut files = Vec::new();
    for source in sources {
        files.push(compare(pinned, source, &tokens, terms).await?);
    }
    Ok(Outcome { epoch: pinned.epoch, files })
}

/// Tokens from files that have both names and tokens: (venue, symbol, series) → token.
#[derive(Default)]
struct Tokens(BTreeMap<FileInstrument, String>);

impl Tokens {
    fn of(sources: &[CandleFile]) -> Tokens {
        let names = sources.iter().flat_map(|source| &source.given.candles).map(|candle| &candle.name);
        let named = names.filter(|name| name.symbol.is_some());
        let pairs = named
            .filter_map(|name| Some((FileInstrument { instrument: None, ..name.clone() }, name.instrument.clone()?)));
        Tokens(pairs.collect())
    }
}

/// The instruments of a lake, under the names that files may use.
struct Names<'a> {
    keys: BTreeMap<Key, Option<String>>,
    tokens: &'a Tokens,
}

/// The ending of share segments' names.
const CASH: &str = "CM";
/// Series whose instruments may be known by the symbol alone; a bond of the same symbol is another instrument.
const SHARES: [&str; 6] = ["EQ", "BE", "BZ", "SM", "ST", "A"];

impl Names<'_> {
    fn find(&self, name: &FileInstrument) -> Option<Key> {
        let venues = venues(&name.venue);
        let token = name
            .instrument
            .as_ref()
            .or_else(|| self.tokens.0.get(&FileInstrument { instrument: None, ..name.clone() }));
        let by_token = token.and_then(|token| {
            venues.iter().map(|venue| ((*venue).to_owned(), token.clone())).find(|key| self.keys.contains_key(key))
        });
        by_token.or_else(|| self.by_symbol(name, &venues))
    }

    fn by_symbol(&self, name: &FileInstrument, venues: &[&str]) -> Option<Key> {
        let symbol = name.symbol.as_deref()?;
        // a contract has its underlying's symbol and is another instrument
        let series = name.series.as_deref().or(name.venue.ends_with(CASH).then_some("EQ"))?;
        let long = format!("{symbol}-{series}");
        let called = |text: &str| text == long || (text == symbol && SHARES.contains(&series));
        let found = self.keys.iter().find(|((venue, instrument), known)| {
            venues.contains(&venue.as_str()) && (known.as_deref().is_some_and(called) || called(instrument))
        });
        found.map(|(key, _)| key.clone())
    }
}

/// A segment, and the exchange that a feed may name instead of it.
fn venues(venue: &str) -> Vec<&str> {
    let exchange = venue.get(..3).filter(|_| Segment::named(venue.as_bytes()).is_some());
    [Some(venue), exchange, Some("")].into_iter().flatten().collect()
}

async fn compare(
    pinned: &Pinned,
    source: CandleFile,
    tokens: &Tokens,
    terms: &CompareOptions,
) -> Result<Compared, Error> {
    let CandleFile { path, format, given } = source;
    let interval = given.interval.unwrap_or(Interval(MINUTE));
    let lake = LakeBars::new(pinned, interval)?;
    let names = Names { keys: lake.symbols().await?, tokens };
    let mut compared = Compared {
        path,
        format: format.name,
        layout: given.layout,
        interval,
        times: None,
        candles: 0,
        matches: 0,
        near: 0,
        differences: Vec::new(),
        malformed: given.malformed,
        silent: given.silent,
        elsewhere: 0,
    };
    let decimals = given.decimals;
    let Some(dates) = dates(&given.candles, &terms.zone) else { return Ok(compared) };
    let days = days(&given.candles);
    let (groups, listed) = grouped(given.candles, &names, terms, &mut compared);
    let only = if groups.len() == 1 && listed.is_empty() { groups.keys().next().cloned() } else { None };
    let mut series = lake.series(&dates, only.as_ref()).await?;
    // a file that lists a venue's instruments may lack one as a whole
    series.retain(|key, _| groups.contains_key(key) || listed.contains(&key.0));
    let mut placed = place(groups, &series, interval, &mut compared, &terms.zone);
    let Some(span) = days.or_else(|| span(placed.values())) else { return Ok(compared) };
    // an instrument that the lake knows, but not on these dates
    for key in placed.keys() {
        series.entry(key.clone()).or_default();
    }
    let mut more = More { lake: &lake, dates, only, beats: None, versions: None };
    for (key, bars) in series {
        let theirs = placed.remove(&key).unwrap_or_default();
        let first = theirs.keys().next().copied().unwrap_or(*span.start());
        let zone_ahead = ahead(first, &terms.zone);
        let placed = Placed { interval, theirs, span: span.clone(), decimals, zone_ahead };
        judge(&key, Timeline::new(placed, bars), &mut more, terms.tolerance, &mut compared).await?;
    }
    Ok(compared)
}

/// Data that is read from the lake only for differences, once for each file.
struct More<'a> {
    lake: &'a LakeBars<'a>,
    dates: RangeInclusive<i32>,
    only: Option<Key>,
    beats: Option<Arc<BTreeSet<Nanos>>>,
    versions: Option<BTreeMap<Key, Vec<Bar>>>,
}

impl More<'_> {
    async fn beats(&mut self) -> Result<Arc<BTreeSet<Nanos>>, Error> {
        if self.beats.is_none() {
            self.beats = Some(Arc::new(self.lake.beats(&self.dates).await?));
        }
        Ok(self.beats.clone().unwrap_or_default())
    }

    async fn versions(&mut self, key: &Key) -> Result<Vec<Bar>, Error> {
        if self.versions.is_none() {
            self.versions = Some(self.lake.versions(&self.dates, self.only.as_ref()).await?);
        }
        Ok(self.versions.as_mut().and_then(|versions| versions.remove(key)).unwrap_or_default())
    }
}

/// Trading dates to be read: the file's, and one more on both sides for shifted bars.
fn dates(candles: &[Candle], zone: &TimeZone) -> Option<RangeInclusive<i32>> {
    let date = |candle: &Candle| match candle.label {
        TimeLabel::Day(day) => Some(day),
        TimeLabel::Wall(seconds) => {
            let at = instant(seconds, Clock::Wall, zone)?;
            i32::try_from((at.div_euclid(SECOND) + ahead(at, zone) / SECOND).div_euclid(DAY / SECOND)).ok()
        }
    };
    let dates: BTreeSet<i32> = candles.iter().filter_map(date).collect();
    Some(dates.first()?.saturating_sub(1)..=dates.last()?.saturating_add(1))
}

/// How far a zone's clock is ahead of UTC.
fn ahead(at: Nanos, zone: &TimeZone) -> Nanos {
    let stamp = Timestamp::from_nanosecond(i128::from(at)).expect("jiff's range holds every i64 of nanoseconds");
    i64::from(zone.to_offset(stamp).seconds()) * SECOND
}

/// Candles by the lake's instruments; and, if a file lists instruments by symbol, the lake's venues that it lists.
fn grouped(
    candles: Vec<Candle>,
    names: &Names<'_>,
    terms: &CompareOptions,
    compared: &mut Compared,
) -> (BTreeMap<Key, Vec<Candle>>, BTreeSet<String>) {
    let mut groups: BTreeMap<Key, Vec<Candle>> = BTreeMap::new();
    let mut venues = BTreeSet::new();
    // a requested instrument may be missing in the file
    let only = terms.instrument.as_ref().and_then(|only| names.find(only));
    groups.extend(only.clone().map(|key| (key, Vec::new())));
    for candle in candles {
        let lists = candle.name.symbol.is_some();
        let key = match names.find(&candle.name) {
            Some(key) => key,
            // an instrument that the user names is compared even if the lake does not know it
            None if !lists => (candle.name.venue.clone(), candle.name.instrument.clone().unwrap_or_default()),
            None => {
                compared.elsewhere += 1;
                continue;
            }
        };
        if lists && terms.instrument.is_some() && only.as_ref() != Some(&key) {
            continue;
        }
        compared.candles += 1;
        if lists && terms.instrument.is_none() {
            venues.insert(key.0.clone());
        }
        groups.entry(key).or_default().push(candle);
    }
    (groups, venues)
}

/// Candles by instrument and the start of their bar; a second one of a bar is malformed.
fn place(
    groups: BTreeMap<Key, Vec<Candle>>,
    series: &BTreeMap<Key, Vec<Bar>>,
    interval: Interval,
    compared: &mut Compared,
    zone: &TimeZone,
) -> BTreeMap<Key, BTreeMap<Nanos, Candle>> {
    let mut placed = BTreeMap::new();
    for (key, candles) in groups {
        let bars = series.get(&key).map_or(&[][..], Vec::as_slice);
        let decided = decide(&candles, bars, interval, zone);
        if candles.iter().any(|candle| matches!(candle.label, TimeLabel::Wall(_))) {
            compared.times = Some(decided);
        }
        let mut own: BTreeMap<Nanos, Candle> = BTreeMap::new();
        for candle in candles {
            let at = match candle.label {
                TimeLabel::Day(day) => Some(Nanos::from(day) * DAY),
                TimeLabel::Wall(seconds) => wall(seconds, decided.labelled, bars, interval, zone),
            };
            let reason = match at {
                None => "its time is out of range".to_owned(),
                Some(at) => match own.get(&at) {
                    None => {
                        own.insert(at, candle);
                        continue;
                    }
                    Some(first) => format!("a second candle of one bar, the first is row {}", first.row),
                },
            };
            compared.candles -= 1;
            compared.malformed.push(Malformed { row: candle.row, reason, text: candle.name.to_string() });
        }
        placed.insert(key, own);
    }
    compared.malformed.sort_by_key(|row| row.row);
    placed
}

fn wall(seconds: i64, labelled: Labelled, bars: &[Bar], interval: Interval, zone: &TimeZone) -> Option<Nanos> {
    instant(seconds, Clock::Wall, zone).map(|at| labelled.open_at(at, bars, interval))
}

/// The range of a file of days, whichever instruments it lists.
fn days(candles: &[Candle]) -> Option<RangeInclusive<Nanos>> {
    let day = |candle: &Candle| match candle.label {
        TimeLabel::Day(day) => Some(Nanos::from(day) * DAY),
        TimeLabel::Wall(_) => None,
    };
    let days: BTreeSet<Nanos> = candles.iter().filter_map(day).collect();
    Some(*days.first()?..=*days.last()?)
}

/// The range of candles.
fn span<'a>(placed: impl Iterator<Item = &'a BTreeMap<Nanos, Candle>>) -> Option<RangeInclusive<Nanos>> {
    let starts: BTreeSet<Nanos> = placed.flat_map(|candles| candles.keys().copied()).collect();
    Some(*starts.first()?..=*starts.last()?)
}

/// Counts the matches and explains the differences.
async fn judge(
    key: &Key,
    mut timeline: Timeline,
    more: &mut More<'_>,
    tolerance: i64,
    compared: &mut Compared,
) -> Result<(), Error> {
    let mut differing = Vec::new();
    for at in timeline.starts() {
        let (whats, near) = timeline.differing(at, tolerance);
        if whats.is_empty() {
            compared.matches += 1;
            compared.near += u64::from(near);
        }
        differing.extend(whats.into_iter().map(|what| (at, what)));
    }
    if differing.iter().any(|(_, what)| *what == DifferenceKind::NotOurs) {
        timeline.beats = more.beats().await?;
    }
    if differing.iter().any(|(_, what)| *what != DifferenceKind::NotTheirs) {
        timeline.versions = more.versions(key).await?;
    }
    for (at, what) in differing {
        let (reason, evidence) = explain(&timeline, at, what);
        let (theirs, ours) = shown(&timeline, at, what);
        let row = timeline.theirs.get(&at).map(|candle| candle.row);
        compared.differences.push(BarDifference { key: key.clone(), at, what, row, theirs, ours, reason, evidence });
    }
    Ok(())
}

/// Both values of a difference.
fn shown(timeline: &Timeline, at: Nanos, what: DifferenceKind) -> (Option<String>, Option<String>) {
    let candle = timeline.theirs.get(&at).map(|candle| &candle.values);
    let bar = timeline.ours.get(&at).map(|bar| &bar.values);
    match what {
        DifferenceKind::Column(column) => {
            let text = |units: i128| match i64::try_from(units) {
                Ok(units) => Price(units).to_string(),
                Err(_) => units.to_string(),
            };
            (
                candle.and_then(|values| values.get(column)).map(text),
                bar.and_then(|values| values.get(column)).map(text),
            )
        }
        _ => {
            let whole = |values: &super::BarValues| {
                let [open, high, low, close] = values.prices().map(|price| Price(price).to_string());
                let volume = values.volume.and_then(|volume| i64::try_from(volume).ok());
                let volume = volume.map_or_else(|| "-".to_owned(), |volume| Quantity(volume).to_string());
                format!("{open} {high} {low} {close} {volume}")
            };
            (candle.map(whole), bar.map(whole))
        }
    }
}
