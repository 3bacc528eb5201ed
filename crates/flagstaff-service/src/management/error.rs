//! Why a change was refused.

use serde_json::Value;

use crate::analytics::AnalyticsError;
use crate::auth::Forbidden;
use crate::store::StoreError;

/// Why a change was refused. Nothing has been written when one of these is returned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// Whoever asked may not.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),

    /// There is no such thing.
    #[error("there is no {kind} `{key}`{}", within(container))]
    Unknown {
        /// `project`, `environment`, `flag`, ...
        kind: &'static str,
        /// What was asked for.
        key: String,
        /// Where it was looked for: ``project `demo` ``; empty if everywhere.
        container: String,
    },

    /// The key is taken.
    #[error("{kind} `{key}` exists already{}", within(container))]
    Duplicate {
        /// `project`, `environment`, `flag`, ...
        kind: &'static str,
        /// The key.
        key: String,
        /// Where: ``project `demo` ``; empty if everywhere.
        container: String,
    },

    /// A value breaks a rule.
    #[error("{place}: {problem}")]
    Invalid {
        /// Which part of the request: `rules[0].clauses[1].op`.
        place: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },

    /// It was changed since.
    #[error(
        "{kind} `{key}` is at version {current}, but the change was made against version {expected}; look at it again"
    )]
    VersionConflict {
        /// `flag` or `segment`.
        kind: &'static str,
        /// Which one.
        key: String,
        /// What the writer saw.
        expected: u64,
        /// What it is.
        current: u64,
    },

    /// A test of the patch failed: it is not as the writer thought.
    #[error("the test of `{path}` in operation {operation} failed: the value there is {found}")]
    TestFailed {
        /// Which operation, from 0.
        operation: usize,
        /// Where.
        path: String,
        /// What is there.
        found: Value,
    },

    /// Something else hangs on it.
    #[error("{what} is used by {by}; change that first")]
    InUse {
        /// What should go.
        what: String,
        /// What needs it.
        by: String,
    },

    /// Another file of keys is being taken.
    #[error("keys are being imported into segment `{key}`; wait for the end of that")]
    ImportGoesOn {
        /// The segment.
        key: String,
    },

    /// The environment wants a comment with each change.
    #[error("environment `{environment_key}` requires a comment with each change; say why")]
    CommentRequired {
        /// The environment.
        environment_key: String,
    },

    /// The database.
    #[error("could not save the change")]
    Store(#[from] StoreError),

    /// The database of events.
    #[error("could not forget what was counted")]
    Analytics(#[from] AnalyticsError),
}

impl ChangeError {
    /// A value that breaks a rule.
    pub fn invalid(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid { place: place.into(), problem: problem.into() }
    }

    /// There is no such thing anywhere.
    pub fn unknown(kind: &'static str, key: &str) -> Self {
        Self::Unknown { kind, key: key.to_owned(), container: String::new() }
    }

    /// There is no such thing in this project.
    pub fn unknown_in(kind: &'static str, key: &str, project_key: &str) -> Self {
        Self::Unknown { kind, key: key.to_owned(), container: format!("project `{project_key}`") }
    }

    /// The key is taken, if that is what the database refused.
    pub(crate) fn duplicate(error: StoreError, kind: &'static str, key: &str, container: String) -> Self {
        if error.is_duplicate() {
            Self::Duplicate { kind, key: key.to_owned(), container }
        } else {
            error.into()
        }
    }
}

fn within(container: &str) -> String {
    if container.is_empty() { String::new() } else { format!(" in {container}") }
}
