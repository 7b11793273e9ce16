//! What an exchange's instrument master states about an instrument on a day.

use super::{Price, Quantity};
use serde::{Deserialize, Serialize};

/// One row of a master. A field that the master does not give is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Listing {
    /// What people call it: `RELIANCE`, `NIFTY26DEC24000CE`.
    pub symbol: Option<Box<str>>,
    /// equity, future, option, spread …
    pub kind: Option<Box<str>>,
    pub series: Option<Box<str>>,
    pub isin: Option<Box<str>>,
    pub description: Option<Box<str>>,
    /// Prices are multiples of it.
    pub tick_size: Option<Price>,
    /// The exchange accepts no order below …
    pub band_low: Option<Price>,
    /// … and none above.
    pub band_high: Option<Price>,
    /// The greatest quantity of one order.
    pub freeze_quantity: Option<Quantity>,
    pub lot_size: Option<Quantity>,
    pub underlying: Option<Box<str>>,
    /// Days since 1970.
    pub expiry: Option<i32>,
    pub strike: Option<Price>,
    /// CE or PE.
    pub option_type: Option<Box<str>>,
}
