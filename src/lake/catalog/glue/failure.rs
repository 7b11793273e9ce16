//! What an answer of Glue means: for the request, for a retry, for the user.
//!
//! What must hold (L3): a request has definitely failed only if Glue says that it did not perform it; after a 5xx or a
//! time-out of Glue it is perhaps done. Lost connections, time-outs on the way and missing credentials are judged as for S3.

use super::super::super::store::s3::failure::{CREDENTIALS, FailureKind, RequestFailure};
use aws_sdk_glue::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use std::error::Error as StdError;

const PERMISSIONS: &str = "the credentials in use need glue:GetDatabase, glue:CreateDatabase, glue:GetTable, glue:GetTables, \
                           glue:CreateTable and glue:UpdateTable on the catalog, the database and its tables";

/// Judges a failed request.
pub fn failed<E>(error: SdkError<E, HttpResponse>) -> RequestFailure
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    match &error {
        SdkError::ServiceError(answer) => {
            answered(answer.raw().status().as_u16(), answer.err().code(), answer.err().message())
        }
        _ => RequestFailure::from(error),
    }
}

/// Judges an answer with an error status.
fn answered(status: u16, code: Option<&str>, message: Option<&str>) -> RequestFailure {
    let cause = match (code, message) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => format!("HTTP status {status} without a reason"),
    };
    let fix = |hint: &str| RequestFailure {
        kind: FailureKind::Fix { hint: hint.to_owned() },
        perhaps: false,
        cause: cause.clone(),
    };
    let is = |kind: FailureKind, perhaps: bool| RequestFailure { kind, perhaps, cause: cause.clone() };
    match (status, code.unwrap_or_default()) {
        (_, "EntityNotFoundException") => is(FailureKind::Missing, false),
        // the condition did not hold: the name is taken, or the version is not the last one
        (_, "AlreadyExistsException" | "ConcurrentModificationException" | "VersionMismatchException") => {
            is(FailureKind::Taken, false)
        }
        (
            _,
            "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "MissingAuthenticationTokenException",
        ) => fix(&format!("check the credentials: {CREDENTIALS}")),
        (_, "ExpiredTokenException" | "ExpiredToken" | "RequestExpired") => {
            fix("get new credentials: the ones in use are no longer valid")
        }
        (_, "AccessDeniedException" | "AccessDenied") => fix(PERMISSIONS),
        (_, "ResourceNumberLimitExceededException") => fix(
            "ask Amazon for a higher Glue limit, or delete old table versions (`aws glue batch-delete-table-version`)",
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
        | (429, _) => is(FailureKind::Repeat, false),
        (_, "OperationTimeoutException" | "InternalServiceException" | "InternalFailure" | "ServiceUnavailable")
        | (408 | 500.., _) => is(FailureKind::Repeat, true),
        (401 | 403, _) => fix(PERMISSIONS),
        _ => is(FailureKind::Refused, false),
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
        assert_eq!(of(400, "ConcurrentModificationException").kind, FailureKind::Taken);
        assert_eq!(of(400, "EntityNotFoundException").kind, FailureKind::Missing);
        assert_eq!(of(400, "InvalidInputException").kind, FailureKind::Refused);
    }

    #[test]
    fn what_the_user_can_mend_says_how() {
        for (code, word) in [
            ("UnrecognizedClientException", "AWS_ACCESS_KEY_ID"),
            ("AccessDeniedException", "glue:UpdateTable"),
            ("ExpiredTokenException", "new credentials"),
            ("ResourceNumberLimitExceededException", "limit"),
        ] {
            let RequestFailure { kind: FailureKind::Fix { hint }, perhaps: false, .. } =
                answered(400, Some(code), None)
            else {
                panic!("{code}")
            };
            assert!(hint.contains(word), "{code}: {hint}");
        }
    }
}
