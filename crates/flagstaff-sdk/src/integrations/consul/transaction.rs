//! Consul's transactions: all that is asked of it goes through them.
//!
//! In a transaction a key is text. In the path of a URL it is not: Consul tidies paths, so that a key
//! `a//b` or `..` would become another. Only a value too large for a transaction is put by its path.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{RequestBuilder, StatusCode};
use serde::{Deserialize, Serialize};
use url::Url;

use super::Consul;
use crate::data_store::StoreError;
use crate::http::describe;
use crate::integrations::http_link::HttpLink;

/// As many operations as one transaction takes.
const MOST_OPERATIONS: usize = 64;
/// As many bytes as one transaction takes, as JSON, less what stands around the operations. Consul
/// takes 512 KiB.
const MOST_BYTES: usize = 500 * 1024;
/// As many bytes as a value may have.
const MOST_VALUE: usize = 512 * 1024;

/// One step of a transaction.
#[derive(Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Operation {
    verb: &'static str,
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
}

impl Operation {
    pub(super) fn get(key: String) -> Self {
        Self { verb: "get", key, value: None, index: None }
    }

    /// Everything whose key begins so.
    pub(super) fn get_tree(key: String) -> Self {
        Self { verb: "get-tree", key, value: None, index: None }
    }

    pub(super) fn delete(key: String) -> Self {
        Self { verb: "delete", key, value: None, index: None }
    }

    pub(super) fn set(key: String, value: &str) -> Self {
        Self { verb: "set", key, value: Some(STANDARD.encode(value)), index: None }
    }

    /// Writes only if the key is still as it was at `index`; 0 if it was not there.
    pub(super) fn compare_and_set(key: String, value: &str, index: u64) -> Self {
        Self { verb: "cas", key, value: Some(STANDARD.encode(value)), index: Some(index) }
    }

    /// As many bytes as it takes in a transaction, roughly but never more.
    fn size(&self) -> usize {
        // A character of a key takes six bytes at most, as `\u0001`.
        100 + self.key.len() * 6 + self.value.as_ref().map_or(0, String::len)
    }

    /// How it can be sent, if it can.
    fn way(&self) -> Way {
        if self.size() <= MOST_BYTES {
            return Way::Transaction;
        }
        let value = self.value.as_ref().map_or(0, |value| value.len() / 4 * 3);
        // Base64 comes in threes.
        let fits = value <= MOST_VALUE + 2 && self.decoded().len() <= MOST_VALUE;
        let is_tidy = self.key.split('/').all(|segment| !matches!(segment, "" | "." | ".."));
        if fits && is_tidy { Way::Path } else { Way::TooLarge }
    }

    fn decoded(&self) -> Vec<u8> {
        // It was encoded here.
        self.value.as_ref().and_then(|value| STANDARD.decode(value).ok()).unwrap_or_default()
    }
}

/// As a transaction lists it: Consul has other kinds too.
#[derive(Serialize)]
struct Step<'a> {
    #[serde(rename = "KV")]
    kv: &'a Operation,
}

enum Way {
    Transaction,
    Path,
    TooLarge,
}

/// What Consul has under a key.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Pair {
    pub(super) key: String,
    value: Option<String>,
    pub(super) modify_index: u64,
}

impl Pair {
    pub(super) fn text(&self) -> Result<String, StoreError> {
        let bad = || StoreError::new(format_args!("the value of `{}` in Consul is no text", self.key));
        let bytes = STANDARD.decode(self.value.as_deref().unwrap_or_default()).map_err(|_| bad())?;
        String::from_utf8(bytes).map_err(|_| bad())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    results: Option<Vec<Outcome>>,
    #[serde(default)]
    errors: Option<Vec<Refusal>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Outcome {
    #[serde(rename = "KV")]
    kv: Pair,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Refusal {
    what: String,
}

/// What became of a transaction.
pub(super) enum Transacted {
    Done(Vec<Pair>),
    /// Nothing was changed, for this reason.
    RolledBack(String),
    /// Its one operation is larger than Consul takes.
    TooLarge,
}

impl Consul {
    /// Makes operations one after the other, in as few transactions as can be. Gives those that are too
    /// large.
    pub(super) fn write_all(
        &self,
        attempted: &str,
        operations: impl IntoIterator<Item = Operation>,
    ) -> Result<Vec<String>, StoreError> {
        let mut too_large = Vec::new();
        let mut batch = Vec::new();
        let mut bytes = 0;
        for operation in operations {
            let size = operation.size();
            let way = operation.way();
            let is_full = batch.len() == MOST_OPERATIONS || bytes + size > MOST_BYTES;
            if is_full && !batch.is_empty() {
                self.write_batch(attempted, std::mem::take(&mut batch))?;
                bytes = 0;
            }
            match way {
                Way::Transaction => {
                    bytes += size;
                    batch.push(operation);
                }
                Way::Path if self.put(attempted, &operation)? => {}
                Way::Path => return Err(self.failed(attempted, "it was refused")),
                Way::TooLarge => too_large.push(operation.key),
            }
        }
        if !batch.is_empty() {
            self.write_batch(attempted, batch)?;
        }
        Ok(too_large)
    }

    fn write_batch(&self, attempted: &str, batch: Vec<Operation>) -> Result<(), StoreError> {
        match self.transact(attempted, &batch)? {
            Transacted::RolledBack(reason) => Err(self.failed(attempted, reason)),
            Transacted::Done(_) | Transacted::TooLarge => Ok(()),
        }
    }

    /// Makes one operation, by whichever way it takes.
    pub(super) fn write(&self, attempted: &str, operation: Operation) -> Result<Transacted, StoreError> {
        match operation.way() {
            Way::Transaction => self.transact(attempted, &[operation]),
            Way::Path => Ok(match self.put(attempted, &operation)? {
                true => Transacted::Done(Vec::new()),
                false => Transacted::RolledBack("the key has changed".to_owned()),
            }),
            Way::TooLarge => Ok(Transacted::TooLarge),
        }
    }

    /// Makes a transaction.
    pub(super) fn transact(
        &self,
        attempted: &str,
        operations: &[Operation],
    ) -> Result<Transacted, StoreError> {
        let steps: Vec<_> = operations.iter().map(|kv| Step { kv }).collect();
        let body = serde_json::to_vec(&steps).map_err(|error| self.failed(attempted, error))?;
        let (status, body) = self.send(attempted, |link, base| {
            let url = base.join("v1/txn").map_err(|error| self.failed(attempted, error))?;
            Ok(link.client.put(url).body(body))
        })?;
        if status != StatusCode::OK && status != StatusCode::CONFLICT {
            return Err(self.refused(attempted, status, &body));
        }
        let answer: Answer = serde_json::from_slice(&body).map_err(|error| self.failed(attempted, error))?;
        Ok(match answer.errors.and_then(|errors| errors.into_iter().next()) {
            Some(refusal) => Transacted::RolledBack(refusal.what),
            None => {
                Transacted::Done(answer.results.into_iter().flatten().map(|outcome| outcome.kv).collect())
            }
        })
    }

    /// Puts one value by its path, and gives whether it was written.
    fn put(&self, attempted: &str, operation: &Operation) -> Result<bool, StoreError> {
        let (status, body) = self.send(attempted, |link, base| {
            let mut url = base.join("v1/kv/").map_err(|error| self.failed(attempted, error))?;
            if let Ok(mut path) = url.path_segments_mut() {
                path.pop_if_empty().extend(operation.key.split('/'));
            }
            if let Some(index) = operation.index {
                url.query_pairs_mut().append_pair("cas", &index.to_string());
            }
            Ok(link.client.put(url).body(operation.decoded()))
        })?;
        if status != StatusCode::OK {
            return Err(self.refused(attempted, status, &body));
        }
        Ok(body.trim_ascii() == b"true")
    }

    fn send(
        &self,
        attempted: &str,
        request: impl FnOnce(&HttpLink, Url) -> Result<RequestBuilder, StoreError>,
    ) -> Result<(StatusCode, Vec<u8>), StoreError> {
        let base = self.base().ok_or_else(|| {
            StoreError::new(format_args!(
                "could not {attempted}: the address is not one like `localhost:8500`"
            ))
        })?;
        let link = self.shared.link.get(|| HttpLink::new(&self.link));
        let link = link.map_err(|error| self.failed(attempted, error))?;
        let mut request = request(&link, base)?;
        if let Some(token) = &self.token {
            request = request.header("x-consul-token", token);
        }
        let answered = link.run(async move {
            let response = request.send().await?;
            let status = response.status();
            Ok((status, response.bytes().await?.to_vec()))
        });
        answered
            .map_err(|error| self.failed(attempted, error))?
            .map_err(|error: reqwest::Error| self.failed(attempted, describe(&error)))
    }

    fn base(&self) -> Option<Url> {
        let with_scheme = match self.address.contains("://") {
            true => self.address.clone(),
            false => format!("http://{}", self.address),
        };
        let url = Url::parse(&with_scheme).ok()?;
        (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
    }

    /// Where Consul is, without what may be secret.
    pub(super) fn shown_address(&self) -> String {
        let Some(url) = self.base() else { return "an unreadable address".to_owned() };
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
    }

    pub(super) fn failed(
        &self,
        attempted: &str,
        because: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> StoreError {
        StoreError::because(format_args!("could not {attempted} ({})", self.shown_address()), because)
    }

    /// An answer that is no answer; Consul says why in its body.
    fn refused(&self, attempted: &str, status: StatusCode, body: &[u8]) -> StoreError {
        let said: String = String::from_utf8_lossy(body).trim().chars().take(200).collect();
        self.failed(attempted, format!("Consul answered {}: {said}", status.as_u16()))
    }
}
