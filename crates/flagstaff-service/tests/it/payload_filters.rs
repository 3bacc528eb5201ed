//! Parts of a project's flags, for SDKs that ask for them.

use serde_json::{Value, json};

use crate::rest::assert_refused;
use crate::streams::Stream;
use crate::support::{Answer, Service};

const FILTERS: &str = "/api/v2/projects/demo/payload-filters";
const SERVER: (&str, &str) = ("authorization", "sdk-demo-production");
const MOBILE: (&str, &str) = ("authorization", "mob-demo-production");
/// `{"key":"ann"}`
const ANN: &str = "eyJrZXkiOiJhbm4ifQ";

async fn get(service: &Service, path: &str, header: (&str, &str)) -> Answer {
    service.request("GET", path, &[header], b"").await
}

fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

async fn flag(service: &Service, key: &str, tags: Value) {
    let flag = json!({"key": key, "name": key, "tags": tags,
        "clientSideAvailability": {"usingEnvironmentId": true, "usingMobileKey": true}});
    assert_eq!(service.rest("POST", "/api/v2/flags/demo", Some(flag)).await.status, 201);
}

async fn tag(service: &Service, key: &str, tags: Value) {
    let patch = json!([{"op": "replace", "path": "/tags", "value": tags}]);
    let answer = service.rest("PATCH", &format!("/api/v2/flags/demo/{key}"), Some(patch)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

async fn need(service: &Service, key: &str, prerequisites: &[&str]) {
    let mut needed = Vec::new();
    for key in prerequisites {
        let flag = service.flag(key).await;
        needed.push(json!({"key": key, "variationId": flag["variations"][0]["_id"]}));
    }
    let answer =
        service.instruct(key, json!([{"kind": "replacePrerequisites", "prerequisites": needed}])).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

async fn filter_by_tag(service: &Service, key: &str, tag: &str) {
    let filter = json!({"key": key, "conditions": [{"attribute": "tags", "values": [tag]}]});
    let made = service.rest("POST", FILTERS, Some(filter)).await;
    assert_eq!(made.status, 201, "{made:?}");
}

/// `shop` needs `base`, which uses the segment `beta-testers`; `other` stands alone.
async fn shop() -> Service {
    let service = Service::demo().await;
    flag(&service, "shop", json!(["shop"])).await;
    flag(&service, "base", json!([])).await;
    flag(&service, "other", json!(["else"])).await;
    need(&service, "shop", &["base"]).await;
    let base = service.flag("base").await;
    let rule = json!([{"kind": "addRule", "variationId": base["variations"][0]["_id"],
        "clauses": [{"attribute": "", "op": "segmentMatch", "values": ["beta-testers"]}]}]);
    assert_eq!(service.instruct("base", rule).await.status, 200);
    filter_by_tag(&service, "shop", "shop").await;
    service
}

#[tokio::test]
async fn a_filter_serves_its_flags_with_what_they_need_at_every_door() {
    let service = shop().await;
    let all = get(&service, "/sdk/latest-all?filter=shop", SERVER).await;
    assert_eq!(keys(&all.json()["flags"]), ["base", "shop"]);
    assert_eq!(keys(&all.json()["segments"]), ["beta-testers"]);
    let whole = get(&service, "/sdk/latest-all", SERVER).await;
    assert_eq!(all.json()["flags"]["shop"], whole.json()["flags"]["shop"]);
    assert_ne!(all.header("etag"), whole.header("etag"));
    assert_eq!(get(&service, "/sdk/latest-all?filter=", SERVER).await.body, whole.body, "no filter at all");
    let tag = all.header("etag").unwrap();
    let again =
        service.request("GET", "/sdk/latest-all?filter=shop", &[SERVER, ("if-none-match", tag)], b"").await;
    assert_eq!(again.status, 304);

    assert_eq!(keys(&get(&service, "/sdk/latest-flags?filter=shop", SERVER).await.json()), ["base", "shop"]);
    assert_eq!(keys(&get(&service, "/sdk/flags?filter=shop", SERVER).await.json()), ["base", "shop"]);
    assert_eq!(get(&service, "/sdk/flags/other?filter=shop", SERVER).await.status, 404);
    let transferred = get(&service, "/sdk/poll?filter=shop", SERVER).await.json();
    let events = transferred["events"].as_array().unwrap();
    assert_eq!(events.iter().filter(|event| event["event"] == "put-object").count(), 3);
    for (path, header) in [
        (format!("/sdk/evalx/contexts/{ANN}?filter=shop"), SERVER),
        (format!("/msdk/evalx/contexts/{ANN}?filter=shop"), MOBILE),
        (format!("/sdk/evalx/demo-production/contexts/{ANN}?filter=shop"), ("accept", "*/*")),
    ] {
        let values = get(&service, &path, header).await.json();
        assert_eq!(keys(&values), ["base", "shop"], "{path}");
        let path = path.replace("?filter=shop", "");
        assert_eq!(values["shop"], get(&service, &path, header).await.json()["shop"], "{path}");
    }
    let context = json!({"context": {"targetingKey": "ann"}}).to_string();
    let bulk = "/ofrep/v1/evaluate/flags?filter=shop";
    let answer = service.request("POST", bulk, &[SERVER], context.as_bytes()).await.json();
    assert_eq!(answer["flags"].as_array().unwrap().len(), 2);
    for path in ["/all?filter=shop", "/flags?filter=shop", "/sdk/stream?filter=shop"] {
        let mut stream = Stream::open(&service, path, SERVER.1).await;
        let (_, put) = stream.next().await.unwrap();
        let text = put.to_string();
        assert!(!text.contains("wish-lists") && (path.contains("/sdk/") || text.contains("shop")), "{path}");
    }
    service.stop().await;
}

#[tokio::test]
async fn an_unknown_filter_is_404_at_every_door() {
    let service = shop().await;
    let browser = ("accept", "*/*");
    for (path, header) in [
        ("/all?filter=none".to_owned(), SERVER),
        ("/flags?filter=none".to_owned(), SERVER),
        ("/sdk/latest-all?filter=none".to_owned(), SERVER),
        ("/sdk/flags?filter=none".to_owned(), SERVER),
        ("/sdk/poll?filter=none".to_owned(), SERVER),
        ("/sdk/stream?filter=none".to_owned(), SERVER),
        (format!("/sdk/evalx/contexts/{ANN}?filter=none"), SERVER),
        (format!("/msdk/evalx/contexts/{ANN}?filter=none"), MOBILE),
        ("/mping?filter=none".to_owned(), MOBILE),
        (format!("/sdk/evalx/demo-production/contexts/{ANN}?filter=none"), browser),
        (format!("/eval/demo-production/{ANN}?filter=none"), browser),
        ("/ping/demo-production?filter=none".to_owned(), browser),
    ] {
        let answer = get(&service, &path, header).await;
        assert_refused(&answer, 404, "not_found", "there is no payload filter `none`");
    }
    let wrong = get(&service, "/all?filter=none", ("authorization", "sdk-wrong")).await;
    assert_eq!(wrong.status, 401, "who nobody knows learns nothing of filters");
    service.stop().await;
}

#[tokio::test]
async fn what_comes_into_a_filter_is_patched_in_and_what_leaves_it_deleted() {
    let service = shop().await;
    let mut stream = Stream::open(&service, "/all?filter=shop", SERVER.1).await;
    stream.expect("put").await;
    // Nobody is told of what is outside.
    service.instruct("wish-lists", json!([{"kind": "turnFlagOff"}])).await;
    service.instruct("shop", json!([{"kind": "turnFlagOn"}])).await;
    let on = stream.expect("patch").await;
    assert_eq!((&on["path"], &on["data"]["on"]), (&json!("/flags/shop"), &json!(true)));

    tag(&service, "other", json!(["shop"])).await;
    let came = stream.expect("patch").await;
    assert_eq!(came["path"], "/flags/other");
    tag(&service, "other", json!([])).await;
    let left = stream.expect("delete").await;
    assert_eq!(left["path"], "/flags/other");
    assert!(left["version"].as_u64() > came["data"]["version"].as_u64());

    // A prerequisite comes before the flag that needs it, and under a version that it has not had before.
    need(&service, "shop", &["other"]).await;
    let came = stream.expect("patch").await;
    assert_eq!(came["path"], "/flags/other");
    assert!(came["data"]["version"].as_u64() > left["version"].as_u64());
    assert_eq!(stream.expect("patch").await["path"], "/flags/shop");
    let mut gone = [stream.expect("delete").await, stream.expect("delete").await]
        .map(|delete| delete["path"].as_str().unwrap().to_owned());
    gone.sort();
    assert_eq!(gone, ["/flags/base", "/segments/beta-testers"]);

    // Whoever comes now gets what was told.
    let polled = get(&service, "/sdk/latest-all?filter=shop", SERVER).await.json();
    assert_eq!(keys(&polled["flags"]), ["other", "shop"]);
    assert_eq!(polled["flags"]["other"], came["data"]);
    service.rest("DELETE", "/api/v2/flags/demo/shop", None).await;
    let mut gone = [stream.expect("delete").await, stream.expect("delete").await]
        .map(|delete| delete["path"].as_str().unwrap().to_owned());
    gone.sort();
    assert_eq!(gone, ["/flags/other", "/flags/shop"]);
    service.stop().await;
}

#[tokio::test]
async fn values_for_a_context_come_and_go_with_the_filter() {
    let service = shop().await;
    let path = format!("/eval/demo-production/{ANN}?filter=shop");
    let mut stream = Stream::open(&service, &path, "").await;
    assert_eq!(keys(&stream.expect("put").await), ["base", "shop"]);
    tag(&service, "other", json!(["shop"])).await;
    assert_eq!(stream.expect("patch").await["key"], "other");
    service.instruct("wish-lists", json!([{"kind": "turnFlagOff"}])).await;
    tag(&service, "other", json!([])).await;
    assert_eq!(stream.expect("delete").await["key"], "other");
    service.stop().await;
}

#[tokio::test]
async fn second_generation_resumes_within_a_filter() {
    let service = shop().await;
    let poll = async |basis: &str| {
        let path = format!("/sdk/poll?filter=shop&basis={}", basis.replace('~', "%7E"));
        get(&service, &path, SERVER).await.json()["events"].as_array().unwrap().clone()
    };
    let state = |events: &[Value]| events.last().unwrap()["data"]["state"].as_str().unwrap().to_owned();
    let first = state(&poll("").await);
    tag(&service, "other", json!(["shop"])).await;
    let changed = poll(&first).await;
    assert_eq!(changed[0]["data"]["payloads"][0]["intentCode"], "xfer-changes");
    assert_eq!((changed.len(), &changed[1]["data"]["key"]), (3, &json!("other")));
    let second = state(&changed);
    let mut stream =
        Stream::open(&service, &format!("/sdk/stream?filter=shop&basis={second}"), SERVER.1).await;
    let intent = stream.expect("server-intent").await;
    assert_eq!(intent["payloads"][0]["intentCode"], "none");
    tag(&service, "other", json!([])).await;
    assert_eq!(stream.expect("delete-object").await["key"], "other");
    let third = stream.expect("payload-transferred").await["state"].as_str().unwrap().to_owned();
    assert_eq!(poll(&third).await[0]["data"]["payloads"][0]["intentCode"], "none");
    // A selector of the whole says nothing about a part of it.
    let whole = get(&service, "/sdk/poll", SERVER).await.json()["events"].as_array().unwrap().clone();
    assert_eq!(poll(&state(&whole)).await[0]["data"]["payloads"][0]["intentCode"], "xfer-full");
    service.stop().await;
}

#[tokio::test]
async fn streams_of_a_filter_end_when_it_becomes_another() {
    let service = shop().await;
    filter_by_tag(&service, "else", "else").await;
    let mut of_shop = Stream::open(&service, "/all?filter=shop", SERVER.1).await;
    let mut of_else = Stream::open(&service, "/all?filter=else", SERVER.1).await;
    let mut values = Stream::open(&service, &format!("/meval/{ANN}?filter=shop"), MOBILE.1).await;
    let mut whole = Stream::open(&service, "/all", SERVER.1).await;
    for stream in [&mut of_shop, &mut of_else, &mut values, &mut whole] {
        stream.expect("put").await;
    }
    let before = get(&service, "/sdk/latest-all?filter=shop", SERVER).await;
    let by_key = json!([{"op": "replace", "path": "/conditions",
        "value": [{"attribute": "key", "op": "startsWith", "values": ["oth", "wish-"]}]}]);
    let changed = service.rest("PATCH", &format!("{FILTERS}/shop"), Some(by_key)).await;
    assert_eq!((changed.status, &changed.json()["_version"]), (200, &json!(2)));
    assert_eq!(of_shop.next().await, None);
    assert_eq!(values.next().await, None);
    let after = get(&service, "/sdk/latest-all?filter=shop", SERVER).await;
    assert_eq!(keys(&after.json()["flags"]), ["other", "wish-lists"]);
    assert_ne!(before.header("etag"), after.header("etag"));

    assert_eq!(service.rest("DELETE", &format!("{FILTERS}/else"), None).await.status, 204);
    assert_eq!(of_else.next().await, None);
    assert_eq!(get(&service, "/sdk/latest-all?filter=else", SERVER).await.status, 404);
    service.instruct("other", json!([{"kind": "turnFlagOn"}])).await;
    assert_eq!(whole.expect("patch").await["path"], "/flags/other", "nobody else was sent away");
    service.stop().await;
}

#[tokio::test]
async fn streams_of_a_filter_end_when_their_key_is_reset() {
    let service = shop().await;
    let mut stream = Stream::open(&service, "/all?filter=shop", SERVER.1).await;
    stream.expect("put").await;
    service.rest("POST", "/api/v2/projects/demo/environments/production/apiKey", None).await;
    assert_eq!(stream.next().await, None);
    service.stop().await;
}

#[tokio::test]
async fn filters_outlive_a_restart() {
    let service = shop().await;
    let tag = get(&service, "/sdk/latest-all?filter=shop", SERVER).await.header("etag").unwrap().to_owned();
    let service = service.restart().await;
    let again =
        service.request("GET", "/sdk/latest-all?filter=shop", &[SERVER, ("if-none-match", &tag)], b"").await;
    assert_eq!(again.status, 304, "nothing changed");
    service.stop().await;
}

#[tokio::test]
async fn filters_are_made_changed_and_deleted_by_rest() {
    let service = Service::demo().await;
    filter_by_tag(&service, "shop", "shop").await;
    let one = service.rest("GET", &format!("{FILTERS}/shop"), None).await.json();
    assert_eq!(
        one["conditions"],
        json!([{"attribute": "tags", "op": "in", "values": ["shop"]}]),
        "what is left out is said"
    );
    assert_eq!((&one["name"], &one["_version"]), (&json!("shop"), &json!(1)));
    let list = service.rest("GET", FILTERS, None).await.json();
    assert_eq!((&list["totalCount"], &list["items"][0]), (&json!(1), &one));
    let taken = json!({"key": "shop", "conditions": [{"attribute": "key", "values": ["a"]}]});
    assert_refused(&service.rest("POST", FILTERS, Some(taken)).await, 409, "conflict", "exists already");
    for (body, said) in [
        (json!({"key": "a b", "conditions": []}), "is not a key"),
        (json!({"key": "a", "conditions": []}), "a condition is needed"),
        (json!({"key": "a", "conditions": [{"attribute": "tags", "values": []}]}), "a value is needed"),
        (json!({"key": "a", "conditions": [{"attribute": "colour", "values": ["x"]}]}), "unknown variant"),
        (json!({"key": "a"}), "conditions"),
    ] {
        assert_refused(&service.rest("POST", FILTERS, Some(body)).await, 400, "invalid_request", said);
    }
    let id = json!([{"op": "replace", "path": "/key", "value": "other"}]);
    let refused = service.rest("PATCH", &format!("{FILTERS}/shop"), Some(id)).await;
    assert_refused(&refused, 400, "invalid_request", "`/key` cannot be changed");
    let unknown = service.rest("DELETE", &format!("{FILTERS}/none"), None).await;
    assert_refused(&unknown, 404, "not_found", "there is no payload filter `none` in project `demo`");
    assert_eq!(service.rest("DELETE", &format!("{FILTERS}/shop"), None).await.status, 204);
    assert_eq!(service.rest("GET", FILTERS, None).await.json()["items"], json!([]));
    service.stop().await;
}
