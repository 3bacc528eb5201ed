//! Something between an SDK and a database, that can be cut.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Hands bytes on from a port of its own to an address, unless it is cut.
pub(crate) struct Relay {
    /// `HOST:PORT`, to be used in place of the address.
    pub(crate) address: String,
    cut: watch::Sender<bool>,
    accepting: AbortHandle,
    connections: Connections,
}

type Connections = Arc<Mutex<Vec<AbortHandle>>>;

impl Relay {
    /// Starts one to this `HOST:PORT`.
    pub(crate) async fn start(target: String) -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?.to_string();
        let (cut, is_cut) = watch::channel(false);
        let connections = Connections::default();
        let kept = connections.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                // A connection that is dropped here was taken and closed: nobody answers on it.
                if *is_cut.borrow() {
                    continue;
                }
                let target = target.clone();
                let connection = tokio::spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(&target).await {
                        // Either end may go at any time.
                        let _ = copy_bidirectional(&mut near, &mut far).await;
                    }
                });
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(connection.abort_handle());
            }
        })
        .abort_handle();
        Ok(Self { address, cut, accepting, connections })
    }

    /// Ends all connections, and takes none any more.
    pub(crate) fn cut(&self) {
        self.cut.send_replace(true);
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.drain(..).for_each(|connection| connection.abort());
    }

    /// Takes connections again.
    pub(crate) fn mend(&self) {
        self.cut.send_replace(false);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.cut();
        self.accepting.abort();
    }
}
