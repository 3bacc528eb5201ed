//! Streams: a put of everything, then each change in order.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::rest::FLAG;
use crate::support::Service;

const PATIENCE: Duration = Duration::from_secs(10);

/// A stream as an SDK reads it.
pub(crate) struct Stream {
    lines: BufReader<TcpStream>,
    head: String,
}

impl Stream {
    pub(crate) async fn open(service: &Service, path: &str, key: &str) -> Self {
        Self::open_with(service, path, key, "").await
    }

    /// With more headers, each with the end of its line.
    pub(crate) async fn open_with(service: &Service, path: &str, key: &str, more: &str) -> Self {
        let mut connection = TcpStream::connect(service.address()).await.unwrap();
        // In HTTP 1.0 a body ends with the connection and has no chunks.
        let request =
            format!("GET {path} HTTP/1.0\r\nauthorization: {key}\r\naccept: text/event-stream\r\n{more}\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut stream = Self { lines: BufReader::new(connection), head: String::new() };
        loop {
            match stream.line().await.as_deref() {
                Some("") => return stream,
                Some(line) => stream.head.push_str(&format!("{line}\n")),
                None => panic!("the stream ended after {}", stream.head),
            }
        }
    }

    pub(crate) async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read =
            tokio::time::timeout(PATIENCE, self.lines.read_line(&mut line)).await.expect("a line in time");
        (read.unwrap() > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// The next event and its data; none at the end.
    pub(crate) async fn next(&mut self) -> Option<(String, Value)> {
        let mut event = String::new();
        loop {
            let line = self.line().await?;
            if let Some(name) = line.strip_prefix("event: ") {
                event = name.to_owned();
            } else if let Some(data) = line.strip_prefix("data: ") {
                assert_eq!(self.line().await.as_deref(), Some(""), "a blank line ends the event");
                return Some((event, serde_json::from_str(data).unwrap()));
            }
        }
    }

    /// The end of the stream, after a hint when to come back, in milliseconds.
    pub(crate) async fn expect_farewell(&mut self, expected: std::ops::RangeInclusive<u64>) {
        let line = self.line().await.expect("a hint when to come back");
        let hint = line.strip_prefix("retry: ").and_then(|hint| hint.parse().ok());
        assert!(hint.is_some_and(|hint| expected.contains(&hint)), "{line}, not in {expected:?}");
        assert_eq!(self.line().await.as_deref(), Some(""));
        assert_eq!(self.line().await, None);
    }

    pub(crate) async fn expect(&mut self, event: &str) -> Value {
        let (known, data) = self.next().await.expect("one more event");
        assert_eq!(known, event, "{data}");
        data
    }
}

#[tokio::test]
async fn a_stream_puts_everything_then_patches_and_deletes_in_order() {
    let service = Service::demo().await;
    let mut stream = Stream::open(&service, "/all", "sdk-demo-production").await;
    for header in [
        "HTTP/1.0 200 OK",
        "content-type: text/event-stream; charset=utf-8",
        "cache-control: no-cache, no-store, must-revalidate",
        "x-accel-buffering: no",
        "x-ld-envid: demo-production",
    ] {
        assert!(
            stream.head.lines().any(|line| line.eq_ignore_ascii_case(header)),
            "{header} in {}",
            stream.head
        );
    }
    let put = stream.expect("put").await;
    assert_eq!(put["path"], "/");
    let polled =
        service.request("GET", "/sdk/latest-all", &[("authorization", "sdk-demo-production")], b"").await;
    assert_eq!(put["data"], polled.json());
    service.instruct("checkout-redesign", json!([{"kind": "turnFlagOn"}])).await;
    let patch = stream.expect("patch").await;
    assert_eq!((&patch["path"], &patch["data"]["on"]), (&json!("/flags/checkout-redesign"), &json!(true)));
    let first = patch["data"]["version"].as_u64().unwrap();
    service.rest("DELETE", FLAG, None).await;
    let delete = stream.expect("delete").await;
    assert_eq!(delete, json!({"path": "/flags/checkout-redesign", "version": first + 1}));
    service
        .rest("POST", "/api/v2/flags/demo", Some(json!({"key": "checkout-redesign", "name": "Anew"})))
        .await;
    assert_eq!(stream.expect("patch").await["data"]["version"], first + 2);
}

#[tokio::test]
async fn a_change_elsewhere_is_not_sent() {
    let service = Service::demo().await;
    let mut staging = Stream::open(&service, "/all", "sdk-demo-staging").await;
    staging.expect("put").await;
    service.instruct("checkout-redesign", json!([{"kind": "turnFlagOn"}])).await;
    service
        .instruct("checkout-redesign", json!([{"kind": "updateDescription", "value": "Nothing SDKs see"}]))
        .await;
    service
        .instruct(
            "checkout-redesign",
            json!([{"kind": "updateVariation",
        "variationId": service.flag("checkout-redesign").await["variations"][0]["_id"], "value": 1}]),
        )
        .await;
    let patch = staging.expect("patch").await;
    assert_eq!(
        patch["data"]["variations"],
        json!([1, false]),
        "only the change of both environments is sent"
    );
}

#[tokio::test]
async fn the_stream_of_flags_alone_has_paths_of_its_own() {
    let service = Service::demo().await;
    let mut stream = Stream::open(&service, "/flags", "sdk-demo-production").await;
    let put = stream.expect("put").await;
    assert_eq!(
        (put.as_object().unwrap().len(), &put["checkout-redesign"]["key"]),
        (8, &json!("checkout-redesign"))
    );
    service.instruct("checkout-redesign", json!([{"kind": "turnFlagOn"}])).await;
    assert_eq!(stream.expect("patch").await["path"], "/checkout-redesign");
    service.rest("DELETE", FLAG, None).await;
    assert_eq!(stream.expect("delete").await["path"], "/checkout-redesign");
}

#[tokio::test]
async fn a_hundred_changes_arrive_complete_and_rising() {
    let service = Service::demo().await;
    let mut stream = Stream::open(&service, "/all", "sdk-demo-production").await;
    stream.expect("put").await;
    let flips = async {
        for flip in 0..100 {
            let kind = if flip % 2 == 0 { "turnFlagOn" } else { "turnFlagOff" };
            assert_eq!(service.instruct("checkout-redesign", json!([{"kind": kind}])).await.status, 200);
        }
    };
    let patches = async {
        let mut last = 0;
        loop {
            let data = stream.expect("patch").await["data"].clone();
            let version = data["version"].as_u64().unwrap();
            assert!(version > last, "{version} after {last}");
            last = version;
            if version == 3 + 14 + 100 {
                return data;
            }
        }
    };
    let start =
        service.flag("exports-enabled").await["environments"]["production"]["version"].as_u64().unwrap();
    assert_eq!(start, 17, "the last change of the seed");
    let (last, ()) = tokio::join!(patches, flips);
    assert_eq!(last["on"], false);
}

#[tokio::test]
async fn an_idle_stream_gets_heartbeats() {
    let service =
        Service::demo_with(|config| config.serving.heartbeat_interval = Some(Duration::from_millis(50)))
            .await;
    let mut stream = Stream::open(&service, "/all", "sdk-demo-production").await;
    stream.expect("put").await;
    assert_eq!(stream.line().await.as_deref(), Some(":"));
    assert_eq!(stream.line().await.as_deref(), Some(""));
    assert_eq!(stream.line().await.as_deref(), Some(":"));
}

#[tokio::test]
async fn a_stop_closes_streams_with_a_hint_when_to_come_back() {
    let service = Service::demo().await;
    let mut stream = Stream::open(&service, "/all", "sdk-demo-production").await;
    stream.expect("put").await;
    let began = tokio::time::Instant::now();
    service.stop().await;
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    stream.expect_farewell(1000..=2000).await;
}

#[tokio::test]
async fn streams_last_as_long_as_they_may_and_are_told_to_come_again() {
    let service =
        Service::demo_with(|config| config.serving.longest_stream = Some(Duration::from_millis(200))).await;
    let mut first = Stream::open(&service, "/all", "sdk-demo-production").await;
    first.expect("put").await;
    first.expect_farewell(1000..=1000).await;
    let mut values = Stream::open(&service, "/mping", "mob-demo-production").await;
    values.expect("ping").await;
    values.expect_farewell(1000..=1000).await;
    let mut second = Stream::open(&service, "/sdk/stream", "sdk-demo-production").await;
    let goodbye = loop {
        let (event, data) = second.next().await.expect("a goodbye before the end");
        if event == "goodbye" {
            break data;
        }
    };
    assert_eq!(goodbye["reason"], "streams do not last for ever; come again");
    assert_eq!(second.next().await, None);
    service.stop().await;
}

#[tokio::test]
async fn a_stream_ends_when_its_key_is_reset_or_its_environment_deleted() {
    let service = Service::demo().await;
    let mut production = Stream::open(&service, "/all", "sdk-demo-production").await;
    let mut staging = Stream::open(&service, "/all", "sdk-demo-staging").await;
    production.expect("put").await;
    staging.expect("put").await;
    service.rest("POST", "/api/v2/projects/demo/environments/production/apiKey", None).await;
    assert_eq!(production.next().await, None);
    service.rest("DELETE", "/api/v2/projects/demo/environments/staging", None).await;
    assert_eq!(staging.next().await, None);
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_cut() {
    let service =
        Service::demo_with(|config| config.serving.stalled_after = Duration::from_millis(200)).await;
    // More than the buffers between here and there hold.
    let large = "x".repeat(1_500_000);
    for key in ["large-1", "large-2", "large-3", "large-4", "large-5", "large-6", "large-7", "large-8"] {
        let variations = json!([{"value": large}, {"value": "small"}]);
        let new = json!({"key": key, "name": "Large", "variations": variations});
        assert_eq!(service.rest("POST", "/api/v2/flags/demo", Some(new)).await.status, 201);
    }
    let mut stalled = TcpStream::connect(service.address()).await.unwrap();
    stalled
        .write_all(b"GET /all HTTP/1.1\r\nhost: h\r\nauthorization: sdk-demo-production\r\n\r\n")
        .await
        .unwrap();
    let live = service.app().live.by_sdk_key("sdk-demo-production").unwrap();
    let until = async |count: usize| {
        let waited = async {
            while live.subscribers() != count {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waited)
            .await
            .unwrap_or_else(|_| panic!("{count} subscribers in time"));
    };
    until(1).await;
    until(0).await;
}

/// Makes a flag whose JSON has so many bytes.
async fn make_large(service: &Service, key: &str, bytes: usize) {
    let variations = json!([{"value": "x".repeat(bytes)}, {"value": "small"}]);
    let new = json!({"key": key, "name": "Large", "variations": variations});
    assert_eq!(service.rest("POST", "/api/v2/flags/demo", Some(new)).await.status, 201);
}

async fn flip(service: &Service, key: &str, times: usize) {
    for time in 0..times {
        let kind = if time % 2 == 0 { "turnFlagOn" } else { "turnFlagOff" };
        assert_eq!(service.instruct(key, json!([{"kind": kind}])).await.status, 200);
    }
}

#[tokio::test]
async fn a_reader_that_falls_behind_is_cut_and_skips_nothing_before() {
    // However long the flips take: it is cut for what it is behind, not for the time it took nothing.
    let service = Service::demo_with(|config| config.serving.stalled_after = Duration::from_secs(600)).await;
    make_large(&service, "large", 100_000).await;
    let mut stream = Stream::open(&service, "/all", "sdk-demo-production").await;
    stream.expect("put").await;
    let first = service.sdk_flag("large").await["version"].as_u64().unwrap();
    // More than it may be behind, and more than the buffers between here and there hold.
    const FLIPS: usize = 220;
    flip(&service, "large", FLIPS).await;
    let mut version = first;
    while let Some((event, data)) = stream.next().await {
        assert_eq!((event.as_str(), &data["data"]["version"]), ("patch", &json!(version + 1)));
        version += 1;
    }
    assert!(version < first + FLIPS as u64, "it was cut before the end");
}

#[tokio::test]
async fn changes_during_a_slow_first_put_come_as_a_new_put() {
    let service = Service::demo().await;
    for key in ["large-1", "large-2", "large-3", "large-4", "large-5", "large-6", "large-7", "large-8"] {
        make_large(&service, key, 1_500_000).await;
    }
    let mut stream = Stream::open(&service, "/all", "sdk-demo-production").await;
    // Nothing of the put is read meanwhile.
    flip(&service, "checkout-redesign", 151).await;
    let put = stream.expect("put").await;
    assert_eq!(put["data"]["flags"]["checkout-redesign"]["on"], false, "as it was when the stream began");
    let again = stream.expect("put").await;
    assert_eq!(again["data"]["flags"]["checkout-redesign"]["on"], true, "as it is now");
    flip(&service, "checkout-redesign", 2).await;
    assert_eq!(stream.expect("patch").await["data"]["on"], false);
}
