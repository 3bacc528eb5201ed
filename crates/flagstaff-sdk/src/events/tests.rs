//! What is held does not grow with what happens.

use std::sync::atomic::Ordering;

use flagstaff_eval::Context;

use super::{Evaluated, Events};
use crate::config::Config;
use crate::fork;
use crate::log::Log;

const CAPACITY: usize = 10_000;
const REMEMBERED: usize = 1_000;

fn events(config: Config) -> Events {
    Events::new(&config.events_capacity(CAPACITY).context_keys_capacity(REMEMBERED), Log::new(None))
}

#[test]
fn a_flood_of_contexts_takes_no_more_room_than_was_given() {
    for omit_anonymous in [false, true] {
        let events = events(Config::new("sdk-key").omit_anonymous_contexts(omit_anonymous));
        let flood = if omit_anonymous { 100_000 } else { 1_000_000 };
        for number in 0..flood {
            let context = Context::from_key(format!("user-{number}")).unwrap();
            let of = Evaluated { context: &context, default: &false, with_reason: false, now_ms: 1 };
            events.unknown("f", &of);
        }
        let _unforked = fork::guard();
        assert_eq!(events.queue.take().len(), CAPACITY);
        assert_eq!(events.dropped.load(Ordering::Relaxed), (flood - CAPACITY) as u64);
        assert!(events.seen.held() <= REMEMBERED);
        let counted = events.loose.take();
        assert_eq!((counted.len(), counted["f"].counts[0].count), (1, flood as u64));
    }
}

#[test]
fn a_flood_of_declared_contexts_and_of_what_happens_is_bounded_too() {
    let events = events(Config::new("sdk-key"));
    for number in 0..20_000 {
        let context = Context::from_key(format!("user-{number}")).unwrap();
        events.track("t", &context, serde_json::Value::Null, None);
        events.identify(context.into());
    }
    let _unforked = fork::guard();
    assert_eq!(events.queue.take().len(), CAPACITY);
    assert_eq!(events.dropped.load(Ordering::Relaxed), 3 * 20_000 - CAPACITY as u64);
}
