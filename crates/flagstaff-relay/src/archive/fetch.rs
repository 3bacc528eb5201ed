//! What an archive is to hold, from a service: asked as a relay asks that configures itself.

use std::time::Duration;

use axum::http::header::AUTHORIZATION;
use flagstaff_sdk::{ConfigError, describe_http_error, http_client};
use flagstaff_service::auth::secret;
use flagstaff_wire::full_data::{FullData, read_json};
use flagstaff_wire::paths;
use flagstaff_wire::relay::{Configuration, ConfigurationMessage};
use tokio::time::timeout;

use super::{ArchivedData, Contents};
use crate::auto_config::{AutoConfig, Ended, Listener};
use crate::config::Upstream;
use crate::environment::client_config;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why there is nothing to put into an archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The service cannot be reached as it is configured.
    #[error("could not set up the way to `{url}`")]
    Upstream {
        /// Where it is.
        url: String,
        /// What is wrong.
        source: ConfigError,
    },
    /// It did not say which environments there are.
    #[error("`{url}` did not say which environments there are: {why}")]
    Configuration {
        /// Where it was asked.
        url: String,
        /// Why.
        why: String,
    },
    /// It did not give the flags of one of them.
    #[error("`{url}` did not give the flags of the environment `{environment}`: {why}")]
    Flags {
        /// Where it was asked.
        url: String,
        /// Which one.
        environment: String,
        /// Why.
        why: String,
    },
}

/// All environments that the key lets a relay serve, with their flags.
///
/// # Errors
/// If one of them cannot be had: an archive is whole.
pub async fn fetch(upstream: &Upstream, auto: &AutoConfig) -> Result<Contents, FetchError> {
    let configuration = timeout(PATIENCE, configuration(upstream, auto)).await;
    let late = || FetchError::Configuration {
        url: upstream.stream.clone(),
        why: format!("nothing came for {PATIENCE:?}"),
    };
    let environments = configuration.map_err(|_| late())??.environments;
    let set_up = |source| FetchError::Upstream { url: upstream.poll.clone(), source };
    let client = http_client(client_config(upstream, "")).map_err(set_up)?;
    let url = paths::join(&upstream.poll, paths::POLL);
    let mut contents = Contents::new();
    for (id, environment) in environments {
        let failed = |why| FetchError::Flags { url: upstream.poll.clone(), environment: id.clone(), why };
        let request = client.get(&url).header(AUTHORIZATION, &environment.sdk_key.value).timeout(PATIENCE);
        let response = request.send().await.map_err(|error| failed(describe_http_error(&error)))?;
        if response.status() != 200 {
            return Err(failed(format!("it answered {}", response.status().as_u16())));
        }
        let data = response.bytes().await.map_err(|error| failed(describe_http_error(&error)))?;
        read_json::<FullData>(&data)
            .map_err(|error| failed(format!("they cannot be understood: {error}")))?;
        let data_id = secret::hash(&String::from_utf8_lossy(&data));
        contents.insert(id, ArchivedData { environment, data_id, data });
    }
    Ok(contents)
}

async fn configuration(upstream: &Upstream, auto: &AutoConfig) -> Result<Configuration, FetchError> {
    let url = || upstream.stream.clone();
    let ended = |ended: Ended| FetchError::Configuration {
        url: url(),
        why: ended.why().unwrap_or("it wants to be asked again later").to_owned(),
    };
    let mut listener =
        Listener::new(upstream, auto).map_err(|source| FetchError::Upstream { url: url(), source })?;
    listener.open().await.map_err(ended)?;
    loop {
        for message in listener.messages().await.map_err(ended)? {
            if let ConfigurationMessage::Put(configuration) = message {
                return Ok(configuration);
            }
        }
    }
}
