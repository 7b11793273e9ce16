//! One record of the synthetic market, and its line of wire json.

use super::LabelKind;
use super::market::Market;
use ticktide_base::time::{MICRO, Nanos};
use ticktide_market::{Price, SCALE};

/// The least price step, 0.05.
const STEP: i64 = SCALE / 20;

/// What a record does: it reports a trade, cancels one or corrects one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RecordKind {
    Trade,
    Cancel,
    Correct,
}

/// One record; ordered by arrival, then by the order in which records were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MarketRecord {
    pub arrives_at: Nanos,
    pub(super) number: u64,
    pub(super) what: RecordKind,
    pub instrument: u32,
    pub exchange_at: Nanos,
    pub(super) sequence: u64,
    /// In steps.
    pub(super) price: i64,
    pub(super) quantity: u64,
    /// The id of the trade that a cancel or correction names, or will name.
    pub(super) id: Option<u64>,
    pub(super) bad: bool,
    pub(super) late: bool,
    pub(super) cancelled: bool,
}

impl MarketRecord {
    pub fn price(&self) -> Price {
        Price(self.price * STEP)
    }

    pub fn id(&self) -> Option<String> {
        self.id.map(|id| format!("T{id}"))
    }

    pub fn labels(&self) -> impl Iterator<Item = LabelKind> {
        let kinds =
            [(self.bad, LabelKind::BadPrint), (self.late, LabelKind::Late), (self.cancelled, LabelKind::Cancelled)];
        kinds.into_iter().filter(|(is, _)| *is).map(|(_, kind)| kind)
    }

    /// Writes the record as a line of wire json, without a line end.
    pub fn write(&self, market: &Market, out: &mut Vec<u8>) {
        out.extend_from_slice(&market.symbols[self.instrument as usize].head);
        push(out, (self.exchange_at / MICRO) as u64);
        match self.what {
            RecordKind::Trade => {
                out.extend_from_slice(b",\"sequence\":");
                push(out, self.sequence);
            }
            RecordKind::Cancel => out.extend_from_slice(b",\"type\":\"cancel\""),
            RecordKind::Correct => out.extend_from_slice(b",\"type\":\"correct\""),
        }
        if self.what != RecordKind::Cancel {
            out.extend_from_slice(b",\"price\":");
            let cents = self.price as u64 * 5;
            push(out, cents / 100);
            out.extend_from_slice(&[b'.', b'0' + (cents / 10 % 10) as u8, b'0' + (cents % 10) as u8]);
            out.extend_from_slice(b",\"quantity\":");
            push(out, self.quantity);
        }
        if let Some(id) = self.id {
            out.extend_from_slice(b",\"id\":\"T");
            push(out, id);
            out.push(b'"');
        }
        out.push(b'}');
    }
}

fn push(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}
