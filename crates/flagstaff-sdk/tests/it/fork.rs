//! A child process: it keeps its flags, sends its own events once, and closes quickly.
//!
//! The child runs on one thread, as a forked process does, and ends without running the test
//! harness's own end. Each of these tests has a process of its own.

#![allow(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::time::{Duration, Instant};

use flagstaff_sdk::{Client, Value};
use flagstaff_testkit::{Answer, FakeService, PATIENCE, eventually, flag, user};
use serde_json::json;

use crate::support::{config, flush, service_and_client, started};

/// Whether this is a process for the calling test alone, as each test that forks must have: another
/// test's thread may hold a lock of the standard library or of the system's while the process forks,
/// which the child would wait for for ever. If it is not, the test has been run in one now, and passed.
pub(crate) fn runs_alone() -> bool {
    const ALONE: &str = "FLAGSTAFF_TEST_RUNS_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let test = std::thread::current().name().expect("a test's thread has its name").to_owned();
    let output = Command::new(std::env::current_exe().expect("the tests are a program"))
        .args([&test, "--exact", "--nocapture", "--test-threads", "1"])
        .env(ALONE, "1")
        .output()
        .expect("the tests can be started");
    let said =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    false
}

/// Runs `child` in a child process and gives its exit status: 0 if it returned true.
pub(crate) fn in_child(child: impl FnOnce() -> bool) -> i32 {
    // SAFETY: the child uses only what a forked process may: the client under test, which is made for
    // it, and the allocator, which the C library keeps usable. It leaves by `_exit`.
    let process = unsafe { libc::fork() };
    assert!(process >= 0, "the process can fork");
    if process == 0 {
        let passed = catch_unwind(AssertUnwindSafe(child)).unwrap_or(false);
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(if passed { 0 } else { 1 }) };
    }
    let started = Instant::now();
    let mut status = 0;
    loop {
        // SAFETY: waits for the child that was just made, without blocking.
        if unsafe { libc::waitpid(process, &mut status, libc::WNOHANG) } == process {
            return status;
        }
        if started.elapsed() > PATIENCE {
            // SAFETY: as above; a child that hangs is not left behind.
            unsafe {
                libc::kill(process, libc::SIGKILL);
                libc::waitpid(process, &mut status, 0);
            }
            panic!("the child hung");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits in the child, without the harness's panics.
pub(crate) fn becomes(mut what: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while started.elapsed() < PATIENCE / 2 {
        if what() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    false
}

fn value(client: &Client) -> Value {
    client.variation("f", &user("u"), Value::Null)
}

#[test]
fn a_child_goes_on_with_its_flags_and_reports_for_itself_once() {
    if !runs_alone() {
        return;
    }
    let service = FakeService::start([flag("f").serving("old")]);
    let client = started(config(&service).initial_reconnect_delay(Duration::from_millis(500)));
    for _ in 0..3 {
        // The parent's to report.
        value(&client);
    }
    // The child's stream brings another value than the parent's did.
    service.set_flags([flag("f").version(2).serving("new")], None);
    // But not before it has seen which flags it has kept.
    service.answer_next("/all", Answer::status(503));
    let status = in_child(|| {
        let kept = value(&client) == "old";
        let changed = becomes(|| client.data_set().flag("f").is_some_and(|flag| flag.version() == 2));
        let new = value(&client) == "new";
        let closing = Instant::now();
        client.close();
        kept && changed && new && closing.elapsed() < Duration::from_secs(2)
    });
    assert_eq!(status, 0);
    assert_eq!(service.counted("f", &json!("old")), 1, "the child reported its own, once");
    assert_eq!(service.counted("f", &json!("new")), 1);
    assert_eq!(service.events_of_kind("index").len(), 1, "the context is new to the child");

    // The parent has not noticed anything.
    assert_eq!(value(&client), "old");
    service.patch(flag("f").version(3).serving("newest"));
    eventually("the parent's stream still worked", || (value(&client) == "newest").then_some(()));
    flush(&client);
    // Three before the fork, one after, and what was asked while waiting may be more.
    assert!(service.counted("f", &json!("old")) > 4);
    let instances: Vec<_> = service
        .requests("/all")
        .iter()
        .map(|request| request.header("x-launchdarkly-instance-id").unwrap().to_owned())
        .collect();
    assert_eq!(instances.len(), 3, "the parent once, the child twice");
    assert_ne!(instances[0], instances[1]);
    assert_eq!(instances[1], instances[2]);
}

#[test]
fn a_child_that_does_not_use_the_client_connects_to_nothing() {
    if !runs_alone() {
        return;
    }
    let (service, client) = service_and_client([flag("f")]);
    value(&client);
    let status = in_child(|| {
        let closing = Instant::now();
        client.close();
        closing.elapsed() < Duration::from_secs(2)
    });
    assert_eq!(status, 0);
    assert_eq!(in_child(move || true), 0);
    assert_eq!(service.requests("/all").len(), 1);
    assert!(service.requests("/bulk").is_empty());
}

#[test]
fn a_child_can_drop_the_client_and_make_one_of_its_own() {
    if !runs_alone() {
        return;
    }
    let (service, client) = service_and_client([flag("f").serving("a")]);
    let mut client = Some(client);
    let status = in_child(|| {
        drop(client.take());
        let own = started(config(&service));
        let right = value(&own) == "a";
        own.close();
        right
    });
    assert_eq!(status, 0);
    assert_eq!(service.counted("f", &json!("a")), 1);
    let client = client.expect("the parent still has it");
    assert_eq!(value(&client), "a");
}

#[test]
fn the_service_sees_the_parent_close_although_a_child_lives() {
    if !runs_alone() {
        return;
    }
    let (service, client) = service_and_client([flag("f")]);
    // SAFETY: as in `in_child`; this child stays until it is killed.
    let process = unsafe { libc::fork() };
    assert!(process >= 0);
    if process == 0 {
        client.variation("f", &user("u"), false);
        std::thread::sleep(PATIENCE * 3);
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(0) };
    }
    service.wait_for_requests("/all", 2);
    client.close();
    eventually("only the child's stream was left", || {
        service.send(b":\n\n");
        (service.streams() == 1).then_some(())
    });
    // SAFETY: ends the child that was made here, and no other.
    unsafe {
        libc::kill(process, libc::SIGKILL);
        libc::waitpid(process, std::ptr::null_mut(), 0);
    }
}

#[test]
fn forking_while_threads_evaluate_and_flags_change_leaves_no_lock_behind() {
    if !runs_alone() {
        return;
    }
    let (service, client) = service_and_client([flag("f").tracked()]);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (client, stop) = (&client, &stop);
            scope.spawn(move || {
                let mut count = 0;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    count += 1;
                    client.variation("f", &user(&format!("u-{thread}-{count}")), false);
                    client.variation("nope", &user("u"), false);
                    std::thread::sleep(Duration::from_micros(50));
                }
            });
        }
        for version in 2..12 {
            service.patch(flag("f").tracked().version(version));
            client.flush();
            let status = in_child(|| {
                let right = client.variation("f", &user("child"), false);
                client.track("t", &user("child"), Value::Null, None);
                client.close();
                right
            });
            assert_eq!(status, 0, "in child {version}");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(service.events_of_kind("custom").len(), 10);
}
