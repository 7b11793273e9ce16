//! Which process is writing the lake now: a courtesy, not a lock.
//!
//! The log alone decides which process may write (L5): the last one to take over owns it, and the previous one is fenced.
//! That is right for a run that is restarted, and wrong for a command that only tidies up: it would end a healthy run. The
//! log cannot tell that run from a dead one, since a quiet feed makes no epochs. So a writer writes a heartbeat every few
//! seconds, and a command that would disturb it looks first. What must hold: no correctness depends on this object: it may
//! be late, lost or deleted by hand, and the worst result is a fenced run.

use crate::error::LakeError;
use crate::now_ms;
use crate::store::Store;
use crate::store::warehouse::Warehouse;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The object that holds the heartbeat.
pub const OWNER: &str = "owner.json";
/// How often a writer writes its heartbeat.
const BEAT: Duration = Duration::from_secs(15);
/// A writer without a heartbeat for this long counts as gone; the clocks of two hosts may differ by part of it.
const SILENCE_MS: i64 = 60_000;

/// The last sign of life of a writer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    pub generation: u64,
    pub host: String,
    pub process: u32,
    /// Milliseconds since 1970, by the writer's clock.
    pub seen_at: i64,
}

/// Writes this writer's heartbeats until it is dropped.
#[derive(Debug)]
pub struct Owner {
    store: Arc<dyn Store>,
    generation: u64,
    stop: Option<oneshot::Sender<()>>,
    beat: JoinHandle<()>,
}

impl Owner {
    /// Begins the heartbeats.
    pub fn begin(store: Arc<dyn Store>, generation: u64) -> Owner {
        let host = host();
        let beating = store.clone();
        let (stop, mut stopped) = oneshot::channel();
        let beat = tokio::spawn(async move {
            let mut every = tokio::time::interval(BEAT);
            loop {
                tokio::select! {
                    _ = every.tick() => {}
                    _ = &mut stopped => return,
                }
                let seen = Heartbeat { generation, host: host.clone(), process: std::process::id(), seen_at: now_ms() };
                let Ok(bytes) = serde_json::to_vec(&seen) else { return };
                if let Err(error) = beating.put(OWNER, Bytes::from(bytes)).await {
                    tracing::debug!(%error, "the heartbeat owner.json could not be written");
                }
            }
        });
        Owner { store, generation, stop: Some(stop), beat }
    }

    /// Ends the heartbeats and deletes the object, unless it is another writer's by now.
    pub async fn end(mut self) {
        drop(self.stop.take());
        let _ = (&mut self.beat).await; // a heartbeat that is under way lands before it is deleted
        if let Ok(Some(seen)) = read(&*self.store).await
            && seen.generation == self.generation
            && let Err(error) = self.store.delete(OWNER).await
        {
            tracing::debug!(%error, "the heartbeat owner.json could not be deleted");
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.beat.abort();
    }
}

async fn read(store: &dyn Store) -> Result<Option<Heartbeat>, LakeError> {
    match store.get(OWNER).await {
        // half of a heartbeat, or foreign content: no writer is known
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(LakeError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The writer that seems to be alive.
pub async fn present(store: &dyn Store) -> Result<Option<Heartbeat>, LakeError> {
    Ok(read(store).await?.filter(|seen| now_ms().saturating_sub(seen.seen_at) < SILENCE_MS))
}

/// The writer that seems to be alive and is not this process; after any error, `None`.
pub async fn other(warehouse: &Warehouse) -> Option<Heartbeat> {
    let store = warehouse.open_existing().await.ok()?;
    let seen = present(&*store).await.ok()??;
    (seen.process != std::process::id() || seen.host != host()).then_some(seen)
}

fn host() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    host.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::doubles::{Faults, World};

    #[tokio::test]
    async fn a_writer_is_seen_while_it_is_there_and_one_that_went_silent_is_not() {
        let (store, _) = World::default().process(&Faults::none());
        assert_eq!(present(&*store).await.expect("read"), None);
        let owner = Owner::begin(store.clone(), 3);
        let seen = loop {
            tokio::task::yield_now().await;
            if let Some(seen) = present(&*store).await.expect("read") {
                break seen;
            }
        };
        assert_eq!((seen.generation, seen.process), (3, std::process::id()));
        owner.end().await;
        assert_eq!(present(&*store).await.expect("read"), None);

        let old = Heartbeat { seen_at: now_ms() - SILENCE_MS - 1, ..seen.clone() };
        store.put(OWNER, Bytes::from(serde_json::to_vec(&old).expect("JSON"))).await.expect("written");
        assert_eq!(present(&*store).await.expect("read"), None);

        // this process does not count as another writer
        let folder = tempfile::tempdir().expect("a folder");
        let warehouse = Warehouse::from(folder.path());
        assert_eq!(other(&warehouse).await, None);
        for (process, there) in [(seen.process, false), (seen.process + 1, true)] {
            let beat = Heartbeat { process, seen_at: now_ms(), ..seen.clone() };
            std::fs::write(folder.path().join(OWNER), serde_json::to_vec(&beat).expect("JSON")).expect("written");
            assert_eq!(other(&warehouse).await, there.then_some(beat));
        }

        // a fenced writer does not delete its successor's heartbeat
        let owner = Owner::begin(store.clone(), 3);
        let successor = Heartbeat { generation: 4, ..seen };
        owner.beat.abort();
        store.put(OWNER, Bytes::from(serde_json::to_vec(&successor).expect("JSON"))).await.expect("written");
        owner.end().await;
        assert_eq!(present(&*store).await.expect("read"), Some(successor));
    }
}
