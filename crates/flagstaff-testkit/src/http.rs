//! As much of HTTP/1.1 as a test needs.

use std::io::{self, BufRead, BufReader, Read};
use std::net::TcpStream;
use std::time::Instant;

use flagstaff_eval::Value;
use flate2::read::GzDecoder;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, say.
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// What follows the `?`; empty without one.
    pub query: String,
    /// The body as it came, compressed or not.
    pub body: Vec<u8>,
    /// When it was complete.
    pub at: Instant,
    headers: Vec<(String, String)>,
}

impl Request {
    /// The value of a header, whose name is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON, uncompressed.
    ///
    /// # Panics
    /// If it is not.
    pub fn json(&self) -> Value {
        let mut plain = Vec::new();
        let body = match self.header("content-encoding") {
            Some("gzip") => {
                GzDecoder::new(self.body.as_slice()).read_to_end(&mut plain).expect("the body is compressed");
                &plain
            }
            _ => &self.body,
        };
        serde_json::from_slice(body).expect("the body is JSON")
    }
}

/// Reads the next request of a connection; none at its end.
pub(crate) fn read_request(from: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    // A proxy is given the whole address.
    let target = match target.strip_prefix("http://") {
        Some(address) => address.find('/').map_or("/", |path| &address[path..]),
        None => target,
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (method, path, query) = (method.to_owned(), path.to_owned(), query.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_lowercase(), value.trim().to_owned())),
            None => break,
        }
    }
    let mut request = Request { method, path, query, body: Vec::new(), at: Instant::now(), headers };
    let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    request.body.resize(length, 0);
    from.read_exact(&mut request.body)?;
    request.at = Instant::now();
    Ok(Some(request))
}
