//! Tells the service manager how things stand, if it wants to know: `Type=notify` of systemd.
//!
//! Source: the manual page `sd_notify(3)`. The manager names a socket in `NOTIFY_SOCKET`; a name that begins with
//! `@` is an abstract one.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixDatagram;

/// Requests are taken.
pub(crate) const READY: &str = "READY=1";
/// The process is about to end.
pub(crate) const STOPPING: &str = "STOPPING=1";

/// Tells it; without a manager that asked for it this does nothing.
pub(crate) fn tell(state: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return };
    if let Err(error) = send(&socket, state) {
        tracing::warn!(%error, "could not tell the service manager `{state}`");
    }
}

fn send(socket: &OsStr, state: &str) -> io::Result<()> {
    let sender = UnixDatagram::unbound()?;
    match socket.as_bytes() {
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => {
            use std::os::linux::net::SocketAddrExt as _;
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
            sender.send_to_addr(state.as_bytes(), &address)?;
        }
        _ => {
            sender.send_to(state.as_bytes(), socket)?;
        }
    }
    Ok(())
}
