//! The one file in an exchange's zip archive.
//!
//! Why our own reader: an archive of one deflated file is a directory of a few numbers around a stream that flate2 reads. What
//! must always hold: the bytes have the checksum that the archive has, and no archive causes an allocation of more than
//! [`BYTES_MOST`] or a panic.

use flate2::Crc;
use flate2::read::DeflateDecoder;
use std::io::Read;

/// A year of one instrument's minutes is 6 MB; a bigger file than this is not one of candles.
pub const BYTES_MOST: u64 = 1 << 30;
/// The start of an archive.
pub const MARK: &[u8] = b"PK\x03\x04";
/// The start of an entry of the directory, and of the directory's end.
const ENTRY: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const END_BYTES: usize = 22;
const ENTRY_BYTES: usize = 46;
const LOCAL_BYTES: usize = 30;

fn number(bytes: &[u8], at: usize, width: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(width)?)?;
    Some(bytes.iter().rev().fold(0, |sum, byte| (sum << 8) | usize::from(*byte)))
}

/// The bytes of the only file in an archive. Errors, in words: it is damaged, holds none or several, or is packed by another
/// method.
pub fn only_file(archive: &[u8]) -> Result<Vec<u8>, String> {
    let damaged = || "the zip archive is cut off or damaged".to_owned();
    let end = archive.windows(END.len()).rposition(|window| window == END).ok_or_else(damaged)?;
    if archive.len() < end + END_BYTES {
        return Err(damaged());
    }
    let files = number(archive, end + 10, 2).ok_or_else(damaged)?;
    if files != 1 {
        return Err(format!("the zip archive holds {files} files, not one"));
    }
    let entry = number(archive, end + 16, 4).ok_or_else(damaged)?;
    let field = |at: usize, width: usize| number(archive, entry + at, width).ok_or_else(damaged);
    if archive.get(entry..entry + ENTRY.len()) != Some(ENTRY) || archive.len() < entry + ENTRY_BYTES {
        return Err(damaged());
    }
    let (flags, method, checksum) = (field(8, 2)?, field(10, 2)?, field(16, 4)?);
    let (packed, plain, local) = (field(20, 4)?, field(24, 4)?, field(42, 4)?);
    if flags & 1 != 0 {
        return Err("the zip archive is encrypted".to_owned());
    }
    let names = |at: usize| number(archive, local + at, 2).ok_or_else(damaged);
    let start = local + LOCAL_BYTES + names(26)? + names(28)?;
    let data = start.checked_add(packed).and_then(|end| archive.get(start..end)).ok_or_else(damaged)?;
    if plain as u64 > BYTES_MOST {
        return Err(format!("the file in the zip archive is bigger than {} MiB", BYTES_MOST >> 20));
    }
    let bytes = match method {
        0 => data.to_vec(),
        8 => {
            let mut bytes = Vec::new();
            let read = DeflateDecoder::new(data).take(plain as u64 + 1).read_to_end(&mut bytes);
            read.map_err(|_| damaged())?;
            bytes
        }
        other => return Err(format!("the zip archive is packed by method {other}; only deflate can be read")),
    };
    let mut crc = Crc::new();
    crc.update(&bytes);
    if bytes.len() != plain || crc.sum() as usize != checksum {
        return Err(damaged());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::zip::write::SimpleFileOptions;
    use proptest::prelude::*;
    use std::io::{Cursor, Write};

    fn packed(files: &[(&str, &[u8])], method: ::zip::CompressionMethod) -> Vec<u8> {
        let mut writer = ::zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in files {
            writer.start_file(*name, SimpleFileOptions::default().compression_method(method)).expect("begun");
            writer.write_all(bytes).expect("written");
        }
        writer.finish().expect("whole").into_inner()
    }

    proptest! {
        #[test]
        fn what_another_library_packed_is_unpacked(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            for method in [::zip::CompressionMethod::Stored, ::zip::CompressionMethod::Deflated] {
                prop_assert_eq!(only_file(&packed(&[("a.csv", &bytes)], method)), Ok(bytes.clone()));
            }
        }

        #[test]
        fn no_damage_passes_for_the_file(at in 0usize..400, byte: u8, cut in 0usize..400) {
            let plain = b"SYMBOL,SERIES\nACC,EQ\n".repeat(9);
            let whole = packed(&[("a.csv", &plain)], ::zip::CompressionMethod::Deflated);
            let mut damaged = whole.clone();
            let at = at % damaged.len();
            damaged[at] = byte;
            if let Ok(bytes) = only_file(&damaged) {
                prop_assert_eq!(bytes, plain);
            }
            let _ = only_file(&whole[..cut.min(whole.len())]);
        }

        #[test]
        fn junk_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(only_file(&[MARK, &bytes].concat()).is_err());
        }
    }

    #[test]
    fn an_archive_of_several_files_is_refused_with_their_number() {
        let several = packed(&[("a", b"1"), ("b", b"2")], ::zip::CompressionMethod::Stored);
        assert_eq!(only_file(&several), Err("the zip archive holds 2 files, not one".to_owned()));
    }
}
