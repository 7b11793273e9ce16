//! The indicators that a dataflow names, built.
//!
//! Why one composite an interval: the indicators of an interval share one state and one pass over its bars. What must hold:
//! their outputs are in the order of the file, as are the columns of the interval's table.

use crate::Dataflow;
use std::collections::BTreeMap;
use ticktide_base::error::Error;
use ticktide_base::time::Interval;
use ticktide_flow::indicators::{self, Composite};

/// The indicators of a dataflow, by interval, in the order of the file.
pub fn composites(dataflow: &Dataflow) -> Result<BTreeMap<Interval, Composite>, Error> {
    let mut built: BTreeMap<Interval, Vec<Box<dyn indicators::Indicator>>> = BTreeMap::new();
    for usage in &dataflow.indicators {
        let indicator = indicators::build(&usage.name, &usage.parameters)
            .map_err(|error| Error::fix(error.message.clone(), error.hint.clone()))?;
        built.entry(usage.on).or_default().push(indicator);
    }
    let composed = built.into_iter().map(|(interval, all)| {
        let composite = Composite::new(all).map_err(|error| Error::fix(error.message.clone(), error.hint.clone()))?;
        Ok((interval, composite))
    });
    composed.collect()
}
