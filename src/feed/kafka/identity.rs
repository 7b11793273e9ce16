//! Which topic of which cluster a partition's offsets count.
//!
//! Why the cluster and the topic's id: a topic that is made anew, or copied to another cluster, has the same name, and other
//! records under the same offsets. What must always hold: what one side does not know cannot differ.

use super::errors::anew;
use crate::error::OtherSource;
use crate::{FeedError, Partition};

/// Which records the offsets of a topic count: the cluster's, the name's, those since the topic was made.
pub fn source_id(cluster: &str, topic: &str, id: Option<&str>) -> String {
    let id = id.map_or_else(String::new, |id| format!(":{id}"));
    format!("kafka:{cluster}/{topic}{id}")
}

/// The cluster and the topic's id of a [`source_id`]; empty: not known.
pub fn identity<'a>(source_id: &'a str, topic: &str) -> Option<(&'a str, &'a str)> {
    let (cluster, rest) = source_id.strip_prefix("kafka:")?.split_once('/')?;
    let id = rest.strip_prefix(topic)?;
    if id.is_empty() { Some((cluster, "")) } else { Some((cluster, id.strip_prefix(':')?)) }
}

/// Whether a partition is the one that the lake has read. What one side does not know cannot differ.
pub fn continues(partition: &Partition, recorded: &str) -> Result<(), FeedError> {
    let name = &partition.topic;
    let (Some(was), Some(is)) = (identity(recorded, name), identity(&partition.source_id, name)) else {
        return Err(OtherSource { partition, recorded, now: "Kafka" }.into());
    };
    let differ = |was: &str, is: &str| !was.is_empty() && !is.is_empty() && was != is;
    if differ(was.1, is.1) {
        return Err(anew(name, was.1, is.1));
    }
    // a copy of a topic in another cluster counts its offsets anew
    if differ(was.0, is.0) {
        return Err(FeedError::fix(
            format!("topic \"{name}\": the lake has read it from cluster {}, `--brokers` lead to {}", was.0, is.0),
            "name brokers of that cluster, or write to a new lake with another `--warehouse`",
        ));
    }
    Ok(())
}
