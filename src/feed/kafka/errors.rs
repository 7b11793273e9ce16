//! The messages for what can go wrong with Kafka, each with a hint.
//!
//! Why in one place: the source, its readers and the guard meet the same errors. What must always hold: no secret of
//! `source.kafka` is in a message.

use crate::{FeedError, Partition};
use rdkafka::error::KafkaError;
use ticktide_base::error::nearest;

/// No broker answered; `why` is the reason that the client reports.
pub fn no_answer(brokers: &str, why: &str) -> FeedError {
    FeedError::unanswered(format!("no broker at {brokers} answers: {why}"), unanswered(why))
}

/// The cluster does not have the topic, or does not show it to this user.
pub fn missing<'a>(topic: &str, existing: impl Iterator<Item = &'a str>) -> FeedError {
    let existing: Vec<&str> = existing.filter(|name| !name.starts_with("__")).collect();
    let hint = match (nearest(topic, &existing), existing.len()) {
        (_, 0) => "the cluster has no topics that this user may see; create the topic first".into(),
        (Some(name), _) => format!("did you mean \"{name}\"? the cluster has: {}", listed(&existing)),
        (None, _) => format!("set `--topic` or `topics` to one that the cluster has: {}", listed(&existing)),
    };
    FeedError::fix(format!("topic \"{topic}\" does not exist"), hint)
}

/// The first names of a list, and the number of the others.
fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 20;
    let more = names.len().saturating_sub(SHOWN);
    let shown = names[..names.len() - more].join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// The log ends before the lake's place: records that were read no longer exist.
pub fn cut_off(partition: &Partition, wanted: i64, first: i64, end: i64) -> FeedError {
    FeedError::fix(
        format!("partition {}: offset {wanted} is needed, available are {first} to {end}", partition.name()),
        "the topic was recreated, or an unclean election has lost records that were read; write to a new lake",
    )
}

/// A topic of the same name with other records.
pub fn recreated(topic: &str, was: &str, is: &str) -> FeedError {
    FeedError::fix(
        format!("topic \"{topic}\" was deleted and recreated: the lake has read id {was}, the brokers have id {is}"),
        "its offsets now count other records: read it into a new lake with another `--warehouse`",
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
                "correct it under `source.kafka`; librdkafka's CONFIGURATION.md lists all settings",
            )
        }
        KafkaError::ClientCreation(why) => FeedError::fix(
            format!("librdkafka refuses its settings: {why}"),
            "correct them under `source.kafka`; librdkafka's CONFIGURATION.md lists all settings",
        ),
        other => FeedError::unavailable(format!("kafka: {other}")),
    }
}

/// The hint for a broker that does not answer, by the reason that librdkafka or OpenSSL gives.
fn unanswered(why: &str) -> &'static str {
    if why.contains("certificate verify failed") {
        "set `\"ssl.ca.location\"` under `source.kafka` to the authority that signed the brokers' certificates"
    } else if why.contains("alert") && why.contains("certificate") {
        "the broker requires a certificate that it trusts: set `\"ssl.certificate.location\"` and `\"ssl.key.location\"` under \
         `source.kafka`"
    } else if why.contains("Unsupported SASL mechanism") {
        "set `\"sasl.mechanism\"` under `source.kafka` to one that the broker supports"
    } else if why.contains("SASL") {
        "check `\"sasl.username\"`, `\"sasl.password\"` and `\"sasl.mechanism\"` under `source.kafka`"
    } else if why.contains("PLAINTEXT broker") {
        "the port does not use TLS: check `--brokers` and `\"security.protocol\"` under `source.kafka`"
    } else {
        "check `--brokers` and, for a secured cluster, `\"security.protocol\"` and its settings under `source.kafka`"
    }
}

#[cfg(test)]
mod tests {
    use super::unanswered;

    #[test]
    fn each_refusal_of_a_secured_broker_has_its_own_hint() {
        // as librdkafka 2 and OpenSSL 3 report it of a Kafka 4 broker
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
            (
                "SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL mechanism",
                "one that the broker supports",
            ),
            ("SSL handshake failed: Disconnected: connecting to a PLAINTEXT broker listener?", "does not use TLS"),
            ("Local: Broker transport failure", "security.protocol"),
        ] {
            assert!(unanswered(why).contains(word), "{why}: {}", unanswered(why));
        }
    }
}
