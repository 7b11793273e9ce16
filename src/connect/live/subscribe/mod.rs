//! Subscribing on XTS: every code, in lists, until each instrument is known to be sent or known not to be; then the master's
//! rows, once for each token.
//!
//! | a list is answered with | then |
//! |---|---|
//! | snapshots | it is subscribed. For an instrument without one a quote is requested: a server skips those it already had |
//! | "already subscribed" | what this token subscribed before is; each of the others is tried alone, once a token |
//! | "over the limit" | its instruments are left out and reported. Parts would cost two calls each, at every connection |
//! | another refusal | its halves are tried, until the instrument that the server refuses is alone |
//!
//! Why a snapshot is requested of each instrument: a dead id is acknowledged like any other and never ticks. The snapshots are
//! frames and are handed on as the socket's are.

use super::backoff::{Backoff, chance};
use super::clock::now;
use super::figures::Figures;
use super::link::LeftOut;
use super::outlet::{Outlet, QueuedFrame};
use super::rest::{Refusal, Rest};
use super::spec::{ConnectSpec, RequestedInstrument};
use super::trouble::Trouble;
use crate::produce;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use ticktide_feed::wire::xts;

/// Instruments a call: the smallest cap seen.
const LIST: usize = 50;
/// Codes whose subscription is answered with snapshots.
const WITH_SNAPSHOT: [&str; 4] = ["1501", "1502", "1510", "1512"];
/// The origin of the master's rows, and the code they are counted under.
const MASTER: &str = "master";
/// How often a call that came too soon is repeated.
const TRIES: u32 = 8;

/// Codes and instruments that are known to be subscribed.
pub type Subscribed = Arc<Mutex<BTreeSet<(String, String)>>>;

/// All that a subscription needs; it runs beside the socket.
pub struct Subscriber {
    pub rest: Rest,
    pub token: String,
    pub spec: Arc<ConnectSpec>,
    /// What is subscribed under the token.
    pub subscribed: Subscribed,
    /// Instruments left out the last time: they go into lists of their own, so that they keep no others out.
    pub left_out: Vec<LeftOut>,
    /// Whether the master is still to be requested.
    pub master_due: Arc<AtomicBool>,
    pub outlet: Outlet,
    pub figures: Arc<Figures>,
}

/// What the answers have shown so far.
#[derive(Default)]
struct Told {
    /// Instruments with a snapshot.
    alive: BTreeSet<String>,
    /// Instruments over the server's limit, with which codes, and what the server says about it.
    over: BTreeSet<String>,
    codes: BTreeSet<String>,
    limit: String,
}

impl Subscriber {
    /// Subscribes everything; returns the instruments left out. Errors: the token is not valid, the server is gone or too busy.
    pub async fn all(self) -> Result<Vec<LeftOut>, Trouble> {
        let mut told = Told::default();
        // 1105 arrives unrequested, for every instrument
        for code in self.spec.codes.iter().filter(|code| *code != "1105") {
            let unheard = self.code(code, &mut told).await?;
            if has_snapshots(code) {
                self.quotes(code, unheard, &mut told).await?;
            }
        }
        Ok(self.left_out(&told))
    }

    /// Subscribes a code; returns the subscribed instruments whose snapshots are still to be requested.
    async fn code(&self, code: &str, told: &mut Told) -> Result<Vec<RequestedInstrument>, Trouble> {
        let (mut lists, mut unheard) = (self.lists(), Vec::new());
        while let Some(mut list) = lists.pop_front() {
            match patiently(code, || self.rest.subscribe(&self.token, code, &list)).await {
                Ok(snapshots) => {
                    self.note(code, &list);
                    self.hand_on(code, snapshots, told).await?;
                    unheard.extend(list.into_iter().filter(|wanted| !told.alive.contains(&wanted.name())));
                }
                Err(Refusal::Already) => {
                    let alone = list.len() == 1;
                    let (there, others): (Vec<_>, Vec<_>) =
                        list.into_iter().partition(|wanted| alone || self.is_noted(code, wanted));
                    self.note(code, &there);
                    unheard.extend(there);
                    // after the lists of many
                    lists.extend(others.into_iter().map(|wanted| vec![wanted]));
                }
                Err(Refusal::Limit(why)) => {
                    told.over.extend(list.iter().map(RequestedInstrument::name));
                    told.codes.insert(code.to_owned());
                    told.limit = why;
                }
                // one refused instrument must not keep the others out
                Err(Refusal::Wrong(_)) if list.len() > 1 && has_snapshots(code) => {
                    let second = list.split_off(list.len() / 2);
                    lists.push_front(second);
                    lists.push_front(list);
                }
                // known ones were reported before
                Err(Refusal::Wrong(_)) if list.iter().all(|wanted| self.group(wanted).is_some()) => {}
                Err(Refusal::Wrong(why)) => {
                    let names: Vec<String> = list.iter().map(RequestedInstrument::name).collect();
                    tracing::error!(code, instruments = names.join(","), why, "a subscription is refused");
                }
                Err(other) => return Err(other.into()),
            }
        }
        Ok(unheard)
    }

    /// Requests the snapshots of instruments; one whose quote is refused has none.
    async fn quotes(&self, code: &str, unheard: Vec<RequestedInstrument>, told: &mut Told) -> Result<(), Trouble> {
        let mut lists: VecDeque<Vec<RequestedInstrument>> =
            unheard.chunks(LIST).map(<[RequestedInstrument]>::to_vec).collect();
        while let Some(mut list) = lists.pop_front() {
            match patiently(code, || self.rest.quotes(&self.token, code, &list)).await {
                Ok(snapshots) => self.hand_on(code, snapshots, told).await?,
                Err(refusal @ (Refusal::Unauthorised(_) | Refusal::Busy(_) | Refusal::Away(_))) => {
                    return Err(refusal.into());
                }
                Err(_) if list.len() > 1 => {
                    let second = list.split_off(list.len() / 2);
                    lists.extend([list, second]);
                }
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// The requested instruments in lists: first those that were not left out the last time, then the others by reason.
    fn lists(&self) -> VecDeque<Vec<RequestedInstrument>> {
        let mut groups: BTreeMap<Option<usize>, Vec<RequestedInstrument>> = BTreeMap::new();
        for wanted in &self.spec.instruments {
            groups.entry(self.group(wanted)).or_default().push(wanted.clone());
        }
        groups.values().flat_map(|group| group.chunks(LIST).map(<[RequestedInstrument]>::to_vec)).collect()
    }

    fn group(&self, wanted: &RequestedInstrument) -> Option<usize> {
        let name = wanted.name();
        self.left_out.iter().position(|left| left.instruments.contains(&name))
    }

    fn note(&self, code: &str, list: &[RequestedInstrument]) {
        let mut subscribed = self.subscribed.lock().unwrap_or_else(PoisonError::into_inner);
        subscribed.extend(list.iter().map(|wanted| (code.to_owned(), wanted.name())));
    }

    fn is_noted(&self, code: &str, wanted: &RequestedInstrument) -> bool {
        let subscribed = self.subscribed.lock().unwrap_or_else(PoisonError::into_inner);
        subscribed.contains(&(code.to_owned(), wanted.name()))
    }

    /// Instruments without any snapshot, if a code has them, and those over the server's limit, for all codes or for some.
    fn left_out(&self, told: &Told) -> Vec<LeftOut> {
        let expected = self.spec.codes.iter().any(|code| has_snapshots(code));
        let (mut silent, mut over, mut in_part) = (Vec::new(), Vec::new(), Vec::new());
        for wanted in &self.spec.instruments {
            let (name, is_over) = (wanted.name(), told.over.contains(&wanted.name()));
            if is_over && !self.spec.codes.iter().any(|code| self.is_noted(code, wanted)) {
                over.push(name);
            } else if expected && !told.alive.contains(&name) {
                silent.push(name);
            } else if is_over {
                in_part.push(name);
            }
        }
        let codes: Vec<&str> = told.codes.iter().map(String::as_str).collect();
        let fewer = "ask for fewer instruments, or for the others with a second key";
        let all = [
            LeftOut {
                why: "are subscribed but have no snapshot".to_owned(),
                hint: "look for their ids in the exchange's master; expired contracts never tick",
                instruments: silent,
                in_part: false,
            },
            LeftOut {
                why: format!("are over the server's limit ({})", told.limit),
                hint: fewer,
                instruments: over,
                in_part: false,
            },
            LeftOut {
                why: format!("are sent without {}, over the server's limit ({})", codes.join(", "), told.limit),
                hint: fewer,
                instruments: in_part,
                in_part: true,
            },
        ];
        all.into_iter().filter(|left| !left.instruments.is_empty()).collect()
    }

    /// Hands on the master's rows of the requested instruments, whatever they contain. The feed is useful without them, so a
    /// refusal is only logged. Errors: the token is not valid, frames are no longer taken.
    pub async fn master(self) -> Result<(), Trouble> {
        let wanted: BTreeSet<String> = self.spec.instruments.iter().map(RequestedInstrument::name).collect();
        let segments: BTreeSet<&str> = self.spec.instruments.iter().map(|wanted| wanted.segment.venue).collect();
        let segments: Vec<&str> = segments.into_iter().collect();
        let rows = match patiently("master", || self.rest.master(&self.token, &segments)).await {
            Ok(rows) => rows,
            Err(refusal @ Refusal::Unauthorised(_)) => return Err(refusal.into()),
            Err(refusal) => {
                tracing::warn!(reason = %Trouble::from(refusal), "no instrument master; it is requested again at the next connection");
                return Ok(());
            }
        };
        let (received_at, all, mut own) = (now(), rows.len(), 0u64);
        for row in rows {
            let address = xts::address(row.as_bytes(), MASTER.as_bytes());
            if address.is_some_and(|address| wanted.contains(&produce::key(address.venue, address.instrument))) {
                self.outlet.take(QueuedFrame::frame(MASTER, received_at, row)).await?;
                self.figures.frame(MASTER);
                own += 1;
            }
        }
        if own == 0 {
            tracing::warn!(rows = all, "the instrument master has no row of a subscribed instrument");
        }
        self.master_due.store(false, Ordering::Relaxed);
        Ok(())
    }

    async fn hand_on(&self, code: &str, snapshots: Vec<String>, told: &mut Told) -> Result<(), Trouble> {
        let (received_at, origin) = (now(), format!("{code}-json-full"));
        for snapshot in snapshots {
            if let Some(address) = xts::address(snapshot.as_bytes(), origin.as_bytes()) {
                told.alive.insert(produce::key(address.venue, address.instrument));
            }
            self.outlet.take(QueuedFrame::frame(origin.as_str(), received_at, snapshot)).await?;
            self.figures.frame(code);
        }
        Ok(())
    }
}

fn has_snapshots(code: &str) -> bool {
    WITH_SNAPSHOT.contains(&code)
}

/// A call, repeated while the server wants to be called later.
async fn patiently<T, F: Future<Output = Result<T, Refusal>>>(what: &str, call: impl Fn() -> F) -> Result<T, Refusal> {
    let (mut tries, mut backoff) = (0, Backoff::default());
    loop {
        match call().await {
            Err(Refusal::Busy(asked)) if tries < TRIES => {
                tries += 1;
                let wait = patience(asked, tries, backoff.after_failure(chance()));
                tracing::warn!(what, wait_s = wait.as_secs_f64(), "too many calls (429), waiting");
                tokio::time::sleep(wait).await;
            }
            answer => return answer,
        }
    }
}

/// How long to wait before a try: as long as the server asks for, and never less than our own wait.
fn patience(asked: Option<Duration>, tries: u32, own: Duration) -> Duration {
    asked.unwrap_or(Duration::from_secs(1 << tries.min(5))).max(own)
}

#[cfg(test)]
mod tests;
