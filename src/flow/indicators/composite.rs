//! All indicators of one interval as one: a flat state, one step, all outputs.
//!
//! Why: one scan per interval instead of one per indicator walks the bars once, and one accumulator is copied, compared and
//! written with one move. What must always hold: no −0.0 and no other NaN than the canonical one leaves a step, so that
//! equal means equal bits.

use super::{BarInput, Indicator, NULL, SettingError};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeSet;

/// The doubles of a composite's state, compared by bits; serialised as integers, so that no format can lose one.
#[derive(Debug, Default)]
pub struct Accumulator(Box<[f64]>);

impl Accumulator {
    /// A fresh state of `width` doubles.
    pub fn fresh(width: usize) -> Accumulator {
        Accumulator(vec![0.0; width].into_boxed_slice())
    }

    pub fn doubles(&self) -> &[f64] {
        &self.0
    }

    /// Makes room for what was added at the end: as if it had seen no bar yet.
    pub fn widen(&mut self, width: usize) {
        if self.0.len() < width {
            let mut wider = std::mem::take(&mut self.0).into_vec();
            wider.resize(width, 0.0);
            self.0 = wider.into_boxed_slice();
        }
    }

    pub fn doubles_mut(&mut self) -> &mut [f64] {
        &mut self.0
    }
}

impl Clone for Accumulator {
    fn clone(&self) -> Accumulator {
        Accumulator(self.0.clone())
    }

    // Scans copy accumulators of one width back and forth: keep the allocation.
    fn clone_from(&mut self, source: &Accumulator) {
        if self.0.len() == source.0.len() {
            self.0.copy_from_slice(&source.0);
        } else {
            *self = source.clone();
        }
    }
}

impl PartialEq for Accumulator {
    fn eq(&self, other: &Accumulator) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(a, b)| a.to_bits() == b.to_bits())
    }
}

impl Eq for Accumulator {}

impl Serialize for Accumulator {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|double| double.to_bits()))
    }
}

impl<'de> Deserialize<'de> for Accumulator {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Accumulator, D::Error> {
        let bits = Vec::<u64>::deserialize(deserializer)?;
        Ok(Accumulator(bits.into_iter().map(f64::from_bits).collect()))
    }
}

/// The indicators of one interval.
pub struct Composite {
    indicators: Vec<Box<dyn Indicator>>,
    /// Per indicator: how many doubles of state, how many outputs.
    sizes: Vec<(usize, usize)>,
    outputs: Vec<String>,
    width: usize,
}

impl Composite {
    /// Puts indicators together; an error when two of them have an output of the same name.
    pub fn new(indicators: Vec<Box<dyn Indicator>>) -> Result<Composite, SettingError> {
        let mut seen = BTreeSet::new();
        let mut outputs = Vec::new();
        let mut sizes = Vec::new();
        for indicator in &indicators {
            let names = indicator.outputs();
            sizes.push((indicator.width(), names.len()));
            for name in names {
                if !seen.insert(name.clone()) {
                    return Err(SettingError::new(
                        format!("two indicators of one interval have the output {name:?}"),
                        "remove one of them or give it other parameters".to_string(),
                    ));
                }
                outputs.push(name);
            }
        }
        let width = sizes.iter().map(|(width, _)| width).sum();
        Ok(Composite { indicators, sizes, outputs, width })
    }

    /// The names of all outputs, in the order of [`Composite::step`].
    pub fn outputs(&self) -> &[String] {
        &self.outputs
    }

    /// The state before the first bar.
    pub fn fresh(&self) -> Accumulator {
        Accumulator::fresh(self.width)
    }

    /// How many doubles a state has.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Whether a state can be one of this composite's.
    pub fn fits(&self, state: &Accumulator) -> bool {
        state.0.len() == self.width
    }

    /// Takes the next bar: changes `state`, gives the bits of every output (NaN = null).
    pub fn step(&self, state: &mut Accumulator, bar: &BarInput) -> Vec<u64> {
        let mut values = vec![NULL; self.outputs.len()];
        let (mut state, mut out): (&mut [f64], &mut [f64]) = (&mut state.0, &mut values);
        for (indicator, (width, outputs)) in self.indicators.iter().zip(&self.sizes) {
            let (own, others) = state.split_at_mut(*width);
            let (said, silent) = out.split_at_mut(*outputs);
            indicator.step(own, bar, said);
            own.iter_mut().for_each(|double| *double = canonical(*double));
            (state, out) = (others, silent);
        }
        values.into_iter().map(|double| canonical(double).to_bits()).collect()
    }
}

/// The same number with one representation: no −0.0, one NaN.
pub fn canonical(double: f64) -> f64 {
    if double.is_nan() { NULL } else { double + 0.0 }
}
