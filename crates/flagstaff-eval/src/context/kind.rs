//! The rules a context must keep, and what is said when it does not.

/// The kind a context has when nothing else is said.
pub(crate) const USER: &str = "user";
/// The `kind` of a context that holds several.
pub(crate) const MULTI: &str = "multi";

/// Why a context is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContextError {
    /// No key, or an empty one.
    #[error("context key must not be None or empty")]
    EmptyKey,
    /// An empty kind.
    #[error("context kind must not be empty")]
    EmptyKind,
    /// `kind` is not a kind.
    #[error("\"kind\" is not a valid context kind")]
    KindNamedKind,
    /// `multi` is kept for contexts that hold several.
    #[error("context of kind \"multi\" must be created with create_multi or multi_builder")]
    KindNamedMulti,
    /// Only letters, digits, `.`, `_` and `-` may stand in a kind.
    #[error("context kind contains disallowed characters")]
    KindCharacters,
    /// A multi-context without members.
    #[error("multi-context must contain at least one kind")]
    NoKinds,
    /// A multi-context with two members of one kind.
    #[error("multi-kind context cannot have same kind more than once")]
    DuplicateKind,
    /// A property of the wrong JSON type.
    #[error("invalid data type for \"{property}\"")]
    WrongType {
        /// The property's name.
        property: String,
    },
    /// Several members of a multi-context are not valid.
    #[error("{0}")]
    Members(String),
    /// The text is not a JSON object.
    #[error("context is not a JSON object: {0}")]
    NotAnObject(String),
}

impl ContextError {
    pub(crate) fn wrong_type(property: &str) -> Self {
        ContextError::WrongType { property: property.to_owned() }
    }
}

/// Checks the kind of a single context.
pub(crate) fn check_kind(kind: &str) -> Result<(), ContextError> {
    match kind {
        USER => Ok(()),
        "" => Err(ContextError::EmptyKind),
        "kind" => Err(ContextError::KindNamedKind),
        MULTI => Err(ContextError::KindNamedMulti),
        _ if kind.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) => Ok(()),
        _ => Err(ContextError::KindCharacters),
    }
}
