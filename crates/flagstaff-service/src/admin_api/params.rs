//! Query parameters, which may be repeated, and pages of lists.

use axum::extract::{FromRequestParts, OriginalUri};
use axum::http::request::Parts;
use serde_json::{Map, Value};

use super::link::link;
use crate::SharedApp;
use crate::error::ApiError;
use crate::extract::Asked;

/// The largest page.
const LARGEST_PAGE: usize = 1000;

/// The query of a request.
#[derive(Debug)]
pub(super) struct Params {
    path: String,
    pairs: Vec<(String, String)>,
}

/// Which part of a list is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    limit: usize,
    offset: usize,
}

impl FromRequestParts<SharedApp> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, ApiError> {
        let path =
            parts.extensions.get::<OriginalUri>().map_or(parts.uri.path(), |uri| uri.path()).to_owned();
        let Asked(pairs) = Asked::from_request_parts(parts, app).await?;
        Ok(Self { path, pairs })
    }
}

impl Params {
    /// The first value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Every value of a parameter.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A yes or no.
    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool, ApiError> {
        match self.get(name) {
            None => Ok(default),
            Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(other) => {
                let shown = other.escape_debug();
                Err(ApiError::bad_request(format!("`{name}` is `true` or `false`, not `{shown}`")))
            }
        }
    }

    /// When an old key is to stop working, in Unix milliseconds; none: at once.
    pub(super) fn expiry(&self) -> Result<Option<i64>, ApiError> {
        let read = |text: &str| {
            text.parse().map_err(|_| {
                let shown = text.escape_debug();
                ApiError::bad_request(format!("`expiry` is a time in Unix milliseconds, not `{shown}`"))
            })
        };
        self.get("expiry").map(read).transpose()
    }

    /// Which part of the list is asked for.
    pub(super) fn page(&self, default_limit: usize) -> Result<Page, ApiError> {
        // 0 asks for as many as there may be.
        let limit = match self.number("limit", default_limit)? {
            0 => LARGEST_PAGE,
            limit => limit.min(LARGEST_PAGE),
        };
        Ok(Page { limit, offset: self.number("offset", 0)? })
    }

    /// Which part of the list is asked for, where all of it is what is usual, and what -1 asks for.
    pub(super) fn page_or_all(&self) -> Result<Page, ApiError> {
        match self.get("limit") {
            None | Some("-1") => Ok(Page { limit: usize::MAX, offset: self.number("offset", 0)? }),
            Some(_) => self.page(0),
        }
    }

    fn number(&self, name: &str, default: usize) -> Result<usize, ApiError> {
        let Some(text) = self.get(name) else { return Ok(default) };
        text.parse().map_err(|_| {
            let shown = text.escape_debug();
            ApiError::bad_request(format!("`{name}` is a whole number from 0, not `{shown}`"))
        })
    }

    /// The items of the page, represented, with links to the others.
    pub(super) fn paged<T>(&self, page: Page, all: &[T], represent: impl Fn(&T) -> Value) -> Value {
        let start = page.offset.min(all.len());
        let end = start.saturating_add(page.limit).min(all.len());
        let mut links = Map::new();
        links.insert("self".to_owned(), link(self.with_offset(None)));
        if start > 0 {
            links.insert("first".to_owned(), link(self.with_offset(Some(0))));
            links.insert("prev".to_owned(), link(self.with_offset(Some(start.saturating_sub(page.limit)))));
        }
        if end < all.len() {
            links.insert("next".to_owned(), link(self.with_offset(Some(end))));
            let last = (all.len() - 1) / page.limit * page.limit;
            links.insert("last".to_owned(), link(self.with_offset(Some(last))));
        }
        let items: Vec<Value> = all[start..end].iter().map(represent).collect();
        serde_json::json!({"_links": links, "items": items, "totalCount": all.len()})
    }

    /// The same request at another place of the list.
    fn with_offset(&self, offset: Option<usize>) -> String {
        use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
        let kept = self.pairs.iter().filter(|(name, _)| offset.is_none() || name != "offset");
        let mut query: Vec<String> = kept
            .map(|(name, value)| {
                format!(
                    "{}={}",
                    utf8_percent_encode(name, NON_ALPHANUMERIC),
                    utf8_percent_encode(value, NON_ALPHANUMERIC)
                )
            })
            .collect();
        query.extend(offset.map(|offset| format!("offset={offset}")));
        if query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, query.join("&")) }
    }
}
