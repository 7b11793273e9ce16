//! What goes wrong with Kafka, in words, with what to do about it.
//!
//! Why in one place: the source, its readers and the guard meet the same troubles. What must always hold: no secret of
//! `source.kafka` stands in a message.

use crate::{FeedError, Partition};
use rdkafka::error::KafkaError;
use ticktide_base::error::nearest;

/// Nobody answered: the brokers' own words tell why.
pub fn no_answer(brokers: &str, why: &str) -> FeedError {
    FeedError::unanswered(format!("no broker at {brokers} answers: {why}"), unanswered(why))
}

/// A topic that the cluster does not have, or does not show to this user.
pub fn missing<'a>(topic: &str, there: impl Iterator<Item = &'a str>) -> FeedError {
    let there: Vec<&str> = there.filter(|name| !name.starts_with("__")).collect();
    let hint = match (nearest(topic, &there), there.len()) {
        (_, 0) => "the cluster has no topics that this user may see; create the topic first".into(),
        (Some(name), _) => format!("did you mean \"{name}\"? there are: {}", listed(&there)),
        (None, _) => format!("there are: {}", listed(&there)),
    };
    FeedError::fix(format!("topic \"{topic}\" does not exist"), hint)
}

/// Some names, not a page of them.
fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 20;
    let more = names.len().saturating_sub(SHOWN);
    let shown = names[..names.len() - more].join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// The log ends before our place: records that were read are not there any more.
pub fn cut_off(partition: &Partition, wanted: i64, first: i64, end: i64) -> FeedError {
    FeedError::fix(
        format!("partition {}: offset {wanted} is wanted, available are {first} to {end}", partition.name()),
        "the topic was made anew, or an unclean election has cut it off behind what was read; write to a new lake",
    )
}

/// A topic of the same name and with other records.
pub fn anew(topic: &str, was: &str, is: &str) -> FeedError {
    FeedError::fix(
        format!("topic \"{topic}\" was deleted and made anew: the lake has read id {was}, the brokers have id {is}"),
        "its offsets count other records now: read it into a new lake with another `--warehouse`",
    )
}

/// librdkafka refused a setting or a call.
pub fn refused(error: KafkaError) -> FeedError {
    match error {
        KafkaError::ClientConfig(_, why, key, value) => {
            let secret = ["password", "secret", "pem", "token", "oauth"].iter().any(|word| key.contains(word));
            let why = if secret && !value.is_empty() { why.replace(&value, "…") } else { why };
            FeedError::fix(
                format!("librdkafka setting \"{key}\": {why}"),
                "correct it under `source.kafka`; its CONFIGURATION.md lists all settings",
            )
        }
        KafkaError::ClientCreation(why) => FeedError::fix(
            format!("librdkafka refuses its settings: {why}"),
            "correct them under `source.kafka`; its CONFIGURATION.md lists all settings",
        ),
        other => FeedError::unavailable(format!("kafka: {other}")),
    }
}

/// What to do about a broker that does not answer, by librdkafka's or OpenSSL's words for why.
fn unanswered(why: &str) -> &'static str {
    if why.contains("certificate verify failed") {
        "set `\"ssl.ca.location\"` under `source.kafka` to the authority that signed the brokers' certificates"
    } else if why.contains("alert") && why.contains("certificate") {
        "the broker wants a certificate that it trusts: set `\"ssl.certificate.location\"` and `\"ssl.key.location\"` under \
         `source.kafka`"
    } else if why.contains("Unsupported SASL mechanism") {
        "set `\"sasl.mechanism\"` under `source.kafka` to one that the broker has"
    } else if why.contains("SASL") {
        "check `\"sasl.username\"`, `\"sasl.password\"` and `\"sasl.mechanism\"` under `source.kafka`"
    } else if why.contains("PLAINTEXT broker") {
        "the port is one without TLS: check `--brokers` and `\"security.protocol\"` under `source.kafka`"
    } else {
        "check `--brokers` and, for a secured cluster, `\"security.protocol\"` and its settings under `source.kafka`"
    }
}

#[cfg(test)]
mod tests {
    use super::unanswered;

    #[test]
    fn each_refusal_of_a_secured_broker_has_its_own_hint() {
        // as librdkafka 2 and OpenSSL 3 say it of a Kafka 4 broker
        for (why, word) in [
            (
                "SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker certificate",
                "ssl.ca",
            ),
            (
                "Receive failed: error:0A000412:SSL routines::ssl/tls alert bad certificate: SSL alert number 42",
                "ssl.key",
            ),
            ("Receive failed: SSL routines::tlsv13 alert certificate required: SSL alert number 116", "ssl.key"),
            ("SASL authentication error: Authentication failed due to invalid credentials", "sasl.password"),
            ("SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL mechanism", "one that the broker has"),
            ("SSL handshake failed: Disconnected: connecting to a PLAINTEXT broker listener?", "without TLS"),
            ("Local: Broker transport failure", "security.protocol"),
        ] {
            assert!(unanswered(why).contains(word), "{why}: {}", unanswered(why));
        }
    }
}
