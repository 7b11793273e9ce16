//! A topic's identity: the cluster and the topic id to which a partition's offsets belong.
//!
//! Why the cluster and the topic's id: a topic that is recreated, or copied to another cluster, has the same name but other
//! records under the same offsets. What must always hold: a part that one side does not know never counts as different.

use super::errors::recreated;
use crate::error::OtherSource;
use crate::{FeedError, Partition};

/// The id of a partition's records: the cluster, the topic's name, and the id it got when it was created.
pub fn source_id(cluster: &str, topic: &str, id: Option<&str>) -> String {
    let id = id.map_or_else(String::new, |id| format!(":{id}"));
    format!("kafka:{cluster}/{topic}{id}")
}

/// The cluster and the topic's id in a [`source_id`]; empty: not known.
pub fn identity<'a>(source_id: &'a str, topic: &str) -> Option<(&'a str, &'a str)> {
    let (cluster, rest) = source_id.strip_prefix("kafka:")?.split_once('/')?;
    let id = rest.strip_prefix(topic)?;
    if id.is_empty() { Some((cluster, "")) } else { Some((cluster, id.strip_prefix(':')?)) }
}

/// Refuses a partition that is not the one that the lake has read. A part that one side does not know never differs.
pub fn continues(partition: &Partition, recorded: &str) -> Result<(), FeedError> {
    let name = &partition.topic;
    let (Some(was), Some(is)) = (identity(recorded, name), identity(&partition.source_id, name)) else {
        return Err(OtherSource { partition, recorded, now: "Kafka" }.into());
    };
    let differ = |was: &str, is: &str| !was.is_empty() && !is.is_empty() && was != is;
    if differ(was.1, is.1) {
        return Err(recreated(name, was.1, is.1));
    }
    // a copy of a topic in another cluster has other offsets
    if differ(was.0, is.0) {
        return Err(FeedError::fix(
            format!("topic \"{name}\": the lake has read it from cluster {}, `--brokers` lead to {}", was.0, is.0),
            "give brokers of that cluster, or write to a new lake with another `--warehouse`",
        ));
    }
    Ok(())
}
