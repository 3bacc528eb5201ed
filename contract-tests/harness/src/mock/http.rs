//! As much of HTTP/1.1 as SDKs speak.

use std::io::{self, Read};
use std::time::Instant;

use bytes::Bytes;
use flate2::read::GzDecoder;
use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt};

/// No request of an SDK in these tests is longer.
const LONGEST_BODY: usize = 64 << 20;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// As it stands in the request line: with scheme and host if the sender takes us for a proxy.
    pub(crate) target: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
    /// When it was complete.
    pub(crate) at: Instant,
}

impl Request {
    /// The value of a header, whose name is given in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The value of a query parameter, decoded.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.query.as_bytes())
            .find(|(own, _)| own == name)
            .map(|(_, value)| value.into_owned())
    }

    /// The body, uncompressed.
    pub(crate) fn plain_body(&self) -> Result<Vec<u8>, String> {
        if self.header("content-encoding") != Some("gzip") {
            return Ok(self.body.to_vec());
        }
        let mut plain = Vec::new();
        GzDecoder::new(self.body.as_ref())
            .read_to_end(&mut plain)
            .map_err(|error| format!("the body of {self} is said to be gzip and is not: {error}"))?;
        Ok(plain)
    }

    pub(crate) fn json(&self) -> Result<Value, String> {
        let body = self.plain_body()?;
        serde_json::from_slice(&body).map_err(|error| {
            format!("the body of {self} is not JSON: {error}: {}", String::from_utf8_lossy(&body))
        })
    }
}

impl std::fmt::Display for Request {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", self.method, self.target)
    }
}

/// Reads the next request of a connection; none at its end.
pub(super) async fn read_request<S>(from: &mut S) -> io::Result<Option<Request>>
where
    S: AsyncBufRead + AsyncRead + Unpin,
{
    let Some(line) = read_line(from).await? else { return Ok(None) };
    let mut words = line.split_whitespace();
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(io::Error::other(format!("`{line}` is no request line")));
    };
    let (method, target) = (method.to_owned(), target.to_owned());
    let local = match target.find("://") {
        Some(scheme) => {
            let rest = &target[scheme + 3..];
            rest.find('/').map_or("/", |slash| &rest[slash..])
        }
        None => &target,
    };
    let (path, query) = local.split_once('?').unwrap_or((local, ""));
    let (path, query) = (path.to_owned(), query.to_owned());
    let mut headers = Vec::new();
    while let Some(line) = read_line(from).await? {
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let mut request =
        Request { method, target, path, query, headers, body: Bytes::new(), at: Instant::now() };
    request.body = read_body(from, &request).await?;
    request.at = Instant::now();
    Ok(Some(request))
}

async fn read_body<S>(from: &mut S, request: &Request) -> io::Result<Bytes>
where
    S: AsyncBufRead + AsyncRead + Unpin,
{
    let too_long = || io::Error::other("the body is too long");
    if request.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        let mut body = Vec::new();
        loop {
            let line = read_line(from).await?.unwrap_or_default();
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
            if body.len() + size > LONGEST_BODY {
                return Err(too_long());
            }
            let start = body.len();
            body.resize(start + size, 0);
            from.read_exact(&mut body[start..]).await?;
            read_line(from).await?;
            if size == 0 {
                return Ok(body.into());
            }
        }
    }
    let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    if length > LONGEST_BODY {
        return Err(too_long());
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).await?;
    Ok(body.into())
}

/// The next line without its end; none at the end of the connection.
async fn read_line<S: AsyncBufRead + Unpin>(from: &mut S) -> io::Result<Option<String>> {
    let mut line = String::new();
    if from.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    Ok(Some(line.trim_end().to_owned()))
}
