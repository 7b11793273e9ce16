//! Whether the topics are still those that were opened: the same ids, the same partitions.
//!
//! ```text
//!   every few seconds, a thread  ─┐
//!   a partition says "unknown"   ─┼─▶ Guard ──▶ deleted, made anew: stop · more partitions: begin a new generation
//!   before an epoch is decided   ─┘
//! ```
//!
//! Why before each decision: a topic that is deleted and made anew between two looks is read on by librdkafka as if nothing
//! had happened. Ids never come back, so one that is the same after the last record of an epoch was fetched proves that all
//! of it is of that topic. Why new partitions end the run: one that nobody reads has unread records, which must brake
//! `closed_until`; the next generation assigns all of them anew. What must always hold: no answer is no news.

use super::client::Client;
use super::errors::anew;
use super::topics::{Topic, describe};
use crate::FeedError;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// Between two looks of the thread.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long the brokers have to answer it.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// A broker that has just come up may not know a topic yet: so many must say so, one after the other …
const TOLD_TIMES: usize = 3;
/// … with this between them.
const TOLD_APART: Duration = Duration::from_millis(500);

/// What was opened, and who is asked about it.
pub struct Guard {
    client: Client,
    topics: BTreeMap<String, Topic>,
    /// A run until the end has seen its end already: partitions that come later are not its own.
    until_end: bool,
    /// What the thread has found.
    found: Mutex<Option<FeedError>>,
}

/// What has become of a topic.
#[derive(Debug, PartialEq, Eq)]
enum News {
    Deleted(String),
    Anew { topic: String, was: String, is: String },
    Grown { topic: String, was: usize, is: usize },
}

/// The first news that ends a run; of several the worst.
fn news(opened: &BTreeMap<String, Topic>, now: &BTreeMap<String, Topic>) -> Option<News> {
    let gone = opened.keys().find(|name| !now.contains_key(*name)).map(|name| News::Deleted(name.clone()));
    let both = || opened.iter().filter_map(|(name, was)| now.get(name).map(|is| (name, was, is)));
    let anew = both().find_map(|(topic, was, is)| match (&was.id, &is.id) {
        (Some(was), Some(is)) if was != is => {
            Some(News::Anew { topic: topic.clone(), was: was.clone(), is: is.clone() })
        }
        _ => None,
    });
    let grown = || {
        both().find(|(_, was, is)| is.partitions > was.partitions).map(|(topic, was, is)| News::Grown {
            topic: topic.clone(),
            was: was.partitions,
            is: is.partitions,
        })
    };
    anew.or(gone).or_else(grown)
}

impl News {
    fn error(self) -> FeedError {
        match self {
            News::Deleted(topic) => FeedError::fix(
                format!("topic \"{topic}\" was deleted while it was read"),
                "what was decided before is in the lake; read another topic into a new lake",
            ),
            News::Anew { topic, was, is } => anew(&topic, &was, &is),
            News::Grown { topic, was, is } => FeedError::changed(
                format!("topic \"{topic}\" has {is} partitions now, this run reads {was} of them"),
                "start it again and it reads them all, as `--supervise` and `-n` do by themselves",
            ),
        }
    }
}

impl Guard {
    pub fn new(client: Client, topics: BTreeMap<String, Topic>, until_end: bool) -> Guard {
        Guard { client, topics, until_end, found: Mutex::new(None) }
    }

    /// Asks now; trouble is asked about again before it is believed.
    fn look(&self) -> Option<News> {
        // log lines and complaints of a client that reads nothing wait here
        while self.client.consumer.poll(Duration::ZERO).is_some() {}
        let names: Vec<String> = self.topics.keys().cloned().collect();
        let mut told = None;
        for time in 0..TOLD_TIMES {
            if time > 0 {
                std::thread::sleep(TOLD_APART);
            }
            match describe(&self.client, &names, ANSWER_WITHIN) {
                Ok(now) => told = Some(news(&self.topics, &now)?),
                Err(why) => {
                    tracing::debug!(why, "the topics' ids cannot be asked for just now");
                    return None;
                }
            }
        }
        told
    }

    /// Whether all that was fetched so far is of the topics that were opened. Error: deleted or made anew.
    pub fn confirm(&self) -> Result<(), FeedError> {
        match self.look() {
            None | Some(News::Grown { .. }) => Ok(()),
            Some(news) => Err(news.error()),
        }
    }

    /// What the thread has found, once.
    pub fn found(&self) -> Option<FeedError> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Looks now and then until the guard is gone.
    pub fn watch(self: &Arc<Guard>) {
        let guard = Arc::downgrade(self);
        let watched = std::thread::Builder::new().name("topics".into()).spawn(move || watch(&guard));
        if let Err(error) = watched {
            tracing::warn!(%error, "no thread to watch the topics: they are looked at before each epoch only");
        }
    }
}

fn watch(guard: &Weak<Guard>) {
    loop {
        std::thread::sleep(LOOK_EVERY);
        let Some(guard) = guard.upgrade() else { return };
        let Some(news) = guard.look() else { continue };
        if guard.until_end && matches!(news, News::Grown { .. }) {
            continue;
        }
        *guard.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(news.error());
        return;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ticktide_base::error::{Classified, Kind};

    fn topics(all: &[(&str, Option<&str>, usize)]) -> BTreeMap<String, Topic> {
        let topic =
            |id: &Option<&str>, partitions: &usize| Topic { id: id.map(str::to_owned), partitions: *partitions };
        all.iter().map(|(name, id, partitions)| ((*name).to_owned(), topic(id, partitions))).collect()
    }

    #[test]
    fn each_change_of_a_topic_is_told_by_its_name_and_the_worst_first() {
        let opened = topics(&[("a", Some("A"), 2), ("b", Some("B"), 1)]);
        assert_eq!(news(&opened, &opened), None);
        let grown = topics(&[("a", Some("A"), 3), ("b", Some("B"), 1)]);
        assert_eq!(news(&opened, &grown), Some(News::Grown { topic: "a".into(), was: 2, is: 3 }));
        let gone = topics(&[("a", Some("A"), 3)]);
        assert_eq!(news(&opened, &gone), Some(News::Deleted("b".into())));
        let anew = topics(&[("a", Some("A"), 3), ("b", Some("X"), 5)]);
        assert_eq!(news(&opened, &anew), Some(News::Anew { topic: "b".into(), was: "B".into(), is: "X".into() }));
        // brokers without ids, and those that have just learnt them
        let old = topics(&[("a", None, 2), ("b", None, 1)]);
        assert_eq!((news(&old, &opened), news(&opened, &old)), (None, None));
    }

    #[test]
    fn only_new_partitions_may_pass_with_a_new_start() {
        let kind = |news: News| news.error().kind();
        assert_eq!(kind(News::Grown { topic: "a".into(), was: 1, is: 2 }), Kind::Retry);
        assert_eq!(kind(News::Deleted("a".into())), Kind::Fix);
        assert_eq!(kind(News::Anew { topic: "a".into(), was: "x".into(), is: "y".into() }), Kind::Fix);
    }
}
