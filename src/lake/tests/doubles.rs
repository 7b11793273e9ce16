//! A store and a catalog in memory that stop, lose an answer or give way at a chosen operation.

use crate::lake::catalog::{Catalog, Swapped};
use crate::lake::error::LakeError;
use crate::lake::store::{Created, Store};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// What happens at the chosen operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process ends before it.
    Before,
    /// The process ends after it: it has landed, nobody heard the answer.
    After,
    /// It has landed, its answer is lost, the process goes on.
    Lost,
}

/// Shared by a process's store and catalog.
#[derive(Debug)]
pub struct Faults {
    at: usize,
    fault: Fault,
    count: AtomicUsize,
    dead: AtomicBool,
    /// The seed of how often an operation gives way to the other process; 0: never.
    yields: AtomicUsize,
    /// Names of the operations done, those that change something marked with `!`.
    pub operations: Mutex<Vec<String>>,
}

impl Faults {
    pub fn new(at: usize, fault: Fault) -> Arc<Faults> {
        let operations = Mutex::new(Vec::new());
        let (count, dead, yields) = (AtomicUsize::new(0), AtomicBool::new(false), AtomicUsize::new(0));
        Arc::new(Faults { at, fault, count, dead, yields, operations })
    }

    pub fn none() -> Arc<Faults> {
        Faults::new(usize::MAX, Fault::Before)
    }

    pub fn yielding(seed: usize) -> Arc<Faults> {
        let faults = Faults::none();
        faults.yields.store(seed * 2 + 1, Ordering::Relaxed);
        faults
    }

    async fn around<T>(&self, name: String, changes: bool, work: impl FnOnce() -> T) -> Result<T, LakeError> {
        let state = self.yields.load(Ordering::Relaxed);
        if state != 0 {
            let next = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407) | 1;
            self.yields.store(next, Ordering::Relaxed);
            for _ in 0..(next >> 33) % 4 {
                tokio::task::yield_now().await;
            }
        }
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let mark = if changes { "!" } else { "" };
        self.operations.lock().expect("no panic inside").push(format!("{name}{mark}"));
        let error = |perhaps| LakeError::Store {
            operation: "use",
            key: name.clone(),
            perhaps,
            cause: format!("injected: {:?} {number}", self.fault),
            full: false,
        };
        if self.dead.load(Ordering::Relaxed) {
            return Err(error(true));
        }
        if number != self.at {
            return Ok(work());
        }
        match self.fault {
            Fault::Before => self.dead.store(true, Ordering::Relaxed),
            Fault::After => {
                work();
                self.dead.store(true, Ordering::Relaxed);
            }
            Fault::Lost => {
                work();
            }
        }
        Err(error(true))
    }
}

pub type Objects = Arc<Mutex<BTreeMap<String, Bytes>>>;
pub type Locations = Arc<Mutex<BTreeMap<String, String>>>;

#[derive(Clone, Debug)]
pub struct MemoryStore {
    pub objects: Objects,
    pub faults: Arc<Faults>,
}

#[derive(Clone, Debug)]
pub struct MemoryCatalog {
    pub locations: Locations,
    pub faults: Arc<Faults>,
}

/// What outlives a process.
#[derive(Clone, Debug, Default)]
pub struct World {
    pub objects: Objects,
    pub locations: Locations,
}

impl World {
    /// The world as one process sees it.
    pub fn process(&self, faults: &Arc<Faults>) -> (Arc<MemoryStore>, Arc<MemoryCatalog>) {
        let store = MemoryStore { objects: self.objects.clone(), faults: faults.clone() };
        let catalog = MemoryCatalog { locations: self.locations.clone(), faults: faults.clone() };
        (Arc::new(store), Arc::new(catalog))
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, key: &str) -> Result<Bytes, LakeError> {
        let get = || self.objects.lock().expect("no panic inside").get(key).cloned();
        let found = self.faults.around(format!("get {key}"), false, get).await?;
        found.ok_or_else(|| LakeError::Missing { key: key.to_owned() })
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), LakeError> {
        let put = || drop(self.objects.lock().expect("no panic inside").insert(key.to_owned(), bytes));
        self.faults.around(format!("put {key}"), true, put).await
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Result<Created, LakeError> {
        let create = || {
            let mut objects = self.objects.lock().expect("no panic inside");
            if objects.contains_key(key) {
                return Created::Exists;
            }
            objects.insert(key.to_owned(), bytes);
            Created::Won
        };
        self.faults.around(format!("create {key}"), true, create).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, LakeError> {
        let list = || {
            let objects = self.objects.lock().expect("no panic inside");
            objects.keys().filter(|key| key.starts_with(prefix)).cloned().collect()
        };
        self.faults.around(format!("list {prefix}"), false, list).await
    }

    async fn delete(&self, key: &str) -> Result<(), LakeError> {
        let delete = || drop(self.objects.lock().expect("no panic inside").remove(key));
        self.faults.around(format!("delete {key}"), true, delete).await
    }

    async fn size(&self, key: &str) -> Result<Option<u64>, LakeError> {
        let size = || self.objects.lock().expect("no panic inside").get(key).map(|bytes| bytes.len() as u64);
        self.faults.around(format!("size {key}"), false, size).await
    }

    fn location(&self, key: &str) -> String {
        if key.is_empty() { "memory://lake".to_owned() } else { format!("memory://lake/{key}") }
    }
}

#[async_trait]
impl Catalog for MemoryCatalog {
    async fn tables(&self) -> Result<BTreeMap<String, String>, LakeError> {
        let tables = || self.locations.lock().expect("no panic inside").clone();
        self.faults.around("catalog tables".to_owned(), false, tables).await
    }

    async fn location(&self, table: &str) -> Result<Option<String>, LakeError> {
        let location = || self.locations.lock().expect("no panic inside").get(table).cloned();
        self.faults.around(format!("catalog location {table}"), false, location).await
    }

    async fn create(&self, table: &str, location: &str) -> Result<Created, LakeError> {
        let create = || {
            let mut locations = self.locations.lock().expect("no panic inside");
            if locations.contains_key(table) {
                return Created::Exists;
            }
            locations.insert(table.to_owned(), location.to_owned());
            Created::Won
        };
        self.faults.around(format!("catalog create {table}"), true, create).await
    }

    async fn swap(&self, table: &str, base: &str, next: &str) -> Result<Swapped, LakeError> {
        let swap = || {
            let mut locations = self.locations.lock().expect("no panic inside");
            match locations.get_mut(table) {
                Some(location) if location == base => {
                    next.clone_into(location);
                    Swapped::Done
                }
                _ => Swapped::Conflict,
            }
        };
        self.faults.around(format!("catalog swap {table}"), true, swap).await
    }
}
