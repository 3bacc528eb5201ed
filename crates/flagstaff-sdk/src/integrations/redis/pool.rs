//! Connections to Redis: kept while they work, opened anew when they do not.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redis::{
    Client, Connection, ConnectionInfo, IntoConnectionInfo, RedisError, RedisResult, TlsCertificates,
};
use rustls::crypto::{CryptoProvider, ring};
use url::Url;

use super::Redis;
use crate::data_store::StoreError;
use crate::fork;
use crate::integrations::per_process::PerProcess;

/// The connections of one store, in whichever process.
pub(super) struct Connections(PerProcess<Pool>);

impl Default for Connections {
    fn default() -> Self {
        Self(PerProcess::new())
    }
}

/// The connections of one process that nobody uses at the moment.
#[derive(Default)]
struct Pool {
    idle: Mutex<Vec<Connection>>,
}

impl Pool {
    /// Hands the list to `change` while the process cannot fork.
    fn idle<T>(&self, change: impl FnOnce(MutexGuard<'_, Vec<Connection>>) -> T) -> T {
        let _unforked = fork::guard();
        change(self.idle.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn take(&self) -> Option<Connection> {
        self.idle(|mut idle| idle.pop())
    }

    fn keep(&self, connection: Connection, most: usize) {
        let surplus = self.idle(|mut idle| {
            if idle.len() < most {
                idle.push(connection);
                return None;
            }
            Some(connection)
        });
        // Closed outside the lock.
        drop(surplus);
    }

    /// Closes all: one that broke says that the others did.
    fn clear(&self) {
        drop(self.idle(|mut idle| std::mem::take(&mut *idle)));
    }
}

impl Redis {
    /// Asks Redis. If a connection that was kept turns out to be gone, asks again on a new one, hence
    /// `ask` must bear being repeated. `attempted` says what for, should it fail.
    pub(super) fn ask<T>(
        &self,
        attempted: impl FnOnce() -> String,
        ask: impl Fn(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, StoreError> {
        self.ask_pool(&ask).map_err(|error| {
            StoreError::because(format_args!("could not {} ({})", attempted(), self.address()), error)
        })
    }

    fn ask_pool<T>(&self, ask: impl Fn(&mut Connection) -> RedisResult<T>) -> Result<T, RedisProblem> {
        let pool = self.connections.0.get(|| Ok::<_, RedisProblem>(Pool::default()))?;
        if let Some(mut kept) = pool.take() {
            match ask(&mut kept) {
                Ok(answer) => {
                    pool.keep(kept, self.pool_size);
                    return Ok(answer);
                }
                Err(error) if error.is_io_error() => {
                    pool.clear();
                    // Silence is not worth another wait; an end of the connection may be a restart.
                    if error.is_timeout() {
                        return Err(error.into());
                    }
                }
                // Its state is not known: it is closed.
                Err(error) => return Err(error.into()),
            }
        }
        let mut new = self.connect()?;
        let answer = ask(&mut new)?;
        pool.keep(new, self.pool_size);
        Ok(answer)
    }

    fn connect(&self) -> Result<Connection, RedisProblem> {
        // The crate's own message may repeat parts of the URL, and so a password.
        let url = Url::parse(&self.url).map_err(|_| RedisProblem::Url)?;
        let mut info = url.into_connection_info().map_err(|_| RedisProblem::Url)?;
        let mut sign_in = info.redis_settings().clone();
        if let Some(user) = &self.user {
            sign_in = sign_in.set_username(user);
        }
        if let Some(password) = &self.password {
            sign_in = sign_in.set_password(password);
        }
        info = info.set_redis_settings(sign_in);
        let connection = self.client(info)?.get_connection_with_timeout(self.connect_timeout)?;
        connection.set_read_timeout(Some(self.timeout))?;
        connection.set_write_timeout(Some(self.timeout))?;
        Ok(connection)
    }

    fn client(&self, info: ConnectionInfo) -> Result<Client, RedisProblem> {
        if !matches!(info.addr(), redis::ConnectionAddr::TcpTls { .. }) {
            return Ok(Client::open(info)?);
        }
        // The crate takes the process's provider, of which there must be one.
        if CryptoProvider::get_default().is_none() {
            // Another thread may be quicker, and then there is one as well.
            let _ = ring::default_provider().install_default();
        }
        let root_cert = self.ca_file.as_deref().map(read).transpose()?;
        Ok(Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert })?)
    }

    /// Where Redis is, for errors: the URL without user, password and parameters.
    pub(super) fn address(&self) -> String {
        let Ok(url) = Url::parse(&self.url) else { return "an unreadable URL".to_owned() };
        let host = url.host_str().unwrap_or_default();
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{host}{port}{}", url.scheme(), url.path())
    }
}

fn read(ca_file: &Path) -> Result<Vec<u8>, RedisProblem> {
    std::fs::read(ca_file).map_err(|source| RedisProblem::CaFile { path: ca_file.to_owned(), source })
}

/// Why Redis did not answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum RedisProblem {
    /// Not repeated: there may be a password in it.
    #[error("the URL is not one like `redis://localhost:6379`")]
    Url,
    #[error("could not read certificate authorities from `{path}`: {source}")]
    CaFile { path: std::path::PathBuf, source: std::io::Error },
    #[error("{0}")]
    Redis(#[from] RedisError),
}
