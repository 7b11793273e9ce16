//! The version of this code, as the log records it and as the processes of a run compare it.

/// The version of this code as binaries carry it, after a mark, so that a file's version can be found
/// (`strings ticktide | grep 'ticktide code version'`).
const CODE_VERSION: &str = concat!("ticktide code version ", env!("CARGO_PKG_VERSION"), ";");

/// The version that all processes of a run must share, and that the log records.
pub fn code_version() -> String {
    // the mark must be in the binary as a whole, not folded into what is derived from it
    let marked = std::hint::black_box(CODE_VERSION);
    let version = marked.rsplit(' ').next().unwrap_or_default();
    version.trim_end_matches(';').to_owned()
}
