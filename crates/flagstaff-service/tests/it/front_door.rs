//! Who may come in: how many at a time, how fast they have to ask, and whom a proxy in front speaks for.

use std::time::Duration;

use flagstaff_service::peer::TrustedProxies;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::dashboard::{Visitor, text};
use crate::streams::Stream;
use crate::support::{Answer, Service};

const PATIENCE: Duration = Duration::from_secs(20);
const LOGIN: &[u8] = b"email=demo%40example.com&password=demo";
const WRONG: &[u8] = b"email=demo%40example.com&password=wrong";

async fn sign_in(service: &Service, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let form = ("content-type", "application/x-www-form-urlencoded");
    service.request("POST", "/ui/sign-in", &[&[form], headers].concat(), body).await
}

async fn behind_proxy() -> Service {
    Service::demo_with(|config| {
        config.serving.trusted_proxies = TrustedProxies::new(vec!["127.0.0.0/8".parse().unwrap()]);
    })
    .await
}

/// Sends what `sent` says and then nothing; gives what came back when the other side closed.
async fn silent(service: &Service, sent: &[u8]) -> (String, Duration) {
    let mut connection = TcpStream::connect(service.address()).await.unwrap();
    connection.write_all(sent).await.unwrap();
    let began = Instant::now();
    let mut answer = Vec::new();
    timeout(PATIENCE, connection.read_to_end(&mut answer)).await.expect("an end in time").unwrap();
    (String::from_utf8_lossy(&answer).into_owned(), began.elapsed())
}

#[tokio::test]
async fn whoever_does_not_finish_asking_is_let_go_in_time() {
    let limit = Duration::from_millis(300);
    let service = Service::demo_with(|config| config.serving.request_timeout = limit).await;
    let head =
        "POST /bulk HTTP/1.1\r\nhost: a\r\nauthorization: sdk-demo-production\r\ncontent-length: 100\r\n\r\n";
    let form = "POST /ui/sign-in HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n";
    let report = "REPORT /msdk/evalx/context HTTP/1.1\r\nhost: a\r\nauthorization: mob-demo-production\r\n\
                  content-type: application/json\r\ncontent-length: 100\r\n\r\n";
    let rest = "POST /api/v2/flags/demo HTTP/1.1\r\nhost: a\r\nauthorization: api-demo\r\n\
                content-type: application/json\r\ncontent-length: 100\r\n\r\n";
    let kept = "GET /status HTTP/1.1\r\nhost: a\r\n\r\n";
    for (sent, begins_with) in [
        ("", ""),
        ("GET /status HTT", ""),
        ("GET /status HTTP/1.1\r\nhost: a\r\n", ""),
        (kept, "HTTP/1.1 200"),
        (&format!("{head}[{{"), "HTTP/1.1 408"),
        (&format!("{form}email="), "HTTP/1.1 408"),
        (&format!("{report}{{"), "HTTP/1.1 408"),
        (&format!("{rest}{{"), "HTTP/1.1 408"),
    ] {
        let (answer, took) = silent(&service, sent.as_bytes()).await;
        assert!(answer.starts_with(begins_with), "{answer} after {sent}");
        assert_eq!(answer.is_empty(), begins_with.is_empty(), "{answer} after {sent}");
        assert!(took < 10 * limit, "{took:?} after {sent}");
    }
    service.stop().await;
}

#[tokio::test]
async fn who_asks_for_nothing_makes_room_for_others() {
    let service = Service::demo_with(|config| config.serving.limits.connections = Some(20)).await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        let mut connection = TcpStream::connect(service.address()).await.unwrap();
        // A slow loris.
        connection.write_all(b"GET /status HTTP/1.1\r\n").await.unwrap();
        silent.push(connection);
    }
    for _ in 0..10 {
        assert_eq!(service.request("GET", "/status", &[], b"").await.status, 200);
    }
    // The first to come were the first to go.
    let mut byte = [0];
    assert_eq!(timeout(PATIENCE, silent[0].read(&mut byte)).await.expect("an end in time").unwrap_or(0), 0);
    let metrics = service.request("GET", "/metrics", &[], b"").await;
    let text = String::from_utf8(metrics.body).unwrap();
    assert!(text.contains("flagstaff_connections_max 20\n"), "{text}");
    assert!(!text.contains("flagstaff_connections_closed_for_room_total 0\n"), "{text}");
    service.stop().await;
}

#[tokio::test]
async fn where_everybody_is_answered_one_more_is_asked_to_come_again() {
    let service = Service::demo_with(|config| {
        config.serving.limits.connections = Some(4);
        config.serving.limits.connections_per_address = Some(9);
    })
    .await;
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = Stream::open(&service, "/all", "sdk-demo-production").await;
        stream.expect("put").await;
        streams.push(stream);
    }
    for _ in 0..2 {
        let mut stream = Stream::open(&service, "/mping", "mob-demo-production").await;
        stream.expect("ping").await;
        streams.push(stream);
    }
    let refused = service.request("GET", "/status", &[], b"").await;
    assert_eq!((refused.status, &refused.json()["code"]), (503, &json!("overloaded")));
    assert_eq!(refused.header("retry-after"), Some("5"));
    drop(streams.pop());
    // The place is free as soon as the end of the connection was noticed.
    let began = Instant::now();
    while service.request("GET", "/status", &[], b"").await.status != 200 {
        assert!(began.elapsed() < PATIENCE, "no place became free");
        tokio::task::yield_now().await;
    }
    service.stop().await;
}

#[tokio::test]
async fn whoever_watches_sees_when_everything_is_in_use() {
    let service = Service::demo_with(|config| {
        config.serving.limits.connections = Some(1);
        config.serving.metrics_listen = Some(([127, 0, 0, 1], 0).into());
    })
    .await;
    let mut stream = Stream::open(&service, "/all", "sdk-demo-production").await;
    stream.expect("put").await;
    let mut connection = TcpStream::connect(service.metrics_address()).await.unwrap();
    connection.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, connection.read_to_string(&mut answer)).await.expect("an answer in time").unwrap();
    assert!(answer.contains("flagstaff_connections_max 1\n"), "{answer}");
    service.stop().await;
}

#[tokio::test]
async fn an_environment_has_its_share_of_streams_and_browsers_take_none_of_servers() {
    let service = Service::demo_with(|config| {
        config.serving.limits.streams_per_environment = Some(1);
        config.serving.limits.client_streams_per_environment = Some(1);
    })
    .await;
    let mut server = Stream::open(&service, "/all", "sdk-demo-production").await;
    server.expect("put").await;
    for (path, key) in [
        ("/all", "sdk-demo-production"),
        ("/sdk/stream", "sdk-demo-production"),
        ("/flags", "sdk-demo-production"),
    ] {
        let refused = service.request("GET", path, &[("authorization", key)], b"").await;
        assert_eq!((refused.status, &refused.json()["code"]), (429, &json!("rate_limited")), "{path}");
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((20..60).contains(&wait), "{wait}");
    }
    let mut client = Stream::open(&service, "/ping/demo-production", "").await;
    client.expect("ping").await;
    let refused = service.request("GET", "/mping", &[("authorization", "mob-demo-production")], b"").await;
    assert_eq!(refused.status, 429);
    let mut other = Stream::open(&service, "/all", "sdk-demo-staging").await;
    other.expect("put").await;
    assert_eq!(
        service
            .request("GET", "/sdk/latest-all", &[("authorization", "sdk-demo-production")], b"")
            .await
            .status,
        200,
        "polls go on"
    );
    let text = String::from_utf8(service.request("GET", "/metrics", &[], b"").await.body).unwrap();
    for line in [
        "flagstaff_streams_open{kind=\"flags\"} 2",
        "flagstaff_streams_open{kind=\"pings\"} 1",
        "flagstaff_streams_refused_total 4",
    ] {
        assert!(text.lines().any(|own| own == line), "{line} in {text}");
    }
    service.stop().await;
}

#[tokio::test]
async fn an_address_has_its_share_of_connections() {
    let service = Service::demo_with(|config| config.serving.limits.connections_per_address = Some(1)).await;
    let mut stream = Stream::open(&service, "/all", "sdk-demo-production").await;
    stream.expect("put").await;
    let refused = service.request("GET", "/status", &[], b"").await;
    assert_eq!((refused.status, &refused.json()["code"]), (429, &json!("rate_limited")));
    drop(stream);
    service.stop().await;

    let service = Service::demo_with(|config| {
        config.serving.limits.connections_per_address = Some(1);
        config.serving.trusted_proxies = TrustedProxies::new(vec!["127.0.0.1".parse().unwrap()]);
    })
    .await;
    let mut stream =
        Stream::open_with(&service, "/all", "sdk-demo-production", "x-forwarded-for: 192.0.2.1\r\n").await;
    stream.expect("put").await;
    let from = |address| [("authorization", "sdk-demo-production"), ("x-forwarded-for", address)];
    assert_eq!(service.request("GET", "/all", &from("192.0.2.1"), b"").await.status, 429);
    let made_up = "192.0.2.9, 192.0.2.1";
    assert_eq!(service.request("GET", "/all", &from(made_up), b"").await.status, 429);
    assert_eq!(service.request("GET", "/sdk/latest-all", &from("192.0.2.1"), b"").await.status, 200);
    service.stop().await;
}

#[tokio::test]
async fn a_stranger_who_names_other_addresses_tries_no_more_passwords() {
    let service = Service::demo().await;
    for number in 0..5 {
        let forged = format!("192.0.2.{number}");
        let answer = sign_in(
            &service,
            &[("x-forwarded-for", &forged), ("forwarded", &format!("for={forged}"))],
            WRONG,
        )
        .await;
        assert_eq!(answer.status, 401);
    }
    assert_eq!(sign_in(&service, &[("x-forwarded-for", "192.0.2.77")], LOGIN).await.status, 429);
    service.stop().await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_address_has_its_own_tries() {
    let service = behind_proxy().await;
    for number in 0..5 {
        // What stands to the left of what the proxy saw is made up.
        let forged = format!("198.51.100.{number}, 192.0.2.1");
        assert_eq!(sign_in(&service, &[("x-forwarded-for", &forged)], WRONG).await.status, 401);
    }
    assert_eq!(sign_in(&service, &[("x-forwarded-for", "192.0.2.1")], LOGIN).await.status, 429);
    let other = sign_in(&service, &[("x-forwarded-for", "192.0.2.2")], LOGIN).await;
    assert_eq!(other.status, 303);
    service.stop().await;
}

#[tokio::test]
async fn a_cookie_is_for_encrypted_connections_if_the_proxy_in_front_was_asked_by_one() {
    for (service, secure) in [(behind_proxy().await, true), (Service::demo().await, false)] {
        for header in [("x-forwarded-proto", "https"), ("forwarded", "for=192.0.2.1;proto=https")] {
            let answer = sign_in(&service, &[header], LOGIN).await;
            let cookie = answer.header("set-cookie").unwrap();
            assert_eq!(cookie.ends_with("; Secure"), secure, "{cookie}");
        }
        let answer = sign_in(&service, &[("x-forwarded-proto", "http")], LOGIN).await;
        assert!(!answer.header("set-cookie").unwrap().contains("Secure"));
        service.stop().await;
    }
}

#[tokio::test]
async fn programs_to_copy_name_the_service_as_the_proxy_in_front_was_asked() {
    for (service, scheme) in [(behind_proxy().await, "https"), (Service::demo().await, "http")] {
        let visitor = Visitor::demo(&service).await;
        let page =
            text(&visitor.get(&service, "/ui/demo/staging/users", &[("x-forwarded-proto", "https")]).await);
        assert!(page.contains(&format!("{scheme}://localhost")), "{page}");
        service.stop().await;
    }
}

#[tokio::test]
async fn metrics_can_have_an_address_of_their_own() {
    let service =
        Service::demo_with(|config| config.serving.metrics_listen = Some(([127, 0, 0, 1], 0).into())).await;
    assert_eq!(service.request("GET", "/metrics", &[], b"").await.status, 404);
    let address = service.metrics_address();
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, connection.read_to_string(&mut answer)).await.expect("an answer in time").unwrap();
    assert!(answer.starts_with("HTTP/1.0 200") && answer.contains("flagstaff_environments 2\n"), "{answer}");
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(b"GET /api/v2/projects HTTP/1.0\r\nauthorization: api-demo\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, connection.read_to_string(&mut answer)).await.expect("an answer in time").unwrap();
    assert!(answer.starts_with("HTTP/1.0 404"), "{answer}");
    service.stop().await;
}

#[tokio::test]
async fn an_id_that_came_with_a_request_goes_back_with_its_answer() {
    let service = Service::demo().await;
    let answer = service.request("GET", "/status", &[("x-request-id", "abc-123")], b"").await;
    assert_eq!(answer.header("x-request-id"), Some("abc-123"));
    assert_eq!(
        service.request("GET", "/status", &[("x-request-id", "a b")], b"").await.header("x-request-id"),
        None
    );
    service.stop().await;
}
