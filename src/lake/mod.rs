//! STAGE 3: closed epochs → Parquet → one atomic commit → Iceberg.

pub mod catalog;
pub mod commit;
pub mod epoch;
pub mod error;
pub mod files;
pub mod iceberg;
pub mod index;
pub mod rewrite;
pub mod rows;
pub mod schema;
pub mod state;
pub mod storage;
pub mod store;
pub mod table;
pub mod writer;

pub use epoch::{EpochPart, Slot, TablePart};
pub use error::LakeError;
pub use files::RowBuffer;
pub use state::{StateEntry, StateRows};
pub use writer::{LakeWriter, TableRows};
