//! HTTP/1.1 for a load generator: requests are bytes made beforehand, answers are read and thrown away. A
//! client library would take the processor time that the service is to have.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// A kept connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer.
#[derive(Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub etag: Option<String>,
    pub body: Vec<u8>,
}

/// Connects from the loopback address of this number, so that there are ports enough.
pub async fn connect_from(number: usize, to: SocketAddr) -> std::io::Result<TcpStream> {
    const PER_ADDRESS: usize = 20_000;
    let socket = TcpSocket::new_v4()?;
    let from = Ipv4Addr::new(127, 0, 1, 1 + (number / PER_ADDRESS) as u8);
    socket.bind(SocketAddr::new(IpAddr::V4(from), 0))?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Connection {
    pub async fn open(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).await.expect("it listens");
        stream.set_nodelay(true).expect("a connection");
        Self { stream, buffer: Vec::with_capacity(1 << 20) }
    }

    /// Sends a whole request and reads the whole answer; `keep` says whether the body is wanted.
    pub async fn ask(&mut self, request: &[u8], keep: bool) -> std::io::Result<Answer> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head_end = loop {
            if let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
            self.read_more().await?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..head_end]).into_owned();
        let header = |name: &str| {
            head.lines().find_map(|line| {
                let (known, value) = line.split_once(':')?;
                known.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        let status = head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
        let mut answer = Answer { status, etag: header("etag"), body: Vec::new() };
        if matches!(status, 204 | 304) {
            return Ok(answer);
        }
        if let Some(length) = header("content-length") {
            let end = head_end + length.parse::<usize>().map_err(std::io::Error::other)?;
            while self.buffer.len() < end {
                self.read_more().await?;
            }
        } else {
            // In chunks, of which the last one is empty.
            while !self.buffer.ends_with(b"0\r\n\r\n") {
                self.read_more().await?;
            }
        }
        if keep {
            answer.body = self.buffer[head_end..].to_vec();
        }
        Ok(answer)
    }

    async fn read_more(&mut self) -> std::io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// A request with these headers, and a body if it has one.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: load\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        request.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    request.push_str("\r\n");
    [request.as_bytes(), body].concat()
}

/// How many answers a second there are to one request, from so many connections that ask all the time, and
/// how long the middle one and all but 1 % of them took. Every answer must have this status.
pub async fn rate(to: SocketAddr, request: &[u8], status: u16, connections: usize, during: Duration) -> Rate {
    let end = Instant::now() + during;
    let tasks = (0..connections).map(|_| {
        let request = request.to_vec();
        tokio::spawn(async move {
            let mut connection = Connection::open(to).await;
            let mut times = Vec::new();
            while Instant::now() < end {
                let start = Instant::now();
                let answer = connection.ask(&request, false).await.expect("an answer");
                assert_eq!(answer.status, status, "{}", String::from_utf8_lossy(&request));
                times.push(start.elapsed());
            }
            times
        })
    });
    let start = Instant::now();
    let mut times = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        times.extend(task.await.expect("no panic"));
    }
    let per_second = times.len() as f64 / start.elapsed().as_secs_f64();
    Rate {
        per_second,
        half: crate::report::percentile(&mut times, 0.5),
        nearly_all: crate::report::percentile(&mut times, 0.99),
    }
}

/// See [`rate`].
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    pub per_second: f64,
    pub half: Duration,
    pub nearly_all: Duration,
}
