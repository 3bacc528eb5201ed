//! Style sheet, scripts and icon: in the binary, under names that change with their content, so that a
//! browser asks for each once.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use crate::SharedApp;
use crate::auth::secret;

const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

const FOR_EVER: &str = "public, max-age=31536000, immutable";
const ASK_AGAIN: &str = "no-cache";

/// The files, each at its path.
pub(super) static FILES: LazyLock<Files> = LazyLock::new(|| Files {
    style: File::new("flagstaff.css", CSS, include_str!("flagstaff.css")),
    script: File::new("flagstaff.js", SCRIPT, include_str!("flagstaff.js")),
    // 2.0.11, Zero-Clause BSD: see htmx-LICENSE beside it.
    htmx: File::new("htmx.js", SCRIPT, include_str!("htmx-2.0.11.min.js")),
    icon: File::new("flagstaff.svg", SVG, include_str!("flagstaff.svg")),
});

/// Every file that pages link to.
pub(super) struct Files {
    /// How everything looks.
    pub(super) style: File,
    /// What pages do better with script.
    pub(super) script: File,
    /// Swaps in what the server rendered.
    pub(super) htmx: File,
    /// In the browser's tab.
    pub(super) icon: File,
}

/// A file as it is served.
pub(super) struct File {
    /// Where it is.
    pub(super) path: String,
    kind: &'static str,
    plain: Bytes,
    gzip: Bytes,
}

impl File {
    fn new(name: &str, kind: &'static str, text: &str) -> Self {
        let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
        let path = format!("/ui/assets/{stem}-{}.{ending}", fingerprint(text));
        Self { path, kind, plain: Bytes::copy_from_slice(text.as_bytes()), gzip: gzip(text) }
    }
}

/// The paths of this file.
pub(super) fn router() -> Router<SharedApp> {
    Router::new().route("/ui/assets/{name}", get(file))
}

/// Where the colours of all environments are, as a style sheet: pages have no inline styles.
pub(super) fn colours_path(app: &SharedApp) -> String {
    format!("/ui/assets/environments-{}.css", fingerprint(&colours(app)))
}

/// The class that gives an element an environment's colour.
pub(super) fn colour_class(colour: &str) -> String {
    format!("colour-{}", colour_digits(colour).unwrap_or("none"))
}

fn colour_digits(colour: &str) -> Option<&str> {
    let digits = colour.strip_prefix('#').unwrap_or(colour);
    (digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(digits)
}

fn colours(app: &SharedApp) -> String {
    let all = app.live.all();
    let mut colours: Vec<String> = all
        .iter()
        .filter_map(|live| colour_digits(&live.about().environment.colour).map(str::to_owned))
        .collect();
    colours.sort_unstable();
    colours.dedup();
    colours.iter().map(|colour| format!(".colour-{colour}{{--environment:#{colour}}}\n")).collect()
}

async fn file(State(app): State<SharedApp>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    let files = &*FILES;
    let known = [&files.style, &files.script, &files.htmx, &files.icon]
        .into_iter()
        .find(|file| file.path.strip_prefix("/ui/assets/") == Some(&name));
    if let Some(file) = known {
        return if takes_gzip(&headers) {
            let headers = [
                (header::CONTENT_TYPE, file.kind),
                (header::CACHE_CONTROL, FOR_EVER),
                (header::VARY, "accept-encoding"),
            ];
            (headers, [(header::CONTENT_ENCODING, "gzip")], file.gzip.clone()).into_response()
        } else {
            let headers = [
                (header::CONTENT_TYPE, file.kind),
                (header::CACHE_CONTROL, FOR_EVER),
                (header::VARY, "accept-encoding"),
            ];
            (headers, file.plain.clone()).into_response()
        };
    }
    if name.starts_with("environments-") {
        let text = colours(&app);
        // A page may be older than the colours: then it gets the new ones, but not for ever.
        let current = name == format!("environments-{}.css", fingerprint(&text));
        let caching = if current { FOR_EVER } else { ASK_AGAIN };
        return ([(header::CONTENT_TYPE, CSS), (header::CACHE_CONTROL, caching)], text).into_response();
    }
    StatusCode::NOT_FOUND.into_response()
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT_ENCODING).iter().any(|value| {
        value.to_str().is_ok_and(|value| {
            value.split(',').any(|coding| {
                let mut parts = coding.split(';').map(str::trim);
                parts.next() == Some("gzip") && parts.next() != Some("q=0")
            })
        })
    })
}

fn fingerprint(text: &str) -> String {
    secret::hex(&Sha256::digest(text.as_bytes())[..6])
}

fn gzip(text: &str) -> Bytes {
    use std::io::Write as _;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    written.unwrap_or_else(|error| unreachable!("memory takes every byte: {error}")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn style_and_script_are_under_60_kilobytes_compressed() {
        let files = &*FILES;
        let weight: usize =
            [&files.style, &files.script, &files.htmx].iter().map(|file| file.gzip.len()).sum();
        assert!(weight < 60_000, "{weight} bytes");
    }

    #[test]
    fn only_six_hex_digits_are_a_colour() {
        assert_eq!(colour_class("417505"), "colour-417505");
        assert_eq!(colour_class("#417505"), "colour-417505");
        for hostile in ["", "red", "417505}", "}*{x", "41750g"] {
            assert_eq!(colour_class(hostile), "colour-none", "{hostile}");
        }
    }
}
