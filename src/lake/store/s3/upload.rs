//! Big objects in parts: begun, sent side by side, completed last; an upload that fails is aborted.
//!
//! Why aborted at once: parts of an upload that is never ended are stored, cost money and appear in no listing.
//! What must hold (L3): a completion whose answer was lost is looked up, not repeated blindly; after a completion that
//! conflicted with another write (409), the whole upload starts again, as S3 asks.

use super::super::{Operation, Store};
use super::S3Store;
use super::failure::{FailureKind, RequestFailure};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesOrdered;

/// Uploads of one object that conflict with other writes, before the write gives up.
const UPLOADS_MAX: u32 = 4;

impl S3Store {
    /// Writes or replaces the object in parts.
    pub(super) async fn put_parts(&self, key: &str, name: &str, bytes: &Bytes) -> Result<(), RequestFailure> {
        let mut uploads = 1;
        loop {
            let upload = self.begin(key, name).await?;
            let ended = match self.send_parts(key, name, &upload, bytes).await {
                Ok(parts) => self.complete(key, name, &upload, parts, bytes.len() as u64).await,
                // a part whose answer was lost may be there: the object is not
                Err(failure) => Err(RequestFailure { perhaps: false, ..failure }),
            };
            let Err(failure) = ended else { return Ok(()) };
            self.abort(key, name, &upload).await;
            if !matches!(failure.kind, FailureKind::Conflict | FailureKind::NoUpload) || uploads == UPLOADS_MAX {
                return Err(failure);
            }
            tracing::warn!(key, cause = failure.cause, "an upload conflicted with another write and starts again");
            uploads += 1;
        }
    }

    async fn begin(&self, key: &str, name: &str) -> Result<String, RequestFailure> {
        let begun = self.call(Operation::Put, key, RequestFailure::repeatable, || {
            let request = self.client.create_multipart_upload().bucket(&self.bucket).key(name);
            async move { Ok(request.send().await?) }
        });
        begun.await?.upload_id.ok_or_else(|| RequestFailure::odd_answer("an upload that was begun has no id"))
    }

    /// Returns when no part is under way any more, whether the parts arrived or not.
    async fn send_parts(
        &self,
        key: &str,
        name: &str,
        upload: &str,
        bytes: &Bytes,
    ) -> Result<Vec<CompletedPart>, RequestFailure> {
        let size = self.sizes.part;
        let mut waiting = (1..).zip((0..bytes.len()).step_by(size));
        // in the order of their numbers, as the completion has to list them
        let (mut under_way, mut sent, mut failed) = (FuturesOrdered::new(), Vec::new(), None);
        loop {
            while failed.is_none()
                && under_way.len() < self.sizes.parallel
                && let Some((number, start)) = waiting.next()
            {
                let part = bytes.slice(start..bytes.len().min(start + size));
                under_way.push_back(self.send_part(key, name, upload, number, part));
            }
            // after a failure, too: a part that lands after the abort would stay
            match under_way.next().await {
                Some(Ok(part)) => sent.push(part),
                Some(Err(failure)) => failed = failed.or(Some(failure)),
                None => return failed.map_or(Ok(sent), Err),
            }
        }
    }

    async fn send_part(
        &self,
        key: &str,
        name: &str,
        upload: &str,
        number: i32,
        part: Bytes,
    ) -> Result<CompletedPart, RequestFailure> {
        let sent = self.call(Operation::Put, key, RequestFailure::repeatable, || {
            let request =
                self.client.upload_part().bucket(&self.bucket).key(name).upload_id(upload).part_number(number);
            let request = request.body(ByteStream::from(part.clone()));
            let request = request.customize().config_override(self.timeouts(part.len()));
            async move { Ok(request.send().await?) }
        });
        let sent = sent.await?;
        Ok(CompletedPart::builder()
            .part_number(number)
            .set_e_tag(sent.e_tag)
            .set_checksum_crc32(sent.checksum_crc32)
            .set_checksum_crc64_nvme(sent.checksum_crc64_nvme)
            .build())
    }

    async fn complete(
        &self,
        key: &str,
        name: &str,
        upload: &str,
        parts: Vec<CompletedPart>,
        size: u64,
    ) -> Result<(), RequestFailure> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let again = |failure: &RequestFailure| failure.kind == FailureKind::Repeat;
        let completed = self.call(Operation::Put, key, again, || {
            let request = self.client.complete_multipart_upload().bucket(&self.bucket).key(name).upload_id(upload);
            let request = request.multipart_upload(parts.clone());
            async move { Ok(request.send().await.map(drop)?) }
        });
        let Err(failure) = completed.await else { return Ok(()) };
        // a completion that landed without an answer leaves no upload to complete; the names of files are never used twice
        if failure.perhaps && self.size(key).await.is_ok_and(|found| found == Some(size)) {
            return Ok(());
        }
        Err(failure)
    }

    /// Parts that stay because of an error are only garbage.
    async fn abort(&self, key: &str, name: &str, upload: &str) {
        let aborted = self.call(
            Operation::Delete,
            key,
            |failure| failure.kind == FailureKind::Repeat,
            || {
                let request = self.client.abort_multipart_upload().bucket(&self.bucket).key(name).upload_id(upload);
                async move { Ok(request.send().await.map(drop)?) }
            },
        );
        match aborted.await {
            Err(failure) if !matches!(failure.kind, FailureKind::NoUpload | FailureKind::Missing) => {
                tracing::warn!(key, cause = failure.cause, "the parts of a failed upload stay");
            }
            _ => {}
        }
    }
}
