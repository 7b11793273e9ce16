//! What tests of connections share: a specification, and a stand-in for XTS's REST calls that gives a test's answers.

use super::spec::{Api, ConnectSpec, instruments, root};
use reqwest::Url;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

/// Two instruments of a server that is not there.
pub fn spec() -> ConnectSpec {
    ConnectSpec {
        api: Api::Xts,
        root: root(Api::Xts, "http://127.0.0.1:1").expect("an address"),
        instruments: instruments(Api::Xts, "NSECM|2885,NSECM|467").expect("names"),
        codes: vec!["1501".into()],
        prefix: "x-".into(),
        authorities: None,
        strict: false,
        master: false,
    }
}

/// Status, further lines of the header, body.
pub type Answer = (u16, &'static str, Value);

/// Serves on a port of its own until the process ends. `answer` is given a call's path and body.
pub fn serve(mut answer: impl FnMut(&str, &Value) -> Answer + Send + 'static) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let root = format!("http://{}/", listener.local_addr().expect("it is bound"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = BufReader::new(stream);
            let Ok((path, body)) = call(&mut stream) else { continue };
            let (status, more, body) = answer(&path, &body);
            let body = body.to_string();
            let head =
                format!("HTTP/1.1 {status} Told\r\nconnection: close\r\ncontent-length: {}\r\n{more}", body.len());
            // a client that did not wait does not matter
            let _ = stream.get_mut().write_all(format!("{head}\r\n{body}").as_bytes());
        }
    });
    Url::parse(&root).expect("an address")
}

/// One call of a connection.
fn call(stream: &mut BufReader<TcpStream>) -> std::io::Result<(String, Value)> {
    let (mut first, mut length) = (String::new(), 0);
    stream.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    Ok((path, serde_json::from_slice(&body).unwrap_or_default()))
}
