//! A seeded exchange day as an XTS feed reports it, together with the true volume of every minute.
//!
//! ```text
//!   trades (true) ─▶ books: last price, count, day's prices ─▶ snapshots, two a second ─▶ publishers A and B ─▶ frames by receipt
//!        └─▶ truth: (instrument, phase, minute) → volume
//! ```
//!
//! What it has of the real feed: pairs of snapshots a second; every touchline twice, from a publisher with a constant sequence
//! and from one with its own, in different key orders; last-trade times that step back a second while the count rises; last
//! quantities that sum to a fraction of the volume; indices without volume; silent contracts; yesterday's last trade in the
//! pre-open frames; price bands of contracts that were not subscribed, reported in two ways; a receiver's clock six seconds
//! behind. Before the market opens the day's instrument master is received. What it leaves out: a trade between the last
//! snapshot of a minute and the minute's end, and a step back across a minute. No count could show which of the two minutes
//! such a trade belongs to, so there would be no truth.
//!
//! What must always hold: the same settings give the same frames, on every machine: integers only.

mod book;
mod frames;
mod random;
#[cfg(test)]
mod tests;

use book::{Book, InstrumentKind};
use random::Random;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use ticktide_base::time::{DAY, HOUR, MILLI, MINUTE, Nanos, SECOND};
use ticktide_feed::FeedError;
use ticktide_feed::wire::xts::Segment;
use ticktide_market::Instrument;
use ticktide_market::calendar::Session;

/// India's time is this far ahead of UTC.
const INDIA: Nanos = 5 * HOUR + 30 * MINUTE;
/// Of the session, from midnight in India.
const PRE_OPEN: Nanos = 9 * HOUR;
const OPENS: Nanos = 9 * HOUR + 15 * MINUTE;
const CLOSES: Nanos = 15 * HOUR + 30 * MINUTE;
/// The receiver's clock is this far behind the exchange's.
const BEHIND: Nanos = 6 * SECOND;
const JITTER: Nanos = 400 * MILLI;
/// More shares would take the instrument ids of another kind.
pub const INSTRUMENTS_MOST: u32 = 20_000;

/// Codes that the simulation can send.
pub const CODES: [u16; 7] = [1501, 1502, 1505, 1507, 1510, 1512, 1105];

/// The code of the instrument master's rows, which have none of their own.
pub const MASTER: u16 = 0;
/// When the day's master is received, from midnight in India.
const MASTER_AT: Nanos = 8 * HOUR + 45 * MINUTE;

/// What is simulated.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulateSpec {
    pub seed: u64,
    /// Shares; every fifth has a future, every tenth is silent for minutes; one index is added.
    pub instruments: u32,
    /// Shares that the feed reports in a second of continuous trading, on average: in proportion to 1 / rank, the first ones
    /// always. `None`: all.
    pub active: Option<u32>,
    /// Days since 1970.
    pub date: i32,
    /// From midnight in India, at least 09:00.
    pub from: Nanos,
    /// At most 15:30.
    pub until: Nanos,
    /// Of [`CODES`].
    pub codes: Vec<u16>,
    /// As the socket's events, not as bare messages.
    pub wrapped: bool,
    /// Also the day's instrument master.
    pub master: bool,
}

/// A frame as a connector would receive it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Simulated {
    pub received_at: Nanos,
    /// Frames of one instant keep their order.
    number: u64,
    /// Of [`CODES`], or [`MASTER`].
    pub code: u16,
    pub venue: &'static str,
    pub instrument: u32,
    pub payload: Vec<u8>,
}

impl Simulated {
    /// The event's name.
    pub fn origin(&self) -> String {
        if self.code == MASTER { "master".to_owned() } else { frames::event_name(self.code) }
    }

    /// The topic of its kind.
    pub fn topic(&self, prefix: &str) -> String {
        if self.code == MASTER { format!("{prefix}master") } else { format!("{prefix}{}", self.code) }
    }
}

/// What one instrument traded in one minute of a phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traded {
    pub volume: u64,
    pub trades: u64,
}

/// (venue, instrument, phase, minute in UTC) → what was traded.
pub type Truth = BTreeMap<(&'static str, u32, &'static str, Nanos), Traded>;

/// The frames of a day in order of their receipt; afterwards the truth.
pub struct Simulation {
    spec: SimulateSpec,
    /// Midnight in India.
    midnight: Nanos,
    /// Futures have a pre-open auction, as shares do.
    futures_open: bool,
    books: Vec<Book>,
    /// Of a million seconds, those in which a share of this rank, or its future, has a snapshot; empty: all.
    busy: Vec<u64>,
    /// The next second, from midnight.
    second: Nanos,
    waiting: BinaryHeap<Reverse<Simulated>>,
    /// All frames before this moment are made.
    made_until: Nanos,
    made: u64,
    random: Random,
    truth: Truth,
}

impl Simulation {
    /// Errors: settings that describe no trading day.
    pub fn new(spec: &SimulateSpec) -> Result<Simulation, FeedError> {
        let fix = |message: String, hint: &str| Err(FeedError::fix(message, hint));
        if !(1..=INSTRUMENTS_MOST).contains(&spec.instruments) {
            return fix(format!("{} instruments cannot be simulated", spec.instruments), "give 1 to 20000");
        }
        if spec.from < PRE_OPEN || spec.until > CLOSES || spec.from >= spec.until {
            return fix(
                "`--from` and `--until` leave no part of a session".into(),
                "give `--from` and a later `--until` within 09:00 and 15:30",
            );
        }
        if let Some(code) = spec.codes.iter().find(|code| !CODES.contains(code)) {
            return fix(
                format!("code {code} is not simulated"),
                "give some of 1501, 1502, 1505, 1507, 1510, 1512, 1105",
            );
        }
        let Some(midnight) = i64::from(spec.date).checked_mul(DAY).and_then(|at| at.checked_sub(INDIA)) else {
            return fix("the date is out of range".into(), "give one between 1677 and 2262");
        };
        let futures_open = trades(spec, midnight)?;
        let mut simulation = Simulation {
            midnight,
            futures_open,
            books: books(spec, midnight),
            busy: spec.active.map_or(Vec::new(), |active| busy(spec.instruments, active)),
            second: spec.from.div_euclid(SECOND) * SECOND,
            waiting: BinaryHeap::new(),
            made_until: Nanos::MIN,
            made: 0,
            random: Random::of(spec.seed),
            truth: Truth::new(),
            spec: spec.clone(),
        };
        if spec.master {
            simulation.list();
        }
        Ok(simulation)
    }

    /// What was truly traded in the minutes whose frames were all emitted.
    pub fn truth(&self) -> &Truth {
        &self.truth
    }

    /// The day's master, row by row.
    fn list(&mut self) {
        for book in self.books.iter().filter(|book| book.kind != InstrumentKind::Index) {
            let received_at = self.midnight + MASTER_AT + self.made as Nanos * MILLI;
            let (venue, instrument, payload) = (book.venue(), book.id, frames::listing(book, self.spec.date));
            let number = self.made;
            self.made += 1;
            self.waiting.push(Reverse(Simulated { received_at, number, code: MASTER, venue, instrument, payload }));
        }
    }

    /// Plays one second.
    fn play(&mut self) {
        let at = self.second;
        let exchange_at = self.midnight + at;
        self.statuses(at);
        self.properties();
        for index in 0..self.books.len() {
            self.instrument(index, at, exchange_at);
        }
        self.second += SECOND;
        self.made_until = exchange_at + SECOND - BEHIND;
    }

    fn instrument(&mut self, index: usize, at: Nanos, exchange_at: Nanos) {
        let random = &mut self.random;
        let book = &mut self.books[index];
        let moments = match at < OPENS {
            true if book.kind == InstrumentKind::Future && !self.futures_open => Vec::new(),
            true => book.before_the_open(at, exchange_at, random),
            false if book.kind != InstrumentKind::Index && !self.busy.is_empty() => {
                let is_busy = random.below(MILLION) < self.busy[book.share as usize];
                if is_busy { book.trade(exchange_at, random) } else { Vec::new() }
            }
            false => book.trade(exchange_at, random),
        };
        for moment in &moments {
            let minute = moment.traded_at.div_euclid(MINUTE) * MINUTE;
            let phase = if at < OPENS { "pre_open" } else { "continuous" };
            if moment.trades > 0 {
                let traded = self.truth.entry((book.venue(), book.id, phase, minute)).or_default();
                traded.volume += moment.volume;
                traded.trades += moment.trades;
            }
        }
        let at_end = (at + SECOND) % MINUTE == 0;
        for moment in moments.into_iter().filter(|moment| moment.told) {
            let book = moment.book;
            let told_at = exchange_at + moment.after;
            self.tell(1501, &book, told_at, frames::touchline_a);
            let late = self.random.below(40) as Nanos * MILLI;
            self.tell(1501, &book, told_at + late, frames::touchline_b);
            self.tell(1502, &book, told_at + late, frames::depth);
            if moment.new {
                self.tell(1512, &book, told_at, frames::last);
            }
        }
        let book = self.books[index].clone();
        if book.kind == InstrumentKind::Future && at % MINUTE == 10 * SECOND {
            self.tell(1510, &book, exchange_at, |book| frames::interest(book, exchange_at));
        }
        if at_end && at >= OPENS && book.kind == InstrumentKind::Share {
            self.tell(1505, &book, exchange_at, |book| frames::candle(book, exchange_at));
        }
    }

    /// Reports that the market opens and closes.
    fn statuses(&mut self, at: Nanos) {
        if at == OPENS || at + SECOND == CLOSES {
            let session = if at == OPENS { 2 } else { 4 };
            for number in [1, 2] {
                let segment = Segment::of(number).expect("NSE's segments are known");
                let said_at = self.midnight + at;
                self.push(1507, (segment.venue, 0), said_at, || frames::status(segment, session, said_at));
            }
        }
    }

    /// Price bands of contracts that were not subscribed: the feed sends them all the same.
    fn properties(&mut self) {
        for _ in 0..self.spec.instruments / 50 + 1 {
            let (number, id) =
                (if self.random.chance(880) { 12 } else { 1 }, 800_000 + self.random.below(4_000) as u32);
            let segment = Segment::of(number).expect("a known segment");
            let price = 100 + self.random.below(5_000) as i64;
            let said_at = self.midnight + self.second;
            self.push(1105, (segment.venue, id), said_at, || frames::properties(segment, id, price));
        }
    }

    fn tell(&mut self, code: u16, book: &Book, at: Nanos, write: impl FnOnce(&Book) -> Vec<u8>) {
        self.push(code, (book.venue(), book.id), at, || write(book));
    }

    fn push(&mut self, code: u16, about: (&'static str, u32), at: Nanos, write: impl FnOnce() -> Vec<u8>) {
        // drawn for every frame, sent or not: the choice of codes does not change the other frames
        let jitter = self.random.below(JITTER as u64) as Nanos;
        if !self.spec.codes.contains(&code) {
            return;
        }
        let (payload, (venue, instrument)) = (write(), about);
        let payload = if self.spec.wrapped { frames::wrapped(code, &payload) } else { payload };
        let (received_at, number) = (at - BEHIND + jitter, self.made);
        self.made += 1;
        self.waiting.push(Reverse(Simulated { received_at, number, code, venue, instrument, payload }));
    }
}

impl Iterator for Simulation {
    type Item = Simulated;

    fn next(&mut self) -> Option<Simulated> {
        loop {
            let done = self.second >= self.spec.until;
            match self.waiting.peek() {
                Some(Reverse(first)) if done || first.received_at < self.made_until => {
                    return self.waiting.pop().map(|Reverse(frame)| frame);
                }
                None if done => return None,
                _ => self.play(),
            }
        }
    }
}

/// Whether futures have a pre-open auction on the date. Error: shares do not trade from 09:15 to 15:30 on it.
fn trades(spec: &SimulateSpec, midnight: Nanos) -> Result<bool, FeedError> {
    let session = Session::preset("nse").expect("a preset");
    let class = |venue| session.class_of(&Instrument::new(venue, "", None));
    let ordinary = |midnight: Nanos| {
        let phase = session.phase_at(class("NSECM"), midnight.saturating_add(OPENS));
        phase.is_some_and(|phase| {
            (phase.start, phase.end) == (midnight.saturating_add(OPENS), midnight.saturating_add(CLOSES))
        })
    };
    if !ordinary(midnight) {
        let date = ticktide_market::calendar::date_text(spec.date);
        let next = (1..31).find(|days| ordinary(midnight.saturating_add(days * DAY)));
        let next = next
            .map_or(String::new(), |days| ticktide_market::calendar::date_text(spec.date.saturating_add(days as i32)));
        let hint =
            if next.is_empty() { "give a trading date".into() } else { format!("give a trading date, e.g. {next}") };
        return Err(FeedError::fix(format!("NSE's shares do not trade from 09:15 to 15:30 on {date}"), hint));
    }
    Ok(session.phase_at(class("NSEFO"), midnight.saturating_add(PRE_OPEN)).is_some())
}

const MILLION: u64 = 1_000_000;

/// Of a million seconds, those in which the share of each rank has a snapshot, so that on average `active` shares have one.
fn busy(instruments: u32, active: u32) -> Vec<u64> {
    let shares = |first: u64| (1..=u64::from(instruments)).map(move |rank| MILLION.min(first / rank));
    let wanted = MILLION * u64::from(active.min(instruments));
    // at most: the last share always has one, too
    let (mut least, mut most) = (0, MILLION * u64::from(instruments));
    while least < most {
        let middle = least.midpoint(most);
        if shares(middle).sum::<u64>() < wanted { least = middle + 1 } else { most = middle }
    }
    shares(least).collect()
}

fn books(spec: &SimulateSpec, midnight: Nanos) -> Vec<Book> {
    let mut random = Random::of(spec.seed ^ 0x5eed);
    let yesterday = midnight - DAY + CLOSES - SECOND;
    let mut books = vec![Book::new(InstrumentKind::Index, 0, 2_400_000, yesterday, false)];
    for number in 0..spec.instruments {
        let price = 5 * (2_000 + random.below(60_000) as i64);
        let silent = number % 10 == 9;
        books.push(Book::new(InstrumentKind::Share, number, price, yesterday, silent));
        if number % 5 == 0 {
            books.push(Book::new(InstrumentKind::Future, number, price + 500, yesterday, false));
        }
    }
    books
}
