//! A file's text: plain, `.gz`, `.zst` or the one file in a `.zip`, by its first bytes.

use super::{ReconcileError, zip};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// What some editors put at the start of a file.
const EDITORS_MARK: &str = "\u{feff}";
const GZIP: &[u8] = b"\x1f\x8b";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";

/// The text of a file; bytes that are not UTF-8 become marks, which matter only in names. Errors: it cannot be read, or not
/// unpacked.
pub fn text(path: &Path) -> Result<String, ReconcileError> {
    let hint = "check the path and its permissions";
    let unreadable = |error: std::io::Error| ReconcileError::file(path, format!("cannot be read: {error}"), hint);
    let file = File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.is_dir() {
        return Err(ReconcileError::file(path, "is a folder", "name the files in it, e.g. with a shell pattern"));
    }
    let bytes = bounded(path, file).map_err(|failed| failed.tell(unreadable))?;
    let broken = |message: String| {
        ReconcileError::file(path, message, "fetch it again, or give the unpacked file with one bhavcopy or answer")
    };
    let damaged = |error: std::io::Error| broken(format!("cannot be unpacked: {error}"));
    let bytes = if bytes.starts_with(zip::MARK) {
        zip::only_file(&bytes).map_err(broken)?
    } else if bytes.starts_with(GZIP) {
        bounded(path, MultiGzDecoder::new(bytes.as_slice())).map_err(|failed| failed.tell(damaged))?
    } else if bytes.starts_with(ZSTD) {
        let decoder = zstd::stream::read::Decoder::new(bytes.as_slice()).map_err(damaged)?;
        bounded(path, decoder).map_err(|failed| failed.tell(damaged))?
    } else {
        bytes
    };
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.strip_prefix(EDITORS_MARK).unwrap_or(&text).to_owned())
}

/// Either an error to report as it is, or an error of the reader to be described.
enum Failed {
    TooBig(ReconcileError),
    Read(std::io::Error),
}

impl Failed {
    fn tell(self, tell: impl Fn(std::io::Error) -> ReconcileError) -> ReconcileError {
        match self {
            Failed::TooBig(error) => error,
            Failed::Read(error) => tell(error),
        }
    }
}

fn bounded(path: &Path, input: impl Read) -> Result<Vec<u8>, Failed> {
    let mut bytes = Vec::new();
    let read = input.take(zip::BYTES_MOST + 1).read_to_end(&mut bytes).map_err(Failed::Read)?;
    if read as u64 > zip::BYTES_MOST {
        let message = format!("is bigger than {} MiB", zip::BYTES_MOST >> 20);
        return Err(Failed::TooBig(ReconcileError::file(path, message, "split it into parts")));
    }
    Ok(bytes)
}
