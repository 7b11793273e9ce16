//! An S3 in this process: s3s-fs with signatures checked, behind a lock for each name, with faults on demand.
//!
//! Why the lock: s3s-fs looks whether a name is free and renames onto it later, so without one of two racing conditional
//! puts both win. Why faults at the level of HTTP: what the client makes of a lost connection is what is tested.

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::dto::*;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, S3, S3Request, S3Response, S3Result};
use s3s_fs::FileSystem;
use std::error::Error;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, MutexGuard};

/// The only credentials that it accepts.
pub const ACCESS_KEY: &str = "stand-in";
pub const SECRET_KEY: &str = "stand-in-secret";

/// What becomes of a request.
#[allow(dead_code)] // neither the tests nor the server of the scenarios use all of them
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Nothing is done, an error is answered.
    Refuse(u16, &'static str),
    /// It is done, an error is answered.
    Doubt(u16, &'static str),
    /// It is done, the connection is closed without an answer.
    Lose,
    /// Nothing is done, nothing is ever answered.
    Hang,
    /// It is done, nothing is ever answered.
    Mute,
    /// The connection is closed without an answer; it is done that much later.
    Late(Duration),
    /// The answer breaks off in the middle of its body.
    Truncate,
    /// The answer's body comes in pieces, that much apart.
    Slow(Duration),
    /// It is kept until [`Gate`] lets it go.
    Hold,
}

/// Where a request is kept that came to [`Fault::Hold`].
#[async_trait::async_trait]
pub trait Gate: Send + Sync {
    /// Ends when the request may go on; false: its connection is closed, nothing is done.
    async fn opens(&self, address: &str) -> bool;
}

/// Never keeps a request.
pub struct Open;

#[async_trait::async_trait]
impl Gate for Open {
    async fn opens(&self, _: &str) -> bool {
        true
    }
}

/// Chooses the fault of a request by its method and address.
pub type Faults = Arc<dyn Fn(&str, &str) -> Fault + Send + Sync>;

/// The server.
#[derive(Clone)]
pub struct StandIn {
    service: S3Service,
    faults: Faults,
    gate: Arc<dyn Gate>,
}

type Problem = Box<dyn Error + Send + Sync>;

impl StandIn {
    /// Serves the folder, in which each folder is a bucket. `conditions`: whether `If-None-Match` is honoured.
    pub fn new(folder: &Path, conditions: bool, faults: Faults) -> Result<StandIn, String> {
        let files = FileSystem::new(folder).map_err(|error| format!("{}: {error:?}", folder.display()))?;
        let locks = (0..256).map(|_| Mutex::default()).collect();
        let mut builder = S3ServiceBuilder::new(Locked { files, locks, conditions });
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        Ok(StandIn { service: builder.build(), faults, gate: Arc::new(Open) })
    }

    /// Keeps requests at this gate.
    pub fn behind(self, gate: Arc<dyn Gate>) -> StandIn {
        StandIn { gate, ..self }
    }

    /// Answers until the listener fails.
    pub async fn serve(self, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let server = self.clone();
            let handler = hyper::service::service_fn(move |request| server.clone().answer(request));
            let serving = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), handler);
            // a connection that breaks is its client's affair
            tokio::spawn(async move { drop(serving.await) });
        }
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, Problem> {
        let address = request.uri().path_and_query().map_or_else(String::new, |address| address.to_string());
        let fault = (self.faults)(request.method().as_str(), &address);
        match fault {
            Fault::Refuse(status, code) => return refusal(status, code),
            Fault::Hang => std::future::pending().await,
            _ => {}
        }
        // whole before anything is done with it; what is done then does not depend on who still listens
        let (head, body) = request.into_parts();
        let request = Request::from_parts(head, Body::from(body.collect().await?.to_bytes()));
        let (service, gate) = (self.service.clone(), self.gate.clone());
        let done = tokio::spawn(async move {
            match fault {
                Fault::Late(after) => tokio::time::sleep(after).await,
                Fault::Hold if !gate.opens(&address).await => return Err("it was kept, and not let in".into()),
                _ => {}
            }
            service.call(request).await.map_err(|error| Problem::from(format!("{error:?}")))
        });
        if let Fault::Late(_) = fault {
            return Err("the answer is lost".into());
        }
        let answer = done.await??;
        match fault {
            Fault::Doubt(status, code) => refusal(status, code),
            Fault::Lose => Err("the answer is lost".into()),
            Fault::Mute => std::future::pending().await,
            Fault::Truncate => in_pieces(answer, 2, Duration::ZERO, true).await,
            Fault::Slow(pause) => in_pieces(answer, 5, pause, false).await,
            _ => Ok(answer),
        }
    }
}

/// The answer with its body in so many pieces; `broken`: the last one never comes.
async fn in_pieces(
    answer: Response<Body>,
    count: usize,
    pause: Duration,
    broken: bool,
) -> Result<Response<Body>, Problem> {
    let (mut head, body) = answer.into_parts();
    let bytes = body.collect().await?.to_bytes();
    head.headers.insert("content-length", bytes.len().into());
    let length = bytes.len().div_ceil(count).max(1);
    let pieces = (0..bytes.len()).step_by(length).map(|from| bytes.slice(from..bytes.len().min(from + length)));
    let mut pieces: Vec<Result<Bytes, std::io::Error>> = pieces.map(Ok).collect();
    if broken {
        pieces.pop();
        pieces.push(Err(std::io::ErrorKind::BrokenPipe.into()));
    }
    let sent = futures::stream::unfold(pieces.into_iter(), move |mut left| async move {
        let piece = left.next()?;
        tokio::time::sleep(pause).await;
        Some((piece.map(Frame::data), left))
    });
    Ok(Response::from_parts(head, Body::http_body_unsync(StreamBody::new(sent))))
}

fn refusal(status: u16, code: &str) -> Result<Response<Body>, Problem> {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>injected</Message></Error>");
    Ok(Response::builder().status(status).header("content-type", "application/xml").body(Body::from(body))?)
}

/// s3s-fs with one writer for each name at a time.
struct Locked {
    files: FileSystem,
    locks: Vec<Mutex<()>>,
    conditions: bool,
}

impl Locked {
    async fn lock(&self, key: &str) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        self.locks[hasher.finish() as usize % self.locks.len()].lock().await
    }
}

type Answer<T> = S3Result<S3Response<T>>;

#[async_trait::async_trait]
impl S3 for Locked {
    async fn put_object(&self, mut request: S3Request<PutObjectInput>) -> Answer<PutObjectOutput> {
        if !self.conditions {
            request.input.if_none_match = None;
        }
        let _one = self.lock(&request.input.key.clone()).await;
        self.files.put_object(request).await
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> Answer<CompleteMultipartUploadOutput> {
        let _one = self.lock(&request.input.key.clone()).await;
        self.files.complete_multipart_upload(request).await
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> Answer<DeleteObjectOutput> {
        let _one = self.lock(&request.input.key.clone()).await;
        self.files.delete_object(request).await
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> Answer<GetObjectOutput> {
        let _one = self.lock(&request.input.key.clone()).await;
        self.files.get_object(request).await
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> Answer<HeadObjectOutput> {
        self.files.head_object(request).await
    }

    async fn delete_objects(&self, request: S3Request<DeleteObjectsInput>) -> Answer<DeleteObjectsOutput> {
        self.files.delete_objects(request).await
    }

    async fn copy_object(&self, request: S3Request<CopyObjectInput>) -> Answer<CopyObjectOutput> {
        self.files.copy_object(request).await
    }

    async fn create_bucket(&self, request: S3Request<CreateBucketInput>) -> Answer<CreateBucketOutput> {
        self.files.create_bucket(request).await
    }

    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> Answer<HeadBucketOutput> {
        self.files.head_bucket(request).await
    }

    async fn get_bucket_location(&self, request: S3Request<GetBucketLocationInput>) -> Answer<GetBucketLocationOutput> {
        self.files.get_bucket_location(request).await
    }

    async fn list_buckets(&self, request: S3Request<ListBucketsInput>) -> Answer<ListBucketsOutput> {
        self.files.list_buckets(request).await
    }

    async fn list_objects(&self, request: S3Request<ListObjectsInput>) -> Answer<ListObjectsOutput> {
        self.files.list_objects(request).await
    }

    async fn list_objects_v2(&self, request: S3Request<ListObjectsV2Input>) -> Answer<ListObjectsV2Output> {
        self.files.list_objects_v2(request).await
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> Answer<CreateMultipartUploadOutput> {
        self.files.create_multipart_upload(request).await
    }

    async fn upload_part(&self, request: S3Request<UploadPartInput>) -> Answer<UploadPartOutput> {
        self.files.upload_part(request).await
    }

    async fn list_parts(&self, request: S3Request<ListPartsInput>) -> Answer<ListPartsOutput> {
        self.files.list_parts(request).await
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> Answer<AbortMultipartUploadOutput> {
        self.files.abort_multipart_upload(request).await
    }
}
