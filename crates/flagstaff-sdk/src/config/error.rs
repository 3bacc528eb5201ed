//! Why a configuration is refused: one sentence each.

use std::path::PathBuf;

/// Why a client was not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No SDK key, and the client is not offline.
    #[error("the SDK key is missing; only an offline client needs none")]
    MissingSdkKey,
    /// The key cannot stand in a header. It is not repeated here: it may be a secret in the wrong place.
    #[error(
        "the SDK key has characters other than letters, digits, `.`, `_` and `-`, or more than 8192 of them"
    )]
    BadSdkKey,
    /// A base URI is none.
    #[error("the {which} URI `{uri}` is not an http or https URL")]
    BadUri {
        /// `stream`, `poll`, `events` or `proxy`; `https_proxy` or `http_proxy` from the environment.
        which: &'static str,
        /// What was given.
        uri: String,
    },
    /// A base URI has a user name or password in it.
    #[error(
        "the {which} URI `{uri}` has a user name or password before its host, but requests carry the SDK key alone"
    )]
    PasswordInUri {
        /// `stream`, `poll` or `events`.
        which: &'static str,
        /// What was given, without them.
        uri: String,
    },
    /// Flags are to come from a database alone, and there is none.
    #[error("daemon mode takes flags from a database, but no data store was given")]
    DaemonWithoutStore,
    /// A duration or number is too small.
    #[error("{setting} is {given}, and must be at least {least}")]
    TooSmall {
        /// The name of the setting.
        setting: &'static str,
        /// What was given.
        given: String,
        /// The least it may be.
        least: String,
    },
    /// A wrapper's name or version cannot stand in a header.
    #[error("wrapper `{value}` has characters that cannot be sent")]
    BadWrapper {
        /// What was given.
        value: String,
    },
    /// The file of certificate authorities cannot be read, or has none in it.
    #[error("could not read certificate authorities from `{path}`: {reason}")]
    BadCaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file of the client's certificate cannot be read, or has not what it needs in it.
    #[error("could not read a client certificate and its key from `{path}`: {reason}")]
    BadClientCertificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The HTTP client could not be set up.
    #[error("could not set up the HTTP client")]
    Http {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The operating system refused a thread.
    #[error("could not start the client's thread")]
    Thread {
        /// Why.
        source: std::io::Error,
    },
}
