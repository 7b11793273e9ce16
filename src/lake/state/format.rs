//! The format of a lake: a number in its identity and in each of its slots.
//!
//! Why both: an older lake goes on in the newer format from a slot that says so, and its identity is never written twice.
//! Older binaries know no format numbers; they stop at the kind of the slot that a newer binary begins with. What must always
//! hold: an object of a later format, or with an unknown field that must be understood, is refused by name, never guessed at.

use crate::error::LakeError;
use serde::Deserialize;

/// The format that this binary writes, and the newest that it reads.
pub const FORMAT: u32 = 2;

/// The format of an object that names none.
pub(crate) fn first() -> u32 {
    1
}

/// The fields of an object that say whether this binary can read it.
#[derive(Deserialize)]
struct Head {
    #[serde(default = "first")]
    format: u32,
    /// Fields that a reader must know in order not to misread the object.
    #[serde(default)]
    must_understand: Vec<String>,
}

/// Refuses an object of a later format, or with an unknown field that must be understood. Error of kind `Fix`. Bytes that are
/// no such object pass: their own reader's error says more.
pub(crate) fn check(name: &str, bytes: &[u8]) -> Result<(), LakeError> {
    let Ok(head) = serde_json::from_slice::<Head>(bytes) else { return Ok(()) };
    if head.format > FORMAT {
        let format = head.format;
        return Err(refused(format!(
            "{name} is of format {format}, but this ticktide reads lakes only up to format {FORMAT}"
        )));
    }
    match head.must_understand.first() {
        Some(field) => Err(refused(format!("{name} has the field {field:?}, which this ticktide does not understand"))),
        None => Ok(()),
    }
}

fn refused(message: String) -> LakeError {
    LakeError::fix(message, "use the ticktide that wrote the lake, or a newer one (`ticktide --version`)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::slot::Slot;
    use crate::state::identity::Identity;
    use ticktide_base::error::{Classified, Kind};

    const SLOT: &str = r#"{"epoch":3,"kind":"takeover","generation":1,"token":"t","cut_at":1,"decided_at":1,"binding":null,
        "conservation":{},"tables":{},"state":[],"state_from":0}"#;

    #[test]
    fn what_names_no_format_is_of_the_first_and_is_written_again_in_the_newest() {
        let slot = Slot::from_bytes(3, SLOT.as_bytes()).expect("an older slot");
        assert_eq!(slot.format, 1);
        let slot = Slot { format: FORMAT, ..slot };
        let written = String::from_utf8(slot.to_bytes().expect("plain values").to_vec()).expect("text");
        assert!(written.contains("\"format\":2"), "{written}");
        // an older binary knows the kinds data, takeover and maintain
        assert!(written.contains("\"kind\":\"claim\""), "{written}");
        assert_eq!(Slot::from_bytes(3, written.as_bytes()).expect("its own"), slot);
    }

    #[test]
    fn what_is_of_a_later_format_is_refused_by_name_even_if_it_cannot_be_read() {
        let later = SLOT.replace("\"epoch\":3,\"kind\":\"takeover\"", "\"format\":9,\"epoch\":3,\"kind\":\"new\"");
        let marked = SLOT.replace("\"epoch\":3", "\"must_understand\":[\"shards\"],\"shards\":2,\"epoch\":3");
        for (text, says) in [(later, "format 9"), (marked, "\"shards\"")] {
            let error = Slot::from_bytes(3, text.as_bytes()).expect_err("of a later version");
            assert_eq!(error.kind(), Kind::Fix);
            assert!(error.to_string().contains(says) && error.to_string().contains("log/"), "{error}");
        }
        let error = Identity::from_bytes(br#"{"format":3,"lake":"of another shape"}"#).expect_err("of a later version");
        assert!(error.kind() == Kind::Fix && error.to_string().contains("ticktide.json is of format 3"), "{error}");
    }
}
