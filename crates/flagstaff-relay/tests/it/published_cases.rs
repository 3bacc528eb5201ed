//! R29: every published evaluation case, through every door that evaluates for somebody.
//!
//! A relay holds what its upstream sends as it was sent, so it can hold every case: also flags that contradict
//! themselves, which nobody can put into a service. Its doors are those of the service.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flagstaff_testkit::{Answer, Expected, FakeService, PublishedCase, published_cases};
use flagstaff_wire::paths;
use flagstaff_wire::stream::write_put;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::support::{Asker, CLIENT_SIDE_ID, MOBILE_KEY, SDK_KEY, config, relay};

/// The published data's own count.
const EXPECTED_CASES: usize = 728;

/// What a door says of one flag.
enum Said {
    Served { value: Value, variation: Value, reason: Value },
    NoFlag,
    NoContext,
}

/// How flags are asked for.
#[derive(Clone, Copy, Debug)]
enum Door {
    /// Base64 in a path, with this key.
    Path(&'static str, &'static str),
    /// As the body of a `REPORT`.
    Report(&'static str, &'static str),
    /// OpenFeature's protocol, a flag alone.
    One,
    /// The same, all flags at once.
    All,
}

const DOORS: [Door; 10] = [
    Door::Path("/sdk/evalx/id-0000-1111/contexts/", ""),
    Door::Path("/sdk/evalx/id-0000-1111/users/", ""),
    Door::Path("/msdk/evalx/contexts/", MOBILE_KEY),
    Door::Path("/sdk/evalx/contexts/", SDK_KEY),
    Door::Report("/sdk/evalx/id-0000-1111/context", ""),
    Door::Report("/msdk/evalx/context", MOBILE_KEY),
    Door::Report("/sdk/evalx/context", SDK_KEY),
    Door::Report("/sdk/evalx/user", SDK_KEY),
    Door::One,
    Door::All,
];

#[tokio::test(flavor = "multi_thread")]
async fn every_door_answers_every_published_case_alike() {
    assert_eq!(CLIENT_SIDE_ID, "id-0000-1111", "the paths above hold it");
    let Some(published) = published_cases() else { return };
    let (mut cases, mut answers, mut untold, mut failures) = (0, 0, 0, Vec::new());
    for document in &published {
        let service = FakeService::start([]);
        let mut put = Vec::new();
        write_put(&mut put, &for_everybody(&document.data)).unwrap();
        service.answer_always(paths::STREAM, Answer::Stream(put));
        let running = relay(config(&service)).await;
        let asker = Asker::new(&running);
        let count = document.data["flags"].as_object().unwrap().len();
        asker
            .until("/sdk/latest-all", SDK_KEY, |all| {
                all["flags"].as_object().is_some_and(|flags| flags.len() == count)
            })
            .await;
        for case in &document.cases {
            cases += 1;
            if case.expected == Expected::WrongType {
                untold += 1;
                continue;
            }
            for door in DOORS {
                answers += 1;
                if let Err(difference) = check(case, ask(&asker, door, case).await) {
                    failures.push(format!("{} / {} at {door:?}: {difference}", document.name, case.name));
                }
            }
        }
        running.stop().await;
    }
    println!(
        "R29: {cases} published cases through a relay's {} doors: {answers} answers, {} not as published; {untold} \
         cases are about the type that a program wants, which no door is told",
        DOORS.len(),
        failures.len(),
    );
    assert!(failures.is_empty(), "{} of {answers}:\n{}", failures.len(), failures.join("\n"));
    assert_eq!(cases, EXPECTED_CASES);
}

/// The cases say nothing of who may see a flag: browsers and mobile programs may, or they could not ask.
fn for_everybody(data: &Value) -> Value {
    let mut data = data.clone();
    for flag in data["flags"].as_object_mut().unwrap().values_mut() {
        flag["clientSideAvailability"] = json!({"usingEnvironmentId": true, "usingMobileKey": true});
    }
    data
}

fn check(case: &PublishedCase, said: Said) -> Result<(), String> {
    match (said, &case.expected) {
        (Said::NoFlag, Expected::NoFlag) | (Said::NoContext, Expected::NoContext) => Ok(()),
        (Said::NoFlag, expected) => Err(format!("expected {expected:?}, found no flag")),
        (Said::NoContext, expected) => Err(format!("expected {expected:?}, found the context refused")),
        (Said::Served { value, variation, reason }, _) => case.check(&value, &variation, &reason),
    }
}

async fn ask(asker: &Asker, door: Door, case: &PublishedCase) -> Said {
    match door {
        Door::Path(path, key) => {
            let path = format!("{path}{}?withReasons=true", URL_SAFE_NO_PAD.encode(case.context.to_string()));
            of_all(asker.request(Method::GET, &path, key), case).await
        }
        Door::Report(path, key) => {
            let report = Method::from_bytes(b"REPORT").unwrap();
            let request = asker.request(report, &format!("{path}?withReasons=true"), key);
            of_all(request.header("content-type", "application/json").body(case.context.to_string()), case)
                .await
        }
        Door::One => {
            let path = format!("/ofrep/v1/evaluate/flags/{}", case.flag_key);
            let (status, answer) = open_feature(asker, &path, case).await;
            if status == 400 && answer["errorCode"] != "GENERAL" {
                Said::NoContext
            } else {
                from_open_feature(&answer)
            }
        }
        Door::All => {
            let (status, answer) = open_feature(asker, "/ofrep/v1/evaluate/flags", case).await;
            if status == 400 {
                return Said::NoContext;
            }
            let flags = answer["flags"].as_array().expect("a list of flags");
            flags.iter().find(|flag| flag["key"] == case.flag_key).map_or(Said::NoFlag, from_open_feature)
        }
    }
}

/// What is said of one flag among all.
async fn of_all(request: RequestBuilder, case: &PublishedCase) -> Said {
    let answer = request.send().await.unwrap();
    if answer.status() == 400 {
        return Said::NoContext;
    }
    assert_eq!(answer.status(), 200);
    let all: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    match all.get(&case.flag_key) {
        None => Said::NoFlag,
        Some(flag) => Said::Served {
            value: flag["value"].clone(),
            variation: flag["variation"].clone(),
            reason: flag["reason"].clone(),
        },
    }
}

/// There are no users in this protocol, only what they are today.
async fn open_feature(asker: &Asker, path: &str, case: &PublishedCase) -> (u16, Value) {
    let context = case.context_of_today().unwrap_or_else(|| case.context.clone());
    let request = asker.request(Method::POST, path, SDK_KEY).header("content-type", "application/json");
    let answer = request.body(json!({"context": context}).to_string()).send().await.unwrap();
    (answer.status().as_u16(), serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
}

/// The reason is told in the metadata, in other names.
fn from_open_feature(flag: &Value) -> Said {
    if flag["errorCode"] == "FLAG_NOT_FOUND" {
        return Said::NoFlag;
    }
    if flag["errorCode"] == "GENERAL" {
        let reason = json!({"kind": "ERROR", "errorKind": "MALFORMED_FLAG"});
        return Said::Served { value: Value::Null, variation: Value::Null, reason };
    }
    let told = &flag["metadata"];
    let reason = json!({
        "kind": told["reasonKind"], "ruleIndex": told["ruleIndex"], "ruleId": told["ruleId"],
        "prerequisiteKey": told["prerequisiteKey"], "inExperiment": told["inExperiment"],
        "bigSegmentsStatus": told["bigSegmentsStatus"],
    });
    Said::Served { value: flag["value"].clone(), variation: told["variationIndex"].clone(), reason }
}
