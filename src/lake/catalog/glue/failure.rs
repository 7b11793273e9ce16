//! What an answer of Glue means: for the request, for a repetition, for the user.
//!
//! What must hold (L3): only what Glue says that it did not do has definitely failed; 5xx and its own time-outs leave a
//! doubt. Lost connections, time-outs on the way and missing credentials are judged as S3's are.

use super::super::super::store::s3::failure::{CREDENTIALS, Failure, Verdict};
use aws_sdk_glue::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use std::error::Error as StdError;

const PERMISSIONS: &str = "the credentials in use need glue:GetDatabase, glue:CreateDatabase, glue:GetTable, glue:GetTables, \
                           glue:CreateTable and glue:UpdateTable on the catalog, the database and its tables";

/// A failed request.
pub fn failed<E>(error: SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    match &error {
        SdkError::ServiceError(answer) => {
            answered(answer.raw().status().as_u16(), answer.err().code(), answer.err().message())
        }
        _ => Failure::from(error),
    }
}

/// What an answer with an error status means.
fn answered(status: u16, code: Option<&str>, message: Option<&str>) -> Failure {
    let cause = match (code, message) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => format!("HTTP status {status} without a reason"),
    };
    let fix =
        |hint: &str| Failure { verdict: Verdict::Fix { hint: hint.to_owned() }, perhaps: false, cause: cause.clone() };
    let is = |verdict: Verdict, perhaps: bool| Failure { verdict, perhaps, cause: cause.clone() };
    match (status, code.unwrap_or_default()) {
        (_, "EntityNotFoundException") => is(Verdict::Missing, false),
        // the condition did not hold: the name is taken, the version is not the last
        (_, "AlreadyExistsException" | "ConcurrentModificationException" | "VersionMismatchException") => {
            is(Verdict::Taken, false)
        }
        (
            _,
            "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "MissingAuthenticationTokenException",
        ) => fix(&format!("check the credentials: {CREDENTIALS}")),
        (_, "ExpiredTokenException" | "ExpiredToken" | "RequestExpired") => {
            fix("get new credentials: these are no longer valid")
        }
        (_, "AccessDeniedException" | "AccessDenied") => fix(PERMISSIONS),
        (_, "ResourceNumberLimitExceededException") => fix(
            "ask Amazon for a higher limit of Glue, or delete old versions of its tables (`aws glue batch-delete-table-version`)",
        ),
        (_, "GlueEncryptionException") => {
            fix("the credentials in use need the KMS key that the Glue catalog is encrypted with")
        }
        (
            _,
            "ThrottlingException"
            | "Throttling"
            | "TooManyRequestsException"
            | "RequestLimitExceeded"
            | "RequestThrottledException",
        )
        | (429, _) => is(Verdict::Repeat, false),
        (_, "OperationTimeoutException" | "InternalServiceException" | "InternalFailure" | "ServiceUnavailable")
        | (408 | 500.., _) => is(Verdict::Repeat, true),
        (401 | 403, _) => fix(PERMISSIONS),
        _ => is(Verdict::Refused, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_glue_denied_has_definitely_failed() {
        let of = |status: u16, code: &str| answered(status, Some(code), Some("words"));
        for code in ["ThrottlingException", "RequestLimitExceeded"] {
            assert!(of(400, code).repeatable_surely(), "{code}");
        }
        for (status, code) in [
            (500, "InternalServiceException"),
            (400, "OperationTimeoutException"),
            (503, "ServiceUnavailable"),
            (502, ""),
        ] {
            let failure = of(status, code);
            assert!(failure.perhaps && failure.repeatable() && !failure.repeatable_surely(), "{status} {code}");
        }
        assert_eq!(of(400, "ConcurrentModificationException").verdict, Verdict::Taken);
        assert_eq!(of(400, "EntityNotFoundException").verdict, Verdict::Missing);
        assert_eq!(of(400, "InvalidInputException").verdict, Verdict::Refused);
    }

    #[test]
    fn what_the_user_can_mend_says_how() {
        for (code, word) in [
            ("UnrecognizedClientException", "AWS_ACCESS_KEY_ID"),
            ("AccessDeniedException", "glue:UpdateTable"),
            ("ExpiredTokenException", "new credentials"),
            ("ResourceNumberLimitExceededException", "limit"),
        ] {
            let Failure { verdict: Verdict::Fix { hint }, perhaps: false, .. } = answered(400, Some(code), None) else {
                panic!("{code}")
            };
            assert!(hint.contains(word), "{code}: {hint}");
        }
    }
}
