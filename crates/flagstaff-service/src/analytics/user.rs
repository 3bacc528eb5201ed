//! Users seen: contexts of kind `user`.

use serde_json::{Map, Value};

use super::effects::is_keepable;
use super::terms::TermQuery;
use super::{Analytics, AnalyticsError};
use crate::store::EnvironmentId;
use crate::store::analytics::context::{self, ContextRow};
use crate::store::analytics::search;

pub use crate::store::analytics::search::{Page, Sort};

/// The kind of contexts that are users.
const USER: &str = "user";

/// A user as last seen. Never an anonymous one; private attributes never got here.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenUser {
    /// The key.
    pub key: String,
    /// Everything else that is known: `name`, `email` and any other attribute, side by side.
    pub attributes: Map<String, Value>,
    /// References to attributes that the program keeps private.
    pub redacted: Vec<String>,
    /// When the user was first seen, in Unix milliseconds.
    pub first_seen_ms: i64,
    /// When the user was last seen, accurate to half a minute.
    pub last_seen_ms: i64,
}

/// A page of users.
#[derive(Clone, Debug, PartialEq)]
pub struct UserPage {
    /// The users, in order.
    pub users: Vec<SeenUser>,
    /// Whether more come after them.
    pub has_more: bool,
}

impl SeenUser {
    /// A text attribute.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.attributes.get(name)?.as_str()
    }

    /// What to call the user: the name, else first and last name, else the e-mail, else the key.
    pub fn display_name(&self) -> String {
        let given = |name| self.text(name).map(str::trim).filter(|text| !text.is_empty());
        if let Some(name) = given("name") {
            return name.to_owned();
        }
        match (given("firstName"), given("lastName")) {
            (Some(first), Some(last)) => format!("{first} {last}"),
            (Some(name), None) | (None, Some(name)) => name.to_owned(),
            (None, None) => given("email").unwrap_or(&self.key).to_owned(),
        }
    }

    fn of(row: ContextRow) -> Self {
        // Both were written from JSON by us.
        Self {
            key: row.key,
            attributes: serde_json::from_str(&row.attributes).unwrap_or_default(),
            redacted: serde_json::from_str(&row.redacted).unwrap_or_default(),
            first_seen_ms: row.first_seen_ms,
            last_seen_ms: row.last_seen_ms,
        }
    }
}

impl UserPage {
    fn of((rows, has_more): (Vec<ContextRow>, bool)) -> Self {
        Self { users: rows.into_iter().map(SeenUser::of).collect(), has_more }
    }
}

impl Analytics {
    /// Users whose key, e-mail or names have words that begin with each word of `query`, in either case.
    ///
    /// An empty query finds everybody, those last seen first. Otherwise users of whom every word is a
    /// whole term come first, then the rest, unless `sort` says differently.
    pub async fn search_users(
        &self,
        environment: EnvironmentId,
        query: &str,
        sort: Option<Sort>,
        page: Page,
    ) -> Result<UserPage, AnalyticsError> {
        let mut connection = self.read().await?;
        let kind = (environment.0, USER);
        let found = match TermQuery::parse(query) {
            Some(query) => search::found(&mut connection, kind, &query, sort, page).await?,
            None => search::all(&mut connection, kind, sort.unwrap_or_default(), page).await?,
        };
        Ok(UserPage::of(found))
    }

    /// Users in the order of their keys, those after `after`: for walking through all of them.
    pub async fn users_after(
        &self,
        environment: EnvironmentId,
        after: &str,
        limit: usize,
    ) -> Result<UserPage, AnalyticsError> {
        // PostgreSQL has no NUL in text, and neither has a key: those after it come after what is before it.
        let after = after.split('\0').next().unwrap_or_default();
        let mut connection = self.read().await?;
        Ok(UserPage::of(search::after_key(&mut connection, (environment.0, USER), after, limit).await?))
    }

    /// The user with this key.
    pub async fn user(
        &self,
        environment: EnvironmentId,
        key: &str,
    ) -> Result<Option<SeenUser>, AnalyticsError> {
        if !is_keepable(key) {
            return Ok(None);
        }
        let mut connection = self.read().await?;
        Ok(context::by_key(&mut connection, environment.0, USER, key).await?.map(SeenUser::of))
    }

    /// Forgets a user, and says whether there was one. A user who is seen again is known again.
    pub async fn delete_user(&self, environment: EnvironmentId, key: &str) -> Result<bool, AnalyticsError> {
        self.tail.forget(environment.0);
        Ok(is_keepable(key) && self.writer.forget_context(environment.0, USER, key).await?)
    }

    /// How many users are known: those that are not anonymous.
    pub async fn known_users_count(&self, environment: EnvironmentId) -> Result<u64, AnalyticsError> {
        let mut connection = self.read().await?;
        Ok(context::count(&mut connection, environment.0, USER).await?)
    }

    /// How many anonymous contexts, of any kind, were seen in the last 30 days.
    pub async fn anonymous_count(&self, environment: EnvironmentId) -> Result<u64, AnalyticsError> {
        let mut connection = self.read().await?;
        Ok(context::anonymous_count(&mut connection, environment.0).await?)
    }
}
