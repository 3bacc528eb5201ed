//! Starting, waiting, closing, wherever the program runs.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use flagstaff_sdk::{Client, DataSourceState};
use flagstaff_testkit::{Answer, FakeService, PATIENCE, eventually, flag, user};
use serde_json::json;

use crate::support::{config, service_and_client, started};

#[test]
fn starting_does_not_wait_and_waiting_has_an_end() {
    let service = FakeService::start([flag("f")]);
    service.answer_always("/all", Answer::Silence(Duration::from_secs(60)));
    let begun = Instant::now();
    let client = Client::start(config(&service)).unwrap();
    assert!(!client.wait_until_ready(Duration::from_millis(50)));
    assert!(begun.elapsed() < PATIENCE);
    assert_eq!(client.data_source_status().state, DataSourceState::Initializing);
    let begun = Instant::now();
    client.close();
    assert!(begun.elapsed() < Duration::from_secs(4), "closing does not wait for the stream");
}

#[test]
fn close_sends_the_last_events_and_closes_the_stream() {
    let (service, client) = service_and_client([flag("f")]);
    client.variation("f", &user("u"), false);
    client.close();
    assert_eq!(service.counted("f", &json!(true)), 1);
    eventually("the stream was closed", || {
        service.send(b":\n\n");
        (service.streams() == 0).then_some(())
    });
    assert_eq!(client.data_source_status().state, DataSourceState::Off);
    client.close();
    client.flush();
    assert!(!client.flush_and_wait(PATIENCE));
    assert!(!client.wait_until_ready(PATIENCE));
    assert_eq!(service.requests("/bulk").len(), 1);
}

#[test]
fn close_has_an_end_also_if_the_service_does_not_answer() {
    let service = FakeService::start([flag("f")]);
    let client = started(config(&service).close_timeout(Duration::from_millis(100)));
    service.answer_always("/bulk", Answer::Silence(Duration::from_secs(60)));
    client.variation("f", &user("u"), false);
    let begun = Instant::now();
    client.close();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn close_releases_whoever_waits() {
    let service = FakeService::start([flag("f")]);
    service.answer_always("/all", Answer::Silence(Duration::from_secs(60)));
    let client = Client::start(config(&service)).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| client.wait_until_ready(Duration::from_secs(60)));
        std::thread::sleep(Duration::from_millis(20));
        client.close();
        assert!(!waiting.join().unwrap());
    });
}

#[test]
fn the_last_clone_that_is_dropped_ends_the_client() {
    let (service, client) = service_and_client([flag("f")]);
    let clone = client.clone();
    drop(client);
    assert!(clone.variation("f", &user("u"), false));
    drop(clone);
    // The thread sends the last events and ends by itself.
    service.wait_for_requests("/bulk", 1);
    eventually("the stream was closed", || {
        service.send(b":\n\n");
        (service.streams() == 0).then_some(())
    });
}

fn use_inside(runtime: tokio::runtime::Runtime) {
    runtime.block_on(async {
        let service = FakeService::start([flag("f")]);
        let client = Client::start(config(&service)).unwrap();
        assert!(client.ready().await);
        assert!(client.variation("f", &user("u"), false));
        assert!(client.flush_and_wait(PATIENCE));
        let other = started(config(&service));
        client.close();
        drop(other);
    });
}

#[test]
fn a_client_works_inside_both_flavours_of_tokio() {
    use_inside(tokio::runtime::Builder::new_current_thread().build().unwrap());
    use_inside(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());
}

/// An executor of a few lines.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut TaskContext::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park_timeout(PATIENCE),
        }
    }
}

#[test]
fn readiness_can_be_awaited_on_any_executor() {
    let service = FakeService::start([flag("f")]);
    let client = Client::start(config(&service)).unwrap();
    assert!(block_on(client.ready()));
    assert!(client.variation("f", &user("u"), false));
}

#[test]
fn clients_in_one_process_are_independent() {
    let (first_service, first) = service_and_client([flag("f").serving("first")]);
    let (second_service, second) = service_and_client([flag("f").serving("second")]);
    assert_eq!(first.variation("f", &user("u"), ""), "first");
    assert_eq!(second.variation("f", &user("u"), ""), "second");
    first.close();
    assert_eq!(second.variation("f", &user("u"), ""), "second");
    second.close();
    assert_eq!(first_service.counted("f", &json!("first")), 1);
    assert_eq!(second_service.counted("f", &json!("second")), 2);
    let instance = |service: &FakeService| {
        service.requests("/all")[0].header("x-launchdarkly-instance-id").map(str::to_owned)
    };
    assert_ne!(instance(&first_service), instance(&second_service));
}

#[test]
fn never_is_a_time_like_any_other() {
    let service = FakeService::start([flag("f")]);
    let never = Duration::MAX;
    for streaming in [true, false] {
        let client = started(
            config(&service)
                .stream(streaming)
                .poll_interval(never)
                .flush_interval(never)
                .context_keys_flush_interval(never)
                .diagnostic_opt_out(false)
                .diagnostic_interval(never)
                .connect_timeout(never)
                .read_timeout(never)
                .stream_read_timeout(never)
                .initial_reconnect_delay(never)
                .close_timeout(never)
                .reported_start_wait(never),
        );
        assert!(client.variation("f", &user("u"), false));
        assert!(client.flush_and_wait(PATIENCE));
        client.close();
    }
    assert_eq!(service.counted("f", &json!(true)), 2);
    assert_eq!(service.requests("/diagnostic").len(), 2);
}
