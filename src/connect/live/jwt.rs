//! The claims of a token: when it expires, and whose it is. Nothing here checks a signature: the server does.

use serde::Deserialize;
use ticktide_base::time::{Nanos, SECOND};

/// The claims of a JSON Web Token that a client needs.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Claims {
    /// Seconds since 1970; some writers give fractions.
    exp: Option<f64>,
    /// The client's code.
    pub preferred_username: Option<String>,
}

impl Claims {
    /// When the token expires, if it says so.
    pub fn expires_at(&self) -> Option<Nanos> {
        let exp = self.exp.filter(|exp| (0.0..9e9).contains(exp))?;
        Some(exp as i64 * SECOND)
    }
}

/// Reads the claims of a token (RFC 7519); `None`: the text is no such token.
pub fn claims(token: &str) -> Option<Claims> {
    let mut parts = token.split('.');
    let (_, payload) = (parts.next()?, parts.next()?);
    serde_json::from_slice(&base64url(payload)?).ok()
}

/// Bytes of base64 in URLs, without padding (RFC 4648 §5).
fn base64url(text: &str) -> Option<Vec<u8>> {
    let (mut bits, mut held, mut bytes) = (0u32, 0, Vec::with_capacity(text.len() * 3 / 4));
    for letter in text.trim_end_matches('=').bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    // one letter alone holds no byte
    (held < 6).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_token_of_the_rfc_expires_when_the_rfc_says() {
        // RFC 7519 §3.1: {"iss":"joe", "exp":1300819380, "http://example.com/is_root":true}
        let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(claims(token).and_then(|claims| claims.expires_at()), Some(1_300_819_380 * SECOND));
    }

    #[test]
    fn base64_is_that_of_its_rfc() {
        // RFC 4648 §10, without padding, and its two letters of URLs
        for (text, bytes) in [("", ""), ("Zg", "f"), ("Zm8", "fo"), ("Zm9v", "foo"), ("Zm9vYg==", "foob")] {
            assert_eq!(base64url(text).as_deref(), Some(bytes.as_bytes()));
        }
        assert_eq!(base64url("-_8"), Some(vec![0xfb, 0xff]));
        assert_eq!((base64url("Z"), base64url("Zm+v")), (None, None));
    }

    #[test]
    fn what_is_no_token_has_no_claims_and_a_wild_expiry_none() {
        for text in ["", "a", "a.b.c", "..", "a.bnVsbA.c"] {
            assert_eq!(claims(text), None, "{text}");
        }
        let of = |exp: f64| Claims { exp: Some(exp), ..Claims::default() }.expires_at();
        assert_eq!((of(-1.0), of(1e30), of(f64::NAN)), (None, None, None));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,60}", middle in "[A-Za-z0-9_-]{0,60}") {
            let _ = (claims(&text), claims(&format!("a.{middle}.b")));
        }
    }
}
