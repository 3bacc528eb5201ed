//! R27 and R28 at the doors that a relay has: what strangers send costs little, is answered, and is not passed on.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flagstaff_testkit::{FakeService, Form, Reading, flag, hostile_json};
use flagstaff_wire::paths;
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::Method;
use serde_json::Value;

use crate::support::{Asker, CLIENT_SIDE_ID, MOBILE_KEY, SDK_KEY, config, relay};

/// A little less than what addresses may have.
const ADDRESS: usize = 30_000;

/// What a door takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    Context,
    OpenFeature,
    Events,
    Diagnostics,
}

fn doors() -> Vec<(Takes, Method, String, &'static str)> {
    let report = || Method::from_bytes(b"REPORT").unwrap();
    let own = |path: &str| path.replace("ID", CLIENT_SIDE_ID);
    vec![
        (Takes::Context, report(), own("/sdk/evalx/ID/context"), ""),
        (Takes::Context, report(), "/msdk/evalx/context".to_owned(), MOBILE_KEY),
        (Takes::Context, report(), "/sdk/evalx/context".to_owned(), SDK_KEY),
        (Takes::Context, report(), "/sdk/eval/user".to_owned(), SDK_KEY),
        (Takes::Context, Method::POST, "/sdk/poll/eval".to_owned(), SDK_KEY),
        (Takes::OpenFeature, Method::POST, "/ofrep/v1/evaluate/flags".to_owned(), SDK_KEY),
        (Takes::OpenFeature, Method::POST, "/ofrep/v1/evaluate/flags/f".to_owned(), SDK_KEY),
        (Takes::Events, Method::POST, paths::EVENTS.to_owned(), SDK_KEY),
        (Takes::Events, Method::POST, paths::MOBILE_EVENTS.to_owned(), MOBILE_KEY),
        (Takes::Events, Method::POST, own("/events/bulk/ID"), ""),
        (Takes::Diagnostics, Method::POST, paths::DIAGNOSTIC.to_owned(), SDK_KEY),
        (Takes::Diagnostics, Method::POST, own("/events/diagnostic/ID"), ""),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_answered_at_every_door_and_the_relay_goes_on() {
    let service = FakeService::start([flag("f").serving(true)]);
    let running = relay(config(&service)).await;
    let asker = Asker::new(&running);
    asker.until("/sdk/latest-all", SDK_KEY, |all| all["flags"]["f"].is_object()).await;
    let hostile = hostile_json();
    let (mut answers, mut taken) = (0, 0);
    for (takes, method, path, key) in doors() {
        for sent in &hostile {
            let is_right = match takes {
                Takes::Context => {
                    ["names twice", "a NUL", "a text of nearly a megabyte", "forty thousand names"]
                        .contains(&sent.name)
                }
                Takes::OpenFeature => false,
                Takes::Events => [
                    "an empty list",
                    "a number whose exponent is too large",
                    "the halves of a character, exchanged",
                ]
                .contains(&sent.name),
                Takes::Diagnostics => {
                    sent.form == Form::Object
                        && sent.reading == Reading::Whole
                        && sent.bytes.len() <= 256 << 10
                }
            };
            let request =
                asker.request(method.clone(), &path, key).header("content-type", "application/json");
            let answer = request.body(sent.bytes.clone()).send().await;
            let answer = answer.unwrap_or_else(|error| panic!("{path} with {}: {error}", sent.name));
            let status = answer.status();
            let body = answer.bytes().await.unwrap();
            answers += 1;
            taken += usize::from(status.is_success());
            assert_eq!(status.is_success(), is_right, "{path} with {}: {status} {body:.300?}", sent.name);
            if !is_right {
                assert!(status.is_client_error(), "{path} with {}: {status} {body:.300?}", sent.name);
                let said: Value = serde_json::from_slice(&body).unwrap();
                let code = said.get("code").or(said.get("errorCode"));
                assert!(
                    code.is_some_and(|code| code.as_str().is_some_and(|code| !code.is_empty())),
                    "{said}"
                );
            }
        }
        assert_eq!(asker.status("/sdk/latest-all", SDK_KEY).await, 200, "after {path}");
    }
    for bytes in [&b"["[..], b"{\"key\":\"\xff\"}", &[b'['; ADDRESS]] {
        let encoded = URL_SAFE_NO_PAD.encode(bytes);
        assert_eq!(asker.status(&format!("/sdk/evalx/contexts/{encoded}"), SDK_KEY).await, 400);
    }
    println!("R27: {answers} answers of a relay, {taken} of them yes");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs_are_refused_and_nothing_of_them_goes_upstream() {
    let service = FakeService::start([flag("f").serving(true)]);
    let running = relay(config(&service)).await;
    let asker = Asker::new(&running);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&vec![b' '; 1 << 20]).unwrap();
    let megabyte = encoder.finish().unwrap();
    let bomb = megabyte.repeat(2_000);
    for (takes, method, path, key) in doors() {
        let request = || asker.request(method.clone(), &path, key).header("content-type", "application/json");
        let unpacks = matches!(takes, Takes::Events | Takes::Diagnostics);
        for (encoding, status) in
            [("gzip", if unpacks { 413 } else { 415 }), ("br", 415), ("zstd", 415), ("gzip, gzip", 415)]
        {
            let answer =
                request().header("content-encoding", encoding).body(bomb.clone()).send().await.unwrap();
            assert_eq!(answer.status(), status, "{encoding} at {path}");
        }
        if unpacks {
            let cut = megabyte[..megabyte.len() / 8].to_vec();
            let answer = request().header("content-encoding", "gzip").body(cut).send().await.unwrap();
            assert_eq!(answer.status(), 400, "{path}");
        }
    }
    let good = r#"[{"kind":"index","creationDate":1,"context":{"kind":"user","key":"a"}}]"#;
    let answer = asker.post(paths::EVENTS, SDK_KEY).body(good).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let sent = service.wait_for_requests(paths::EVENTS, 1);
    assert_eq!((sent.len(), sent[0].json()), (1, serde_json::from_str::<Value>(good).unwrap()));
    running.stop().await;
}
