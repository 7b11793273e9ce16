//! The REST side of XTS: login, subscriptions, quotes, logout.
//!
//! | call | body | answer's `result` |
//! |---|---|---|
//! | `POST auth/login` | `{appKey, secretKey, source: "WEBAPI"}` | `{token, userID}` |
//! | `POST instruments/subscription` | `{instruments: [{exchangeSegment, exchangeInstrumentID}], xtsMessageCode}` | `{listQuotes: ["{…}"]}` |
//! | `POST instruments/quotes` | the same and `publishFormat` | the same |
//! | `POST instruments/master` | `{exchangeSegmentList: ["NSECM"]}` | rows, `\n` between them |
//! | `DELETE auth/logout` | | |
//!
//! The token goes into the header `authorization`, as it is. What must always hold: an answer is a result or one [`Refusal`],
//! of at most 64 MiB; no message contains a key, a token, or an address with one in it.

use super::secrets::Secrets;
use super::spec::RequestedInstrument;
use super::trouble::Trouble;
use jiff::Timestamp;
use reqwest::header::{AUTHORIZATION, HeaderMap, RETRY_AFTER};
use reqwest::{Client, Method, Response, StatusCode, Url};
use rustls::ClientConfig;
use serde_json::{Value, json};
use std::time::Duration;

const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// An exchange's whole master fits.
const ANSWER_BYTES: usize = 64 << 20;
/// The longest wait that a server can ask for.
const WAIT_MAX: Duration = Duration::from_secs(900);

/// An answer without a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The token or key is not valid.
    Unauthorised(String),
    /// Too many calls; how long to wait, if the server says so.
    Busy(Option<Duration>),
    /// The call is wrong.
    Wrong(String),
    /// All or some of it is subscribed already; servers do not say which.
    Already,
    /// More instruments than a key may have.
    Limit(String),
    /// The server cannot be reached, or fails.
    Away(String),
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Trouble {
        match refusal {
            Refusal::Unauthorised(why) => Trouble::Expired(why),
            Refusal::Busy(wait) => Trouble::Busy(wait),
            Refusal::Wrong(why) | Refusal::Limit(why) | Refusal::Away(why) => Trouble::Lost(why),
            Refusal::Already => Trouble::Lost("the server says that this is already subscribed".into()),
        }
    }
}

/// A token and its user.
#[derive(Clone)]
pub struct Login {
    pub token: String,
    pub user: String,
}

/// Calls to one server.
#[derive(Clone)]
pub struct Rest {
    client: Client,
    base: Url,
    secrets: Secrets,
}

impl Rest {
    /// Calls nothing yet. Errors: the TLS settings are refused.
    pub fn new(root: &Url, tls: &ClientConfig, secrets: Secrets) -> Result<Rest, Trouble> {
        let client = Client::builder()
            .use_preconfigured_tls(tls.clone())
            .timeout(ANSWER_WITHIN)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("ticktide/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Trouble::refused(format!("cannot build an HTTP client: {error}"), "check `--ca`"))?;
        Ok(Rest { client, base: below(root, "apimarketdata/"), secrets })
    }

    /// Requests a token.
    pub async fn login(&self, app_key: &str, secret_key: &str) -> Result<Login, Refusal> {
        let body = json!({ "appKey": app_key, "secretKey": secret_key, "source": "WEBAPI" });
        let result = self.call(Method::POST, "auth/login", None, Some(&body)).await?;
        let text = |key: &str| result.get(key).and_then(Value::as_str).map(str::to_owned);
        match (text("token"), text("userID")) {
            (Some(token), Some(user)) => {
                self.secrets.remember(&token);
                Ok(Login { token, user })
            }
            _ => Err(Refusal::Away("the login's answer has no token or no userID".into())),
        }
    }

    /// Gives a token back; a failure is only logged.
    pub async fn logout(&self, token: &str) {
        if let Err(refusal) = self.call(Method::DELETE, "auth/logout", Some(token), None).await {
            tracing::debug!(?refusal, "logout");
        }
    }

    /// Subscribes instruments to a code; returns their snapshots as the server writes them.
    pub async fn subscribe(
        &self,
        token: &str,
        code: &str,
        wanted: &[RequestedInstrument],
    ) -> Result<Vec<String>, Refusal> {
        let body = json!({ "instruments": instruments(wanted), "xtsMessageCode": number(code) });
        self.call(Method::POST, "instruments/subscription", Some(token), Some(&body))
            .await
            .map(|result| quotes(&result))
    }

    /// The snapshots of instruments.
    pub async fn quotes(
        &self,
        token: &str,
        code: &str,
        wanted: &[RequestedInstrument],
    ) -> Result<Vec<String>, Refusal> {
        let instruments = instruments(wanted);
        let body = json!({ "instruments": instruments, "xtsMessageCode": number(code), "publishFormat": "JSON" });
        self.call(Method::POST, "instruments/quotes", Some(token), Some(&body)).await.map(|result| quotes(&result))
    }

    /// The instrument master of segments, row by row.
    pub async fn master(&self, token: &str, segments: &[&str]) -> Result<Vec<String>, Refusal> {
        let body = json!({ "exchangeSegmentList": segments });
        let result = self.call(Method::POST, "instruments/master", Some(token), Some(&body)).await?;
        let rows = result.as_str().ok_or_else(|| Refusal::Away("the master's answer is not text".into()))?;
        Ok(rows.lines().map(str::to_owned).collect())
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Value, Refusal> {
        let mut request = self.client.request(method, below(&self.base, path));
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let away = |error: reqwest::Error| {
            // the innermost cause says what happened, the outer ones only where
            let error = error.without_url();
            let mut cause: &dyn std::error::Error = &error;
            while let Some(inner) = cause.source() {
                cause = inner;
            }
            Refusal::Away(self.secrets.hide(&format!("{path}: {cause}")))
        };
        let response = request.send().await.map_err(away)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = body_of(response).await.map_err(away)?;
        judge(status, &headers, &body).map_err(|refusal| refusal.hidden(path, &self.secrets))
    }
}

impl Refusal {
    fn hidden(self, path: &str, secrets: &Secrets) -> Refusal {
        let said = |why: String| secrets.hide(&format!("{path}: {why}"));
        match self {
            Refusal::Unauthorised(why) => Refusal::Unauthorised(said(why)),
            Refusal::Wrong(why) => Refusal::Wrong(said(why)),
            Refusal::Limit(why) => Refusal::Limit(said(why)),
            Refusal::Away(why) => Refusal::Away(said(why)),
            other => other,
        }
    }
}

/// A path below an address, with one slash between them.
pub fn below(root: &Url, path: &str) -> Url {
    let mut url = root.clone();
    let joined = format!("{}/{path}", url.path().trim_end_matches('/'));
    url.set_path(&joined);
    url
}

async fn body_of(mut response: Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        // a longer one is cut, and is then not JSON
        if body.len() + chunk.len() > ANSWER_BYTES {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The `result` of an answer, or its refusal.
fn judge(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<Value, Refusal> {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let word = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default();
    let (code, description) = (word("code"), word("description"));
    let why = format!("{status}, {code} {description}").trim_end().to_owned();
    let says = |what: &str| description.to_ascii_lowercase().contains(what);
    // the message about the limit also mentions what is already subscribed
    let of_limit = ["limit", "exceed", "maximum"].into_iter().any(says);
    match status {
        StatusCode::TOO_MANY_REQUESTS => Err(Refusal::Busy(retry_after(headers))),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Refusal::Unauthorised(why)),
        status if status.is_server_error() || status.is_redirection() => Err(Refusal::Away(why)),
        _ if of_limit && says("subscri") && word("type") != "success" => Err(Refusal::Limit(why)),
        _ if says("already subscribed") => Err(Refusal::Already),
        status if status.is_success() && word("type") == "success" => {
            Ok(answer.get("result").cloned().unwrap_or_default())
        }
        status if status.is_success() && answer.is_null() => Err(Refusal::Away(format!("{status}, but no JSON"))),
        _ if says("token") => Err(Refusal::Unauthorised(why)),
        _ => Err(Refusal::Wrong(why)),
    }
}

/// Seconds, or a date.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default()
        }
    };
    Some(wait.min(WAIT_MAX))
}

fn instruments(wanted: &[RequestedInstrument]) -> Value {
    let one = |wanted: &RequestedInstrument| json!({ "exchangeSegment": wanted.segment.number, "exchangeInstrumentID": wanted.id });
    wanted.iter().map(one).collect()
}

fn number(code: &str) -> Value {
    code.parse::<u32>().map_or(Value::Null, Value::from)
}

fn quotes(result: &Value) -> Vec<String> {
    let list = result.get("listQuotes").and_then(Value::as_array);
    let text = |quote: &Value| quote.as_str().map_or_else(|| quote.to_string(), str::to_owned);
    list.into_iter().flatten().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, body: &str) -> Result<Value, Refusal> {
        let status = StatusCode::from_u16(status).expect("a status");
        judge(status, &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn an_answer_is_a_result_or_one_of_the_refusals() {
        assert_eq!(judged(200, r#"{"type":"success","result":{"a":1}}"#), Ok(json!({ "a": 1 })));
        let said = r#"{"type":"error","code":"e-app-001","description":"Invalid app key"}"#;
        assert_eq!(judged(400, said), Err(Refusal::Wrong("400 Bad Request, e-app-001 Invalid app key".into())));
        assert!(matches!(judged(200, said), Err(Refusal::Wrong(_))));
        let token = r#"{"type":"error","description":"Invalid Token"}"#;
        assert!(matches!(judged(400, token), Err(Refusal::Unauthorised(_))));
        assert!(matches!(judged(401, "<html>"), Err(Refusal::Unauthorised(_))));
        assert_eq!(judged(400, r#"{"description":"Instrument Already Subscribed !"}"#), Err(Refusal::Already));
        let full = r#"{"type":"error","description":"Exceeded Instrument Subscription Limit of 50.You have already subscribed 50/50 and you are trying subscribe 51 Instrument."}"#;
        for status in [200, 400] {
            let Err(Refusal::Limit(why)) = judged(status, full) else { panic!("over the limit, with {status}") };
            assert!(why.contains("Limit of 50"), "{why}");
        }
        let room = r#"{"type":"success","description":"Subscribed, 3 of a limit of 50","result":1}"#;
        assert_eq!(judged(200, room), Ok(json!(1)));
        let calls = r#"{"type":"error","description":"Maximum calls exceeded"}"#;
        assert!(matches!(judged(400, calls), Err(Refusal::Wrong(_))));
        assert!(matches!(judged(503, ""), Err(Refusal::Away(_))));
        assert!(matches!(judged(302, ""), Err(Refusal::Away(_))));
        assert!(matches!(judged(200, "<html>"), Err(Refusal::Away(_))));
    }

    #[test]
    fn who_is_told_to_wait_waits_seconds_or_until_a_date_and_never_for_ever() {
        let of = |text: &str| retry_after(&HeaderMap::from_iter([(RETRY_AFTER, text.parse().expect("a value"))]));
        assert_eq!((of("3"), of("soon"), of("99999999")), (Some(Duration::from_secs(3)), None, Some(WAIT_MAX)));
        assert_eq!(of("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(judged(429, ""), Err(Refusal::Busy(None)));
    }

    #[test]
    fn addresses_join_with_one_slash() {
        for root in ["https://h:1", "https://h:1/"] {
            let root = Url::parse(root).expect("an address");
            assert_eq!(
                below(&below(&root, "apimarketdata/"), "auth/login").as_str(),
                "https://h:1/apimarketdata/auth/login"
            );
        }
    }

    #[test]
    fn snapshots_are_texts_or_objects() {
        let result = json!({ "listQuotes": ["{\"a\":1}", { "b": 2 }] });
        assert_eq!(quotes(&result), ["{\"a\":1}", "{\"b\":2}"]);
        assert_eq!(quotes(&Value::Null), [""; 0]);
    }
}
