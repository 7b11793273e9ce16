//! What an answer of S3 means for the request, for a repetition and for the user.
//!
//! What must hold (L3): a failure says *definitely failed* only when the server said so or was never reached; everything
//! that leaves a doubt (a lost connection, a time-out, a 500) is *perhaps done*. No message holds a credential: only the
//! server's code and text, and the SDK's own errors, which do not print them.

use crate::store::patience::Patience;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use std::error::Error as StdError;
use std::time::Instant;

/// What a failed request means, which decides what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// There is no such object.
    Missing,
    /// The condition did not hold: the name is taken.
    Taken,
    /// There is no such upload: it was completed or aborted.
    NoUpload,
    /// 409: another write was under way; nothing was done.
    Conflict,
    /// May succeed next time.
    Repeat,
    /// There are no credentials at the moment: the service that issues them did not.
    NoCredentials,
    /// Will not succeed before the user has done something.
    Fix { hint: String },
    /// Will not succeed.
    Refused,
}

/// A request that failed.
#[derive(Clone, Debug)]
pub struct RequestFailure {
    pub kind: FailureKind,
    /// The request may have landed.
    pub perhaps: bool,
    /// The server's words, or what broke on the way.
    pub cause: String,
}

impl RequestFailure {
    fn new(kind: FailureKind, perhaps: bool, cause: impl Into<String>) -> RequestFailure {
        RequestFailure { kind, perhaps, cause: cause.into() }
    }

    /// The body of an answer broke off.
    pub fn broken_body(error: &(dyn StdError + 'static)) -> RequestFailure {
        RequestFailure::new(FailureKind::Repeat, false, format!("the answer broke off: {}", chain(error)))
    }

    /// An answer that lacks what every such answer has.
    pub fn odd_answer(cause: impl Into<String>) -> RequestFailure {
        RequestFailure::new(FailureKind::Refused, false, cause)
    }

    /// May be sent again if a second effect does no harm.
    pub fn repeatable(&self) -> bool {
        matches!(self.kind, FailureKind::Repeat | FailureKind::Conflict | FailureKind::NoCredentials)
    }

    /// May be sent again whatever it does: it had no effect.
    pub fn repeatable_surely(&self) -> bool {
        self.repeatable() && !self.perhaps
    }

    /// An answer about the object, not an error of the store.
    pub fn is_answer(&self) -> bool {
        matches!(self.kind, FailureKind::Missing | FailureKind::Taken)
    }
}

/// Sends a request until it is answered, may not be repeated, or the patience ends; `again` is called before each
/// repetition, with its number (0 is the first) and the failure. `perhaps` of the returned failure covers all attempts.
pub async fn insist<T, F: Future<Output = Result<T, RequestFailure>>>(
    patience: &Patience,
    repeatable: impl Fn(&RequestFailure) -> bool,
    again: impl Fn(u32, &RequestFailure),
    send: impl Fn() -> F,
) -> Result<T, RequestFailure> {
    let began = Instant::now();
    let (mut retry, mut perhaps) = (0, false);
    loop {
        let mut failure = match send().await {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        perhaps |= failure.perhaps;
        let pause = if repeatable(&failure) { patience.pause(retry, began.elapsed()) } else { None };
        failure.perhaps = perhaps;
        let Some(pause) = pause else { return Err(failure) };
        again(retry, &failure);
        tokio::time::sleep(pause).await;
        retry += 1;
    }
}

impl<E> From<SdkError<E, HttpResponse>> for RequestFailure
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    fn from(error: SdkError<E, HttpResponse>) -> RequestFailure {
        match &error {
            SdkError::ServiceError(answer) => {
                let status = answer.raw().status().as_u16();
                let region = answer.raw().headers().get("x-amz-bucket-region");
                answered(status, answer.err().code(), answer.err().message(), region)
            }
            SdkError::TimeoutError(_) => RequestFailure::new(FailureKind::Repeat, true, "no answer in time"),
            SdkError::ResponseError(_) => RequestFailure::new(FailureKind::Repeat, true, chain(&error)),
            SdkError::DispatchFailure(_) => {
                unsent(&error, RequestFailure::new(FailureKind::Repeat, true, chain(&error)))
            }
            SdkError::ConstructionFailure(_) => {
                unsent(&error, RequestFailure::new(FailureKind::Refused, false, chain(&error)))
            }
            _ => RequestFailure::new(FailureKind::Repeat, true, chain(&error)),
        }
    }
}

/// How to provide credentials.
pub const CREDENTIALS: &str =
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run where a role is attached";
const PERMISSIONS: &str = "the credentials in use need s3:ListBucket on the bucket and s3:GetObject, s3:PutObject, s3:DeleteObject, \
                           s3:AbortMultipartUpload on the objects below the prefix";

/// What an answer with an error status means.
fn answered(status: u16, code: Option<&str>, message: Option<&str>, region: Option<&str>) -> RequestFailure {
    let cause = match (code, message) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => format!("HTTP status {status} without a reason"),
    };
    let fix = |hint: &str| RequestFailure::new(FailureKind::Fix { hint: hint.to_owned() }, false, cause.clone());
    let is = |kind: FailureKind, perhaps: bool| RequestFailure::new(kind, perhaps, cause.clone());
    match (status, code.unwrap_or_default()) {
        (_, "NoSuchBucket") => fix("create the bucket, or correct the bucket's name in `--warehouse`"),
        (_, "NoSuchUpload") => is(FailureKind::NoUpload, false),
        (404, _) => is(FailureKind::Missing, false),
        (412, _) => is(FailureKind::Taken, false),
        (409, _) => is(FailureKind::Conflict, false),
        (301 | 307, _) | (_, "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") => match region {
            Some(region) => fix(&format!("the bucket is in another region: set AWS_REGION={region}")),
            None => fix("set AWS_REGION to the bucket's region, or TICKTIDE_S3_ENDPOINT to the address of the store"),
        },
        (_, "InvalidAccessKeyId" | "SignatureDoesNotMatch") => {
            fix(&format!("check the credentials: {CREDENTIALS}"))
        }
        (_, "ExpiredToken" | "ExpiredTokenException" | "InvalidToken" | "TokenRefreshRequired") => {
            fix("get new credentials: these are no longer valid")
        }
        (_, "RequestTimeTooSkewed") => fix("set this machine's clock: it differs from the store's by more than 15 minutes"),
        (_, "SlowDown" | "SlowDownWrite" | "SlowDownRead" | "Throttling" | "ThrottlingException" | "RequestLimitExceeded")
        | (429, _)
        // the bytes did not arrive, or not as they were sent
        | (_, "RequestTimeout" | "BadDigest" | "InvalidDigest" | "XAmzContentSHA256Mismatch" | "IncompleteBody") => {
            is(FailureKind::Repeat, false)
        }
        (401 | 403, _) => fix(PERMISSIONS),
        (501, _) => fix("use a store that supports what a lake needs of S3: conditional writes and multipart uploads"),
        // the end of a multipart upload may be answered with status 200, and then fail
        (408, _) | (500.., _) | (_, "InternalError" | "ServiceUnavailable") => is(FailureKind::Repeat, true),
        _ => is(FailureKind::Refused, false),
    }
}

/// A request that may not have left this machine: the reason if it is known, otherwise `unknown`.
fn unsent(error: &(dyn StdError + 'static), unknown: RequestFailure) -> RequestFailure {
    let cause = chain(error);
    for link in links(error) {
        if let Some(credentials) = link.downcast_ref::<CredentialsError>() {
            return match credentials {
                CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_) => {
                    let hint = CREDENTIALS.to_owned();
                    RequestFailure::new(FailureKind::Fix { hint }, false, format!("no credentials: {cause}"))
                }
                _ => RequestFailure::new(FailureKind::NoCredentials, false, format!("no credentials: {cause}")),
            };
        }
        if let Some(client) = link.downcast_ref::<hyper_util::client::legacy::Error>()
            && client.is_connect()
        {
            if cause.contains("invalid peer certificate") {
                let hint = "trust the certificate's issuer on this machine (SSL_CERT_FILE), or correct the endpoint";
                return RequestFailure::new(FailureKind::Fix { hint: hint.to_owned() }, false, cause);
            }
            return RequestFailure::new(FailureKind::Repeat, false, format!("no connection: {cause}"));
        }
    }
    unknown
}

/// An error and its causes, the outermost first.
fn links<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| (*error).source())
}

/// The texts of an error and its causes, each once, in one line.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = String::new();
    for link in links(error).map(|link| link.to_string()) {
        let link = link.split_whitespace().collect::<Vec<_>>().join(" ");
        if !text.contains(&link) {
            text = if text.is_empty() { link } else { format!("{text}: {link}") };
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(status: u16, code: &str) -> (FailureKind, bool) {
        let failure = answered(status, Some(code), Some("words"), None);
        (failure.kind, failure.perhaps)
    }

    #[test]
    fn only_what_the_server_denied_has_definitely_failed() {
        for (status, code) in
            [(503, "SlowDown"), (409, "ConditionalRequestConflict"), (400, "RequestTimeout"), (429, "x")]
        {
            let failure = answered(status, Some(code), None, None);
            assert!(failure.repeatable_surely(), "{status} {code}");
        }
        for (status, code) in
            [(500, "InternalError"), (200, "InternalError"), (502, ""), (503, "ServiceUnavailable"), (504, "")]
        {
            assert_eq!(kind(status, code), (FailureKind::Repeat, true), "{status} {code}");
        }
    }

    #[test]
    fn answers_about_an_object_are_no_errors() {
        assert_eq!(kind(404, "NoSuchKey"), (FailureKind::Missing, false));
        assert_eq!(kind(412, "PreconditionFailed"), (FailureKind::Taken, false));
        assert!(answered(404, None, None, None).is_answer(), "a HEAD has no body");
    }

    #[test]
    fn what_the_user_can_mend_says_how() {
        for (status, code, word) in [
            (404, "NoSuchBucket", "create the bucket"),
            (403, "AccessDenied", "s3:ListBucket"),
            (403, "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
            (403, "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
            (400, "ExpiredToken", "new credentials"),
            (403, "RequestTimeTooSkewed", "clock"),
        ] {
            let (FailureKind::Fix { hint }, false) = kind(status, code) else { panic!("{code}") };
            assert!(hint.contains(word), "{code}: {hint}");
        }
        let moved = answered(301, Some("PermanentRedirect"), None, Some("eu-central-1"));
        let FailureKind::Fix { hint } = moved.kind else { panic!("{moved:?}") };
        assert!(hint.contains("AWS_REGION=eu-central-1"));
    }
}
