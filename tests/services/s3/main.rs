//! The S3 of the scenarios: serves a folder on loopback until it is killed.
//!
//!     s3 DIR HOST:PORT BUCKET...      prints `listening on HOST:PORT ACCESS_KEY SECRET_KEY`, port 0 picks a free one

mod stand_in;

use stand_in::{ACCESS_KEY, Fault, SECRET_KEY, StandIn};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

async fn serve(arguments: &[String]) -> Result<(), String> {
    let [folder, address, buckets @ ..] = arguments else { return Err("usage: s3 DIR HOST:PORT BUCKET...".to_owned()) };
    let folder = PathBuf::from(folder);
    for bucket in buckets {
        std::fs::create_dir_all(folder.join(bucket)).map_err(|error| format!("bucket {bucket}: {error}"))?;
    }
    let server = StandIn::new(&folder, true, Arc::new(|_, _| Fault::None))?;
    let listener = tokio::net::TcpListener::bind(address).await.map_err(|error| format!("{address}: {error}"))?;
    let bound = listener.local_addr().map_err(|error| format!("{address}: {error}"))?;
    println!("listening on {bound} {ACCESS_KEY} {SECRET_KEY}");
    server.serve(listener).await;
    Err("the listener failed".to_owned())
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Err(error) = serve(&arguments).await else { return ExitCode::SUCCESS };
    eprintln!("error: {error}");
    ExitCode::FAILURE
}
