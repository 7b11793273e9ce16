//! The values of the market: the types that every stage of ticktide shares.
//!
//! Internal: programs use the crate `ticktide`; what is here may change with every version.
//!
//! ```text
//!   price       Price, Quantity: exact decimals at scale 10⁻⁸
//!   instrument  Instrument: venue and token, the routing key
//!   tick        Tick, Snapshot: one decoded record
//!   listing     Listing: a row of an exchange's instrument master
//!   conditions  what the codes beside a trade do to its bar
//!   calendar    Session: which instants belong to trading
//! ```
//!
//! Why integers: sums do not depend on order, and two runs agree to the last digit. Floats exist only inside indicators. What
//! must always hold: this crate does no I/O and reads no clock; it knows the ground (`base`) and no stage.

pub mod calendar;
pub mod conditions;
mod instrument;
mod listing;
mod price;
mod tick;

pub use instrument::{Instrument, InstrumentId, InstrumentName};
pub use listing::Listing;
pub use price::{LIMIT, NumberError, Price, Quantity, SCALE, decimal, decimal_wide};
pub use tick::{Snapshot, Tick, TickKind};
