//! A store and a catalog in memory whose operations can be recorded, and each of which can go wrong in every way that a
//! real one's can: denied, unanswered before or after its effect, taking effect much later, or the last of its process.
//!
//! ```text
//!   World        objects, locations; outlives processes; counts operations, keeps a trace, holds effects still under way
//!   └ Faults     one process: which of its operations go wrong and how, whether it is dead, stopped or yielding
//!     └ Door     what the lake holds, as MemoryStore and MemoryCatalog: that process's access to that world
//! ```
//!
//! An operation is chosen by its class and its number in it (the second `create log`), or by its number among all, which is
//! only approximate: names hold random ids, so the order of operations differs a little from run to run.

use super::foreign;
use crate::catalog::{Catalog, Swapped};
use crate::error::LakeError;
use crate::store::{Created, Store};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// What happens at a chosen operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process ends before it.
    Before,
    /// The process ends after it: it has landed, its answer is lost.
    After,
    /// The process ends while it is under way: it lands that many operations later.
    During(u64),
    /// Definitely denied (503, 409), or a read that fails.
    Denied,
    /// No answer, no effect.
    Unheard,
    /// The effect, no answer.
    Lost,
    /// No answer; the effect that many operations later.
    Late(u64),
    /// The effect, and the answer of a repetition: the name is taken, the base has moved (412 of our own write).
    Echo,
    /// Half of the object is read, and nothing says so.
    Cut,
    /// Another engine rewrites the table, or any table, just before.
    Foreign,
    /// The process is stopped before it until [`Faults::go_on`].
    Stop,
}

impl Fault {
    pub fn name(self) -> &'static str {
        match self {
            Fault::Before => "die before",
            Fault::After => "die after",
            Fault::During(_) => "die, land later",
            Fault::Denied => "deny",
            Fault::Unheard => "lose before",
            Fault::Lost => "lose after",
            Fault::Late(_) => "land later",
            Fault::Echo => "412 of our own",
            Fault::Cut => "cut short",
            Fault::Foreign => "foreign commit",
            Fault::Stop => "stop",
        }
    }
}

/// Which operation goes wrong, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub class: String,
    /// Its number in its class, from 0.
    pub nth: usize,
    pub fault: Fault,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at `{}` {}", self.fault, self.class, self.nth)
    }
}

/// What an operation is, without ids and numbers: `put market/bars_1m/metadata version`, `create log`, `catalog swap ticks`.
pub fn class(operation: &str) -> String {
    let operation = operation.trim_end_matches('!');
    let Some((verb, key)) = operation.split_once(' ').filter(|(verb, _)| *verb != "catalog") else {
        return operation.to_owned();
    };
    let (folder, file) = key.rsplit_once('/').unwrap_or(("", key));
    let folder: Vec<_> = folder.split('/').filter(|part| !part.contains('=') && !part.contains('-')).collect();
    let kind = match file {
        file if file.ends_with(".metadata.json") => " version",
        file if file.starts_with("snap-") => " list",
        file if file.ends_with(".avro") => " manifest",
        file if file.contains("-merge-") => " merged",
        _ => "",
    };
    format!("{verb} {}{kind}", folder.join("/"))
}

/// The faults of one process.
#[derive(Debug)]
pub struct Faults {
    name: String,
    events: Vec<Event>,
    seen: Mutex<HashMap<String, usize>>,
    /// A fault at the operation with this number among all.
    at: Option<(usize, Fault)>,
    dead: AtomicBool,
    stopped: AtomicBool,
    gone_on: AtomicBool,
    /// The seed of how often an operation gives way to another process; 0: never.
    yields: AtomicUsize,
    /// Names of the operations done, those that change something marked with `!`.
    pub operations: Mutex<Vec<String>>,
}

impl Faults {
    /// One fault, at the operation of this number.
    pub fn new(at: usize, fault: Fault) -> Arc<Faults> {
        Arc::new(Faults { at: Some((at, fault)), ..Faults::of("", Vec::new(), 0) })
    }

    /// Faults of a process with a name.
    pub fn planned(name: &str, events: Vec<Event>, yields: usize) -> Arc<Faults> {
        Arc::new(Faults::of(name, events, yields))
    }

    fn of(name: &str, events: Vec<Event>, yields: usize) -> Faults {
        Faults {
            name: name.to_owned(),
            events,
            seen: Mutex::default(),
            at: None,
            dead: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            gone_on: AtomicBool::new(false),
            yields: AtomicUsize::new(yields),
            operations: Mutex::default(),
        }
    }

    pub fn none() -> Arc<Faults> {
        Faults::planned("", Vec::new(), 0)
    }

    pub fn yielding(seed: usize) -> Arc<Faults> {
        Faults::planned("", Vec::new(), seed * 2 + 1)
    }

    /// Whether the process is stopped before an operation.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// SIGCONT.
    pub fn go_on(&self) {
        self.gone_on.store(true, Ordering::Relaxed);
    }

    /// The kinds of faults that have met their operations.
    pub fn met(&self) -> Vec<&'static str> {
        let seen = locked(&self.seen);
        let met = self.events.iter().filter(|event| seen.get(&event.class).is_some_and(|count| *count > event.nth));
        met.map(|event| event.fault.name()).collect()
    }

    /// The fault of the operation that was begun last, which is of this class.
    fn fault(&self, class: &str) -> Option<Fault> {
        let done = locked(&self.operations).len();
        if let Some((_, fault)) = self.at.filter(|(at, _)| at + 1 == done) {
            return Some(fault);
        }
        let mut seen = locked(&self.seen);
        let nth = seen.entry(class.to_owned()).or_default();
        let event = self.events.iter().find(|event| event.class == class && event.nth == *nth);
        *nth += 1;
        event.map(|event| event.fault)
    }

    async fn give_way(&self) {
        let state = self.yields.load(Ordering::Relaxed);
        if state == 0 {
            return;
        }
        let next = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407) | 1;
        self.yields.store(next, Ordering::Relaxed);
        for _ in 0..(next >> 33) % 4 {
            tokio::task::yield_now().await;
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic inside")
}

/// Objects and metadata locations by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    pub objects: BTreeMap<String, Bytes>,
    pub locations: BTreeMap<String, String>,
}

/// A change to the world.
#[derive(Clone, Debug)]
enum Effect {
    Put(String, Bytes),
    Create(String, Bytes),
    Delete(String),
    Register(String, String),
    Swap(String, String, String),
}

impl Effect {
    /// False: the name is taken, or the base has moved.
    fn apply(&self, state: &mut State) -> bool {
        match self {
            Effect::Put(key, bytes) => {
                state.objects.insert(key.clone(), bytes.clone());
            }
            Effect::Create(key, _) if state.objects.contains_key(key) => return false,
            Effect::Create(key, bytes) => {
                state.objects.insert(key.clone(), bytes.clone());
            }
            Effect::Delete(key) => {
                state.objects.remove(key);
            }
            Effect::Register(table, _) if state.locations.contains_key(table) => return false,
            Effect::Register(table, location) => {
                state.locations.insert(table.clone(), location.clone());
            }
            Effect::Swap(table, base, _) if state.locations.get(table) != Some(base) => return false,
            Effect::Swap(table, _, next) => {
                state.locations.insert(table.clone(), next.clone());
            }
        }
        true
    }

    fn name(&self) -> String {
        match self {
            Effect::Put(key, _) => format!("put {key}"),
            Effect::Create(key, _) => format!("create {key}"),
            Effect::Delete(key) => format!("delete {key}"),
            Effect::Register(table, _) => format!("catalog create {table}"),
            Effect::Swap(table, ..) => format!("catalog swap {table}"),
        }
    }
}

#[derive(Debug, Default)]
struct Inner {
    state: State,
    operations: u64,
    /// Effects under way, with the number of the operation before which they land.
    late: Vec<(u64, Effect)>,
    trace: Vec<String>,
    /// The state before the first operation, and each operation with the state after it.
    recorded: Option<Vec<(String, Option<State>)>>,
    /// Snapshots of another engine.
    foreign: HashSet<i64>,
}

impl Inner {
    fn land(&mut self, due: u64) {
        let (landing, late) = std::mem::take(&mut self.late).into_iter().partition(|(at, _)| *at <= due);
        self.late = late;
        let landing: Vec<(u64, Effect)> = landing;
        for (_, effect) in landing {
            let landed = if effect.apply(&mut self.state) { "lands" } else { "comes too late" };
            self.trace.push(format!("    {} {landed}", effect.name()));
        }
    }
}

/// What outlives a process.
#[derive(Clone, Debug, Default)]
pub struct World(Arc<Mutex<Inner>>);

impl World {
    /// A world in the state in which another one was.
    pub fn at(state: State) -> World {
        World(Arc::new(Mutex::new(Inner { state, ..Inner::default() })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        locked(&self.0)
    }

    pub fn state(&self) -> State {
        self.inner().state.clone()
    }

    /// Points the catalog to these metadata files, as it did before.
    pub fn point(&self, locations: BTreeMap<String, String>) {
        self.inner().state.locations = locations;
    }

    /// From now on keeps the state after each operation.
    pub fn record(&self) {
        let mut inner = self.inner();
        let first = ("nothing".to_owned(), Some(inner.state.clone()));
        inner.recorded = Some(vec![first]);
    }

    /// Each operation since [`World::record`], with the state after it if it could change something.
    pub fn recorded(&self) -> Vec<(String, Option<State>)> {
        self.inner().recorded.take().unwrap_or_default()
    }

    /// What was done and what went wrong, one line each.
    pub fn trace(&self) -> Vec<String> {
        self.inner().trace.clone()
    }

    pub fn note(&self, line: String) {
        self.inner().trace.push(line);
    }

    /// Lands all effects that are still under way.
    pub fn land_all(&self) {
        self.inner().land(u64::MAX);
    }

    pub fn add_foreign(&self, snapshot_id: i64) {
        self.inner().foreign.insert(snapshot_id);
    }

    pub fn is_foreign(&self, snapshot_id: i64) -> bool {
        self.inner().foreign.contains(&snapshot_id)
    }

    /// The world as one process sees it.
    pub fn process(&self, faults: &Arc<Faults>) -> (Arc<MemoryStore>, Arc<MemoryCatalog>) {
        let door = Door { world: self.clone(), faults: faults.clone() };
        (Arc::new(MemoryStore(door.clone())), Arc::new(MemoryCatalog(door)))
    }
}

/// The access of one process to the world.
#[derive(Clone, Debug)]
struct Door {
    world: World,
    faults: Arc<Faults>,
}

impl Door {
    fn failed(&self, operation: &str, perhaps: bool, why: &str) -> LakeError {
        let cause = format!("injected: {why}");
        match operation.strip_prefix("catalog ") {
            Some(_) => LakeError::Catalog { operation: "use", perhaps, cause, busy: false },
            None => LakeError::Store { operation: "use", key: operation.to_owned(), perhaps, cause, full: false },
        }
    }

    /// Counts the operation and returns its fault.
    async fn enter(&self, operation: &str, changes: bool) -> Result<Option<Fault>, LakeError> {
        let faults = &self.faults;
        faults.give_way().await;
        if faults.dead.load(Ordering::Relaxed) {
            return Err(self.failed(operation, true, "the process is dead"));
        }
        let mark = if changes { "!" } else { "" };
        locked(&faults.operations).push(format!("{operation}{mark}"));
        let fault = faults.fault(&class(operation));
        match fault {
            Some(Fault::Stop) => {
                self.world.note(format!("{:>3} {operation}{mark}: stopped before it", faults.name));
                faults.stopped.store(true, Ordering::Relaxed);
                while !faults.gone_on.load(Ordering::Relaxed) {
                    tokio::task::yield_now().await;
                }
            }
            Some(Fault::Foreign) => {
                let table = operation.strip_prefix("catalog swap ").unwrap_or("bars_1m");
                foreign::optimize(&self.world, table).await?;
            }
            _ => {}
        }
        let mut inner = self.world.inner();
        inner.operations += 1;
        let now = inner.operations;
        inner.land(now);
        let what = fault.map_or_else(String::new, |fault| format!(": {fault:?}"));
        inner.trace.push(format!("{:>3} {operation}{mark}{what}", faults.name));
        Ok(fault)
    }

    fn die(&self) {
        self.faults.dead.store(true, Ordering::Relaxed);
    }

    /// A change; false: the name is taken, or the base has moved.
    async fn change(&self, effect: Effect) -> Result<bool, LakeError> {
        let name = effect.name();
        let fault = self.enter(&name, true).await?;
        let mut inner = self.world.inner();
        let late = |inner: &mut Inner, after: u64| {
            let due = inner.operations + after;
            inner.late.push((due, effect.clone()));
        };
        let done = match fault {
            Some(Fault::Before | Fault::Unheard | Fault::Denied) => None,
            Some(Fault::During(after) | Fault::Late(after)) => {
                late(&mut inner, after);
                None
            }
            _ => Some(effect.apply(&mut inner.state)),
        };
        let state = inner.recorded.is_some().then(|| inner.state.clone());
        if let (Some(recorded), Some(state)) = (&mut inner.recorded, state) {
            recorded.push((name.clone(), Some(state)));
        }
        drop(inner);
        match fault {
            None | Some(Fault::Stop | Fault::Foreign | Fault::Cut) => Ok(done.unwrap_or(false)),
            Some(Fault::Echo) if matches!(effect, Effect::Put(..) | Effect::Delete(_)) => Ok(true),
            Some(Fault::Echo) => Ok(false),
            Some(Fault::Denied) => Err(self.failed(&name, false, "denied")),
            Some(Fault::Unheard | Fault::Lost | Fault::Late(_)) => Err(self.failed(&name, true, "no answer")),
            Some(Fault::Before | Fault::After | Fault::During(_)) => {
                self.die();
                Err(self.failed(&name, true, "the process dies"))
            }
        }
    }

    /// A read, and whether it returns only half.
    async fn read<T>(&self, operation: String, read: impl FnOnce(&State) -> T) -> Result<(T, bool), LakeError> {
        let fault = self.enter(&operation, false).await?;
        let mut inner = self.world.inner();
        if let Some(recorded) = &mut inner.recorded {
            recorded.push((operation.clone(), None));
        }
        match fault {
            None | Some(Fault::Stop | Fault::Foreign | Fault::Echo) => Ok((read(&inner.state), false)),
            Some(Fault::Cut) => Ok((read(&inner.state), true)),
            Some(Fault::Before | Fault::After | Fault::During(_)) => {
                self.die();
                Err(self.failed(&operation, false, "the process dies"))
            }
            Some(_) => Err(self.failed(&operation, false, "no answer")),
        }
    }
}

#[derive(Clone, Debug)]
pub struct MemoryStore(Door);

#[derive(Clone, Debug)]
pub struct MemoryCatalog(Door);

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, key: &str) -> Result<Bytes, LakeError> {
        let get = |state: &State| state.objects.get(key).cloned();
        let (found, cut) = self.0.read(format!("get {key}"), get).await?;
        let found = found.ok_or_else(|| LakeError::Missing { key: key.to_owned() })?;
        Ok(if cut { found.slice(..found.len() / 2) } else { found })
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), LakeError> {
        self.0.change(Effect::Put(key.to_owned(), bytes)).await.map(drop)
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Result<Created, LakeError> {
        let created = self.0.change(Effect::Create(key.to_owned(), bytes)).await?;
        Ok(if created { Created::Won } else { Created::Exists })
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, LakeError> {
        let list =
            |state: &State| state.objects.keys().filter(|key| key.starts_with(prefix)).cloned().collect::<Vec<_>>();
        Ok(self.0.read(format!("list {prefix}"), list).await?.0)
    }

    async fn delete(&self, key: &str) -> Result<(), LakeError> {
        self.0.change(Effect::Delete(key.to_owned())).await.map(drop)
    }

    async fn size(&self, key: &str) -> Result<Option<u64>, LakeError> {
        let size = |state: &State| state.objects.get(key).map(|bytes| bytes.len() as u64);
        Ok(self.0.read(format!("size {key}"), size).await?.0)
    }

    fn location(&self, key: &str) -> String {
        if key.is_empty() { "memory://lake".to_owned() } else { format!("memory://lake/{key}") }
    }
}

#[async_trait]
impl Catalog for MemoryCatalog {
    async fn tables(&self) -> Result<BTreeMap<String, String>, LakeError> {
        Ok(self.0.read("catalog tables".to_owned(), |state| state.locations.clone()).await?.0)
    }

    async fn location(&self, table: &str) -> Result<Option<String>, LakeError> {
        let location = |state: &State| state.locations.get(table).cloned();
        Ok(self.0.read(format!("catalog location {table}"), location).await?.0)
    }

    async fn create(&self, table: &str, location: &str) -> Result<Created, LakeError> {
        let created = self.0.change(Effect::Register(table.to_owned(), location.to_owned())).await?;
        Ok(if created { Created::Won } else { Created::Exists })
    }

    async fn swap(&self, table: &str, base: &str, next: &str) -> Result<Swapped, LakeError> {
        let swapped = self.0.change(Effect::Swap(table.to_owned(), base.to_owned(), next.to_owned())).await?;
        Ok(if swapped { Swapped::Done } else { Swapped::Conflict })
    }
}
