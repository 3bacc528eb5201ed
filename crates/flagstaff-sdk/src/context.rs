//! What the client needs of a context beyond what the evaluator reads.

use std::borrow::Cow;
use std::sync::Arc;

use flagstaff_eval::{Context, ContextRead};

/// A context that can be evaluated and reported. Implemented by [`Context`], and by forms of another
/// language that are read in place.
pub trait EventContext: ContextRead {
    /// The text that tells contexts apart: see [`Context::canonical_key`]. Asked for at each
    /// evaluation, so best borrowed.
    fn canonical_key(&self) -> Cow<'_, str>;

    /// The context as events keep it. Asked for when there is something to report that was not
    /// reported lately.
    fn to_context(&self) -> Arc<Context>;
}

impl EventContext for Context {
    #[inline]
    fn canonical_key(&self) -> Cow<'_, str> {
        Cow::Borrowed(Context::canonical_key(self))
    }

    fn to_context(&self) -> Arc<Context> {
        Arc::new(self.clone())
    }
}
