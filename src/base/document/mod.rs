//! A settings document: TOML with the flags on top of it, read key by key, every problem with its place.
//!
//! ```text
//!   file ──TOML──▶ Table ◀──put── flags, environment, --set          Keys ──text, duration, list …──▶ values
//!                    └──────────── one tree; each value keeps its place ──▶ ┘└──▶ Problems (all of them, sorted)
//! ```
//!
//! Why not serde: it stops at the first error, and the place of a value is lost once flags are laid over the file. What must
//! always hold: reading never stops at a problem, an unknown key is a problem, and each problem names its place.

mod keys;
mod parse;
mod problem;
#[cfg(test)]
mod tests;
mod tree;
mod units;

pub use keys::Keys;
pub use parse::{parse, parse_set};
pub use problem::{Location, Problem, Problems, looks_secret};
pub use tree::{LocatedValue, Table, TomlValue};
pub use units::{bytes, duration, duration_text};
