//! What a message of XTS's websocket means: a pure function, so that tests can try any text.
//!
//! An event `CODE-json-full` or `…-partial` of a requested code is a frame: its argument is the payload, its name the origin.
//! Events of other codes are counted and not produced (1105 arrives unrequested for every instrument of the exchange). What
//! must always hold: a message that cannot be understood is a frame of topic `…other`, whole, with origin `junk`.

use super::packet::{Packet, SocketEvent};
use super::secrets::Secrets;
use super::trouble::Trouble;
use ticktide_feed::wire::xts;

/// The origin of messages without a name of their own.
pub const JUNK: &str = "junk";
/// What frames without a code are counted as.
pub const OTHER: &str = "other";

/// What a message means.
#[derive(Debug)]
pub enum MessageMeaning {
    /// A frame to hand on.
    Frame { code: String, origin: String, payload: String },
    /// A message of a code that was not requested.
    Unasked,
    /// Only a sign of life.
    Life,
    /// Subscriptions may begin.
    Joined,
    /// The server asks for a sign of life.
    Asked,
    /// A text for people, and whether it is an error.
    Said(String, bool),
    /// The connection is over.
    Over(Trouble),
}

/// Judges a text message, given parsed and as it came.
pub fn judge(packet: Packet, text: String, codes: &[String], secrets: &Secrets) -> MessageMeaning {
    match packet {
        Packet::Event(event) => of_event(event, text, codes, secrets),
        Packet::Open(_) | Packet::Unknown => junk(text),
        Packet::Ping => MessageMeaning::Asked,
        Packet::Pong | Packet::Connected | Packet::Nothing => MessageMeaning::Life,
        Packet::Refused(why) => {
            MessageMeaning::Over(Trouble::Expired(secrets.hide(&format!("the server refuses: {why}"))))
        }
        Packet::Close | Packet::Disconnected => MessageMeaning::Over(Trouble::Lost("the server disconnects".into())),
    }
}

fn junk(text: String) -> MessageMeaning {
    MessageMeaning::Frame { code: OTHER.to_owned(), origin: JUNK.to_owned(), payload: text }
}

fn of_event(event: SocketEvent, text: String, codes: &[String], secrets: &Secrets) -> MessageMeaning {
    let said = || secrets.hide(&format!("{}: {}", event.name, event.argument.as_deref().unwrap_or_default()));
    match event.name.as_str() {
        "joined" => return MessageMeaning::Joined,
        "logout" => return MessageMeaning::Over(Trouble::Expired(said())),
        "disconnect" => return MessageMeaning::Over(Trouble::Lost(said())),
        "error" => return MessageMeaning::Said(said(), true),
        "warning" | "success" => return MessageMeaning::Said(said(), false),
        _ => {}
    }
    let code = xts::code(&event.name).map(|code| code.to_string());
    match (code, event.argument) {
        (Some(code), Some(payload)) if codes.contains(&code) => {
            MessageMeaning::Frame { code, origin: event.name, payload }
        }
        (Some(_), Some(_)) => MessageMeaning::Unasked,
        _ => junk(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::packet::parse;
    use proptest::prelude::*;

    fn judged(text: &str) -> MessageMeaning {
        judge(parse(text), text.to_owned(), &["1501".to_owned()], &Secrets::default())
    }

    fn frame(text: &str) -> (String, String, String) {
        match judged(text) {
            MessageMeaning::Frame { code, origin, payload } => (code, origin, payload),
            other => panic!("{text} is no frame but {other:?}"),
        }
    }

    #[test]
    fn a_code_that_was_asked_for_is_a_frame_and_others_are_counted() {
        let text = r#"42["1501-json-full","{\"MessageCode\":1501}"]"#;
        let expected = ("1501", "1501-json-full", r#"{"MessageCode":1501}"#);
        assert_eq!(frame(text), (expected.0.into(), expected.1.into(), expected.2.into()));
        assert!(matches!(judged(r#"42["1105-json-partial","t:1_2"]"#), MessageMeaning::Unasked));
    }

    #[test]
    fn what_servers_say_beside_frames_is_heard() {
        assert!(matches!(judged(r#"42["joined","{}"]"#), MessageMeaning::Joined));
        assert!(matches!(judged(r#"42["logout","elsewhere"]"#), MessageMeaning::Over(Trouble::Expired(_))));
        assert!(matches!(judged(r#"42["disconnect",{"a":1}]"#), MessageMeaning::Over(Trouble::Lost(_))));
        assert!(matches!(judged(r#"42["error","x"]"#), MessageMeaning::Said(_, true)));
        assert!(matches!(judged("44\"no\""), MessageMeaning::Over(Trouble::Expired(_))));
        assert!(matches!(judged("41"), MessageMeaning::Over(Trouble::Lost(_))));
        assert!(matches!((judged("2"), judged("3")), (MessageMeaning::Asked, MessageMeaning::Life)));
    }

    #[test]
    fn nothing_is_repeated_with_a_secret_in_it() {
        let secrets = Secrets::default();
        secrets.remember("token-1");
        let text = r#"42["error","bad token-1"]"#;
        let MessageMeaning::Said(said, true) = judge(parse(text), text.into(), &[], &secrets) else {
            panic!("an error")
        };
        assert_eq!(said, "error: bad ***");
    }

    proptest! {
        /// No message of unknown shape is lost: it is handed on whole.
        #[test]
        fn junk_is_a_frame_as_it_came(text in ".{0,60}", start in "(|4|42|42\\[|42\\[\"1501-json-full\"|0|5[0-9])") {
            let text = format!("{start}{text}");
            if parse(&text) == Packet::Unknown {
                prop_assert_eq!(frame(&text), (OTHER.to_owned(), JUNK.to_owned(), text));
            } else {
                let _ = judged(&text);
            }
        }

        #[test]
        fn an_event_of_a_strange_name_is_a_frame_as_it_came(name in "[a-z]{3}-[a-z]{1,8}", arguments in 0..4usize) {
            let mut array = vec![name];
            array.extend(std::iter::repeat_n("x".to_owned(), arguments));
            let text = format!("42{}", serde_json::json!(array));
            prop_assert_eq!(frame(&text), (OTHER.to_owned(), JUNK.to_owned(), text));
        }
    }
}
