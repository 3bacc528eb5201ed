//! What every answer of the dashboard has in common: headers, pages, and troubles in words.

use askama::Template;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};

use super::assets::FILES;
use super::theme::Theme;
use super::words::sentence;
use crate::analytics::AnalyticsError;
use crate::auth::session::SignInError;
use crate::error::ApiError;
use crate::management::ChangeError;
use crate::store::StoreError;

/// Nothing from elsewhere, nothing inline, nobody frames a page or sends its forms away.
const CONTENT_SECURITY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

/// What the server wants said aloud, for script to put into the live region.
const SAID: HeaderName = HeaderName::from_static("hx-trigger-after-settle");
const RETARGET: HeaderName = HeaderName::from_static("hx-retarget");
const RESWAP: HeaderName = HeaderName::from_static("hx-reswap");

/// A page, or a named block of one.
pub(super) fn html(template: &impl Template) -> Result<Response, Trouble> {
    let text = template.render().map_err(|error| Trouble(ApiError::internal(error)))?;
    Ok(Html(text).into_response())
}

/// The answer, with words for the live region.
pub(super) fn said(mut response: Response, words: &str) -> Response {
    // Headers are ASCII; JSON can say everything in it.
    let json = serde_json::json!({ "flagstaff-said": words }).to_string();
    let ascii: String = json
        .chars()
        .flat_map(|letter| {
            let mut units = [0; 2];
            let escaped: Vec<char> = if letter.is_ascii() {
                vec![letter]
            } else {
                letter
                    .encode_utf16(&mut units)
                    .iter()
                    .flat_map(|unit| format!("\\u{unit:04x}").into_bytes())
                    .map(char::from)
                    .collect()
            };
            escaped
        })
        .collect();
    if let Ok(value) = HeaderValue::try_from(ascii) {
        response.headers_mut().insert(SAID, value);
    }
    response
}

/// Whether script asks for a part of a page.
pub(super) fn is_fragment(headers: &HeaderMap) -> bool {
    headers.contains_key("hx-request") && !headers.contains_key("hx-history-restore-request")
}

/// A path to go to next, as a form or address carries it: one of ours, or the front.
pub(super) fn own_path(next: &str) -> &str {
    let own = next.starts_with("/ui/") && !next.contains(['\\', '\r', '\n', '\t', '\0']);
    if own { next } else { "/ui/" }
}

/// Something that could not be done. Rendered by [`dress`], which knows how it was asked for.
#[derive(Debug)]
pub(super) struct Trouble(pub(super) ApiError);

/// The words of a [`Trouble`], on their way to [`dress`].
#[derive(Clone, Debug)]
struct TroubleWords {
    message: String,
    id: Option<String>,
}

#[derive(Template)]
#[template(path = "trouble.html")]
struct TroublePage<'a> {
    theme: Theme,
    heading: &'a str,
    advice: &'a str,
    message: &'a str,
    id: Option<&'a str>,
    style: &'a str,
    icon: &'a str,
}

#[derive(Template)]
#[template(path = "trouble_notice.html")]
struct TroubleNotice<'a> {
    /// Whether the page is out of date, so that a link to it helps.
    outdated: bool,
    heading: &'a str,
    advice: &'a str,
    message: &'a str,
    id: Option<&'a str>,
}

impl Trouble {
    /// There is no such page.
    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self(ApiError::not_found(message))
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let id = self.0.report();
        let words = TroubleWords {
            message: sentence(self.0.message()),
            id: self.0.status().is_server_error().then(|| id.to_string()),
        };
        let mut response = self.0.status().into_response();
        response.extensions_mut().insert(words);
        response
    }
}

/// Puts the headers that every answer has, and words to every trouble.
pub(super) async fn dress(request: Request, next: Next) -> Response {
    let fragment = is_fragment(request.headers());
    let theme = Theme::of(request.headers());
    let changing = request.method() != Method::GET;
    let mut response = next.run(request).await;
    if let Some(words) = response.extensions_mut().remove::<TroubleWords>() {
        response = trouble(response, &words, fragment, theme, changing);
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    // Pages tell of people and of what is about to change: nothing keeps them.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn trouble(bare: Response, words: &TroubleWords, fragment: bool, theme: Theme, changing: bool) -> Response {
    let status = bare.status();
    let (heading, advice) = match status.as_u16() {
        403 => ("This is not allowed", "Nothing was changed."),
        404 | 410 => (
            "There is nothing here",
            "It may have been deleted or renamed. Go back to the flags and look for it there.",
        ),
        409 => (
            "Somebody was faster",
            "Nothing was changed. Load the page again, look at what stands now, and decide anew.",
        ),
        400..=499 => ("This could not be done", "Nothing was changed."),
        503 => ("The service cannot do this now", "Nothing was changed."),
        _ if changing => {
            ("The service could not do this", "Load the page again to see what stands, then retry.")
        }
        _ => ("The service could not do this", "Try again in a moment."),
    };
    let (message, id) = (words.message.as_str(), words.id.as_deref());
    let text = if fragment {
        TroubleNotice { outdated: status.as_u16() == 409, heading, advice, message, id }.render()
    } else {
        let (style, icon) = (&*FILES.style.path, &*FILES.icon.path);
        TroublePage { theme, heading, advice, message, id, style, icon }.render()
    };
    let text = text.unwrap_or_else(|_| message.to_owned());
    let mut response = (status, Html(text)).into_response();
    if fragment {
        response.headers_mut().insert(RETARGET, HeaderValue::from_static("#notice"));
        response.headers_mut().insert(RESWAP, HeaderValue::from_static("innerHTML show:#notice:top"));
    }
    for (name, value) in bare.headers() {
        if name == header::RETRY_AFTER {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

impl From<ApiError> for Trouble {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self(error.into())
    }
}

impl From<AnalyticsError> for Trouble {
    fn from(error: AnalyticsError) -> Self {
        Self(error.into())
    }
}

impl From<ChangeError> for Trouble {
    fn from(error: ChangeError) -> Self {
        Self(error.into())
    }
}

impl From<SignInError> for Trouble {
    fn from(error: SignInError) -> Self {
        Self(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_paths_are_gone_to() {
        assert_eq!(own_path("/ui/demo/production/flags?q=a"), "/ui/demo/production/flags?q=a");
        for elsewhere in [
            "",
            "/",
            "https://example.com/",
            "//example.com",
            "/ui",
            "/ui/\\example.com",
            "javascript:alert(1)",
        ] {
            assert_eq!(own_path(elsewhere), "/ui/", "{elsewhere}");
        }
    }

    #[test]
    fn words_for_the_live_region_are_ascii() {
        let response = said(().into_response(), "Größe 😀 is on\r\n");
        let value = response.headers()[SAID].to_str().unwrap();
        assert_eq!(value, r#"{"flagstaff-said":"Gr\u00f6\u00dfe \ud83d\ude00 is on\r\n"}"#);
    }
}
