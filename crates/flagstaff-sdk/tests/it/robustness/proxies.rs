//! R24: peers that vanish without a word. R25: proxies that hold back, cut, strip and compress. The
//! client comes to the right flags all the same.

use std::time::{Duration, Instant};

use flagstaff_sdk::{DataSourceErrorKind, DataSourceState};
use flagstaff_testkit::{Answer, FakeService, PATIENCE, eventually, flag};
use flagstaff_wire::sse::HEARTBEAT;

use super::proxy::{Behaviour, Proxy};
use super::{last_error, value, wait_for_value};
use crate::support::{config, started};

/// A service that serves `old`, and a proxy before it.
fn behind(behaviour: Behaviour) -> (FakeService, Proxy) {
    let service = FakeService::start([flag("f").serving("old")]);
    let proxy = Proxy::before(&service.url(), behaviour);
    (service, proxy)
}

/// R24. A connection that is half open: the peer is gone, and nothing says so.
#[test]
fn a_peer_that_vanishes_is_noticed_by_the_read_time_out() {
    let (service, proxy) = behind(Behaviour::Freezes);
    let patience = Duration::from_millis(300);
    let client =
        started(config(&service).base_uri(proxy.url()).stream_read_timeout(patience).send_events(false));
    proxy.freeze();
    let frozen = Instant::now();
    service.set_flags([flag("f").version(2).serving("new")], None);
    service.patch(flag("f").version(2).serving("new"));
    wait_for_value(&client, "f", "new");
    let noticed = frozen.elapsed();
    // Not before its time, less what had passed of it, and not by any other means.
    assert!(noticed > patience / 3, "{noticed:?}");
    assert_eq!(last_error(&client), Some(DataSourceErrorKind::NetworkError));
    assert!(client.data_source_status().last_error.unwrap().message.contains("nothing came for 300ms"));
}

/// R24. The time-out counts from the last byte: comments alone keep a stream alive.
#[test]
fn a_peer_that_sends_comments_is_not_given_up() {
    let service = FakeService::start([flag("f").serving("old")]);
    let patience = Duration::from_secs(2);
    let client = started(config(&service).stream_read_timeout(patience).send_events(false));
    let until = Instant::now() + 2 * patience;
    while Instant::now() < until {
        service.send(HEARTBEAT);
        std::thread::sleep(patience / 20);
    }
    assert_eq!(service.requests("/all").len(), 1);
    assert_eq!(client.data_source_status().state, DataSourceState::Valid);
}

/// R24. A service that takes the connection and never answers is given up, and tried again.
#[test]
fn a_peer_that_never_answers_is_given_up() {
    let service = FakeService::start([flag("f").serving("there")]);
    service.answer_next("/all", Answer::Silence(2 * PATIENCE));
    service.answer_next("/sdk/latest-all", Answer::Silence(2 * PATIENCE));
    let short = |time| config(&service).connect_timeout(time).read_timeout(time).send_events(false);
    let client = started(short(Duration::from_millis(100)));
    assert_eq!(value(&client, "f"), "there");
    let polling = short(Duration::from_millis(100)).stream(false).allow_any_poll_interval();
    let client = started(polling.poll_interval(Duration::from_millis(5)));
    assert_eq!(value(&client, "f"), "there");
}

/// R25.
#[test]
fn a_proxy_that_holds_back_delays_changes_and_loses_none() {
    let (service, proxy) = behind(Behaviour::Buffers(2048));
    let client =
        flagstaff_sdk::Client::start(config(&service).base_uri(proxy.url()).send_events(false)).unwrap();
    // What fills the proxy's buffer are the comments that any service sends now and then.
    let comments = |expected: &str| {
        eventually(&format!("`{expected}` came through the proxy"), || {
            service.send(&HEARTBEAT.repeat(100));
            (value(&client, "f") == expected).then_some(())
        });
    };
    comments("old");
    service.patch(flag("f").version(2).serving("new"));
    comments("new");
    assert_eq!(proxy.connections(), 1);
}

/// R25, and a stream that is cut again and again while flags change: what is in force at the end is
/// what the service has, and a flag never goes back.
#[test]
fn a_proxy_that_cuts_streams_loses_no_change() {
    let cuts = 7;
    let (service, proxy) = behind(Behaviour::Cuts(cuts, Duration::from_millis(60)));
    let client = started(config(&service).base_uri(proxy.url()).send_events(false));
    let flags = |version: u64| (0..5).map(move |i| flag(&format!("f{i}")).version(version).serving(version));
    let (mut version, mut seen) = (1, 0);
    while proxy.connections() <= cuts {
        version += 1;
        service.set_flags(flags(version), None);
        flags(version).for_each(|flag| service.patch(flag));
        let now = value(&client, "f3").as_u64().unwrap_or(0);
        assert!(now >= seen, "{now} after {seen}");
        seen = now;
        std::thread::sleep(Duration::from_millis(3));
        assert!(version < 100_000, "the stream was not cut {cuts} times");
    }
    for key in ["f0", "f1", "f2", "f3", "f4"] {
        wait_for_value(&client, key, version);
    }
    println!("R25: {version} changes across {cuts} cuts");
}

/// R25.
#[test]
fn a_proxy_that_strips_etags_costs_bodies_and_nothing_else() {
    let (service, proxy) = behind(Behaviour::StripsEtag);
    service.set_flags([flag("f").serving("old")], Some("\"1\""));
    let polling = config(&service).base_uri(proxy.url()).stream(false).allow_any_poll_interval();
    let client = started(polling.poll_interval(Duration::from_millis(10)).send_events(false));
    let requests = service.wait_for_requests("/sdk/latest-all", 3);
    assert!(requests.iter().all(|request| request.header("if-none-match").is_none()));
    service.set_flags([flag("f").version(2).serving("new")], Some("\"2\""));
    wait_for_value(&client, "f", "new");
    assert_eq!(client.data_source_status().state, DataSourceState::Valid);
}

/// R25. Streams are asked for as they are, polls compressed or not; a proxy may compress both.
#[test]
fn a_proxy_that_compresses_passes_changes_on() {
    let (service, proxy) = behind(Behaviour::Compresses);
    let client = started(config(&service).base_uri(proxy.url()).send_events(false));
    assert_eq!(value(&client, "f"), "old");
    for version in 2..50 {
        service.patch(flag("f").version(version).serving(version));
        wait_for_value(&client, "f", version);
    }
    assert_eq!(proxy.connections(), 1);

    let polling = config(&service).base_uri(proxy.url()).stream(false).allow_any_poll_interval();
    let client = started(polling.poll_interval(Duration::from_millis(10)).send_events(false));
    service.set_flags([flag("f").version(99).serving("new")], None);
    wait_for_value(&client, "f", "new");
}

/// R25. A page in place of the answer, as a network that wants a sign-in gives it.
#[test]
fn a_page_in_place_of_an_answer_keeps_the_flags() {
    let page = "<!doctype html>\n<html>\n\n<body>data: Sign in\n\n</body></html>\n".to_owned();
    let page = Answer::Status(200, vec![("content-type", "text/html".to_owned())], page);
    let service = FakeService::start([flag("f").serving("old")]);
    let client = started(config(&service).send_events(false));
    service.answer_next("/all", page.clone());
    service.answer_next("/all", page);
    service.set_flags([flag("f").version(2).serving("new")], None);
    service.cut_connections();
    service.wait_for_requests("/all", 3);
    assert_ne!(value(&client, "f"), "default");
    wait_for_value(&client, "f", "new");
}
