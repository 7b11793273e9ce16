//! A prefix of an S3 bucket as a store, through the AWS SDK.
//!
//! ```text
//!   Store ──▶ call: send ─▶ judge (failure.rs) ─▶ wait, again (patience.rs) … ──▶ answer or LakeError
//!                                 │ a write whose answer was lost
//!                                 └──▶ create: the caller looks the object up (L3) · put: sent again, the bytes are the same
//! ```
//!
//! What must hold: L1 a create is one PUT with `If-None-Match: *`, whatever its size · L3 a create is sent again only if
//! the one before definitely failed · an object has its name only when it is whole (multipart uploads are completed last).

pub(crate) mod client;
pub(crate) mod failure;
#[cfg(test)]
pub(crate) mod tests;
mod upload;

pub use client::S3Place;

use super::super::error::LakeError;
use super::{Created, Operation, Store, StoreMeters};
use crate::store::patience::Patience;
use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use failure::{CREDENTIALS, FailureKind, RequestFailure, insist};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bodies above `multipart_above` bytes go in parts of `part` bytes, `parallel` at a time.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    multipart_above: usize,
    part: usize,
    parallel: usize,
}

impl Default for Sizes {
    fn default() -> Sizes {
        Sizes { multipart_above: 16 << 20, part: 16 << 20, parallel: 4 }
    }
}

/// A prefix of a bucket.
#[derive(Clone)]
pub struct S3Store {
    client: Client,
    bucket: String,
    /// Without slashes at its ends; may be empty.
    prefix: String,
    patience: Patience,
    sizes: Sizes,
    meters: Arc<StoreMeters>,
}

impl fmt::Debug for S3Store {
    /// The address only: a client knows credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("S3Store").field(&self.location("")).finish()
    }
}

/// How long the first request is repeated: a user who mistyped an address is waiting.
const FIRST_CONTACT: Duration = Duration::from_secs(10);

impl S3Store {
    /// Opens the bucket's prefix with the default chain of credentials. Errors of kind `Fix`: no region, no credentials, no
    /// such bucket, no permission.
    pub async fn open(place: &S3Place) -> Result<S3Store, LakeError> {
        let store = S3Store::on(place.client().await?, place);
        match store.first_contact().await {
            Ok(()) => Ok(store),
            Err(LakeError::Store { operation, key, perhaps, cause, full }) => {
                let at = place.settings.endpoint.as_ref().map_or("Amazon's endpoint", |endpoint| &endpoint.value);
                Err(LakeError::Store { operation, key, perhaps, cause: format!("{at} does not answer: {cause}"), full })
            }
            Err(error) => Err(error),
        }
    }

    fn on(client: Client, place: &S3Place) -> S3Store {
        S3Store {
            client,
            bucket: place.bucket.clone(),
            prefix: place.prefix.clone(),
            patience: Patience::default(),
            sizes: Sizes::default(),
            meters: Arc::default(),
        }
    }

    async fn first_contact(&self) -> Result<(), LakeError> {
        let mut hasty = self.clone();
        hasty.patience.total = hasty.patience.total.min(FIRST_CONTACT);
        let listed = hasty.call(Operation::List, "", RequestFailure::repeatable, || {
            let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(self.name("")).max_keys(1);
            async move { Ok(request.send().await?) }
        });
        listed.await.map(drop).map_err(|failure| match failure.kind {
            FailureKind::NoCredentials => {
                LakeError::fix(format!("cannot access {}: {}", self.location(""), failure.cause), CREDENTIALS)
            }
            _ => self.error(Operation::List, "", failure),
        })
    }

    /// Sends a request with patience, and counts what it takes.
    async fn call<T, F>(
        &self,
        operation: Operation,
        key: &str,
        repeatable: impl Fn(&RequestFailure) -> bool + Send,
        send: impl Fn() -> F + Send,
    ) -> Result<T, RequestFailure>
    where
        F: Future<Output = Result<T, RequestFailure>> + Send,
    {
        let meter = self.meters.of(operation);
        let again = |retry: u32, failure: &RequestFailure| {
            if retry >= QUIET_RETRIES && retry.is_power_of_two() {
                let (operation, at, cause) = (operation.name(), self.location(key), &failure.cause);
                tracing::warn!(operation, at, retry, cause, "a request to the store failed, trying again");
            }
            meter.count_retry();
        };
        let timed = || async {
            let sent = Instant::now();
            let answer = send().await;
            meter.count(sent.elapsed(), answer.as_ref().is_err_and(|failure| !failure.is_answer()));
            answer
        };
        insist(&self.patience, repeatable, again, timed).await
    }

    /// A failure as the lake's error.
    fn error(&self, operation: Operation, key: &str, failure: RequestFailure) -> LakeError {
        let (verb, place) = (operation.name(), self.location(key));
        let RequestFailure { kind, perhaps, cause } = failure;
        match kind {
            FailureKind::Missing => LakeError::Missing { key: key.to_owned() },
            FailureKind::Fix { hint } => LakeError::fix(format!("{verb} {place} failed: {cause}"), hint),
            _ => LakeError::Store { operation: verb, key: place, perhaps, cause, full: false },
        }
    }

    /// The object's name in the bucket.
    fn name(&self, key: &str) -> String {
        match (self.prefix.as_str(), key) {
            ("", key) => key.to_owned(),
            (prefix, key) => format!("{prefix}/{key}"),
        }
    }

    /// The object's name in the bucket, if the key is valid by the rules of a folder, so that a lake can be copied.
    fn sound(&self, key: &str) -> Result<String, LakeError> {
        let sound = !key.split('/').any(|part| part.is_empty() || part == "." || part == "..");
        if sound { Ok(self.name(key)) } else { Err(LakeError::Bug(format!("{key:?} is not an object's name"))) }
    }

    async fn read(&self, key: &str, range: Option<Range<u64>>) -> Result<Bytes, LakeError> {
        let name = self.sound(key)?;
        let header = range.as_ref().map(|range| format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
        let got = self.call(Operation::Get, key, RequestFailure::repeatable, || {
            let request = self.client.get_object().bucket(&self.bucket).key(&name).set_range(header.clone());
            async move { collect(request.send().await?).await }
        });
        let mut got = got.await;
        if let Err(failure) = &mut got {
            failure.perhaps = false; // reading changes nothing
        }
        let bytes = got.map_err(|failure| self.error(Operation::Get, key, failure))?;
        if let Some(range) = range.filter(|range| bytes.len() as u64 != range.end - range.start) {
            let cause = format!("asked for bytes {}..{}, got {}", range.start, range.end, bytes.len());
            return Err(LakeError::format(format!("read {}", self.location(key)), cause));
        }
        Ok(bytes)
    }

    /// Time-outs of a request that carries `bytes` bytes.
    fn timeouts(&self, bytes: usize) -> aws_sdk_s3::config::Builder {
        let limit = self.patience.attempt_of(bytes);
        let timeouts = TimeoutConfig::builder().connect_timeout(client::CONNECT).operation_attempt_timeout(limit);
        aws_sdk_s3::config::Builder::new().timeout_config(timeouts.build())
    }

    async fn put_whole(&self, key: &str, name: &str, bytes: &Bytes) -> Result<(), RequestFailure> {
        self.call(Operation::Put, key, RequestFailure::repeatable, || {
            let body = ByteStream::from(bytes.clone());
            let request = self.client.put_object().bucket(&self.bucket).key(name).body(body);
            let request = request.customize().config_override(self.timeouts(bytes.len()));
            async move { Ok(request.send().await.map(drop)?) }
        })
        .await
    }
}

/// From this retry on they are logged, each time their number has doubled.
const QUIET_RETRIES: u32 = 4;

async fn collect(answer: GetObjectOutput) -> Result<Bytes, RequestFailure> {
    let body = answer.body.collect().await.map_err(|error| RequestFailure::broken_body(&error))?;
    Ok(body.into_bytes())
}

#[async_trait]
impl Store for S3Store {
    async fn get(&self, key: &str) -> Result<Bytes, LakeError> {
        self.read(key, None).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, LakeError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        self.read(key, Some(range)).await
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), LakeError> {
        let name = self.sound(key)?;
        let written = if bytes.len() > self.sizes.multipart_above {
            self.put_parts(key, &name, &bytes).await
        } else {
            self.put_whole(key, &name, &bytes).await
        };
        written.map_err(|failure| self.error(Operation::Put, key, failure))
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Result<Created, LakeError> {
        let name = self.sound(key)?;
        let created = self.call(Operation::Create, key, RequestFailure::repeatable_surely, || {
            let body = ByteStream::from(bytes.clone());
            let request = self.client.put_object().bucket(&self.bucket).key(&name).if_none_match("*").body(body);
            let request = request.customize().config_override(self.timeouts(bytes.len()));
            async move { Ok(request.send().await.map(drop)?) }
        });
        match created.await {
            Ok(()) => Ok(Created::Won),
            Err(RequestFailure { kind: FailureKind::Taken, .. }) => Ok(Created::Exists),
            Err(failure) => Err(self.error(Operation::Create, key, failure)),
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, LakeError> {
        let root = self.name("");
        let (mut found, mut token) = (Vec::new(), None);
        loop {
            let listed = self.call(Operation::List, prefix, RequestFailure::repeatable, || {
                let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(self.name(prefix));
                let request = request.set_continuation_token(token.clone());
                async move { Ok(request.send().await?) }
            });
            let page = listed.await.map_err(|failure| self.error(Operation::List, prefix, failure))?;
            let keys = page.contents().iter().filter_map(|object| object.key()?.strip_prefix(root.as_str()));
            found.extend(keys.map(str::to_owned));
            if !page.is_truncated().unwrap_or(false) {
                break;
            }
            if page.next_continuation_token.is_none() || page.next_continuation_token == token {
                let failure = RequestFailure::odd_answer("a page of a listing does not say where the next one starts");
                return Err(self.error(Operation::List, prefix, failure));
            }
            token = page.next_continuation_token;
        }
        found.sort_unstable();
        Ok(found)
    }

    async fn delete(&self, key: &str) -> Result<(), LakeError> {
        let name = self.sound(key)?;
        let deleted = self.call(Operation::Delete, key, RequestFailure::repeatable, || {
            let request = self.client.delete_object().bucket(&self.bucket).key(&name);
            async move { Ok(request.send().await.map(drop)?) }
        });
        match deleted.await {
            Err(RequestFailure { kind: FailureKind::Missing, .. }) => Ok(()),
            other => other.map_err(|failure| self.error(Operation::Delete, key, failure)),
        }
    }

    async fn size(&self, key: &str) -> Result<Option<u64>, LakeError> {
        let name = self.sound(key)?;
        let head = self.call(Operation::Size, key, RequestFailure::repeatable, || {
            let request = self.client.head_object().bucket(&self.bucket).key(&name);
            async move { Ok(request.send().await?) }
        });
        match head.await {
            Ok(head) => match head.content_length().map(u64::try_from) {
                Some(Ok(size)) => Ok(Some(size)),
                _ => Err(self.error(Operation::Size, key, RequestFailure::odd_answer("the answer has no size"))),
            },
            Err(RequestFailure { kind: FailureKind::Missing, .. }) => Ok(None),
            Err(failure) => Err(self.error(Operation::Size, key, failure)),
        }
    }

    fn location(&self, key: &str) -> String {
        let root = format!("s3://{}", self.bucket);
        [root.as_str(), &self.prefix, key].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
    }

    fn meters(&self) -> Option<Arc<StoreMeters>> {
        Some(self.meters.clone())
    }
}
