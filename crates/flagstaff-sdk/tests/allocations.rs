//! What a variation allocates, counted by an allocator of this test's own: nothing for a bool or a
//! number, one for a string, once the flag was counted and the context reported.
//!
//! A program of its own: other tests in it would allocate meanwhile.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use flagstaff_sdk::{Client, Config, Context, Value};
use flagstaff_testkit::{FakeService, FlagBuilder, PATIENCE, flag};
use serde_json::json;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is done by the system's allocator; counting touches a thread-local that needs no
// allocation and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The allocations of this thread during a call.
fn allocations<R>(call: impl FnOnce() -> R) -> usize {
    let before = ALLOCATIONS.get();
    std::hint::black_box(call());
    ALLOCATIONS.get() - before
}

fn check<R>(what: &str, expected: usize, call: impl Fn() -> R) {
    // The first calls attach counters and report the context.
    call();
    call();
    for _ in 0..1_000 {
        assert_eq!(allocations(&call), expected, "{what}");
    }
}

fn flags() -> Vec<FlagBuilder> {
    let rollout = json!({"rollout": {"variations": [{"variation": 0, "weight": 50_000}, {"variation": 1, "weight": 50_000}]}});
    let rules = json!([{"id": "r", "variation": 1, "clauses": [
        {"contextKind": "user", "attribute": "email", "op": "endsWith", "values": ["@example.com"]}]}]);
    vec![
        flag("bool"),
        flag("off").off(),
        flag("whole").serving(7),
        flag("part").serving(2.5),
        flag("text").serving("blue"),
        flag("object").serving(json!({"a": [1, 2, 3]})),
        flag("rollout").with("fallthrough", rollout),
        flag("rules").with("rules", rules),
        flag("prerequisite").with("prerequisites", json!([{"key": "bool", "variation": 0}])),
    ]
}

fn check_all(client: &Client, context: &Context) {
    for key in ["bool", "off", "rollout", "rules", "prerequisite"] {
        check(key, 0, || client.variation(key, context, false));
    }
    check("whole", 0, || client.variation("whole", context, 0));
    check("part", 0, || client.variation("part", context, 0.0));
    check("text", 1, || client.variation("text", context, "green"));
    check("object, in place", 0, || {
        client.evaluate_with("object", context, &Value::Null, false, |detail| detail.value.is_some())
    });
}

#[test]
fn a_variation_allocates_nothing_and_one_string_for_a_string() {
    let service = FakeService::start(flags());
    let user = Context::builder("u").set("email", "u@example.com").build().unwrap();
    let org = Context::builder("o").kind("org").build().unwrap();
    let multi = Context::multi_builder().add(user.clone()).add(org).build().unwrap();
    for events in [true, false] {
        let config = Config::new("sdk-key")
            .base_uri(service.url())
            .send_events(events)
            .diagnostic_opt_out(true)
            .flush_interval(Duration::from_secs(3600));
        let client = Client::start(config).unwrap();
        assert!(client.wait_until_ready(PATIENCE));
        check_all(&client, &user);
        check_all(&client, &multi);
        client.close();
    }
}
