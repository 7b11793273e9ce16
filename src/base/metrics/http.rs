//! `GET /metrics`, and nothing else, over HTTP 1.
//!
//! What must always hold: a client can neither write nor stay: one request a connection, 10 s for it, 16 connections at once.

use crate::error::Error;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

/// Connections answered at once; more wait.
pub(super) const CONNECTIONS: usize = 16;
/// How long one connection may take.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// A bound address that does not answer yet.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    pub address: SocketAddr,
}

/// Binds an address, `HOST:PORT`; a process adds its index to the port, so that processes of one host do not collide. Errors:
/// it is not an address, or it cannot be bound.
pub fn listen(address: &str, process: usize) -> Result<Listener, Error> {
    let found = addresses(address, process)?;
    let taken = found.first().map_or_else(|| address.to_owned(), SocketAddr::to_string);
    let failed = |error: std::io::Error| {
        let message = format!("metrics: cannot listen on {taken}: {error}");
        Error::fix(message, "choose a free port and an address of this host, e.g. `--metrics 127.0.0.1:9464`")
    };
    let listener = TcpListener::bind(found.as_slice()).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(Listener { listener, address })
}

/// Where [`listen`] would listen. Error: it is not an address.
pub fn addresses(address: &str, process: usize) -> Result<Vec<SocketAddr>, Error> {
    let wrong = |why: &dyn std::fmt::Display| {
        let message = format!("metrics: {address:?} is not an address to listen on: {why}");
        Error::fix(message, "give HOST:PORT, e.g. `--metrics 127.0.0.1:9464`")
    };
    let mut found: Vec<SocketAddr> = address.to_socket_addrs().map_err(|error| wrong(&error))?.collect();
    for address in &mut found {
        let above = |port: u16| u16::try_from(usize::from(port) + process).map_err(|_| wrong(&"its port is too high"));
        // port 0 is any free port
        address.set_port(if address.port() == 0 { 0 } else { above(address.port())? });
    }
    Ok(found)
}

/// Answers scrapes until it is dropped.
pub struct Serving(#[allow(dead_code, reason = "held for its drop")] tokio::sync::oneshot::Sender<Infallible>);

/// Answers scrapes with what `text` returns, on its own thread. Error: the thread does not start.
pub fn serve(listener: Listener, text: impl Fn() -> String + Send + Sync + 'static) -> Result<Serving, Error> {
    let failed = |error: std::io::Error| Error::bug(format!("metrics: the thread does not start: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let (serving, dropped) = tokio::sync::oneshot::channel::<Infallible>();
    let address = listener.address;
    let answer = move || {
        runtime.block_on(async move {
            tokio::select! {
                _ = dropped => {}
                error = accept(listener.listener, Arc::new(text)) => tracing::error!(%error, "metrics are no longer served"),
            }
        });
    };
    std::thread::Builder::new().name("metrics".into()).spawn(answer).map_err(failed)?;
    tracing::info!(%address, "metrics are served");
    Ok(Serving(serving))
}

/// Accepts connections; ends only when the listener cannot be used at all.
async fn accept(listener: TcpListener, text: Arc<impl Fn() -> String + Send + Sync + 'static>) -> std::io::Error {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return error,
    };
    let places = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS));
    loop {
        let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // out of descriptors: some will be released
                tracing::warn!(%error, "a scrape cannot be accepted");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let text = text.clone();
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let answer = answer(&request, &*text);
                async move { Ok::<_, Infallible>(answer) }
            });
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(ANSWERED_WITHIN).keep_alive(false).max_buf_size(16 << 10);
            // a client that disconnects or is too slow is no error of this process
            let _ = tokio::time::timeout(ANSWERED_WITHIN, http.serve_connection(TokioIo::new(stream), answer)).await;
            drop(place);
        });
    }
}

fn answer(request: &Request<Incoming>, text: &impl Fn() -> String) -> Response<Full<Bytes>> {
    let (status, body) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => (StatusCode::OK, text()),
        (&Method::GET | &Method::HEAD, _) => (StatusCode::NOT_FOUND, "metrics are at /metrics\n".to_owned()),
        _ => (StatusCode::METHOD_NOT_ALLOWED, "only GET is allowed\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}
