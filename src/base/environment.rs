//! The environment, read here and nowhere else, and the order in which settings win.
//!
//! flag > `TICKTIDE_…` variable > file > default. Why in one place: `--dry-run` can then report where each value came from,
//! and no other part of the program depends on the shell that started it.

use crate::error::Error;
use std::fmt;

/// Where the lake is (`--warehouse`).
pub const WAREHOUSE: &str = "TICKTIDE_WAREHOUSE";
/// Which catalog it uses (`--catalog`).
pub const CATALOG: &str = "TICKTIDE_CATALOG";
/// Kafka brokers (`--brokers`).
pub const BROKERS: &str = "TICKTIDE_BROKERS";
/// Worker threads (`-w`).
pub const WORKERS: &str = "TICKTIDE_WORKERS";
/// The address of an S3 store that is not Amazon's.
pub const S3_ENDPOINT: &str = "TICKTIDE_S3_ENDPOINT";
/// Whether the bucket is part of the path (`true`) or of the host (`false`).
pub const S3_PATH_STYLE: &str = "TICKTIDE_S3_PATH_STYLE";
/// Where metrics are served (`--metrics`).
pub const METRICS: &str = "TICKTIDE_METRICS";
/// The secret that the processes of a cluster share (`--secret-file` names a file with it).
pub const SECRET: &str = "TICKTIDE_SECRET";
/// How long the other processes may take to join the run (`--start-within`).
pub const START_WITHIN: &str = "TICKTIDE_START_WITHIN";
/// How long another process may be silent (`--silence`).
pub const SILENCE: &str = "TICKTIDE_SILENCE";
/// Restarts within a window (`--restarts`).
pub const RESTARTS: &str = "TICKTIDE_RESTARTS";
/// The window in which restarts are counted (`--restart-window`).
pub const RESTART_WINDOW: &str = "TICKTIDE_RESTART_WINDOW";
/// The first wait before a restart (`--backoff`).
pub const BACKOFF: &str = "TICKTIDE_BACKOFF";
/// The longest wait before a restart (`--backoff-max`).
pub const BACKOFF_MAX: &str = "TICKTIDE_BACKOFF_MAX";
/// How long a loop of a process may make no progress (`--hang-after`).
pub const HANG_AFTER: &str = "TICKTIDE_HANG_AFTER";
/// Set by a parent for its processes: where to send heartbeats, and with which token.
pub const HEART: &str = "TICKTIDE_HEART";
/// For tests of a panic's consequences: where a run panics, see [`crate::panics`].
pub const PANIC_AT: &str = "TICKTIDE_PANIC_AT";
/// The key of an XTS application (`feed iifl`).
pub const IIFL_APP_KEY: &str = "TICKTIDE_IIFL_APP_KEY";
/// Its secret.
pub const IIFL_SECRET_KEY: &str = "TICKTIDE_IIFL_SECRET_KEY";
/// The token of the MQTT bridge.
pub const IIFL_TOKEN: &str = "TICKTIDE_IIFL_TOKEN";
/// The user of the token, if the token does not name one.
pub const IIFL_USER: &str = "TICKTIDE_IIFL_USER";
/// A bundle of certificates to use instead of the system's: the variable that OpenSSL reads.
pub const CERTIFICATES: &str = "SSL_CERT_FILE";
/// What to log, as tracing-subscriber's filters ("info", "ticktide=debug").
pub const LOG: &str = "TICKTIDE_LOG";

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Flag(&'static str),
    Environment(&'static str),
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(name) | Origin::Environment(name) => f.write_str(name),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// The value of a setting, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedSetting<T> {
    pub value: T,
    pub origin: Origin,
}

/// An environment variable; an empty value counts as absent, and so does one that is not UTF-8.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The flag if it was given, otherwise the variable, otherwise the default.
pub fn resolve(
    flag: Option<String>,
    flag_name: &'static str,
    variable_name: &'static str,
    default: Option<&str>,
) -> Option<ResolvedSetting<String>> {
    pick(flag, flag_name, variable(variable_name), variable_name, default)
}

/// How S3 is reached, beyond what the SDK finds by itself: it reads regions, credentials and profiles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct S3Settings {
    /// `None`: Amazon's, or the profile's.
    pub endpoint: Option<ResolvedSetting<String>>,
    /// `None`: true with an endpoint, otherwise false.
    pub path_style: Option<ResolvedSetting<bool>>,
}

/// The S3 settings of the environment; ticktide's variable for the endpoint wins over the SDK's. Error: an invalid value.
pub fn s3() -> Result<S3Settings, Error> {
    s3_from(variable)
}

fn s3_from(variable: impl Fn(&'static str) -> Option<String>) -> Result<S3Settings, Error> {
    let named =
        |name: &'static str| variable(name).map(|value| ResolvedSetting { value, origin: Origin::Environment(name) });
    let endpoint = [S3_ENDPOINT, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"].into_iter().find_map(named);
    if let Some(ResolvedSetting { value, origin }) = &endpoint
        && !["http://", "https://"].iter().any(|scheme| value.starts_with(scheme) && value.len() > scheme.len())
    {
        return Err(Error::fix(
            format!("{origin} {value:?} is not an address"),
            "write it as http://HOST:PORT or https://HOST",
        ));
    }
    let path_style = match named(S3_PATH_STYLE) {
        None => None,
        Some(ResolvedSetting { value, origin }) => match value.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" => Some(ResolvedSetting { value: true, origin }),
            "false" | "0" | "no" => Some(ResolvedSetting { value: false, origin }),
            _ => {
                return Err(Error::fix(
                    format!("{origin} {value:?} is neither true nor false"),
                    "set it to true or false",
                ));
            }
        },
    };
    Ok(S3Settings { endpoint, path_style })
}

fn pick(
    flag: Option<String>,
    flag_name: &'static str,
    environment: Option<String>,
    variable_name: &'static str,
    default: Option<&str>,
) -> Option<ResolvedSetting<String>> {
    if let Some(value) = flag {
        return Some(ResolvedSetting { value, origin: Origin::Flag(flag_name) });
    }
    if let Some(value) = environment {
        return Some(ResolvedSetting { value, origin: Origin::Environment(variable_name) });
    }
    default.map(|value| ResolvedSetting { value: value.to_owned(), origin: Origin::Default })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_beats_the_environment_and_both_beat_the_default() {
        let pick = |flag: Option<&str>, environment: Option<&str>, default| {
            let owned = |text: &str| text.to_owned();
            pick(flag.map(owned), "--warehouse", environment.map(owned), WAREHOUSE, default)
                .map(|sourced| (sourced.value, sourced.origin.to_string()))
        };
        assert_eq!(pick(Some("a"), Some("b"), Some("c")), Some(("a".into(), "--warehouse".into())));
        assert_eq!(pick(None, Some("b"), Some("c")), Some(("b".into(), "TICKTIDE_WAREHOUSE".into())));
        assert_eq!(pick(None, None, Some("c")), Some(("c".into(), "default".into())));
        assert_eq!(pick(None, None, None), None);
    }

    #[test]
    fn our_name_of_the_endpoint_beats_the_sdks_and_impossible_values_are_refused() {
        let of = |set: &[(&str, &str)]| {
            let set: Vec<_> = set.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            s3_from(|name| set.iter().find(|(set, _)| set == name).map(|(_, value)| value.clone()))
        };
        let both = of(&[("AWS_ENDPOINT_URL", "http://a:1"), (S3_ENDPOINT, "http://b:2"), (S3_PATH_STYLE, "FALSE")]);
        let both = both.expect("good values");
        assert_eq!(
            both.endpoint.map(|found| (found.value, found.origin.to_string())),
            Some(("http://b:2".into(), S3_ENDPOINT.into()))
        );
        assert_eq!(both.path_style.map(|found| found.value), Some(false));
        assert_eq!(of(&[]).expect("nothing set"), S3Settings::default());
        for (name, value) in [(S3_ENDPOINT, "127.0.0.1:9000"), (S3_ENDPOINT, "http://"), (S3_PATH_STYLE, "maybe")] {
            let error = of(&[(name, value)]).expect_err(value);
            assert!(error.message.contains(name) && error.hint.is_some(), "{error}");
        }
    }
}
