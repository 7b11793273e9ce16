//! A local folder as a store: objects are files.

use super::super::error::LakeError;
use super::{Created, Store};
use crate::table::names::CHANGES;
use async_trait::async_trait;
use bytes::Bytes;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;
use uuid::Uuid;

/// A folder of a journaling file system, where the first sync of a file makes its name durable, too. The conditional create
/// writes a temporary file, makes it durable and links it to its name: link(2) fails if the name exists, whatever else runs.
#[derive(Clone, Debug)]
pub struct FolderStore {
    root: PathBuf,
}

/// The prefix of the names of files that are being written: never listed, never read.
const TEMPORARY: &str = ".tmp-";
/// An older temporary file belongs to a process that was killed or stopped. Once the file is deleted, a stopped process that
/// goes on cannot give it its name: the write fails without an effect.
const UNFINISHED: Duration = Duration::from_secs(60);

impl FolderStore {
    /// Opens the folder, created if it does not exist, under its absolute name.
    pub fn open(root: &Path) -> Result<FolderStore, LakeError> {
        let name = root.display().to_string();
        fs::create_dir_all(root).map_err(|error| unmade(&name, &error))?;
        let root = root.canonicalize().map_err(|error| LakeError::io("resolve", &name, false, &error))?;
        if root.to_str().is_none() {
            return Err(LakeError::fix(
                format!("the warehouse folder {name} is not valid UTF-8"),
                "choose a folder whose path is valid UTF-8",
            ));
        }
        Ok(FolderStore { root })
    }

    /// Runs blocking file work off the runtime's threads, so that the tables of an epoch are written side by side.
    async fn off<T: Send + 'static>(
        &self,
        key: &str,
        work: impl FnOnce(&FolderStore, &str) -> Result<T, LakeError> + Send + 'static,
    ) -> Result<T, LakeError> {
        let (store, key) = (self.clone(), key.to_owned());
        let done = tokio::task::spawn_blocking(move || work(&store, &key)).await;
        done.unwrap_or_else(|error| Err(LakeError::Bug(format!("file work panicked: {error}"))))
    }

    /// The absolute folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn path(&self, key: &str) -> Result<PathBuf, LakeError> {
        let sound = !key.split('/').any(|part| part.is_empty() || part == "." || part == "..");
        if sound { Ok(self.root.join(key)) } else { Err(LakeError::Bug(format!("{key:?} is not an object's name"))) }
    }

    /// Writes the bytes durably under a temporary name beside `path`. The name is never used again: a file that a killed
    /// process left may be a second name of a committed slot, and process ids recur (in containers, at once).
    fn write_temporary(&self, path: &Path, bytes: &[u8]) -> std::io::Result<PathBuf> {
        let folder = path.parent().unwrap_or(&self.root);
        let temporary = folder.join(format!("{TEMPORARY}{}", Uuid::new_v4().simple()));
        let mut file = create_file(&temporary)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        if let Err(error) = written {
            let _ = fs::remove_file(&temporary); // the first error is the one to report
            return Err(error);
        }
        Ok(temporary)
    }

    fn sync_folder(path: &Path) -> std::io::Result<()> {
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }

    /// The names of files below a folder, the temporary ones or all others.
    fn walk(folder: &Path, root: &Path, temporary: bool, found: &mut Vec<String>) -> std::io::Result<()> {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                Self::walk(&path, root, temporary, found)?;
            } else if entry.file_name().to_string_lossy().starts_with(TEMPORARY) == temporary
                && let Ok(key) = path.strip_prefix(root)
            {
                found.push(key.to_string_lossy().into_owned());
            }
        }
        Ok(())
    }
}

/// A folder that cannot be created: the user chooses another one, or a later attempt may succeed.
fn unmade(name: &str, error: &std::io::Error) -> LakeError {
    let hint = match error.kind() {
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
            "a file is in its place or on the path to it: name another folder with `--warehouse`"
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "name a folder with `--warehouse` that this user may write to"
        }
        ErrorKind::NotFound | ErrorKind::InvalidInput | ErrorKind::InvalidFilename => {
            "name a folder with `--warehouse` that can be created"
        }
        _ => return LakeError::io("create the folder", name, false, error),
    };
    LakeError::fix(format!("the warehouse folder {name:?} cannot be created: {error}"), hint)
}

/// Creates or empties a file, and creates its folder if there is none.
fn create_file(path: &Path) -> std::io::Result<File> {
    match File::create(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            File::create(path)
        }
        other => other,
    }
}

#[async_trait]
impl Store for FolderStore {
    async fn get(&self, key: &str) -> Result<Bytes, LakeError> {
        self.off(key, |store, key| {
            fs::read(store.path(key)?).map(Bytes::from).map_err(|error| LakeError::io("read", key, false, &error))
        })
        .await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, LakeError> {
        let read = move |path: PathBuf| {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(range.start))?;
            let mut bytes = vec![0; range.end.saturating_sub(range.start) as usize];
            file.read_exact(&mut bytes)?;
            Ok(Bytes::from(bytes))
        };
        self.off(key, move |store, key| {
            read(store.path(key)?).map_err(|error| LakeError::io("read", key, false, &error))
        })
        .await
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), LakeError> {
        self.off(key, move |store, key| {
            let path = store.path(key)?;
            // under its own name at once: nothing refers to the file before this returns, and with one sync instead of two a
            // commit of many tables is twice as fast
            let write = || {
                let mut file = create_file(&path)?;
                file.write_all(&bytes)?;
                file.sync_all()
            };
            write().map_err(|error| LakeError::io("write", key, false, &error))
        })
        .await
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Result<Created, LakeError> {
        self.off(key, move |store, key| {
            let path = store.path(key)?;
            let failed = |error| LakeError::io("create", key, false, &error);
            let temporary = store.write_temporary(&path, &bytes).map_err(failed)?;
            let linked = fs::hard_link(&temporary, &path);
            let _ = fs::remove_file(&temporary); // a leftover is neither listed nor read
            match linked {
                Ok(()) => {
                    Self::sync_folder(&path).map_err(|error| LakeError::io("create", key, true, &error))?;
                    Ok(Created::Won)
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Created::Exists),
                Err(error) => Err(failed(error)),
            }
        })
        .await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, LakeError> {
        self.off(prefix, |store, prefix| {
            // the deepest folder that contains every match
            let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
            let start = if folder.is_empty() { store.root.clone() } else { store.path(folder)? };
            let mut found = Vec::new();
            Self::walk(&start, &store.root, false, &mut found)
                .map_err(|error| LakeError::io("list", prefix, false, &error))?;
            found.retain(|key| key.starts_with(prefix));
            found.sort_unstable();
            Ok(found)
        })
        .await
    }

    async fn delete(&self, key: &str) -> Result<(), LakeError> {
        self.off(key, |store, key| {
            let path = store.path(key)?;
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(LakeError::io("delete", key, true, &error));
                }
                _ => {}
            }
            // an epoch's own folder is empty then, and every listing would walk it; a folder that is not empty stays
            if key.starts_with(CHANGES)
                && let Some(folder) = path.parent()
            {
                let _ = fs::remove_dir(folder);
            }
            Ok(())
        })
        .await
    }

    async fn size(&self, key: &str) -> Result<Option<u64>, LakeError> {
        self.off(key, |store, key| match fs::metadata(store.path(key)?) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(LakeError::io("read", key, false, &error)),
        })
        .await
    }

    async fn leftovers(&self) -> Result<Vec<String>, LakeError> {
        self.off("", |store, _| {
            let mut found = Vec::new();
            Self::walk(&store.root, &store.root, true, &mut found)
                .map_err(|error| LakeError::io("list", TEMPORARY, false, &error))?;
            // a file whose age cannot be read is gone already
            let age = |key: &String| fs::metadata(store.root.join(key)).ok()?.modified().ok()?.elapsed().ok();
            found.retain(|key| age(key).is_some_and(|age| age > UNFINISHED));
            found.sort_unstable();
            Ok(found)
        })
        .await
    }

    fn location(&self, key: &str) -> String {
        let root = self.root.display();
        if key.is_empty() { format!("file://{root}") } else { format!("file://{root}/{key}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn of_many_racing_creates_of_a_name_one_wins_and_its_bytes_stay() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Arc::new(FolderStore::open(folder.path()).expect("a store"));
        for round in 0..20 {
            let key = format!("log/{round}.json");
            let racers: Vec<_> = (0..8u8)
                .map(|racer| {
                    let (store, key) = (store.clone(), key.clone());
                    tokio::spawn(async move { (racer, store.create(&key, Bytes::from(vec![racer; 1000])).await) })
                })
                .collect();
            let mut winners = Vec::new();
            for racer in racers {
                let (number, created) = racer.await.expect("no panic");
                if created.expect("no error") == Created::Won {
                    winners.push(number);
                }
            }
            assert_eq!(winners.len(), 1);
            let bytes = store.get(&key).await.expect("created");
            assert_eq!(bytes, Bytes::from(vec![winners[0]; 1000]));
        }
        assert_eq!(store.list("log/").await.expect("a listing").len(), 20, "no temporary name is listed");
    }

    #[tokio::test]
    async fn what_a_killed_process_of_the_same_id_left_half_done_is_never_written_to() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let committed = Bytes::from_static(b"committed");
        FolderStore::open(folder.path()).expect("a store").create("log/0", committed.clone()).await.expect("created");
        // killed between link(2) and the removal of the temporary name
        for number in 0..8 {
            let left = folder.path().join(format!("log/{TEMPORARY}{}-{number}", std::process::id()));
            fs::hard_link(folder.path().join("log/0"), left).expect("a second name");
        }
        // two containers that share the folder, each with this process's id
        let stores = [(); 2].map(|()| FolderStore::open(folder.path()).expect("a store"));
        for round in 1..20 {
            let key = format!("log/{round}");
            let create = async |store: &FolderStore, by: u8| store.create(&key, Bytes::from(vec![by; 4_000])).await;
            let (one, two) = tokio::join!(create(&stores[0], 1), create(&stores[1], 2));
            let winner = match (one.expect("no error"), two.expect("no error")) {
                (Created::Won, Created::Exists) => 1,
                (Created::Exists, Created::Won) => 2,
                both => panic!("{key}: {both:?}"),
            };
            assert_eq!(stores[0].get(&key).await.expect("created"), Bytes::from(vec![winner; 4_000]), "{key}");
        }
        assert_eq!(stores[0].get("log/0").await.expect("still there"), committed);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_for_its_user_to_choose_again() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("file");
        fs::write(&file, "").expect("written");
        for place in [file.clone(), file.join("below"), "/proc/no/such".into(), folder.path().join("x".repeat(300))] {
            let error = FolderStore::open(&place).expect_err("no folder");
            assert!(matches!(&error, LakeError::Fix { hint, .. } if hint.contains("--warehouse")), "{error}");
        }
        let full = unmade("x", &ErrorKind::StorageFull.into());
        assert!(matches!(full, LakeError::Store { full: true, .. }), "{full}");
    }

    #[tokio::test]
    async fn a_name_cannot_leave_the_folder() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = FolderStore::open(folder.path()).expect("a store");
        for key in ["../x", "a/../../x", "/etc/passwd", "a//b", ""] {
            assert!(store.put(key, Bytes::new()).await.is_err(), "{key}");
        }
    }

    #[tokio::test]
    async fn what_a_killed_process_left_half_written_is_told_a_minute_later_and_can_be_deleted() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = FolderStore::open(folder.path()).expect("a store");
        store.create("log/1.json", Bytes::from_static(b"1")).await.expect("created");
        let left = store.write_temporary(&folder.path().join("log/2.json"), b"2").expect("written");
        assert!(store.leftovers().await.expect("listed").is_empty(), "its write may be under way");
        let before = std::time::SystemTime::now() - 2 * UNFINISHED;
        File::options().append(true).open(&left).and_then(|file| file.set_modified(before)).expect("aged");
        let leftovers = store.leftovers().await.expect("listed");
        assert!(leftovers.len() == 1 && leftovers[0].starts_with("log/.tmp-"), "{leftovers:?}");
        assert_eq!(store.list("log/").await.expect("listed"), ["log/1.json"], "it is no object");
        store.delete(&leftovers[0]).await.expect("deleted");
        assert!(!left.exists() && store.leftovers().await.expect("listed").is_empty());
        // the process that was about to give it its name writes nothing
        assert!(fs::hard_link(&left, folder.path().join("log/2.json")).is_err());
    }

    #[tokio::test]
    async fn an_address_leads_back_to_its_name() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = FolderStore::open(folder.path()).expect("a store");
        store.put("a/b.txt", Bytes::from_static(b"hello")).await.expect("written");
        assert_eq!(store.key(&store.location("a/b.txt")).as_deref(), Some("a/b.txt"));
        assert_eq!(store.key("file:///elsewhere/b.txt"), None);
        assert_eq!(
            store.key(&format!("{}-other/b.txt", store.location(""))),
            None,
            "a neighbour whose name begins like this one's"
        );
        assert_eq!(store.get_range("a/b.txt", 1..3).await.expect("read"), Bytes::from_static(b"el"));
        assert_eq!(store.size("a/b.txt").await.expect("size"), Some(5));
        store.delete("a/b.txt").await.expect("deleted");
        store.delete("a/b.txt").await.expect("deleting twice is no error");
        assert_eq!(store.size("a/b.txt").await.expect("size"), None);
    }
}
