//! A service of which a test decides each byte and each pause of a stream.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Answers each connection by a function, after the head of the request has been read.
pub(super) struct RawService {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

/// The beginning of a stream.
pub(super) const STREAM_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

impl RawService {
    /// `answer` is given each connection, and which one it is, from 0. The connection is closed when
    /// it returns.
    pub(super) fn start(answer: impl Fn(usize, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = listener.local_addr().expect("the port is known");
        let connections = Arc::new(AtomicUsize::new(0));
        let (counter, answer) = (connections.clone(), Arc::new(answer));
        // Ends with the program: a test opens few.
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let number = counter.fetch_add(1, Ordering::SeqCst);
                let answer = answer.clone();
                thread::spawn(move || serve(number, connection, &*answer));
            }
        });
        Self { address, connections }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections there were.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn serve(number: usize, connection: TcpStream, answer: &dyn Fn(usize, &mut TcpStream)) {
    // Each write is a packet of its own.
    connection.set_nodelay(true).expect("a socket can be told so");
    let Ok(mut writing) = connection.try_clone() else { return };
    let mut head = BufReader::new(connection).lines();
    while head.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
    answer(number, &mut writing);
}

/// Writes a piece. The client may be gone, which ends the test elsewhere.
pub(super) fn send(to: &mut TcpStream, piece: &[u8]) {
    let _ = to.write_all(piece).and_then(|()| to.flush());
}
