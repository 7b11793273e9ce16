//! Who writes the lake just now: a courtesy, not a lock.
//!
//! Who may write is decided in the log alone (L5): whoever takes over last owns it, and the one before is fenced. That is
//! right for a run that is started again, and wrong for a command that only tidies up: it would end a healthy run. The log
//! cannot tell that run from a dead one, since a quiet feed makes no epochs. So a writer says every few seconds that it is
//! there, and a command that would be a nuisance looks. What must hold: nothing is ever right or wrong because of this
//! object: it may be late, lost or deleted by hand, and the worst that follows is a fenced run.

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

/// The object that holds it.
pub const OWNER: &str = "owner.json";
/// How often a writer says that it is there.
const BEAT: Duration = Duration::from_secs(15);
/// Who has said nothing for so long is gone; clocks of two hosts may differ by some of it.
const SILENCE_MS: i64 = 60_000;

/// A writer as it was last seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    pub generation: u64,
    pub host: String,
    pub process: u32,
    /// Milliseconds since 1970, by the writer's clock.
    pub seen_at: i64,
}

/// Says that we write the lake until it is dropped.
#[derive(Debug)]
pub struct Owner {
    store: Arc<dyn Store>,
    generation: u64,
    stop: Option<oneshot::Sender<()>>,
    beat: JoinHandle<()>,
}

impl Owner {
    /// Begins to say so.
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
                let seen = Seen { generation, host: host.clone(), process: std::process::id(), seen_at: now_ms() };
                let Ok(bytes) = serde_json::to_vec(&seen) else { return };
                if let Err(error) = beating.put(OWNER, Bytes::from(bytes)).await {
                    tracing::debug!(%error, "the owner of the lake could not be written");
                }
            }
        });
        Owner { store, generation, stop: Some(stop), beat }
    }

    /// Says that we are gone, unless another writer has come.
    pub async fn end(mut self) {
        drop(self.stop.take());
        let _ = (&mut self.beat).await; // a beat that is under way lands before it is taken back
        if let Ok(Some(seen)) = read(&*self.store).await
            && seen.generation == self.generation
            && let Err(error) = self.store.delete(OWNER).await
        {
            tracing::debug!(%error, "the owner of the lake could not be removed");
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.beat.abort();
    }
}

async fn read(store: &dyn Store) -> Result<Option<Seen>, LakeError> {
    match store.get(OWNER).await {
        // half of a beat, or what somebody else wrote: nobody is there
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(LakeError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The writer that seems to be there.
pub async fn present(store: &dyn Store) -> Result<Option<Seen>, LakeError> {
    Ok(read(store).await?.filter(|seen| now_ms().saturating_sub(seen.seen_at) < SILENCE_MS))
}

/// The writer that seems to be there and is not this process. Whatever goes wrong: nobody is known.
pub async fn other(warehouse: &Warehouse) -> Option<Seen> {
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

        let old = Seen { seen_at: now_ms() - SILENCE_MS - 1, ..seen.clone() };
        store.put(OWNER, Bytes::from(serde_json::to_vec(&old).expect("JSON"))).await.expect("written");
        assert_eq!(present(&*store).await.expect("read"), None);

        // and this process is no other
        let folder = tempfile::tempdir().expect("a folder");
        let warehouse = Warehouse::from(folder.path());
        assert_eq!(other(&warehouse).await, None);
        for (process, there) in [(seen.process, false), (seen.process + 1, true)] {
            let beat = Seen { process, seen_at: now_ms(), ..seen.clone() };
            std::fs::write(folder.path().join(OWNER), serde_json::to_vec(&beat).expect("JSON")).expect("written");
            assert_eq!(other(&warehouse).await, there.then_some(beat));
        }

        // one that is fenced does not take its successor's word back
        let owner = Owner::begin(store.clone(), 3);
        let successor = Seen { generation: 4, ..seen };
        owner.beat.abort();
        store.put(OWNER, Bytes::from(serde_json::to_vec(&successor).expect("JSON"))).await.expect("written");
        owner.end().await;
        assert_eq!(present(&*store).await.expect("read"), Some(successor));
    }
}
