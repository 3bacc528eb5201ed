//! What every database of big segments must do.

use std::time::{Duration, SystemTime};

use super::fresh_prefix;
use crate::big_segments::BigSegmentStore;

/// Writes big segments, as a relay does. Implement it freely: a store of the SDK's only reads.
pub trait BigSegmentWriter {
    /// Says that the members are up to date as of then.
    fn set_last_up_to_date(&self, milliseconds: u64);

    /// Adds a context to these segments, as one that is in and as one that is out. A list may be empty.
    fn add(&self, context_hash: &str, included: &[&str], excluded: &[&str]);
}

/// Checks a database of big segments. `open` gives a store and a writer for a prefix; the prefixes are
/// new each time.
///
/// # Panics
/// If something is not as it must be, in a sentence that says what.
pub fn check_big_segment_store<S: BigSegmentStore, W: BigSegmentWriter>(open: impl Fn(&str) -> (S, W)) {
    let prefix = fresh_prefix();
    let (store, writer) = open(&format!("{prefix}-one"));
    let time = || store.last_up_to_date().expect("the database says how old it is");
    let membership =
        |hash: &str| store.membership(hash).expect("the database gives the segments of a context");
    // Standard base64, with each character that it may have.
    let (first, second, third) =
        ("is_hashed:user-1/+==", "CgQblGLKpKMbrDVn4Lbm/ZEAeH2yq0M9lvbReMq/zpA=", "third");

    assert_eq!(time(), None, "an empty database was never up to date");
    assert_eq!(membership(first), None, "an empty database knows no context");

    writer.set_last_up_to_date(1_700_000_000_123);
    let expected = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    assert_eq!(time(), Some(expected), "the time is read to the millisecond");

    writer.add(first, &["in.g1", "both.g2"], &["out.g3", "both.g2"]);
    let found = membership(first).expect("there is something of this context");
    assert_eq!(found.get("in.g1"), Some(true), "an included context is in");
    assert_eq!(found.get("out.g3"), Some(false), "an excluded context is out");
    assert_eq!(found.get("both.g2"), Some(true), "included beats excluded");
    assert_eq!(found.get("in.g2"), None, "another generation says nothing");

    writer.add(second, &["in.g1"], &[]);
    let found = membership(second).expect("there is something of this context");
    assert_eq!(found.get("in.g1"), Some(true), "a context may have no exclusions");
    writer.add(third, &[], &["out.g3"]);
    let found = membership(third).expect("there is something of this context");
    assert_eq!(
        (found.get("out.g3"), found.get("in.g1")),
        (Some(false), None),
        "a context may have exclusions only"
    );

    let (other, _) = open(&format!("{prefix}-other"));
    assert_eq!(
        other.last_up_to_date().expect("the database answers"),
        None,
        "another prefix has its own time"
    );
    assert_eq!(
        other.membership(first).expect("the database answers"),
        None,
        "another prefix has its own contexts"
    );
}
