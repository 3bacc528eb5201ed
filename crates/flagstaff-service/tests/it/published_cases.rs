//! R29: the published evaluation cases, asked of a service over REST, after an import of just what they hold.
//!
//! A service takes no flag that contradicts itself, and many cases are about those: which ones it refuses is
//! told with the reason. All cases, also those, go through the other doors in the relay's tests.

use std::collections::{BTreeMap, BTreeSet};

use flagstaff_testkit::{Expected, PublishedCase, PublishedData, published_cases};
use serde_json::{Value, json};

use crate::support::Service;

/// The published data's own count.
const EXPECTED_CASES: usize = 728;

/// Puts the flags and segments into a project of their own; gives why any was refused, by key.
async fn import(service: &Service, project: &str, document: &PublishedData) -> BTreeMap<String, String> {
    let path = format!("/api/v2/import/{project}/test?partial=true");
    let answer = service.rest("POST", &path, Some(document.data.clone())).await;
    assert_eq!(answer.status, 200, "{}: {answer:?}", document.name);
    let report = answer.json();
    let items = report["items"].as_array().unwrap().iter();
    let refused = items.filter(|item| item["outcome"] == "refused");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    refused.map(|item| (text(&item["key"]), text(&item["reason"]))).collect()
}

/// Why a service cannot be asked this; none if it can.
fn why_not(
    document: &PublishedData,
    case: &PublishedCase,
    refused: &BTreeMap<String, String>,
) -> Option<String> {
    if case.expected == Expected::WrongType {
        return Some("it is about the type that a program wants, which no service is told".to_owned());
    }
    let needed = needed(document, &case.flag_key);
    let missing = refused.iter().find(|(key, _)| needed.contains(key.as_str()));
    missing.map(|(_, reason)| {
        // Its first word says where in the flag or segment it is.
        let rule = reason.split_once(": ").map_or(reason.as_str(), |(_, rule)| rule);
        let rule: String = rule.chars().filter(|letter| !letter.is_ascii_digit()).collect();
        format!("an import refuses what it needs: {}", rule.replace(&case.flag_key, "…"))
    })
}

/// A flag, and every flag and segment that it names, directly or not.
fn needed<'a>(document: &'a PublishedData, flag_key: &'a str) -> BTreeSet<&'a str> {
    let items: Vec<(&str, String)> = ["flags", "segments"]
        .into_iter()
        .flat_map(|kind| document.data[kind].as_object().unwrap())
        .map(|(key, item)| (key.as_str(), item.to_string()))
        .collect();
    let mut needed = BTreeSet::from([flag_key]);
    loop {
        let named = |key: &str| {
            let quoted = format!("\"{key}\"");
            items.iter().any(|(by, text)| needed.contains(by) && text.contains(&quoted))
        };
        let more: Vec<&str> =
            items.iter().map(|(key, _)| *key).filter(|key| !needed.contains(key) && named(key)).collect();
        if more.is_empty() {
            return needed;
        }
        needed.extend(more);
    }
}

#[tokio::test]
async fn a_service_answers_every_published_case_that_it_can_hold() {
    let Some(published) = published_cases() else { return };
    let service = Service::demo().await;
    let (mut cases, mut asked, mut left_out, mut failures) =
        (0, 0, BTreeMap::<String, usize>::new(), Vec::new());
    for (number, document) in published.iter().enumerate() {
        let project = format!("published-{number}");
        let refused = import(&service, &project, document).await;
        for case in &document.cases {
            cases += 1;
            if let Some(why) = why_not(document, case, &refused) {
                *left_out.entry(why).or_default() += 1;
                continue;
            }
            asked += 1;
            let path = format!("/api/v2/projects/{project}/environments/test/flags/evaluate");
            let answer = service.rest("POST", &path, Some(case.context.clone())).await;
            let outcome = match (answer.status, &case.expected) {
                (400, Expected::NoContext) => Ok(()),
                (200, Expected::NoFlag) => match found(&answer.json(), &case.flag_key) {
                    None => Ok(()),
                    Some(item) => Err(format!("no flag was expected, there is {item}")),
                },
                (200, _) => match found(&answer.json(), &case.flag_key) {
                    Some(item) => check(document, case, &item),
                    None => Err("the flag is not there".to_owned()),
                },
                _ => Err(format!("{answer:?}")),
            };
            if let Err(difference) = outcome {
                failures.push(format!("{} / {}: {difference}", document.name, case.name));
            }
        }
    }
    println!("R29: {cases} published cases: {asked} asked over REST, {} not as published", failures.len());
    for (why, count) in &left_out {
        println!("R29: {count} not asked: {why}");
    }
    assert!(failures.is_empty(), "{} of {asked}:\n{}", failures.len(), failures.join("\n"));
    assert_eq!(cases, EXPECTED_CASES);
    assert_eq!(cases, asked + left_out.values().sum::<usize>());
    assert!(asked > EXPECTED_CASES / 2, "only {asked} could be asked");
    service.stop().await;
}

fn found(answer: &Value, key: &str) -> Option<Value> {
    answer["items"].as_array().unwrap().iter().find(|item| item["key"] == key).cloned()
}

/// A rule that came without an id has one since.
fn check(document: &PublishedData, case: &PublishedCase, item: &Value) -> Result<(), String> {
    let mut reason = item["reason"].clone();
    let id = reason.as_object_mut().and_then(|reason| reason.remove("ruleID"));
    let rule = reason["ruleIndex"].as_u64().and_then(|index| usize::try_from(index).ok());
    let had_one = rule.is_some_and(|rule| {
        let flag = &document.data["flags"][&case.flag_key];
        flag["rules"][rule]["id"].as_str().is_some_and(|id| !id.is_empty())
    });
    if let Some(id) = id.filter(|_| had_one) {
        reason["ruleId"] = id;
    }
    case.check(&item["_value"], &item["variation"], &reason)
}

const EVALUATE: &str = "/api/v2/projects/demo/environments/production/flags/evaluate";

#[tokio::test]
async fn evaluating_over_rest_shows_the_flags_that_are_asked_for() {
    let service = Service::demo().await;
    let ann = json!({"kind": "user", "key": "ann", "plan": "pro", "country": "SE"});
    let ask =
        async |query: &str| service.rest("POST", &format!("{EVALUATE}{query}"), Some(ann.clone())).await;
    let all = ask("").await.json();
    assert_eq!((all["items"].as_array().unwrap().len(), &all["totalCount"]), (8, &json!(8)));
    let banner = found(&all, "shipping-banner").unwrap();
    assert_eq!(
        (&banner["reason"]["kind"], &banner["reason"]["ruleIndex"]),
        (&json!("RULE_MATCH"), &json!(0))
    );
    assert!(banner["reason"]["ruleID"].is_string() && banner["name"].is_string(), "{banner}");
    assert_eq!(banner["_links"]["site"]["href"], "/ui/demo/production/flags/shipping-banner");
    let keys = async |query: &str| -> Vec<String> {
        let answer = ask(query).await.json();
        answer["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["key"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(keys("?filter=query%20equals%20WISH").await, ["wish-lists"]);
    assert_eq!(keys("?filter=tags%20contains%20%5B%22nowhere%22%5D").await, [""; 0]);
    assert_eq!(keys("?filter=tags%20contains%20%5B%5D%2C%20query%20equals%20wish").await, ["wish-lists"]);
    let (sorted, backwards) = (keys("?sort=key").await, keys("?sort=-key").await);
    assert_eq!(sorted, backwards.into_iter().rev().collect::<Vec<_>>());
    assert_eq!(keys("?sort=key&limit=2&offset=1").await, sorted[1..3]);
    assert_eq!(keys("?limit=-1").await.len(), 8);
    for query in ["?filter=query%3Awish", "?filter=tags%20contains%20wish", "?sort=mood", "?limit=-2"] {
        let refused = ask(query).await;
        assert_eq!((refused.status, &refused.json()["code"]), (400, &json!("invalid_request")), "{query}");
    }
    let elsewhere = "/api/v2/projects/demo/environments/moon/flags/evaluate";
    assert_eq!(service.rest("POST", elsewhere, Some(ann.clone())).await.status, 404);
    service.counted().await;
    let seen = service.rest("GET", "/api/v2/users/demo/production", None).await.json();
    assert_eq!(seen["totalCount"], 0, "it leaves no trace");
    service.stop().await;
}
