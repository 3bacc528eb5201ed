//! A small reverse proxy that misbehaves as real ones do.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;

/// What the proxy does to answers.
#[derive(Clone, Copy)]
pub(super) enum Behaviour {
    /// Passes on only when this many bytes are there, or the answer ends.
    Buffers(usize),
    /// Breaks the first so many connections off, each after this long.
    Cuts(usize, Duration),
    /// Takes `ETag` out of answers.
    StripsEtag,
    /// Compresses every answer, piece by piece, whether the client asked for that or not.
    Compresses,
    /// Stops passing anything on when told to, and leaves connections open: see [`Proxy::freeze`].
    Freezes,
}

pub(super) struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    upstream: String,
    behaviour: Behaviour,
    connections: AtomicUsize,
    /// Connections up to this one are frozen.
    frozen: AtomicUsize,
}

impl Proxy {
    /// Stands before the service at `url`.
    pub(super) fn before(url: &str, behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = listener.local_addr().expect("the port is known");
        let upstream = url.trim_start_matches("http://").to_owned();
        let state = Arc::new(State {
            upstream,
            behaviour,
            connections: AtomicUsize::new(0),
            frozen: AtomicUsize::new(0),
        });
        let shared = state.clone();
        // Ends with the program: a test opens few.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = shared.clone();
                let number = state.connections.fetch_add(1, Ordering::SeqCst) + 1;
                // What breaks is the client's to notice.
                thread::spawn(move || drop(state.serve(number, client)));
            }
        });
        Self { address, state }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections there were.
    pub(super) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// The connections there are say nothing more, and do not end. New ones work.
    pub(super) fn freeze(&self) {
        self.state.frozen.store(self.connections(), Ordering::SeqCst);
    }
}

impl State {
    /// One connection carries one request.
    fn serve(&self, number: usize, client: TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        let mut upstream = TcpStream::connect(&self.upstream)?;
        let mut from_client = BufReader::new(client.try_clone()?);
        let (head, length) = read_head(&mut from_client)?;
        let mut body = vec![0; length.unwrap_or(0)];
        from_client.read_exact(&mut body)?;
        upstream.write_all(&[head.as_bytes(), b"connection: close\r\n\r\n", &body].concat())?;

        let mut from_upstream = BufReader::new(upstream.try_clone()?);
        let (mut head, length) = read_head(&mut from_upstream)?;
        if let Behaviour::StripsEtag = self.behaviour {
            head = head
                .split_inclusive("\r\n")
                .filter(|line| !line.to_lowercase().starts_with("etag:"))
                .collect();
        }
        if let Behaviour::Compresses = self.behaviour {
            head.push_str("content-encoding: gzip\r\n");
        } else if let Some(length) = length {
            head.push_str(&format!("content-length: {length}\r\n"));
        }
        head.push_str("connection: close\r\n\r\n");
        let mut to_client = client.try_clone()?;
        to_client.write_all(head.as_bytes())?;
        let passed =
            self.pass_on(number, &mut from_upstream.take(length.map_or(u64::MAX, |n| n as u64)), to_client);
        // Both ends learn that it is over.
        let _ = (client.shutdown(Shutdown::Both), upstream.shutdown(Shutdown::Both));
        passed
    }

    fn pass_on(
        &self,
        number: usize,
        from: &mut io::Take<BufReader<TcpStream>>,
        mut to: TcpStream,
    ) -> io::Result<()> {
        let started = Instant::now();
        let mut compressor = GzEncoder::new(Vec::new(), Compression::default());
        let mut held = Vec::new();
        let mut piece = [0; 4096];
        if let Behaviour::Cuts(first, after) = self.behaviour
            && number <= first
        {
            from.get_ref().get_ref().set_read_timeout(Some(after))?;
        }
        loop {
            let count = match from.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => count,
                // Time is up.
                Err(_) => return Ok(()),
            };
            while self.frozen.load(Ordering::SeqCst) >= number {
                thread::sleep(Duration::from_millis(10));
            }
            match self.behaviour {
                Behaviour::Buffers(size) => {
                    held.extend_from_slice(&piece[..count]);
                    if held.len() >= size {
                        to.write_all(&std::mem::take(&mut held))?;
                    }
                }
                Behaviour::Cuts(first, after) if number <= first && started.elapsed() >= after => {
                    return Ok(());
                }
                Behaviour::Compresses => {
                    compressor.write_all(&piece[..count])?;
                    compressor.flush()?;
                    to.write_all(&std::mem::take(compressor.get_mut()))?;
                }
                _ => to.write_all(&piece[..count])?,
            }
        }
        to.write_all(&held)?;
        if let Behaviour::Compresses = self.behaviour {
            to.write_all(&compressor.finish()?)?;
        }
        Ok(())
    }
}

/// The lines of a head without those on the connection and the length, and the length.
fn read_head(from: &mut BufReader<TcpStream>) -> io::Result<(String, Option<usize>)> {
    let (mut head, mut length) = (String::new(), None);
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.trim().is_empty() {
            return Ok((head, length));
        }
        match line.split_once(':').map(|(name, value)| (name.to_lowercase(), value)) {
            Some((name, value)) if name == "content-length" => length = value.trim().parse().ok(),
            Some((name, _)) if name == "connection" => {}
            _ => head.push_str(&line),
        }
    }
}
