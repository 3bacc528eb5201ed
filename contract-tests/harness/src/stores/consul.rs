//! Consul, by its HTTP interface.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::Value;

use crate::adapter::plain_http;

pub(super) async fn clear(dsn: &str, prefix: &str) -> Result<(), String> {
    ask(dsn, Method::DELETE, &format!("{}/?recurse", encoded(prefix)), "").await.map(|_| ())
}

pub(super) async fn write(dsn: &str, prefix: &str, kind: &str, key: &str, text: &str) -> Result<(), String> {
    let path = format!("{}/{kind}/{}", encoded(prefix), encoded(key));
    ask(dsn, Method::PUT, &path, text).await.map(|_| ())
}

pub(super) async fn mark(dsn: &str, prefix: &str) -> Result<(), String> {
    ask(dsn, Method::PUT, &format!("{}/$inited", encoded(prefix)), "").await.map(|_| ())
}

pub(super) async fn is_marked(dsn: &str, prefix: &str) -> Result<bool, String> {
    Ok(ask(dsn, Method::GET, &format!("{}/$inited", encoded(prefix)), "").await?.is_some())
}

pub(super) async fn all(dsn: &str, prefix: &str, kind: &str) -> Result<Vec<(String, String)>, String> {
    let path = format!("{}/{kind}/?recurse", encoded(prefix));
    let Some(answer) = ask(dsn, Method::GET, &path, "").await? else { return Ok(Vec::new()) };
    let list: Value = serde_json::from_str(&answer).map_err(|error| error.to_string())?;
    let start = format!("{prefix}/{kind}/");
    let mut items = Vec::new();
    for entry in list.as_array().into_iter().flatten() {
        let key = entry["Key"].as_str().unwrap_or_default();
        let value = STANDARD
            .decode(entry["Value"].as_str().unwrap_or_default())
            .map_err(|error| error.to_string())?;
        let text = String::from_utf8(value).map_err(|error| error.to_string())?;
        items.push((key.strip_prefix(&start).unwrap_or(key).to_owned(), text));
    }
    Ok(items)
}

/// None if there is no such key.
async fn ask(dsn: &str, method: Method, path: &str, body: &str) -> Result<Option<String>, String> {
    let base = if dsn.contains("://") { dsn.to_owned() } else { format!("http://{dsn}") };
    let failed = |error: reqwest::Error| format!("Consul does not answer at {dsn}: {error}");
    let url = format!("{base}/v1/kv/{path}");
    let response = plain_http()?.request(method, &url).body(body.to_owned()).send().await.map_err(failed)?;
    let status = response.status().as_u16();
    let text = response.text().await.map_err(failed)?;
    match status {
        200 => Ok(Some(text)),
        404 => Ok(None),
        _ => Err(format!("Consul answered {status} to {url}: {text}")),
    }
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}
