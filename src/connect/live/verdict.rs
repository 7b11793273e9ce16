//! What a message of XTS's websocket means: pure, so that any text can be tried on it.
//!
//! An event `CODE-json-full` or `…-partial` of a code that was asked for is a frame: its argument is the payload, its name the
//! origin. Events of other codes are counted and go no further (1105 comes unasked for every instrument of the exchange).
//! What must always hold: whatever cannot be understood is a frame of topic `…other`, whole, with origin `junk`.

use super::packet::{Event, Packet};
use super::secrets::Secrets;
use super::trouble::Trouble;
use ticktide_feed::wire::xts;

/// Where messages without a name of their own come from.
pub const JUNK: &str = "junk";
/// What frames without a code are counted as.
pub const OTHER: &str = "other";

/// What is to be done about a message.
#[derive(Debug)]
pub enum Verdict {
    /// To be handed on.
    Frame { code: String, origin: String, payload: String },
    /// Of a code that nobody asked for.
    Unasked,
    /// Only a sign of life.
    Life,
    /// Subscriptions may begin.
    Joined,
    /// The server asks for a sign of life.
    Asked,
    /// Something for people, and whether it is bad.
    Said(String, bool),
    /// The connection is over.
    Over(Trouble),
}

/// Judges a text message, taken apart and whole.
pub fn judge(packet: Packet, text: String, codes: &[String], secrets: &Secrets) -> Verdict {
    match packet {
        Packet::Event(event) => of_event(event, text, codes, secrets),
        Packet::Open(_) | Packet::Unknown => junk(text),
        Packet::Ping => Verdict::Asked,
        Packet::Pong | Packet::Connected | Packet::Nothing => Verdict::Life,
        Packet::Refused(why) => Verdict::Over(Trouble::Expired(secrets.hide(&format!("the server refuses: {why}")))),
        Packet::Close | Packet::Disconnected => Verdict::Over(Trouble::Lost("the server disconnects".into())),
    }
}

fn junk(text: String) -> Verdict {
    Verdict::Frame { code: OTHER.to_owned(), origin: JUNK.to_owned(), payload: text }
}

fn of_event(event: Event, text: String, codes: &[String], secrets: &Secrets) -> Verdict {
    let said = || secrets.hide(&format!("{}: {}", event.name, event.argument.as_deref().unwrap_or_default()));
    match event.name.as_str() {
        "joined" => return Verdict::Joined,
        "logout" => return Verdict::Over(Trouble::Expired(said())),
        "disconnect" => return Verdict::Over(Trouble::Lost(said())),
        "error" => return Verdict::Said(said(), true),
        "warning" | "success" => return Verdict::Said(said(), false),
        _ => {}
    }
    let code = xts::code(&event.name).map(|code| code.to_string());
    match (code, event.argument) {
        (Some(code), Some(payload)) if codes.contains(&code) => Verdict::Frame { code, origin: event.name, payload },
        (Some(_), Some(_)) => Verdict::Unasked,
        _ => junk(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::packet::parse;
    use proptest::prelude::*;

    fn judged(text: &str) -> Verdict {
        judge(parse(text), text.to_owned(), &["1501".to_owned()], &Secrets::default())
    }

    fn frame(text: &str) -> (String, String, String) {
        match judged(text) {
            Verdict::Frame { code, origin, payload } => (code, origin, payload),
            other => panic!("{text} is no frame but {other:?}"),
        }
    }

    #[test]
    fn a_code_that_was_asked_for_is_a_frame_and_others_are_counted() {
        let text = r#"42["1501-json-full","{\"MessageCode\":1501}"]"#;
        let expected = ("1501", "1501-json-full", r#"{"MessageCode":1501}"#);
        assert_eq!(frame(text), (expected.0.into(), expected.1.into(), expected.2.into()));
        assert!(matches!(judged(r#"42["1105-json-partial","t:1_2"]"#), Verdict::Unasked));
    }

    #[test]
    fn what_servers_say_beside_frames_is_heard() {
        assert!(matches!(judged(r#"42["joined","{}"]"#), Verdict::Joined));
        assert!(matches!(judged(r#"42["logout","elsewhere"]"#), Verdict::Over(Trouble::Expired(_))));
        assert!(matches!(judged(r#"42["disconnect",{"a":1}]"#), Verdict::Over(Trouble::Lost(_))));
        assert!(matches!(judged(r#"42["error","x"]"#), Verdict::Said(_, true)));
        assert!(matches!(judged("44\"no\""), Verdict::Over(Trouble::Expired(_))));
        assert!(matches!(judged("41"), Verdict::Over(Trouble::Lost(_))));
        assert!(matches!((judged("2"), judged("3")), (Verdict::Asked, Verdict::Life)));
    }

    #[test]
    fn nothing_is_repeated_with_a_secret_in_it() {
        let secrets = Secrets::default();
        secrets.remember("token-1");
        let text = r#"42["error","bad token-1"]"#;
        let Verdict::Said(said, true) = judge(parse(text), text.into(), &[], &secrets) else { panic!("an error") };
        assert_eq!(said, "error: bad ***");
    }

    proptest! {
        /// Nothing of unknown shape is lost: it is handed on whole.
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
