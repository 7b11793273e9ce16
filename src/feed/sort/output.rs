//! The sorted file: written under another name in the same folder, and renamed when it is complete.
//!
//! What must always hold: under its final name there is either nothing or the complete file.

use super::unwritten;
use crate::FeedError;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

const BUFFER: usize = 1 << 20;

enum Packed {
    Plain(BufWriter<NamedTempFile>),
    Gz(GzEncoder<BufWriter<NamedTempFile>>),
    Zst(zstd::stream::write::Encoder<'static, BufWriter<NamedTempFile>>),
}

pub struct SortedFile {
    path: PathBuf,
    packed: Packed,
}

/// The folder of a file.
pub fn folder(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new(".")).to_path_buf()
}

impl SortedFile {
    /// Errors: the file exists, or cannot be created.
    pub fn create(path: &Path) -> Result<SortedFile, FeedError> {
        if path.exists() {
            return Err(exists(path));
        }
        let failed = |error: std::io::Error| unwritten(path, &error);
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let mut named = tempfile::Builder::new();
        let (before, after) = (format!(".{name}."), ".part");
        let file = named.prefix(&before).suffix(after).permissions(permissions()).tempfile_in(folder(path));
        let file = BufWriter::with_capacity(BUFFER, file.map_err(failed)?);
        let packed = match () {
            () if name.ends_with(".gz") => Packed::Gz(GzEncoder::new(file, Compression::default())),
            () if name.ends_with(".zst") => Packed::Zst(zstd::stream::write::Encoder::new(file, 0).map_err(failed)?),
            () => Packed::Plain(file),
        };
        Ok(SortedFile { path: path.to_path_buf(), packed })
    }

    /// Writes a line with its line end. Errors: it cannot be written.
    pub fn line(&mut self, line: &[u8]) -> Result<(), FeedError> {
        let written = match &mut self.packed {
            Packed::Plain(file) => file.write_all(line),
            Packed::Gz(file) => file.write_all(line),
            Packed::Zst(file) => file.write_all(line),
        };
        written.map_err(|error| unwritten(&self.path, &error))
    }

    /// Gives the complete file its name. Errors: it cannot be written, or another file has the name by now.
    pub fn keep(self) -> Result<(), FeedError> {
        let path = self.path;
        let failed = |error: std::io::Error| unwritten(&path, &error);
        let buffered = match self.packed {
            Packed::Plain(file) => file,
            Packed::Gz(file) => file.finish().map_err(failed)?,
            Packed::Zst(file) => file.finish().map_err(failed)?,
        };
        let file = buffered.into_inner().map_err(|error| failed(error.into_error()))?;
        file.as_file().sync_all().map_err(failed)?;
        match file.persist_noclobber(&path) {
            Ok(_) => Ok(()),
            Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => Err(exists(&path)),
            Err(error) => Err(failed(error.error)),
        }
    }
}

/// As for any new file: the system applies the umask of the process.
fn permissions() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o666)
}

fn exists(path: &Path) -> FeedError {
    FeedError::fix(
        format!("file {} already exists", path.display()),
        "give the output the name of a file that does not exist yet",
    )
}
