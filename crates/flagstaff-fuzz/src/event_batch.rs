//! Batches of events as a service receives them: what the door lets in can be read afterwards,
//! each event of it once.

use flagstaff_wire::received::{BatchError, check_batch, read_batch};

pub(crate) fn check(input: &[u8]) {
    let mut events = 0;
    let read = read_batch(input, |event| {
        events += 1;
        if let Ok(event) = event {
            // Whatever it is, it can be shown to whoever looks for a fault.
            assert!(!format!("{event:?}").is_empty());
        }
    });
    match check_batch(input) {
        Ok(count) => {
            assert!(read.is_ok(), "{read:?}");
            assert_eq!(events, count);
        }
        Err(BatchError::TooDeep { index }) => assert!(index < events.max(1)),
        Err(_) => assert!(read.is_err()),
    }
}
