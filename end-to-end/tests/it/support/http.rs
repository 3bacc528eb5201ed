//! A plain HTTP/1.1 client over one connection per request, so that a test sees every byte and no library helps.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value as Json;

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

/// Sends one request; `Err` is a connection that was refused or broke off.
pub(crate) fn request(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Answer, std::io::Error> {
    let rest = url.strip_prefix("http://").unwrap_or_else(|| panic!("`{url}` is no http URL"));
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));

    let mut text = format!("{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += &format!("Content-Length: {}\r\n\r\n{body}", body.len());

    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(text.as_bytes())?;
    read_answer(&mut BufReader::new(stream))
}

fn read_answer(stream: &mut BufReader<TcpStream>) -> Result<Answer, std::io::Error> {
    let status = line(stream)?.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(broken)?;
    let (mut length, mut is_chunked) = (None, false);
    loop {
        let header = line(stream)?.to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse::<usize>().ok();
        }
        is_chunked |= header.starts_with("transfer-encoding:") && header.contains("chunked");
    }

    let mut body = Vec::new();
    if is_chunked {
        read_chunks(stream, &mut body)?;
    } else if let Some(length) = length {
        body.resize(length, 0);
        stream.read_exact(&mut body)?;
    } else {
        stream.read_to_end(&mut body)?;
    }
    Ok(Answer { status, body: String::from_utf8(body).map_err(|_| broken())? })
}

fn read_chunks(stream: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> Result<(), std::io::Error> {
    loop {
        let size = usize::from_str_radix(&line(stream)?, 16).map_err(|_| broken())?;
        let start = body.len();
        body.resize(start + size, 0);
        stream.read_exact(&mut body[start..])?;
        line(stream)?;
        if size == 0 {
            return Ok(());
        }
    }
}

/// One line, without its end.
fn line(stream: &mut BufReader<TcpStream>) -> Result<String, std::io::Error> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

fn broken() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, "not an HTTP answer")
}
