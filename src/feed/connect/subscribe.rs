//! Subscribing on XTS: the master's rows first, once for each token, then every code, in lists, until each instrument is
//! known to be sent or known not to be.
//!
//! Why a snapshot is asked of each instrument: a token that is dead is acknowledged like any other and never ticks. The
//! snapshots are frames and are handed on as the socket's are.

use super::figures::Figures;
use super::outlet::{Outlet, Taken};
use super::rest::{Refusal, Rest};
use super::spec::{ConnectSpec, Wanted};
use super::{Trouble, now};
use crate::feed::produce;
use crate::feed::wire::xts;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Instruments a call: the least cap that was seen.
const LIST: usize = 50;
/// Codes whose subscription is answered with snapshots.
const WITH_SNAPSHOT: [&str; 4] = ["1501", "1502", "1510", "1512"];
/// The origin of rows of the master, and what they are counted as.
const MASTER: &str = "master";
/// How often a call is repeated that came too soon.
const TRIES: u32 = 8;

/// All that a subscription needs; it runs beside the socket.
pub struct Subscriber {
    pub rest: Rest,
    pub token: String,
    pub spec: Arc<ConnectSpec>,
    /// Instruments that had no snapshot the last time: they stand in lists of their own, and keep nobody else out.
    pub missing: Vec<String>,
    /// Whether the master is still to be asked for.
    pub master_due: Arc<AtomicBool>,
    pub outlet: Outlet,
    pub figures: Arc<Figures>,
}

impl Subscriber {
    /// Subscribes everything; the names of instruments without any snapshot. Errors: the token does not count, the server
    /// is gone or too busy.
    pub async fn all(self) -> Result<Vec<String>, Trouble> {
        if self.master_due.load(Ordering::Relaxed) {
            self.master().await?;
        }
        let mut alive = BTreeSet::new();
        let is_missing = |wanted: &Wanted| self.missing.contains(&wanted.name());
        let (missing, others): (Vec<Wanted>, Vec<Wanted>) = self.spec.instruments.iter().cloned().partition(is_missing);
        // 1105 comes by itself, for every instrument there is
        let codes = self.spec.codes.iter().filter(|code| *code != "1105");
        for code in codes {
            let mut lists: Vec<&[Wanted]> = others.chunks(LIST).chain(missing.chunks(LIST)).collect();
            lists.reverse();
            while let Some(list) = lists.pop() {
                match self.list(code, list).await {
                    Ok(snapshots) => self.hand_on(code, snapshots, &mut alive).await?,
                    // one that the server does not like must not keep the others out
                    Err(Refusal::Wrong(_)) if list.len() > 1 && WITH_SNAPSHOT.contains(&code.as_str()) => {
                        let (first, second) = list.split_at(list.len() / 2);
                        lists.extend([second, first]);
                    }
                    // known ones were told before
                    Err(Refusal::Wrong(_)) if list.iter().all(is_missing) => {}
                    Err(Refusal::Wrong(why)) => {
                        let names: Vec<String> = list.iter().map(Wanted::name).collect();
                        tracing::error!(code, instruments = names.join(","), why, "a subscription is refused");
                    }
                    Err(other) => return Err(other.into()),
                }
            }
        }
        if !self.spec.codes.iter().any(|code| WITH_SNAPSHOT.contains(&code.as_str())) {
            return Ok(Vec::new());
        }
        let names = self.spec.instruments.iter().map(Wanted::name);
        Ok(names.filter(|name| !alive.contains(name)).collect())
    }

    /// Hands on the rows of what is wanted; without them the feed is worth having, so a refusal is told and no more.
    async fn master(&self) -> Result<(), Trouble> {
        let wanted: BTreeSet<String> = self.spec.instruments.iter().map(Wanted::name).collect();
        let segments: BTreeSet<&str> = self.spec.instruments.iter().map(|wanted| wanted.segment.venue).collect();
        let segments: Vec<&str> = segments.into_iter().collect();
        let rows = match patiently("master", || self.rest.master(&self.token, &segments)).await {
            Ok(rows) => rows,
            Err(refusal @ Refusal::Unauthorised(_)) => return Err(refusal.into()),
            Err(refusal) => {
                tracing::warn!(reason = %Trouble::from(refusal), "no instrument master; it is asked for at the next connection");
                return Ok(());
            }
        };
        let received_at = now();
        for row in rows {
            let address = xts::address(row.as_bytes(), MASTER.as_bytes());
            if address.is_some_and(|address| wanted.contains(&produce::key(address.venue, address.instrument))) {
                self.outlet.take(Taken::frame(MASTER, received_at, row)).await?;
                self.figures.frame(MASTER);
            }
        }
        self.master_due.store(false, Ordering::Relaxed);
        Ok(())
    }

    async fn list(&self, code: &str, list: &[Wanted]) -> Result<Vec<String>, Refusal> {
        match patiently(code, || self.rest.subscribe(&self.token, code, list)).await {
            Err(Refusal::Already) => patiently(code, || self.rest.quotes(&self.token, code, list)).await,
            answer => answer,
        }
    }

    async fn hand_on(&self, code: &str, snapshots: Vec<String>, alive: &mut BTreeSet<String>) -> Result<(), Trouble> {
        let (received_at, origin) = (now(), format!("{code}-json-full"));
        for snapshot in snapshots {
            if let Some(address) = xts::address(snapshot.as_bytes(), origin.as_bytes()) {
                alive.insert(produce::key(address.venue, address.instrument));
            }
            self.outlet.take(Taken::frame(origin.as_str(), received_at, snapshot)).await?;
            self.figures.frame(code);
        }
        Ok(())
    }
}

/// A call, again and again while the server wants to be asked later.
async fn patiently<T, F: Future<Output = Result<T, Refusal>>>(what: &str, call: impl Fn() -> F) -> Result<T, Refusal> {
    let mut tries = 0;
    loop {
        match call().await {
            Err(Refusal::Busy(wait)) if tries < TRIES => {
                tries += 1;
                let wait = wait.unwrap_or(Duration::from_secs(1 << tries.min(5)));
                tracing::warn!(what, wait_s = wait.as_secs_f64(), "too many calls (429), waiting");
                tokio::time::sleep(wait).await;
            }
            answer => return answer,
        }
    }
}
