//! Files against the lake: instruments found, times decided, bars paired, differences explained.

use super::bars::{Bar, Key, Lake};
use super::label::{Clock, Decided, Labelled, decide, instant};
use super::reasons::{UNEXPLAINED, explain};
use super::timeline::{Placed, Timeline, What};
use super::{Candle, Format, Given, Label, Malformed, Name};
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
pub struct Source {
    pub path: PathBuf,
    pub format: &'static Format,
    pub given: Given,
}

/// How to compare.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Of the files' wall clocks and dates.
    pub zone: TimeZone,
    /// Prices that differ by no more are equal, in units of 10⁻⁸.
    pub tolerance: i64,
    /// Nothing else is compared, whatever files list.
    pub instrument: Option<Name>,
}

/// Something that is not equal.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    pub key: Key,
    /// The bar's start; of a day, its date's midnight in UTC.
    pub at: Nanos,
    pub what: What,
    /// The candle's row in the file.
    pub row: Option<u64>,
    pub theirs: Option<String>,
    pub ours: Option<String>,
    pub reason: &'static str,
    pub evidence: String,
}

/// What came of a file.
#[derive(Clone, Debug)]
pub struct Compared {
    pub path: PathBuf,
    pub format: &'static str,
    pub layout: &'static str,
    pub interval: Interval,
    /// Of files whose candles have times.
    pub times: Option<Decided>,
    /// Rows that are candles of instruments of the lake.
    pub candles: u64,
    pub matches: u64,
    /// Of them, those that are equal within the tolerance only.
    pub near: u64,
    pub differences: Vec<Difference>,
    pub malformed: Vec<Malformed>,
    /// Rows of instruments without a trade, and of those that the lake does not have.
    pub silent: u64,
    pub elsewhere: u64,
}

/// What came of all files.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub epoch: Epoch,
    pub files: Vec<Compared>,
}

impl Outcome {
    pub fn differences(&self) -> impl Iterator<Item = &Difference> {
        self.files.iter().flat_map(|file| &file.differences)
    }

    /// How many differences no rule explains.
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
pub async fn reconcile(pinned: &Pinned, sources: Vec<Source>, terms: &Terms) -> Result<Outcome, Error> {
    let tokens = Tokens::of(&sources);
    let mut files = Vec::new();
    for source in sources {
        files.push(compare(pinned, source, &tokens, terms).await?);
    }
    Ok(Outcome { epoch: pinned.epoch, files })
}

/// What files that have both say about names: (venue, symbol, series) → token.
#[derive(Default)]
struct Tokens(BTreeMap<Name, String>);

impl Tokens {
    fn of(sources: &[Source]) -> Tokens {
        let names = sources.iter().flat_map(|source| &source.given.candles).map(|candle| &candle.name);
        let named = names.filter(|name| name.symbol.is_some());
        let pairs =
            named.filter_map(|name| Some((Name { instrument: None, ..name.clone() }, name.instrument.clone()?)));
        Tokens(pairs.collect())
    }
}

/// The instruments of a lake, as files may call them.
struct Names<'a> {
    keys: BTreeMap<Key, Option<String>>,
    tokens: &'a Tokens,
}

/// What the segments of shares end with.
const CASH: &str = "CM";
/// Series under which a symbol alone is known; a bond of the same symbol is another instrument.
const SHARES: [&str; 6] = ["EQ", "BE", "BZ", "SM", "ST", "A"];

impl Names<'_> {
    fn find(&self, name: &Name) -> Option<Key> {
        let venues = venues(&name.venue);
        let token = name.instrument.as_ref().or_else(|| self.tokens.0.get(&Name { instrument: None, ..name.clone() }));
        let by_token = token.and_then(|token| {
            venues.iter().map(|venue| ((*venue).to_owned(), token.clone())).find(|key| self.keys.contains_key(key))
        });
        by_token.or_else(|| self.by_symbol(name, &venues))
    }

    fn by_symbol(&self, name: &Name, venues: &[&str]) -> Option<Key> {
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

async fn compare(pinned: &Pinned, source: Source, tokens: &Tokens, terms: &Terms) -> Result<Compared, Error> {
    let Source { path, format, given } = source;
    let interval = given.interval.unwrap_or(Interval(MINUTE));
    let lake = Lake::new(pinned, interval)?;
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
    // of a file that lists a venue's instruments one may be missing as a whole
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

/// What is read of the lake only for differences, once a file.
struct More<'a> {
    lake: &'a Lake<'a>,
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

/// Trading dates to be read: the file's, and one more on both sides for what is shifted.
fn dates(candles: &[Candle], zone: &TimeZone) -> Option<RangeInclusive<i32>> {
    let date = |candle: &Candle| match candle.label {
        Label::Day(day) => Some(day),
        Label::Wall(seconds) => {
            let at = instant(seconds, Clock::Wall, zone)?;
            i32::try_from((at.div_euclid(SECOND) + ahead(at, zone) / SECOND).div_euclid(DAY / SECOND)).ok()
        }
    };
    let dates: BTreeSet<i32> = candles.iter().filter_map(date).collect();
    Some(dates.first()?.saturating_sub(1)..=dates.last()?.saturating_add(1))
}

/// How far a zone's wall is ahead of UTC.
fn ahead(at: Nanos, zone: &TimeZone) -> Nanos {
    let stamp = Timestamp::from_nanosecond(i128::from(at)).expect("jiff's range holds every i64 of nanoseconds");
    i64::from(zone.to_offset(stamp).seconds()) * SECOND
}

/// Candles by instrument of the lake; and, of a file that lists instruments by symbol, the lake's venues that it lists.
fn grouped(
    candles: Vec<Candle>,
    names: &Names<'_>,
    terms: &Terms,
    compared: &mut Compared,
) -> (BTreeMap<Key, Vec<Candle>>, BTreeSet<String>) {
    let mut groups: BTreeMap<Key, Vec<Candle>> = BTreeMap::new();
    let mut venues = BTreeSet::new();
    // one that is asked for may be missing in the file
    let only = terms.instrument.as_ref().and_then(|only| names.find(only));
    groups.extend(only.clone().map(|key| (key, Vec::new())));
    for candle in candles {
        let lists = candle.name.symbol.is_some();
        let key = match names.find(&candle.name) {
            Some(key) => key,
            // one that the user names is wanted, also if the lake has never seen it
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
        if candles.iter().any(|candle| matches!(candle.label, Label::Wall(_))) {
            compared.times = Some(decided);
        }
        let mut own: BTreeMap<Nanos, Candle> = BTreeMap::new();
        for candle in candles {
            let at = match candle.label {
                Label::Day(day) => Some(Nanos::from(day) * DAY),
                Label::Wall(seconds) => wall(seconds, decided.labelled, bars, interval, zone),
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

/// The range of a file of days, whoever it lists.
fn days(candles: &[Candle]) -> Option<RangeInclusive<Nanos>> {
    let day = |candle: &Candle| match candle.label {
        Label::Day(day) => Some(Nanos::from(day) * DAY),
        Label::Wall(_) => None,
    };
    let days: BTreeSet<Nanos> = candles.iter().filter_map(day).collect();
    Some(*days.first()?..=*days.last()?)
}

/// The range of candles.
fn span<'a>(placed: impl Iterator<Item = &'a BTreeMap<Nanos, Candle>>) -> Option<RangeInclusive<Nanos>> {
    let starts: BTreeSet<Nanos> = placed.flat_map(|candles| candles.keys().copied()).collect();
    Some(*starts.first()?..=*starts.last()?)
}

/// Counts what matches, explains what does not.
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
    if differing.iter().any(|(_, what)| *what == What::NotOurs) {
        timeline.beats = more.beats().await?;
    }
    if differing.iter().any(|(_, what)| *what != What::NotTheirs) {
        timeline.versions = more.versions(key).await?;
    }
    for (at, what) in differing {
        let (reason, evidence) = explain(&timeline, at, what);
        let (theirs, ours) = shown(&timeline, at, what);
        let row = timeline.theirs.get(&at).map(|candle| candle.row);
        compared.differences.push(Difference { key: key.clone(), at, what, row, theirs, ours, reason, evidence });
    }
    Ok(())
}

/// Both values of a difference.
fn shown(timeline: &Timeline, at: Nanos, what: What) -> (Option<String>, Option<String>) {
    let candle = timeline.theirs.get(&at).map(|candle| &candle.values);
    let bar = timeline.ours.get(&at).map(|bar| &bar.values);
    match what {
        What::Column(column) => {
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
            let whole = |values: &super::Values| {
                let [open, high, low, close] = values.prices().map(|price| Price(price).to_string());
                let volume = values.volume.and_then(|volume| i64::try_from(volume).ok());
                let volume = volume.map_or_else(|| "-".to_owned(), |volume| Quantity(volume).to_string());
                format!("{open} {high} {low} {close} {volume}")
            };
            (candle.map(whole), bar.map(whole))
        }
    }
}
