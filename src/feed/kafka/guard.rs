//! Checks that the topics are still those that were opened: the same ids, the same partitions.
//!
//! ```text
//!   every few seconds, a thread   ─┐
//!   a partition answers "unknown" ─┼─▶ Guard ──▶ deleted, recreated: stop · more partitions: begin a new generation
//!   before an epoch is decided    ─┘
//! ```
//!
//! Why before each decision: when a topic is deleted and recreated between two checks, librdkafka reads on as if nothing had
//! happened. Ids are never used again, so an id that is unchanged after the last record of an epoch was fetched proves that
//! the whole epoch is from that topic. Why new partitions end the run: a partition without a reader has unread records, which
//! must hold back `closed_until`; the next generation assigns all of them again. What must always hold: a missing answer is
//! not a change.

use super::client::KafkaClient;
use super::errors::recreated;
use super::topics::{Topic, describe};
use crate::FeedError;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// The time between two checks of the thread.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// How long the brokers may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// A broker that has just started may not know a topic yet: this many answers in a row must report a change …
const ANSWERS_NEEDED: usize = 3;
/// … with this time between them.
const ANSWERS_APART: Duration = Duration::from_millis(500);

/// The topics that were opened, and the client that checks them.
pub struct Guard {
    client: KafkaClient,
    topics: BTreeMap<String, Topic>,
    /// A run with `until_end` knows its ends already: it does not read partitions that are added later.
    until_end: bool,
    /// The change that the thread has found.
    found: Mutex<Option<FeedError>>,
}

/// How a topic has changed.
#[derive(Debug, PartialEq, Eq)]
enum News {
    Deleted(String),
    Recreated { topic: String, was: String, is: String },
    Grown { topic: String, was: usize, is: usize },
}

/// The change that ends a run; of several the worst.
fn news(opened: &BTreeMap<String, Topic>, now: &BTreeMap<String, Topic>) -> Option<News> {
    let gone = opened.keys().find(|name| !now.contains_key(*name)).map(|name| News::Deleted(name.clone()));
    let both = || opened.iter().filter_map(|(name, was)| now.get(name).map(|is| (name, was, is)));
    let recreated = both().find_map(|(topic, was, is)| match (&was.id, &is.id) {
        (Some(was), Some(is)) if was != is => {
            Some(News::Recreated { topic: topic.clone(), was: was.clone(), is: is.clone() })
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
    recreated.or(gone).or_else(grown)
}

impl News {
    fn error(self) -> FeedError {
        match self {
            News::Deleted(topic) => FeedError::fix(
                format!("topic \"{topic}\" was deleted while it was read"),
                "the epochs decided before are in the lake; read another topic into a new lake",
            ),
            News::Recreated { topic, was, is } => recreated(&topic, &was, &is),
            News::Grown { topic, was, is } => FeedError::changed(
                format!("topic \"{topic}\" has {is} partitions now, this run reads {was} of them"),
                "start the run again: it then reads all of them; with `--supervise` or `-n` it restarts by itself",
            ),
        }
    }
}

impl Guard {
    pub fn new(client: KafkaClient, topics: BTreeMap<String, Topic>, until_end: bool) -> Guard {
        Guard { client, topics, until_end, found: Mutex::new(None) }
    }

    /// Checks now; a change counts only when several answers in a row report it.
    fn check(&self) -> Option<News> {
        // serves the log lines and errors of a client that reads nothing
        while self.client.consumer.poll(Duration::ZERO).is_some() {}
        let names: Vec<String> = self.topics.keys().cloned().collect();
        let mut found = None;
        for time in 0..ANSWERS_NEEDED {
            if time > 0 {
                std::thread::sleep(ANSWERS_APART);
            }
            match describe(&self.client, &names, ANSWER_WITHIN) {
                Ok(now) => found = Some(news(&self.topics, &now)?),
                Err(why) => {
                    tracing::debug!(why, "the ids of the topics cannot be read just now");
                    return None;
                }
            }
        }
        found
    }

    /// Checks that all records fetched so far are from the topics that were opened. Error: a topic was deleted or recreated.
    pub fn confirm(&self) -> Result<(), FeedError> {
        match self.check() {
            None | Some(News::Grown { .. }) => Ok(()),
            Some(news) => Err(news.error()),
        }
    }

    /// The change that the thread has found, once.
    pub fn found(&self) -> Option<FeedError> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Starts a thread that checks now and then until the guard is dropped.
    pub fn watch(self: &Arc<Guard>) {
        let guard = Arc::downgrade(self);
        let watched = std::thread::Builder::new().name("topics".into()).spawn(move || watch(&guard));
        if let Err(error) = watched {
            tracing::warn!(
                %error,
                "the thread that checks the topics cannot be started: they are checked before each epoch only"
            );
        }
    }
}

fn watch(guard: &Weak<Guard>) {
    loop {
        std::thread::sleep(CHECK_EVERY);
        let Some(guard) = guard.upgrade() else { return };
        let Some(news) = guard.check() else { continue };
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
        let recreated = topics(&[("a", Some("A"), 3), ("b", Some("X"), 5)]);
        assert_eq!(
            news(&opened, &recreated),
            Some(News::Recreated { topic: "b".into(), was: "B".into(), is: "X".into() })
        );
        // brokers without ids, and brokers that have just introduced them
        let old = topics(&[("a", None, 2), ("b", None, 1)]);
        assert_eq!((news(&old, &opened), news(&opened, &old)), (None, None));
    }

    #[test]
    fn only_new_partitions_may_pass_with_a_new_start() {
        let kind = |news: News| news.error().kind();
        assert_eq!(kind(News::Grown { topic: "a".into(), was: 1, is: 2 }), Kind::Retry);
        assert_eq!(kind(News::Deleted("a".into())), Kind::Fix);
        assert_eq!(kind(News::Recreated { topic: "a".into(), was: "x".into(), is: "y".into() }), Kind::Fix);
    }
}
