//! Packets of Engine.IO 3 and Socket.IO 2 as a websocket carries them, one a text message.
//!
//! | text | is |
//! |---|---|
//! | `0{"sid":…,"pingInterval":25000,"pingTimeout":60000}` | the connection's first packet: how often the client pings |
//! | `1` | the server closes |
//! | `2`, `3` | ping and pong: in version 3 the client asks, the server answers |
//! | `40`, `41`, `44…` | Socket.IO: connected, disconnected, refused |
//! | `42["event",argument]` | an event; a namespace and a number may come before the array |
//! | `6` | nothing |
//!
//! Why by hand: the maintained client libraries speak version 4, in which the server asks and the client answers. What must
//! always hold: any text is a packet or [`Packet::Unknown`], nothing panics, and an argument is passed on as it came: a string
//! without its quotes and escapes, anything else letter by letter.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::time::Duration;

/// The client's ping.
pub const PING: &str = "2";
/// The answer to a server's ping.
pub const PONG: &str = "3";

/// How often the server expects pings, and how long it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    pub ping_interval: Duration,
    pub ping_timeout: Duration,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Opened {
    ping_interval: u64,
    ping_timeout: u64,
}

/// An event and what it carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketEvent {
    pub name: String,
    /// `None`: not exactly one argument.
    pub argument: Option<String>,
}

/// A parsed text message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    Open(Handshake),
    Close,
    Ping,
    Pong,
    Connected,
    Disconnected,
    /// Why the server refuses, in its own words.
    Refused(String),
    Event(SocketEvent),
    /// An acknowledgement, an upgrade, or nothing: not used.
    Nothing,
    /// None of these.
    Unknown,
}

/// Parses a text message.
///
/// ```
/// use ticktide_connect::live::packet::{SocketEvent, Packet, parse};
/// let event = SocketEvent { name: "1501-json-full".into(), argument: Some("{}".into()) };
/// assert_eq!(parse(r#"42["1501-json-full","{}"]"#), Packet::Event(event));
/// assert_eq!(parse("3"), Packet::Pong);
/// ```
pub fn parse(text: &str) -> Packet {
    let Some(kind) = text.chars().next() else { return Packet::Unknown };
    let rest = &text[kind.len_utf8()..];
    match (kind, rest) {
        ('0', _) => open(rest),
        ('1', "") => Packet::Close,
        ('2', "" | "probe") => Packet::Ping,
        ('3', "" | "probe") => Packet::Pong,
        ('4', _) => message(rest),
        ('5' | '6', "") => Packet::Nothing,
        _ => Packet::Unknown,
    }
}

/// A handshake; absurd intervals are clamped to usable ones.
fn open(rest: &str) -> Packet {
    let Ok(opened) = serde_json::from_str::<Opened>(rest) else { return Packet::Unknown };
    let within = |ms: u64| Duration::from_millis(ms.clamp(100, 600_000));
    Packet::Open(Handshake { ping_interval: within(opened.ping_interval), ping_timeout: within(opened.ping_timeout) })
}

fn message(text: &str) -> Packet {
    let Some(kind) = text.chars().next() else { return Packet::Unknown };
    let rest = &text[kind.len_utf8()..];
    match kind {
        '0' => Packet::Connected,
        '1' => Packet::Disconnected,
        '2' => event(rest).map_or(Packet::Unknown, Packet::Event),
        '3' => Packet::Nothing,
        '4' => Packet::Refused(rest.to_owned()),
        _ => Packet::Unknown,
    }
}

fn event(text: &str) -> Option<SocketEvent> {
    let text = match text.strip_prefix('/') {
        Some(namespaced) => namespaced.split_once(',')?.1,
        None => text,
    };
    let array = text.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let parts: Vec<&RawValue> = serde_json::from_str(array).ok()?;
    let (name, arguments) = parts.split_first()?;
    let argument = match arguments {
        [one] => Some(serde_json::from_str(one.get()).unwrap_or_else(|_| one.get().to_owned())),
        _ => None,
    };
    Some(SocketEvent { name: serde_json::from_str(name.get()).ok()?, argument })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn named(text: &str) -> (String, Option<String>) {
        match parse(text) {
            Packet::Event(event) => (event.name, event.argument),
            other => panic!("{text} is no event but {other:?}"),
        }
    }

    // as python-engineio 3.14 and python-socketio 4.6 send them
    #[test]
    fn what_a_server_of_version_3_sends_is_understood() {
        let open = r#"0{"sid":"c1","upgrades":[],"pingTimeout":60000,"pingInterval":25000}"#;
        let (ping_interval, ping_timeout) = (Duration::from_secs(25), Duration::from_secs(60));
        assert_eq!(parse(open), Packet::Open(Handshake { ping_interval, ping_timeout }));
        assert_eq!(
            ["40", "41", "3", "1", "6"].map(parse),
            [Packet::Connected, Packet::Disconnected, Packet::Pong, Packet::Close, Packet::Nothing]
        );
        assert_eq!(parse(r#"44"Unauthorized""#), Packet::Refused("\"Unauthorized\"".into()));
        let (name, argument) = named(r#"42["1501-json-full","{\"MessageCode\":1501,\"x\":\"\\u20b9\"}"]"#);
        assert_eq!(
            (name.as_str(), argument.as_deref()),
            ("1501-json-full", Some(r#"{"MessageCode":1501,"x":"\u20b9"}"#))
        );
        assert_eq!(named(r#"42/market,17["a",{"b": 1}]"#), ("a".into(), Some(r#"{"b": 1}"#.into())));
        assert_eq!(named(r#"42["logout"]"#), ("logout".into(), None));
    }

    #[test]
    fn wild_intervals_are_brought_within_reason() {
        let Packet::Open(handshake) = parse(r#"0{"pingInterval":0,"pingTimeout":18446744073709551615}"#) else {
            panic!("a handshake")
        };
        assert_eq!((handshake.ping_interval.as_millis(), handshake.ping_timeout.as_secs()), (100, 600));
    }

    #[test]
    fn junk_is_unknown() {
        for text in ["", "4", "9", "hello", "0{}", "42", "42[", "42[]", "42[1]", "42{}", "451-[\"x\",{}]", "é", "1x"] {
            assert_eq!(parse(text), Packet::Unknown, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,80}", start in "[0-9]{0,3}(/[a-z]*,)?[\\[\\{\"]{0,3}") {
            let _ = parse(&text);
            let _ = parse(&format!("{start}{text}"));
        }

        #[test]
        fn an_argument_comes_out_as_it_went_in(argument in ".{0,60}", name in ".{0,20}") {
            let text = format!("42{}", serde_json::json!([name, argument]));
            prop_assert_eq!(parse(&text), Packet::Event(SocketEvent { name, argument: Some(argument) }));
        }
    }
}
