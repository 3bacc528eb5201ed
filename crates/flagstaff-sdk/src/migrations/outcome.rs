//! What came of a read or a write.

use flagstaff_wire::migration::Origin;

/// What one origin gave.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OperationResult<T, E> {
    /// Which one.
    pub origin: Origin,
    /// What it gave, or why it did not.
    pub result: Result<T, Failure<E>>,
}

/// Why an origin gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure<E> {
    /// The function said so.
    #[error("the function failed")]
    Failed(#[source] E),
    /// The function panicked; the log says how.
    #[error("the function panicked")]
    Panicked,
}

/// What came of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriteResult<T, E> {
    /// What the origin gave that is believed.
    pub authoritative: OperationResult<T, E>,
    /// What the other one gave; none if the stage leaves it alone, or the first write failed.
    pub nonauthoritative: Option<OperationResult<T, E>>,
}

impl<T, E> OperationResult<T, E> {
    /// Whether there is a value.
    pub fn is_success(&self) -> bool {
        self.result.is_ok()
    }
}
