//! The Glue of the scenarios: a catalog in memory on loopback until it is killed.
//!
//!     glue HOST:PORT      prints `listening on HOST:PORT ACCESS_KEY SECRET_KEY`, port 0 picks a free one

mod stand_in;

use stand_in::{ACCESS_KEY, Fault, Glue, SECRET_KEY};
use std::process::ExitCode;
use std::sync::Arc;

async fn serve(arguments: &[String]) -> Result<(), String> {
    let [address] = arguments else { return Err("usage: glue HOST:PORT".to_owned()) };
    let listener = tokio::net::TcpListener::bind(address).await.map_err(|error| format!("{address}: {error}"))?;
    let bound = listener.local_addr().map_err(|error| format!("{address}: {error}"))?;
    println!("listening on {bound} {ACCESS_KEY} {SECRET_KEY}");
    Glue::new(Arc::new(|_, _| Fault::None)).serve(listener).await;
    Err("the listener failed".to_owned())
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Err(error) = serve(&arguments).await else { return ExitCode::SUCCESS };
    eprintln!("error: {error}");
    ExitCode::FAILURE
}
