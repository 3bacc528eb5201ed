//! Big segments: over the admin API, in values that are evaluated here, and to those who copy them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flagstaff_eval::BigSegmentsStatus;
use flagstaff_service::big_segments::sweep;
use flagstaff_service::live_environment::{AskedMembers, LiveEnvironment, Members};
use flagstaff_service::now_ms;
use flagstaff_wire::big_segments::{ContextHash, Patch, reference};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::rest::{TOKEN, assert_refused};
use crate::streams::Stream;
use crate::support::{Answer, Service};

const SEGMENTS: &str = "/api/v2/segments/demo/production";
const VIP: &str = "/api/v2/segments/demo/production/vip";
const SDK: (&str, &str) = ("authorization", "sdk-demo-production");

fn encoded(context: &Value) -> String {
    URL_SAFE_NO_PAD.encode(context.to_string())
}

impl Service {
    /// A demo with a big segment `vip`, and a flag `lounge` that is true for those in it.
    async fn with_big_segment() -> Self {
        let service = Self::demo().await;
        service.make_vip().await;
        let made = service
            .rest("POST", "/api/v2/flags/demo", Some(json!({"key": "lounge", "name": "Lounge"})))
            .await;
        assert_eq!(made.status, 201, "{made:?}");
        let clause = json!({"attribute": "", "op": "segmentMatch", "values": ["vip"], "negate": false});
        let targeting = json!([
            {"op": "replace", "path": "/environments/production/on", "value": true},
            {"op": "add", "path": "/environments/production/rules/-", "value": {"variation": 0, "clauses": [clause]}},
            {"op": "replace", "path": "/environments/production/fallthrough", "value": {"variation": 1}},
            {"op": "replace", "path": "/clientSideAvailability/usingEnvironmentId", "value": true},
        ]);
        let changed = service.rest("PATCH", "/api/v2/flags/demo/lounge", Some(targeting)).await;
        assert_eq!(changed.status, 200, "{changed:?}");
        service
    }

    async fn make_vip(&self) -> i64 {
        let new = json!({"key": "vip", "name": "Very important", "unbounded": true});
        let made = self.rest("POST", SEGMENTS, Some(new)).await;
        assert_eq!(made.status, 201, "{made:?}");
        made.json()["generation"].as_i64().unwrap()
    }

    async fn change_members(&self, changes: Value) {
        let answer = self.rest("POST", &format!("{VIP}/contexts"), Some(changes)).await;
        assert_eq!(answer.status, 204, "{answer:?}");
    }

    /// Sends a file of keys in a form.
    async fn import(&self, fields: &[(&str, &str)], file: &str) -> Answer {
        let mut form = String::new();
        for (name, value) in fields {
            form.push_str(&format!(
                "--X\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            ));
        }
        form.push_str(&format!(
            "--X\r\ncontent-disposition: form-data; name=\"file\"; filename=\"keys.csv\"\r\ncontent-type: text/csv\r\n\r\n{file}\r\n--X--\r\n"
        ));
        let headers = [("authorization", TOKEN), ("content-type", "multipart/form-data; boundary=X")];
        self.request("POST", &format!("{VIP}/imports"), &headers, form.as_bytes()).await
    }

    async fn is_listed(&self, key: &str) -> (bool, bool) {
        let answer = self.rest("GET", &format!("{VIP}/contexts/{key}"), None).await.json();
        assert_eq!(answer["userKey"], key);
        (answer["included"].as_bool().unwrap(), answer["excluded"].as_bool().unwrap())
    }

    async fn lounge(&self, key: &str) -> Value {
        let context = encoded(&json!({"kind": "user", "key": key}));
        let path = format!("/sdk/evalx/demo-production/contexts/{context}?withReasons=true");
        self.request("GET", &path, &[], b"").await.json()["lounge"].take()
    }

    /// Every change after a place, page after page.
    async fn revisions(&self, after: &str) -> Vec<Patch> {
        let (mut all, mut after) = (Vec::new(), after.to_owned());
        loop {
            let path = format!("/sdk/big-segments/revisions?after={after}");
            let answer = self.request("GET", &path, &[SDK], b"").await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let page: Vec<Patch> = serde_json::from_slice(&answer.body).unwrap();
            let Some(last) = page.last() else { return all };
            after = last.version.clone();
            all.extend(page);
        }
    }
}

/// A copy, as a relay keeps one: who is in which segment, and who is kept out.
#[derive(Debug, Default, PartialEq)]
struct Copy {
    cursor: String,
    included: BTreeMap<String, BTreeSet<String>>,
    excluded: BTreeMap<String, BTreeSet<String>>,
}

impl Copy {
    #[track_caller]
    fn take(&mut self, patches: Vec<Patch>) {
        for patch in patches {
            assert!(
                self.cursor.is_empty() || patch.previous_version == self.cursor,
                "{patch:?} after {}",
                self.cursor
            );
            for (lists, changes) in
                [(&mut self.included, &patch.changes.included), (&mut self.excluded, &patch.changes.excluded)]
            {
                let list = lists.entry(patch.segment_id.clone()).or_default();
                list.extend(changes.add.iter().cloned());
                changes.remove.iter().for_each(|gone| {
                    list.remove(gone);
                });
            }
            self.cursor = patch.version;
        }
    }

    fn included(&self, generation: i64) -> BTreeSet<String> {
        self.included.get(&reference("vip", generation)).cloned().unwrap_or_default()
    }
}

fn hashes<'a>(keys: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    keys.into_iter().map(|key| ContextHash::of(key).to_string()).collect()
}

#[tokio::test]
async fn members_are_put_on_lists_and_taken_off() {
    let service = Service::with_big_segment().await;
    service
        .change_members(json!({"included": {"add": ["ann", "bob"]}, "excluded": {"add": ["bob", "cem"]}}))
        .await;
    assert_eq!(service.is_listed("ann").await, (true, false));
    assert_eq!(service.is_listed("bob").await, (true, true));
    assert_eq!(service.is_listed("cem").await, (false, true));
    assert_eq!(service.is_listed("dee").await, (false, false));
    let users = format!("{VIP}/users");
    let changed = service.rest("POST", &users, Some(json!({"included": {"remove": ["bob", "dee"]}}))).await;
    assert_eq!(changed.status, 204);
    assert_eq!(service.is_listed("bob").await, (false, true));
    assert_eq!(service.rest("GET", &format!("{users}/cem"), None).await.json()["excluded"], true);
    for shown in [
        service.rest("GET", VIP, None).await.json()["_unboundedMetadata"].clone(),
        service.rest("GET", &format!("{SEGMENTS}?filter=unbounded%20equals%20true"), None).await.json()["items"]
            [0]["_unboundedMetadata"]
            .clone(),
    ] {
        assert_eq!((&shown["includedCount"], &shown["excludedCount"]), (&json!(1), &json!(2)), "{shown}");
        assert_eq!(shown["envId"], "demo-production");
    }
    service.stop().await;
}

#[tokio::test]
async fn what_cannot_be_done_with_members_is_refused() {
    let service = Service::with_big_segment().await;
    let contexts = format!("{VIP}/contexts");
    for (path, body, status, says) in [
        (
            &*contexts,
            json!({"included": {"add": [""]}}),
            400,
            "included.add[0]: a context's key is not empty",
        ),
        (
            &contexts,
            json!({"included": {"add": ["a"], "remove": ["a"]}}),
            400,
            "`a` is both added and removed",
        ),
        (&contexts, json!({"included": {"add": "a"}}), 400, "not what it should be"),
        (&format!("{SEGMENTS}/beta-testers/contexts"), json!({}), 400, "this segment is not a big one"),
        (&format!("{SEGMENTS}/nobody/contexts"), json!({}), 404, "there is no segment `nobody`"),
    ] {
        let answer = service.rest("POST", path, Some(body)).await;
        let code = if status == 404 { "not_found" } else { "invalid_request" };
        assert_refused(&answer, status, code, says);
    }
    let of_orgs = json!({"key": "orgs", "name": "O", "unbounded": true, "unboundedContextKind": "org"});
    assert_eq!(service.rest("POST", SEGMENTS, Some(of_orgs)).await.status, 201);
    let refused = service.rest("POST", &format!("{SEGMENTS}/orgs/users"), Some(json!({}))).await;
    assert_refused(&refused, 400, "invalid_request", "of contexts of kind `org`");
    service.stop().await;
}

#[tokio::test]
async fn a_file_of_keys_is_merged_or_takes_the_place_of_all() {
    let service = Service::with_big_segment().await;
    service.change_members(json!({"included": {"add": ["old"]}, "excluded": {"add": ["out"]}})).await;
    let keys: Vec<String> = (0..12_345).map(|number| format!("user-{number}")).collect();
    let merged = service.import(&[], &keys.join("\n")).await;
    assert_eq!(merged.status, 204, "{merged:?}");
    let import = service.rest("GET", merged.header("location").unwrap(), None).await.json();
    assert_eq!((&import["status"], &import["mode"]), (&json!("complete"), &json!("merge")));
    assert_eq!(import["files"][0]["filename"], "keys.csv");
    for key in ["old", "user-0", "user-5000", "user-12344"] {
        assert_eq!(service.is_listed(key).await, (true, false), "{key}");
    }
    let replaced = service.import(&[("mode", "replace")], "user-7\r\n\"a,b\"\r\n").await;
    assert_eq!(replaced.status, 204, "{replaced:?}");
    let mut copy = Copy::default();
    copy.take(service.revisions("").await);
    let all: BTreeSet<String> = copy.included.into_values().flatten().collect();
    assert_eq!(all, hashes(["user-7", "a,b"]));
    assert!(copy.excluded.into_values().all(|list| list.is_empty()), "who was kept out is not any more");
    service.stop().await;
}

#[tokio::test]
async fn a_file_that_is_none_is_refused_and_the_next_one_is_taken() {
    let service = Service::with_big_segment().await;
    let refused = service.import(&[], "ann\nbob,cem\n").await;
    assert_refused(&refused, 400, "invalid_request", "line 2 cannot be read: there is one key on each line");
    let refused = service.import(&[("mode", "both")], "ann\n").await;
    assert_refused(&refused, 400, "invalid_request", "mode: `merge` or `replace`, not `both`");
    let refused = service.import(&[("waitOnApprovals", "true")], "ann\n").await;
    assert_refused(&refused, 400, "invalid_request", "there are no approvals");
    assert_eq!(service.import(&[("waitOnApprovals", "false")], "ann\n").await.status, 204);
    assert_eq!(service.is_listed("ann").await, (true, false));
    let missing = service.rest("GET", &format!("{VIP}/imports/none"), None).await;
    assert_refused(&missing, 404, "not_found", "there is no import `none`");
    service.stop().await;
}

#[tokio::test]
async fn a_file_whose_sender_hangs_up_is_taken_to_its_end() {
    let service = Service::with_big_segment().await;
    let others: Vec<String> = (0..20_000).map(|number| format!("user-{number}")).collect();
    assert_eq!(service.import(&[], &others.join("\n")).await.status, 204);
    let form = "--X\r\ncontent-disposition: form-data; name=\"mode\"\r\n\r\nreplace\r\n--X\r\n\
        content-disposition: form-data; name=\"file\"; filename=\"one.csv\"\r\n\r\nann\r\n--X--\r\n";
    let mut sender = tokio::net::TcpStream::connect(service.address()).await.unwrap();
    let head = format!(
        "POST {VIP}/imports HTTP/1.1\r\nhost: x\r\nauthorization: {TOKEN}\r\n\
         content-type: multipart/form-data; boundary=X\r\ncontent-length: {}\r\n\r\n{form}",
        form.len()
    );
    sender.write_all(head.as_bytes()).await.unwrap();
    // It has begun, and there are many to take out.
    let status = async || -> Option<String> {
        let asked = "SELECT status FROM big_segment_import WHERE mode = 'replace' OR status = 'in_progress'";
        let mut reading = service.app().store.read().await.unwrap();
        flagstaff_service::store::connection::sql(asked).fetch_optional_scalar(&mut reading).await.unwrap()
    };
    let became = async |wanted: &[&str]| {
        let until = Instant::now() + Duration::from_secs(60);
        while !status().await.is_some_and(|status| wanted.contains(&&*status)) {
            assert!(Instant::now() < until, "{:?}", status().await);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    became(&["in_progress", "complete"]).await;
    drop(sender);
    became(&["complete"]).await;
    assert_eq!(
        (service.is_listed("ann").await, service.is_listed("user-7").await),
        ((true, false), (false, false))
    );
    service.stop().await;
}

#[tokio::test]
async fn values_follow_members_and_say_so_and_have_another_tag() {
    let service = Service::with_big_segment().await;
    let lounge = service.lounge("ann").await;
    assert_eq!(
        (&lounge["value"], &lounge["reason"]["bigSegmentsStatus"]),
        (&json!(false), &json!("HEALTHY"))
    );
    let path =
        format!("/sdk/evalx/demo-production/contexts/{}", encoded(&json!({"kind": "user", "key": "ann"})));
    let tag = |answer: &Answer| answer.header("etag").unwrap().to_owned();
    let before = tag(&service.request("GET", &path, &[], b"").await);
    assert_eq!(service.request("GET", &path, &[("if-none-match", &before)], b"").await.status, 304);

    service.change_members(json!({"included": {"add": ["ann"]}})).await;
    let lounge = service.lounge("ann").await;
    assert_eq!((&lounge["value"], &lounge["reason"]["kind"]), (&json!(true), &json!("RULE_MATCH")));
    assert_eq!(service.request("GET", &path, &[("if-none-match", &before)], b"").await.status, 200);
    assert_eq!(service.lounge("bob").await["value"], false);
    let asked = json!({"context": {"targetingKey": "ann"}}).to_string();
    let headers = [("x-api-key", SDK.1), ("content-type", "application/json")];
    let answer = service.request("POST", "/ofrep/v1/evaluate/flags/lounge", &headers, asked.as_bytes()).await;
    assert_eq!(answer.json()["value"], true, "{answer:?}");

    // Of several kinds, the one that the segment is about counts.
    let several = json!({"kind": "multi", "user": {"key": "bob"}, "org": {"key": "ann"}});
    let path = format!("/sdk/evalx/demo-production/contexts/{}", encoded(&several));
    assert_eq!(service.request("GET", &path, &[], b"").await.json()["lounge"]["value"], false);
    service.stop().await;
}

#[tokio::test]
async fn a_stream_of_values_follows_the_members_of_its_own_context() {
    let service = Service::with_big_segment().await;
    let of = |key: &str| format!("/eval/demo-production/{}", encoded(&json!({"kind": "user", "key": key})));
    let mut ann = Stream::open(&service, &of("ann"), "").await;
    let mut bob = Stream::open(&service, &of("bob"), "").await;
    assert_eq!(ann.expect("put").await["lounge"]["value"], false);
    assert_eq!(bob.expect("put").await["lounge"]["value"], false);
    service.change_members(json!({"included": {"add": ["ann"]}})).await;
    assert_eq!(ann.expect("put").await["lounge"]["value"], true);
    service.change_members(json!({"included": {"remove": ["ann"], "add": ["bob"]}})).await;
    assert_eq!(ann.expect("put").await["lounge"]["value"], false);
    // The change of somebody else was no business of this stream's.
    assert_eq!(bob.expect("put").await["lounge"]["value"], true);
    service.stop().await;
}

#[tokio::test]
async fn a_database_that_fails_is_said_and_flags_are_evaluated_all_the_same() {
    let service = Service::with_big_segment().await;
    service.change_members(json!({"included": {"add": ["ann"]}})).await;
    let mut write = service.app().store.write().await.unwrap();
    let broken = flagstaff_service::store::connection::sql("ALTER TABLE big_segment_member RENAME TO gone");
    broken.execute(&mut write).await.unwrap();
    write.commit().await.unwrap();
    let lounge = service.lounge("ann").await;
    assert_eq!(
        (&lounge["value"], &lounge["reason"]["bigSegmentsStatus"]),
        (&json!(false), &json!("STORE_ERROR"))
    );
    service.stop().await;
}

/// What a stream said while the database was away does not stay.
#[tokio::test]
async fn a_stream_is_told_who_is_in_once_the_database_says_so_again() {
    let service = Service::with_big_segment().await;
    service.change_members(json!({"included": {"add": ["ann"]}})).await;
    let rename = async |from: &str, to: &str| {
        let mut write = service.app().store.write().await.unwrap();
        let text = format!("ALTER TABLE {from} RENAME TO {to}");
        flagstaff_service::store::connection::composed_sql(text).execute(&mut write).await.unwrap();
        write.commit().await.unwrap();
    };
    rename("big_segment_member", "gone").await;
    let path =
        format!("/eval/demo-production/{}?withReasons=true", encoded(&json!({"kind": "user", "key": "ann"})));
    let mut ann = Stream::open(&service, &path, "").await;
    let lounge = ann.expect("put").await["lounge"].take();
    assert_eq!(
        (&lounge["value"], &lounge["reason"]["bigSegmentsStatus"]),
        (&json!(false), &json!("STORE_ERROR"))
    );
    rename("gone", "big_segment_member").await;
    loop {
        let lounge = ann.expect("put").await["lounge"].take();
        if lounge["reason"]["bigSegmentsStatus"] == "HEALTHY" {
            assert_eq!(lounge["value"], true);
            break;
        }
        // It asked before the database was back.
        assert_eq!(lounge["reason"]["bigSegmentsStatus"], "STORE_ERROR", "{lounge}");
    }
    service.stop().await;
}

/// Of whom it was asked.
#[derive(Debug, Default)]
struct Asked(Mutex<Vec<String>>);

impl Members for Asked {
    fn of<'a>(&'a self, context_key: &'a str) -> AskedMembers<'a> {
        self.0.lock().unwrap().push(context_key.to_owned());
        Box::pin(async { (None, BigSegmentsStatus::Healthy) })
    }
}

/// Anybody may claim to be of ten thousand kinds: the database is asked for those that matter.
#[tokio::test]
async fn members_are_asked_for_only_of_kinds_that_big_segments_are_of() {
    let service = Service::with_big_segment().await;
    service.change_members(json!({"included": {"add": ["ann"]}})).await;
    let live = service.app().live.by_sdk_key(SDK.1).unwrap();
    let (at, data) = live.evaluable().unwrap();
    let mut many: serde_json::Map<_, _> =
        (0..10_000).map(|kind| (format!("k{kind}"), json!({"key": format!("key {kind}")}))).collect();
    many.insert("kind".into(), "multi".into());
    many.insert("user".into(), json!({"key": "ann"}));
    let context: flagstaff_eval::Context = serde_json::from_value(many.into()).unwrap();
    let asked = Arc::new(Asked::default());
    let watched = LiveEnvironment::awaiting((*live.about()).clone(), None).with_members(asked.clone());
    let known = watched.known_members(at, &data, &context).await;
    assert_eq!(*asked.0.lock().unwrap(), ["ann"]);
    assert!(known.to_ask().is_some());
    service.stop().await;
}

#[tokio::test]
async fn a_copy_of_any_age_is_brought_up_to_date() {
    let service = Service::with_big_segment().await;
    assert_eq!(service.revisions("").await, []);
    service.change_members(json!({"included": {"add": ["ann", "bob"]}, "excluded": {"add": ["cem"]}})).await;
    let mut early = Copy::default();
    early.take(service.revisions("").await);
    assert_eq!(early.included.values().flatten().cloned().collect::<BTreeSet<_>>(), hashes(["ann", "bob"]));
    assert_eq!(service.revisions(&early.cursor).await, []);
    service.change_members(json!({"included": {"add": ["dee"], "remove": ["ann"]}})).await;
    service.change_members(json!({"included": {"remove": ["dee"]}, "excluded": {"remove": ["cem"]}})).await;

    let mut late = Copy::default();
    late.take(service.revisions("").await);
    // One that has lost its way, and holds who knows what.
    let mut lost = Copy { cursor: "elsewhere:7".to_owned(), ..Copy::default() };
    lost.included.extend(early.included.clone());
    let patches = service.revisions("elsewhere:7").await;
    assert_eq!(patches[0].previous_version, "elsewhere:7", "it follows whatever was named");
    lost.take(patches);
    let patches = service.revisions(&early.cursor).await;
    early.take(patches);
    assert_eq!(early, late);
    assert_eq!(lost, late);
    assert_eq!(late.included.into_values().flatten().collect::<BTreeSet<_>>(), hashes(["bob"]));
    service.stop().await;
}

#[tokio::test]
async fn whoever_copies_hears_of_each_change_and_misses_none_before() {
    let service = Service::with_big_segment().await;
    service.change_members(json!({"included": {"add": ["ann"]}})).await;
    let mut copy = Copy::default();
    copy.take(service.revisions("").await);
    // Between the last page and the stream.
    service.change_members(json!({"included": {"add": ["bob"]}})).await;
    let mut from_place = Stream::open(&service, &format!("/big-segments?after={}", copy.cursor), SDK.1).await;
    let mut from_now = Stream::open(&service, "/big-segments", SDK.1).await;
    let read = |data: Value| serde_json::from_value::<Vec<Patch>>(data).unwrap();
    copy.take(read(from_place.expect("patch").await));
    let at = copy.cursor.clone();
    service.change_members(json!({"included": {"remove": ["ann"]}})).await;
    copy.take(read(from_place.expect("patch").await));
    let patches = read(from_now.expect("patch").await);
    assert_eq!(patches[0].previous_version, at);
    assert_eq!(patches.last().unwrap().version, copy.cursor);
    let all: BTreeSet<String> = copy.included.into_values().flatten().collect();
    assert_eq!(all, hashes(["bob"]));
    service.stop().await;
}

#[tokio::test]
async fn only_an_sdk_key_of_the_environment_sees_its_members() {
    let service = Service::with_big_segment().await;
    service.change_members(json!({"included": {"add": ["ann"]}})).await;
    for path in ["/sdk/big-segments/revisions", "/big-segments"] {
        for key in ["mob-demo-production", "demo-production", "api-demo", "sdk-unknown"] {
            let answer = service.request("GET", path, &[("authorization", key)], b"").await;
            assert_refused(&answer, 401, "unauthorized", "unknown SDK key");
        }
    }
    let elsewhere = [("authorization", "sdk-demo-staging")];
    let answer = service.request("GET", "/sdk/big-segments/revisions", &elsewhere, b"").await;
    assert_eq!((answer.status, answer.json()), (200, json!([])));
    service.stop().await;
}

#[tokio::test]
async fn a_segment_that_is_made_again_begins_without_members() {
    let service = Service::demo().await;
    let first = service.make_vip().await;
    service.change_members(json!({"included": {"add": ["ann"]}})).await;
    let mut copy = Copy::default();
    copy.take(service.revisions("").await);
    assert_eq!(copy.included(first), hashes(["ann"]));
    assert_eq!(service.rest("DELETE", VIP, None).await.status, 204);
    let second = service.make_vip().await;
    assert!(second > first, "{second} after {first}");
    assert_eq!(service.is_listed("ann").await, (false, false));

    // Whoever copies is told that the first one's members went, and then they are forgotten.
    sweep(service.app(), now_ms()).await.unwrap();
    copy.take(service.revisions(&copy.cursor).await);
    assert_eq!(copy.included(first), BTreeSet::new());
    let in_a_month = now_ms() + 31 * 24 * 3_600_000;
    sweep(service.app(), in_a_month).await.unwrap();
    let mut reading = service.app().store.read().await.unwrap();
    let left: i64 = flagstaff_service::store::connection::sql("SELECT count(*) FROM big_segment_member")
        .fetch_scalar(&mut reading)
        .await
        .unwrap();
    assert_eq!(left, 0);
    drop(reading);
    service.change_members(json!({"included": {"add": ["bob"]}})).await;
    copy.take(service.revisions(&copy.cursor).await);
    assert_eq!(copy.included(second), hashes(["bob"]));
    service.stop().await;
}

#[tokio::test]
async fn members_survive_a_restart_and_go_with_their_environment() {
    let service = Service::with_big_segment().await;
    service.change_members(json!({"included": {"add": ["ann"]}})).await;
    let service = service.restart().await;
    assert_eq!(service.lounge("ann").await["value"], true);
    let gone = service.rest("DELETE", "/api/v2/projects/demo/environments/production", None).await;
    assert_eq!(gone.status, 204, "{gone:?}");
    sweep(service.app(), now_ms()).await.unwrap();
    let mut reading = service.app().store.read().await.unwrap();
    for table in ["big_segment", "big_segment_member", "big_segment_revision", "big_segment_log"] {
        let count =
            flagstaff_service::store::connection::composed_sql(format!("SELECT count(*) FROM {table}"));
        let left: i64 = count.fetch_scalar(&mut reading).await.unwrap();
        assert_eq!(left, 0, "{table}");
    }
    drop(reading);
    service.stop().await;
}
