//! The close operator: holds rows back until their bar is published, and gives one net change per key and epoch.
//!
//! Why the binding closes and not the frontier: what is published is a function of bindings, whatever the timing. What must
//! always hold: a change of an epoch is published with that epoch's binding or a later one, never with an earlier one.

use crate::graph::parts::{Rows, Vecs, complete};
use crate::graph::resumed::Resumed;
use crate::graph::rows::{Notice, SinkRow};
use differential_dataflow::VecCollection;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use ticktide_base::epoch::{Binding, LAST_STEP, epoch_of, stamp, step_of};
use ticktide_flow::bars::finished::Series;
use ticktide_flow::close::{AtBar, Close, RowChange};
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::operator::Operator;

/// The close operator: holds rows back until their bar is published, and gives one net change per key and epoch.
pub fn close<'scope, R: AtBar + Serialize>(
    name: &str,
    changes: VecCollection<'scope, u64, (Series, R), isize>,
    notices: Stream<'scope, u64, Vec<Notice>>,
    resumed: &Resumed,
    row: impl Fn(RowChange<R>) -> SinkRow + 'static,
) -> Rows<'scope> {
    let mut closing = Close::new(resumed.session.clone(), resumed.binding.clone());
    let restoring = stamp(resumed.first, 0);
    changes.inner.binary_frontier::<_, Vecs<SinkRow>, _, _, _, _>(notices, Pipeline, Pipeline, name, move |_, _| {
        let mut bindings: BTreeMap<u64, (Capability<u64>, Arc<Binding>)> = BTreeMap::new();
        move |(input, input_frontier), (notices, notices_frontier), output| {
            input.for_each(|_, data| {
                for ((series, row), time, diff) in data.drain(..) {
                    if time <= restoring {
                        closing.restore(series, row, diff);
                    } else if step_of(time) != LAST_STEP {
                        // under an epoch's last step only retirements come, which publish nothing
                        closing.change(epoch_of(time), series, row, diff);
                    }
                }
            });
            notices.for_each(|cap, data| {
                for notice in data.drain(..) {
                    if let (Notice::Bind(binding), Some(cap)) = (notice, cap.retain_least(0)) {
                        bindings.insert(*cap.time(), (cap, binding));
                    }
                }
            });
            while let Some(entry) = bindings.first_entry() {
                if !(complete(input_frontier, *entry.key()) && complete(notices_frontier, *entry.key())) {
                    break;
                }
                let (cap, binding) = entry.remove();
                output.session(&cap).give_iterator(closing.close(&binding).into_iter().map(&row));
            }
        }
    })
}
