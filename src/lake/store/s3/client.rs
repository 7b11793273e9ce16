//! Which bucket, and the client that speaks to it: address, region, credentials, time-outs.
//!
//! Credentials and region come from the SDK's default chain: AWS_* variables, profiles, web identity, container and instance
//! roles (IMDSv2). TLS is rustls over ring, with this machine's certificates.

use super::super::super::error::LakeError;
use super::Patience;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::{BehaviorVersion, ConfigLoader};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use std::fmt;
use std::time::Duration;
use ticktide_base::environment::S3Settings;

/// A prefix of a bucket and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Place {
    pub bucket: String,
    /// Without slashes at its ends; may be empty.
    pub prefix: String,
    pub settings: S3Settings,
}

impl fmt::Display for S3Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

/// How long a connection may take.
pub(super) const CONNECT: Duration = Duration::from_secs(5);
/// The region of a store that is not Amazon's: the signature needs some name.
const ANY_REGION: &str = "us-east-1";

impl S3Place {
    /// Reads `s3://BUCKET/PREFIX`. Error of kind `Fix`: the address is not valid, or cannot hold a lake.
    pub fn parse(text: &str, settings: S3Settings) -> Result<S3Place, LakeError> {
        let wrong = |what: &str, hint: &str| Err(LakeError::fix(format!("warehouse {text:?}: {what}"), hint));
        let rest = text.strip_prefix("s3://").unwrap_or(text);
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_end_matches('/');
        if bucket.ends_with("--x-s3") {
            return wrong(
                "a directory bucket cannot hold a lake: its conditional writes and listings follow other rules",
                "use a general purpose bucket",
            );
        }
        let letters = |allowed: fn(u8) -> bool, text: &str| text.bytes().all(allowed);
        let of_bucket = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
        if !(3..=63).contains(&bucket.len()) || !letters(of_bucket, bucket) {
            return wrong(
                &format!("{bucket:?} is not a bucket's name"),
                "write s3://BUCKET/PREFIX; a bucket has 3 to 63 of the characters a-z, 0-9, `.` and `-`",
            );
        }
        let of_prefix = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'=' | b'/');
        let odd_part = |part: &str| matches!(part, "" | "." | "..");
        if !letters(of_prefix, prefix) || (!prefix.is_empty() && prefix.split('/').any(odd_part)) {
            return wrong(
                &format!("not all engines read the prefix {prefix:?} alike"),
                "use letters, digits, `-`, `_`, `.` and `=` between single slashes",
            );
        }
        Ok(S3Place { bucket: bucket.to_owned(), prefix: prefix.to_owned(), settings })
    }

    /// The client. Error of kind `Fix`: no region is set.
    pub(super) async fn client(&self) -> Result<Client, LakeError> {
        let endpoint = self.settings.endpoint.as_ref().map(|endpoint| endpoint.value.clone());
        let mut loader = config();
        if endpoint.is_some() {
            // the default chain would ask an instance for its region, which this machine may not be
            let chain = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new());
            let chain = chain.or_else(ProfileFileRegionProvider::new()).or_else(ANY_REGION);
            loader = loader.region(chain);
        }
        let shared = loader.load().await;
        if shared.region().is_none() {
            return Err(LakeError::fix(
                format!("no region is set for {self}"),
                "set AWS_REGION to the bucket's region, or `region` in the profile",
            ));
        }
        let path_style = self.settings.path_style.as_ref().map(|found| found.value);
        let mut config = aws_sdk_s3::config::Builder::from(&shared)
            .force_path_style(path_style.unwrap_or(endpoint.is_some() || shared.endpoint_url().is_some()));
        if let Some(endpoint) = endpoint {
            config = config.endpoint_url(endpoint);
        }
        Ok(Client::from_conf(config.build()))
    }
}

/// What every client of Amazon's services has in common: TLS, time-outs, and no retries of its own.
pub fn config() -> ConfigLoader {
    let http =
        aws_smithy_http_client::Builder::new().tls_provider(tls::Provider::Rustls(CryptoMode::Ring)).build_https();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(Patience::default().attempt)
        .build();
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .timeout_config(timeouts)
        .retry_config(RetryConfig::disabled())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ticktide_base::error::{Classified, Kind};

    #[test]
    fn an_address_is_a_bucket_and_a_prefix() {
        for (text, bucket, prefix) in
            [("s3://lake", "lake", ""), ("s3://lake/", "lake", ""), ("s3://my.lake-1/a/b=c/", "my.lake-1", "a/b=c")]
        {
            let place = S3Place::parse(text, S3Settings::default()).expect(text);
            assert_eq!((place.bucket.as_str(), place.prefix.as_str()), (bucket, prefix), "{text}");
            assert_eq!(place.to_string(), text.trim_end_matches('/'));
        }
    }

    #[test]
    fn addresses_that_cannot_hold_a_lake_are_refused_with_a_hint() {
        for text in [
            "s3://",
            "s3://ab",
            "s3://Lake/x",
            "s3://lake_1/x",
            "s3://arn:aws:s3:::x/y",
            "s3://lake//x",
            "s3://lake/a/../b",
            "s3://lake/a b",
            "s3://lake/ä",
            "s3://lake--use1-az4--x-s3/x",
        ] {
            let error = S3Place::parse(text, S3Settings::default()).expect_err(text);
            assert!(error.kind() == Kind::Fix && error.hint().is_some(), "{text}: {error}");
        }
    }
}
