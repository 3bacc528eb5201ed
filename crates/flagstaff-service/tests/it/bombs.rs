//! R28: bodies that are small until they are unpacked, and bodies that are not what their headers say.

use std::io::Write as _;
use std::time::Duration;

use flagstaff_service::ingest::{BODY_LIMIT, INFLATED_LIMIT};
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use crate::doors::{Takes, doors};
use crate::rest::assert_refused;
use crate::support::{Service, peak_memory, reset_peak_memory};

const MEGABYTE: usize = 1 << 20;
/// More than are unpacked at once.
const AT_ONCE: usize = 8;
const SDK: (&str, &str) = ("authorization", "sdk-demo-production");

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// So many blanks, as gzip: members one after the other are one file.
fn gzip_bomb(megabytes: usize) -> Vec<u8> {
    gzip(&vec![b' '; MEGABYTE]).repeat(megabytes)
}

/// A little more than may come out, as deflate.
fn deflate_bomb() -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    let piece = vec![b' '; MEGABYTE];
    for _ in 0..=INFLATED_LIMIT / MEGABYTE {
        encoder.write_all(&piece).unwrap();
    }
    encoder.finish().unwrap()
}

#[tokio::test]
async fn bombs_are_refused_at_every_door_that_unpacks_before_they_are_unpacked() {
    let service = Service::demo().await;
    let (gzip_bomb, deflate_bomb) = (gzip_bomb(2_000), deflate_bomb());
    let doors = doors(&service).await;
    let unpacking: Vec<_> =
        doors.iter().filter(|door| matches!(door.takes, Takes::Events | Takes::Diagnostics)).collect();
    assert!(unpacking.len() >= 8, "only {} doors take events", unpacking.len());
    let before = reset_peak_memory();
    let sent = unpacking.iter().map(|door| (*door, "gzip", &gzip_bomb));
    let named = [("x-gzip", &gzip_bomb), ("GZIP", &gzip_bomb), ("deflate", &deflate_bomb)];
    for (door, encoding, bomb) in sent.chain(named.map(|(encoding, bomb)| (unpacking[0], encoding, bomb))) {
        let answer = door.send(&service, bomb, &[("content-encoding", encoding)]).await;
        assert_refused(&answer, 413, "payload_too_large", "larger than the limit");
    }
    let alone = peak_memory();
    let before_all = reset_peak_memory();
    let (service, bomb) = (std::sync::Arc::new(service), std::sync::Arc::new(gzip_bomb));
    let mut at_once = tokio::task::JoinSet::new();
    for _ in 0..AT_ONCE {
        let (service, bomb, door) = (service.clone(), bomb.clone(), unpacking[0].clone());
        at_once
            .spawn(async move { door.send(&service, &bomb, &[("content-encoding", "gzip")]).await.status });
    }
    assert_eq!(at_once.join_all().await, [413; AT_ONCE]);
    println!(
        "R28: bombs of 2,000 MB in {} KB at {} doors: memory from {before} MB to {alone} MB at most one by one, \
         from {before_all} MB to {} MB with {AT_ONCE} at once",
        bomb.len() / 1024,
        unpacking.len(),
        peak_memory(),
    );
    let answer = service.request("GET", "/sdk/latest-flags/wish-lists", &[SDK], b"").await;
    assert_eq!(answer.status, 200);
}

/// A batch may hold as much as the limit says; what is in it is looked at as it comes.
#[tokio::test]
async fn what_unpacks_to_nearly_the_limit_is_taken() {
    let service = Service::demo().await;
    let blanks = gzip(&vec![b' '; MEGABYTE]);
    let event = r#"[{"kind":"index","creationDate":1,"context":{"kind":"user","key":"a"}}"#;
    let body = [gzip(event.as_bytes()), blanks.repeat(INFLATED_LIMIT / MEGABYTE - 1), gzip(b"]")].concat();
    let headers = [SDK, ("content-encoding", "gzip"), ("x-launchdarkly-event-schema", "4")];
    let before = reset_peak_memory();
    let answer = service.request("POST", "/bulk", &headers, &body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    service.counted().await;
    println!(
        "R28: a batch of 63 MB in {} KB: memory from {before} MB to {} MB at most",
        body.len() / 1024,
        peak_memory()
    );
    service.stop().await;
}

#[tokio::test]
async fn encodings_that_a_door_has_not_are_named_and_nothing_is_read() {
    let service = Service::demo().await;
    let plain = br#"[{"kind":"index","creationDate":1,"context":{"kind":"user","key":"a"}}]"#;
    let once = gzip(plain);
    for door in doors(&service).await {
        let encodings: &[&str] = match door.takes {
            // There is no body, nobody looks at it, or a file is read as it is.
            Takes::ContextInPath | Takes::Image | Takes::Nothing | Takes::File => continue,
            Takes::Events | Takes::Diagnostics => {
                &["br", "zstd", "compress", "gzip, gzip", "gzip, br", "gzip;q=1", "\u{e4}"]
            }
            _ => &["gzip", "deflate", "br", "zstd", "gzip, gzip", "\u{e4}"],
        };
        for encoding in encodings {
            let answer = door.send(&service, &once, &[("content-encoding", encoding)]).await;
            assert_eq!(answer.status, 415, "{} with {encoding}: {answer:?}", door.name());
            if door.takes != Takes::Form {
                assert_refused(&answer, 415, "unsupported_encoding", "encoding");
            }
        }
    }
    // Said in two lines.
    let twice_said = [SDK, ("content-encoding", "gzip"), ("content-encoding", "br")];
    let answer = service.request("POST", "/bulk", &twice_said, &once).await;
    assert_refused(&answer, 415, "unsupported_encoding", "gzip, br");
    // Packed twice and said once, cut short, with something behind, or not packed at all.
    let twice = gzip(&once);
    let behind = [&once[..], b"more"].concat();
    for (what, body) in [
        ("packed twice", &twice[..]),
        ("cut in the head", &once[..5]),
        ("cut in the middle", &once[..once.len() / 2]),
        ("without its sum", &once[..once.len() - 8]),
        ("with something behind", &behind),
        ("not packed", plain),
        ("nothing", b""),
    ] {
        for encoding in ["gzip", "deflate"] {
            let answer = service.request("POST", "/bulk", &[SDK, ("content-encoding", encoding)], body).await;
            assert_eq!(answer.status, 400, "{what} as {encoding}: {answer:?}");
            assert_refused(&answer, 400, "invalid_request", "");
        }
    }
    service.counted().await;
    service.stop().await;
}

#[tokio::test]
async fn a_length_that_is_not_true_is_answered_too() {
    let service = Service::demo_with(|config| config.serving.request_timeout = Duration::from_secs(1)).await;
    let head = "POST /bulk HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: sdk-demo-production\r\n";
    for (lengths, body, status) in [
        // More is said than comes: the rest is waited for, as long as every body is.
        ("content-length: 1000\r\n", "[]", 408),
        // More than may come: nobody waits for it.
        ("content-length: 999999999999\r\n", "[]", 413),
        // Less is said than comes: the rest is not this request's.
        ("content-length: 2\r\n", "[]]]]]", 202),
        ("content-length: 1\r\n", "[]", 400),
        // What cannot be a length.
        ("content-length: -1\r\n", "[]", 400),
        ("content-length: 99999999999999999999999\r\n", "[]", 400),
        ("content-length: 2\r\ncontent-length: 3\r\n", "[]", 400),
        ("transfer-encoding: chunked\r\n", "zz\r\n[]\r\n0\r\n\r\n", 400),
        ("transfer-encoding: chunked\r\n", "ffffffffffffffff1\r\n[]\r\n0\r\n\r\n", 400),
        // Chunks tell the length, whatever else does.
        ("transfer-encoding: chunked\r\n", "2\r\n[]\r\n0\r\n\r\n", 202),
    ] {
        let answer = service.exchange(format!("{head}{lengths}\r\n{body}").as_bytes()).await;
        assert_eq!(answer.status, status, "{lengths}{body}: {answer:?}");
    }
    let answer = service.request("POST", "/bulk", &[SDK], b"[]").await;
    assert_eq!(answer.status, 202);
    service.stop().await;
}

/// R26.
#[tokio::test]
async fn a_body_beyond_a_doors_limit_is_refused_before_it_comes() {
    const CONFIGURED: usize = 1000;
    let service = Service::demo_with(|config| config.serving.body_limit = CONFIGURED).await;
    let mut refused = 0;
    for door in doors(&service).await {
        let limit = match door.takes {
            // There is no body, nobody reads it, or it is counted as it comes.
            Takes::ContextInPath | Takes::Image | Takes::Nothing | Takes::File => continue,
            Takes::Rest if door.template.starts_with("/api/v2/import") => 256 * MEGABYTE,
            Takes::Rest | Takes::Form => CONFIGURED,
            Takes::Context | Takes::OpenFeature => MEGABYTE,
            Takes::Events => BODY_LIMIT,
            Takes::Diagnostics => 256 << 10,
        };
        for length in [limit + 1, usize::MAX / 2] {
            let answer = door.announce(&service, length).await;
            assert_refused(&answer, 413, "payload_too_large", &format!("the limit of {limit} bytes"));
            refused += 1;
        }
    }
    println!("R26: {refused} bodies refused by what they said of their length");
    service.stop().await;
}
