//! The S3 of the scenarios: serves a folder on loopback until it is killed.
//!
//!     s3 [--faults SEED:PERCENT] [--hold FILE] DIR HOST:PORT BUCKET...
//!
//! Prints `listening on HOST:PORT ACCESS_KEY SECRET_KEY`, port 0 picks a free one; then a line for each fault.

mod chaos;
mod stand_in;

use chaos::{Chaos, Hold};
use stand_in::{ACCESS_KEY, Fault, SECRET_KEY, StandIn};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

const USAGE: &str = "usage: s3 [--faults SEED:PERCENT] [--hold FILE] DIR HOST:PORT BUCKET...";

async fn serve(mut arguments: std::collections::VecDeque<String>) -> Result<(), String> {
    let (mut chaos, mut hold) = (None, None);
    while let Some(flag) = arguments.pop_front_if(|first| first.starts_with("--")) {
        let value = arguments.pop_front().ok_or(USAGE)?;
        match flag.as_str() {
            "--faults" => chaos = Some(value.parse::<Chaos>()?),
            "--hold" => hold = Some(Arc::new(Hold::new(PathBuf::from(value)))),
            _ => return Err(USAGE.to_owned()),
        }
    }
    let (Some(folder), Some(address)) = (arguments.pop_front(), arguments.pop_front()) else {
        return Err(USAGE.to_owned());
    };
    let folder = PathBuf::from(folder);
    for bucket in arguments {
        std::fs::create_dir_all(folder.join(&bucket)).map_err(|error| format!("bucket {bucket}: {error}"))?;
    }
    let keeper = hold.clone();
    let choose = move |method: &str, address: &str| {
        if keeper.as_ref().is_some_and(|hold| hold.keeps(method, address)) {
            return Fault::Hold;
        }
        let fault = chaos.as_ref().map_or(Fault::None, |chaos| chaos.next(method));
        if fault != Fault::None {
            println!("{fault:?} {method} {address}");
        }
        fault
    };
    let mut server = StandIn::new(&folder, true, Arc::new(choose))?;
    if let Some(hold) = hold {
        server = server.behind(hold);
    }
    let listener = tokio::net::TcpListener::bind(&address).await.map_err(|error| format!("{address}: {error}"))?;
    let bound = listener.local_addr().map_err(|error| format!("{address}: {error}"))?;
    println!("listening on {bound} {ACCESS_KEY} {SECRET_KEY}");
    server.serve(listener).await;
    Err("the listener failed".to_owned())
}

#[tokio::main]
async fn main() -> ExitCode {
    let Err(error) = serve(std::env::args().skip(1).collect()).await else { return ExitCode::SUCCESS };
    eprintln!("error: {error}");
    ExitCode::FAILURE
}
