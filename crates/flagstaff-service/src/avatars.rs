//! Pictures of users from Gravatar, if the owner turns that on: asked for by the service on the browser's
//! behalf, so that neither the browser nor the page says anything to another host.
//!
//! Gravatar learns the SHA-256 of an e-mail address, the address of the service, and nothing else. Only its host
//! is ever asked, and what redirects elsewhere is no picture. The `avatar` attribute that a program may set is
//! not fetched: it names any host there is, also those that only the service can reach. While Gravatar does not
//! answer nobody is kept waiting for it: it is asked again after a minute.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderValue, header};
use bytes::{Bytes, BytesMut};
use reqwest::Client;
use reqwest::redirect::Policy;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

/// Gravatar.
pub const GRAVATAR: &str = "https://gravatar.com";

/// How long a picture, or that there is none, is known.
const KNOWN_FOR: Duration = Duration::from_secs(60 * 60);

/// How many are known at most; one is some kilobytes.
const MOST_KNOWN: usize = 2_000;

/// How long nobody is asked after there was no answer.
const REST: Duration = Duration::from_secs(60);

/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many are asked for at once.
const AT_ONCE: usize = 8;

/// The largest picture, in bytes. One of this many pixels is a tenth of it.
const LARGEST: usize = 64 * 1024;
const PIXELS: u32 = 96;

/// What browsers show as a picture and never as anything else.
const KINDS: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/// Asks for pictures, and remembers them.
#[derive(Debug)]
pub struct Avatars {
    client: Client,
    base: String,
    known: Mutex<HashMap<String, (Instant, Option<Avatar>)>>,
    /// When there was no answer last.
    unanswered: Mutex<Option<Instant>>,
    turns: Semaphore,
}

/// A picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Avatar {
    /// One of those that browsers show.
    pub kind: HeaderValue,
    /// The file.
    pub picture: Bytes,
}

/// Pictures cannot be asked for at all.
#[derive(Debug, thiserror::Error)]
#[error("could not set up the client that asks for avatars")]
pub struct AvatarsError {
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl Avatars {
    /// Asks at this base, which is [`GRAVATAR`] unless something stands in for it.
    ///
    /// # Errors
    /// If encryption cannot be set up.
    pub fn new(base: &str) -> Result<Self, AvatarsError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| AvatarsError { source };
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(error.into()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = Client::builder()
            .timeout(PATIENCE)
            .redirect(Policy::none())
            .tls_backend_preconfigured(tls)
            .build()
            .map_err(|error| failed(error.into()))?;
        let base = base.trim_end_matches('/').to_owned();
        Ok(Self {
            client,
            base,
            known: Mutex::default(),
            unanswered: Mutex::default(),
            turns: Semaphore::new(AT_ONCE),
        })
    }

    /// The picture of whoever has this e-mail address, if there is one.
    pub async fn of(&self, email: &str) -> Option<Avatar> {
        let email = email.trim().to_lowercase();
        if !email.contains('@') {
            return None;
        }
        let name: String = Sha256::digest(&email).iter().map(|byte| format!("{byte:02x}")).collect();
        if let Some(known) = self.known(&name) {
            return known;
        }
        let _turn = self.turns.acquire().await.ok()?;
        // Somebody may have asked meanwhile.
        if let Some(known) = self.known(&name) {
            return known;
        }
        if self.unanswered().is_some_and(|since| since.elapsed() < REST) {
            return None;
        }
        match self.fetch(&name).await {
            Ok(found) => {
                self.note(name, found.clone());
                found
            }
            Err(error) => {
                let error = error.without_url();
                tracing::warn!(%error, "could not fetch an avatar; none are asked for in the next minute");
                *self.unanswered() = Some(Instant::now());
                None
            }
        }
    }

    async fn fetch(&self, name: &str) -> Result<Option<Avatar>, reqwest::Error> {
        // A user without a picture is to have none, and nothing that only suits everybody is shown.
        let url = format!("{}/avatar/{name}?s={PIXELS}&d=404&r=g", self.base);
        let mut response = self.client.get(url).send().await?;
        let kind = response.headers().get(header::CONTENT_TYPE);
        let kind =
            KINDS.into_iter().find(|known| kind.is_some_and(|kind| kind.as_bytes() == known.as_bytes()));
        let (true, Some(kind)) = (response.status() == reqwest::StatusCode::OK, kind) else {
            return Ok(None);
        };
        let mut picture = BytesMut::new();
        while let Some(chunk) = response.chunk().await? {
            if picture.len() + chunk.len() > LARGEST {
                return Ok(None);
            }
            picture.extend_from_slice(&chunk);
        }
        Ok(Some(Avatar { kind: HeaderValue::from_static(kind), picture: picture.freeze() }))
    }

    fn known(&self, name: &str) -> Option<Option<Avatar>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, found) = known.get(name)?;
        (since.elapsed() < KNOWN_FOR).then(|| found.clone())
    }

    fn note(&self, name: String, found: Option<Avatar>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_KNOWN {
            let oldest = known.iter().min_by_key(|(_, (since, _))| *since).map(|(name, _)| name.clone());
            oldest.map(|name| known.remove(&name));
        }
        known.insert(name, (Instant::now(), found));
    }

    fn unanswered(&self) -> MutexGuard<'_, Option<Instant>> {
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
