//! What events add up to: all schemas, once each, across restarts.

use std::time::Duration;

use flagstaff_service::analytics::{Accepted, Analytics, BucketSize, EvaluationCounts, Page};
use flagstaff_service::now_ms;
use flagstaff_service::store::EnvironmentId;
use flagstaff_service::store::analytics::batch::NewBatch;
use flagstaff_service::store::analytics::instance::{self, SdkInstance};
use flagstaff_service::store::analytics::{EventStore, context, count};
use flagstaff_service::store::connection::{composed_sql, sql};
use serde_json::{Value, json};

use crate::support::Folder;

const HERE: EnvironmentId = EnvironmentId(1);
const ELSEWHERE: EnvironmentId = EnvironmentId(2);
const MINUTE_MS: i64 = 60_000;

/// Ten times what is expected.
const PATIENCE: Duration = Duration::from_secs(20);

/// Everything of one analytics database; the folder goes with it.
struct Bench {
    folder: Folder,
    analytics: Analytics,
}

impl Bench {
    async fn new() -> Self {
        let folder = Folder::new();
        let analytics = Analytics::of(&folder.config()).await.unwrap();
        Self { folder, analytics }
    }

    async fn restart(&mut self) {
        self.analytics.close().await;
        self.analytics = Analytics::of(&self.folder.config()).await.unwrap();
    }

    async fn store(&self, events: Value) -> Accepted {
        self.analytics.store_batch(batch(HERE, events)).await.unwrap()
    }

    async fn counted(&self) {
        assert!(self.analytics.wait_until_counted(PATIENCE).await, "batches were not counted in time");
    }

    /// Stores and waits until it is counted.
    async fn take(&self, events: Value) {
        self.store(events).await;
        self.counted().await;
    }

    async fn last_hour(&self, flag: &str) -> EvaluationCounts {
        self.analytics.evaluations_last_hour(HERE).await.unwrap().remove(flag).unwrap_or_default()
    }

    async fn found(&self, query: &str) -> Vec<String> {
        let page = Page { offset: 0, limit: 100 };
        let found = self.analytics.search_users(HERE, query, None, page).await.unwrap();
        found.users.into_iter().map(|user| user.key).collect()
    }

    async fn attributes(&self, key: &str) -> Value {
        self.analytics.user(HERE, key).await.unwrap().map_or(Value::Null, |user| user.attributes.into())
    }
}

fn batch(environment: EnvironmentId, events: Value) -> NewBatch {
    NewBatch {
        environment_id: environment.0,
        received_ms: now_ms(),
        unsummarised: false,
        payload: None,
        body: events.to_string().into(),
    }
}

fn summary(flag: &str, counters: Value) -> Value {
    json!([{"kind": "summary", "startDate": now_ms(), "endDate": now_ms(),
            "features": {flag: {"default": false, "counters": counters}}}])
}

fn index(context: Value) -> Value {
    json!([{"kind": "index", "creationDate": now_ms(), "context": context}])
}

#[tokio::test]
async fn summaries_add_up_per_flag_and_variation() {
    let bench = Bench::new().await;
    bench.store(summary("a", json!([{"variation": 0, "version": 1, "value": true, "count": 3}]))).await;
    bench
        .store(summary(
            "a",
            json!([{"variation": 0, "version": 2, "count": 4}, {"variation": 1, "version": 2, "count": 5}]),
        ))
        .await;
    bench.store(summary("a", json!([{"version": 2, "count": 6}, {"unknown": true, "count": 7}]))).await;
    bench.store(summary("b", json!([{"unknown": true, "count": 1}]))).await;
    bench
        .analytics
        .store_batch(batch(ELSEWHERE, summary("a", json!([{"variation": 0, "count": 100}]))))
        .await
        .unwrap();
    bench.counted().await;

    let counts = bench.last_hour("a").await;
    assert_eq!((counts.total, counts.of(0), counts.of(1)), (25, 7, 5));
    assert_eq!(counts.by_variation.get(&None), Some(&13));
    assert_eq!(bench.last_hour("b").await.total, 1);
    assert_eq!(bench.last_hour("c").await, EvaluationCounts::default());
    let elsewhere = bench.analytics.evaluations_last_hour(ELSEWHERE).await.unwrap();
    assert_eq!(elsewhere["a"].total, 100);
    let all = bench.analytics.evaluations_last_hour(HERE).await.unwrap();
    let mut keys = vec!["nul\0", "", "b", "c"];
    keys.extend(["x"; 40]);
    let some = bench.analytics.evaluations_last_hour_of(HERE, &keys).await.unwrap();
    assert_eq!(some.into_iter().collect::<Vec<_>>(), [("b".to_owned(), all["b"].clone())]);
    let both = bench.analytics.evaluations_last_hour_of(HERE, &["a", "b"]).await.unwrap();
    assert_eq!(both, all);
}

#[tokio::test]
async fn feature_events_are_counted_only_where_nobody_summarised_them() {
    let bench = Bench::new().await;
    let feature = json!([
        {"kind": "feature", "creationDate": now_ms(), "key": "f", "userKey": "u", "variation": 1, "version": 4, "value": "b", "default": null},
        {"kind": "feature", "creationDate": now_ms(), "key": "f", "user": {"key": "u"}, "value": "x", "default": "x"},
        {"kind": "debug", "creationDate": now_ms(), "key": "f", "user": {"key": "u"}, "variation": 1, "version": 4},
    ]);
    bench.take(feature.clone()).await;
    assert_eq!(bench.last_hour("f").await.total, 0);

    bench.analytics.store_batch(NewBatch { unsummarised: true, ..batch(HERE, feature) }).await.unwrap();
    bench.counted().await;
    let counts = bench.last_hour("f").await;
    assert_eq!((counts.total, counts.of(1), counts.by_variation.get(&None)), (2, 1, Some(&1)));
}

#[tokio::test]
async fn counts_fall_into_the_minute_in_which_they_began() {
    let bench = Bench::new().await;
    let now = now_ms();
    let hour_start = (now - 5 * 60 * MINUTE_MS).div_euclid(60 * MINUTE_MS) * 60 * MINUTE_MS;
    for (minutes, count) in [(0, 1), (1, 2), (59, 4), (60, 8)] {
        let start = hour_start + minutes * MINUTE_MS;
        bench
            .store(json!([{"kind": "summary", "startDate": start, "endDate": start + 30_000,
            "features": {"f": {"counters": [{"variation": 0, "version": 1, "count": count}]}}}]))
            .await;
    }
    bench.counted().await;
    let until = hour_start + 120 * MINUTE_MS;
    let totals = async |size| {
        let buckets = bench.analytics.evaluations_of(HERE, "f", (hour_start, until), size).await.unwrap();
        buckets
            .iter()
            .map(|bucket| ((bucket.start_ms - hour_start) / MINUTE_MS, bucket.counts.total))
            .collect::<Vec<_>>()
    };
    assert_eq!(totals(BucketSize::Hour).await, [(0, 7), (60, 8)]);
    let minutes = totals(BucketSize::Minute).await;
    assert_eq!(minutes.len(), 120);
    let counted: Vec<_> = minutes.into_iter().filter(|(_, total)| *total > 0).collect();
    assert_eq!(counted, [(0, 1), (1, 2), (59, 4), (60, 8)]);
    assert_eq!(bench.last_hour("f").await.total, 0, "it was hours ago");
}

#[tokio::test]
async fn last_evaluation_of_a_flag_is_known_to_the_minute() {
    let bench = Bench::new().await;
    let now = now_ms();
    for minutes in [200, 30, 90] {
        let start = now - minutes * MINUTE_MS;
        bench.store(json!([{"kind": "summary", "startDate": start, "features": {"f": {"counters": [{"count": 1}]}}}])).await;
    }
    bench.counted().await;
    let last = bench.analytics.last_evaluated(HERE, &["f", "never"]).await.unwrap();
    assert_eq!(last.into_iter().collect::<Vec<_>>(), [("f".to_owned(), (now / MINUTE_MS - 30) * MINUTE_MS)]);
}

#[tokio::test]
async fn times_that_cannot_be_are_replaced_by_ours() {
    let bench = Bench::new().await;
    for start in [json!(null), json!(0), json!("soon"), json!(now_ms() + 3_600_000), json!(9.0e18)] {
        bench.store(json!([{"kind": "summary", "startDate": start, "features": {"f": {"counters": [{"count": 1}]}}}])).await;
    }
    bench.counted().await;
    assert_eq!(bench.last_hour("f").await.total, 5);
}

#[tokio::test]
async fn users_are_remembered_from_every_kind_of_event_that_describes_them() {
    let bench = Bench::new().await;
    let now = now_ms();
    bench
        .take(json!([
            {"kind": "index", "creationDate": now, "user": {"key": "indexed", "name": "A", "custom": {"plan": "pro"}}},
            {"kind": "identify", "creationDate": now, "key": "identified", "user": {"key": "identified", "email": "i@x.org"}},
            {"kind": "feature", "creationDate": now, "key": "f", "user": {"key": "inline"}},
            {"kind": "debug", "creationDate": now, "key": "f", "context": {"kind": "user", "key": "debugged"}},
            {"kind": "custom", "creationDate": now, "key": "k", "context": {"kind": "multi", "user": {"key": "of-multi"}, "org": {"key": "acme"}}},
            {"kind": "migration_op", "creationDate": now, "operation": "read", "context": {"kind": "user", "key": "migrated"}},
            {"kind": "summary", "startDate": now, "endDate": now, "context": {"kind": "user", "key": "summed"}, "features": {}},
            {"kind": "feature", "creationDate": now, "key": "f", "userKey": "key-only"},
            {"kind": "alias", "creationDate": now, "key": "aliased", "contextKind": "user", "previousKey": "anon", "previousContextKind": "anonymousUser"},
            {"kind": "of the future", "creationDate": now, "context": {"kind": "user", "key": "future"}},
        ]))
        .await;
    let mut found = bench.found("").await;
    found.sort();
    assert_eq!(
        found,
        ["debugged", "future", "identified", "indexed", "inline", "migrated", "of-multi", "summed"]
    );
    assert_eq!(bench.attributes("indexed").await, json!({"name": "A", "plan": "pro"}));
    assert_eq!(bench.attributes("acme").await, Value::Null, "another kind is no user");
    assert_eq!(bench.analytics.known_users_count(HERE).await.unwrap(), 8);
    assert_eq!(bench.analytics.known_users_count(ELSEWHERE).await.unwrap(), 0);
}

#[tokio::test]
async fn anonymous_users_are_counted_and_never_found() {
    let bench = Bench::new().await;
    for key in ["secret-1", "secret-2", "secret-1"] {
        bench.store(index(json!({"kind": "user", "key": key, "name": "Nobody", "anonymous": true}))).await;
    }
    bench.store(json!([{"kind": "index", "user": {"key": "secret-3", "anonymous": true}}])).await;
    bench.counted().await;
    assert_eq!(bench.found("").await, [""; 0]);
    assert_eq!(bench.found("secret").await, [""; 0]);
    assert_eq!(bench.attributes("secret-1").await, Value::Null);
    assert_eq!(bench.analytics.anonymous_count(HERE).await.unwrap(), 3);
    assert_eq!(bench.analytics.known_users_count(HERE).await.unwrap(), 0);
}

#[tokio::test]
async fn of_what_one_batch_says_of_a_context_again_and_again_the_last_counts() {
    let bench = Bench::new().await;
    let now = now_ms();
    let seen = |after: i64, plan: &str, anonymous: bool| {
        json!({"kind": "index", "creationDate": now - 20_000 + after,
               "context": {"kind": "user", "key": "u", "plan": plan, "anonymous": anonymous}})
    };
    bench
        .take(json!([seen(0, "a", false), seen(1, "b", false), seen(2, "a", false), seen(3, "a", false)]))
        .await;
    assert_eq!(bench.attributes("u").await, json!({"plan": "a"}));
    bench.take(json!([seen(4, "b", false), seen(5, "b", true), seen(6, "b", false)])).await;
    assert_eq!(bench.attributes("u").await, json!({"plan": "b"}));
    bench.take(json!([seen(7, "c", true), seen(8, "c", false), seen(9, "c", true)])).await;
    assert_eq!(bench.found("u").await, [""; 0]);
}

#[tokio::test]
async fn user_who_becomes_anonymous_is_forgotten() {
    let bench = Bench::new().await;
    bench.take(index(json!({"kind": "user", "key": "u", "name": "Ann"}))).await;
    assert_eq!(bench.found("ann").await, ["u"]);
    bench.take(index(json!({"kind": "user", "key": "u", "anonymous": true}))).await;
    assert_eq!(bench.found("ann").await, [""; 0]);
    bench.take(index(json!({"kind": "user", "key": "u", "name": "Ann"}))).await;
    assert_eq!(bench.found("ann").await, ["u"]);
}

#[tokio::test]
async fn private_attributes_are_named_and_not_kept() {
    let bench = Bench::new().await;
    bench
        .take(index(json!({"kind": "user", "key": "u", "name": "Ann", "email": "leaked@x.org",
            "_meta": {"redactedAttributes": ["phone"], "privateAttributes": ["email"]}})))
        .await;
    let user = bench.analytics.user(HERE, "u").await.unwrap().unwrap();
    assert_eq!(Value::from(user.attributes.clone()), json!({"name": "Ann"}));
    assert_eq!(user.redacted, ["phone", "email"]);
    assert_eq!(bench.found("leaked").await, [""; 0]);
}

#[tokio::test]
async fn last_description_of_a_user_counts() {
    let bench = Bench::new().await;
    bench.take(index(json!({"kind": "user", "key": "u", "name": "Ann Lee", "email": "old@x.org"}))).await;
    bench.take(index(json!({"kind": "user", "key": "u", "name": "Ann Kim", "plan": 1}))).await;
    assert_eq!(bench.attributes("u").await, json!({"name": "Ann Kim", "plan": 1}));
    assert_eq!(bench.found("kim").await, ["u"]);
    assert_eq!((bench.found("lee").await.len(), bench.found("old@x.org").await.len()), (0, 0));
    bench.take(index(json!({"kind": "user", "key": "u", "name": "Ann Lee", "email": "old@x.org"}))).await;
    assert_eq!(bench.found("lee").await, ["u"], "and back again");
    assert_eq!(bench.analytics.known_users_count(HERE).await.unwrap(), 1);
}

#[tokio::test]
async fn first_and_last_seen_span_all_events() {
    let bench = Bench::new().await;
    let now = now_ms();
    for minutes in [30, 50, 10] {
        bench
            .take(json!([{"kind": "index", "creationDate": now - minutes * MINUTE_MS, "user": {"key": "u"}}]))
            .await;
    }
    bench.take(json!([{"kind": "custom", "creationDate": now - 5 * MINUTE_MS, "key": "k", "contextKeys": {"user": "u", "org": "o"}}])).await;
    let user = bench.analytics.user(HERE, "u").await.unwrap().unwrap();
    assert_eq!((user.first_seen_ms, user.last_seen_ms), (now - 50 * MINUTE_MS, now - 5 * MINUTE_MS));
}

#[tokio::test]
async fn custom_events_and_goals_are_counted_by_key() {
    let bench = Bench::new().await;
    let event = |kind: &str, key: &str| json!({"kind": kind, "creationDate": now_ms(), "key": key, "contextKeys": {"user": "u"}});
    bench
        .take(json!([
            event("custom", "bought"),
            event("custom", "bought"),
            event("click", "bought"),
            event("pageview", "p"),
            event("alias", "bought")
        ]))
        .await;
    let count =
        async |key| bench.analytics.custom_events_since(HERE, key, now_ms() - MINUTE_MS).await.unwrap();
    assert_eq!((count("bought").await, count("p").await, count("nothing").await), (3, 1, 0));
}

#[tokio::test]
async fn payload_sent_again_is_stored_once() {
    let bench = Bench::new().await;
    let payload =
        |id: u8| NewBatch { payload: Some([id; 16]), ..batch(HERE, summary("f", json!([{"count": 1}]))) };
    let all =
        futures_util::future::join_all((0..40).map(|n| bench.analytics.store_batch(payload(n % 4)))).await;
    let stored = all.iter().filter(|accepted| matches!(accepted, Ok(Accepted::Stored))).count();
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(stored, 4);
    bench.counted().await;
    assert_eq!(bench.last_hour("f").await.total, 4);
    assert_eq!(bench.analytics.store_batch(payload(0)).await.unwrap(), Accepted::Known);
}

#[tokio::test]
async fn payload_ids_are_known_for_a_day_and_across_a_restart() {
    let mut bench = Bench::new().await;
    let payload = || NewBatch { payload: Some([1; 16]), ..batch(HERE, summary("f", json!([{"count": 1}]))) };
    assert_eq!(bench.analytics.store_batch(payload()).await.unwrap(), Accepted::Stored);
    bench.restart().await;
    assert_eq!(bench.analytics.store_batch(payload()).await.unwrap(), Accepted::Known);
    const HOUR_MS: i64 = 60 * MINUTE_MS;
    bench.analytics.sweep(now_ms() + 23 * HOUR_MS).await.unwrap();
    assert_eq!(bench.analytics.store_batch(payload()).await.unwrap(), Accepted::Known);
    bench.analytics.sweep(now_ms() + 25 * HOUR_MS).await.unwrap();
    assert_eq!(bench.analytics.store_batch(payload()).await.unwrap(), Accepted::Stored);
}

#[tokio::test]
async fn what_is_stored_when_the_service_stops_is_counted_after_the_next_start() {
    let mut bench = Bench::new().await;
    for round in 1..=5 {
        bench.store(summary("f", json!([{"variation": 0, "version": 1, "count": 1}]))).await;
        bench.store(index(json!({"kind": "user", "key": format!("u{round}")}))).await;
        bench.restart().await;
        assert!(bench.analytics.backlog() <= 2, "only what is left counts as waiting");
        bench.counted().await;
        assert_eq!(bench.last_hour("f").await.total, round);
        assert_eq!(bench.found(&format!("u{round}")).await.len(), 1);
        assert_eq!(bench.analytics.backlog(), 0);
    }
}

#[tokio::test]
async fn many_batches_at_once_are_all_counted_once() {
    let bench = Bench::new().await;
    let now = now_ms();
    let senders = (0..16).map(|sender| {
        let analytics = &bench.analytics;
        async move {
            for round in 0..25 {
                let events: Vec<Value> = (0..20)
                    .map(|n| json!({"kind": "index", "creationDate": now, "user": {"key": format!("u{sender}-{round}-{n}"), "name": "Many"}}))
                    .chain([json!({"kind": "summary", "startDate": now, "endDate": now, "features": {"f": {"counters": [{"variation": sender % 3, "version": 1, "count": 2}]}}})])
                    .collect();
                analytics.store_batch(batch(HERE, events.into())).await.unwrap();
            }
        }
    });
    futures_util::future::join_all(senders).await;
    bench.counted().await;
    assert_eq!(bench.last_hour("f").await.total, 16 * 25 * 2);
    assert_eq!(bench.analytics.known_users_count(HERE).await.unwrap(), 16 * 25 * 20);
    assert_eq!(bench.analytics.backlog(), 0);
}

#[tokio::test]
async fn unreadable_events_leave_the_rest_of_their_batch() {
    let bench = Bench::new().await;
    let body = r#"[{"kind":"index","kind":"index"},
        {"kind":"summary","features":{"f":{"counters":[{"count":2}]},"nul\u0000":{"counters":[{"count":1}]},"":{"counters":[{"count":1}]}}},
        {"kind":"index","context":{"kind":"user","key":"lone \ud800"}},
        {"kind":"index","context":{"kind":"user","key":"nul\u0000"}},
        {"kind":"index","context":{"kind":"user","key":"fine","note":"nul\u0000"}}]"#;
    let batch = NewBatch { body: body.into(), ..batch(HERE, json!([])) };
    bench.analytics.store_batch(batch).await.unwrap();
    bench.counted().await;
    let flags = bench.analytics.evaluations_last_hour(HERE).await.unwrap();
    assert_eq!(flags.keys().collect::<Vec<_>>(), ["f"]);
    assert_eq!(bench.found("").await, ["fine"]);
    assert_eq!(bench.attributes("fine").await, json!({"note": "nul\0"}));
}

#[tokio::test]
async fn old_counts_are_forgotten() {
    let bench = Bench::new().await;
    bench.take(summary("f", json!([{"variation": 0, "count": 1}]))).await;
    bench.take(index(json!({"kind": "user", "key": "a", "anonymous": true}))).await;
    const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
    bench.analytics.sweep(now_ms() + 29 * DAY_MS).await.unwrap();
    assert_eq!(bench.analytics.anonymous_count(HERE).await.unwrap(), 1);
    bench.analytics.sweep(now_ms() + 32 * DAY_MS).await.unwrap();
    assert_eq!(bench.analytics.anonymous_count(HERE).await.unwrap(), 0);
    assert_eq!(bench.last_hour("f").await.total, 1);
    bench.analytics.sweep(now_ms() + 91 * DAY_MS).await.unwrap();
    assert_eq!(bench.last_hour("f").await.total, 0);
}

#[tokio::test]
async fn what_is_too_old_goes_piece_by_piece() {
    let bench = Bench::new().await;
    let now = now_ms();
    let keys = ["a", "b", "c", "d", "e"];
    let custom =
        |key: &str| json!({"kind": "custom", "creationDate": now, "key": key, "contextKeys": {"user": "u"}});
    let seen = |kind: &str, key: &str, anonymous: bool| {
        json!({"kind": "index", "creationDate": now,
               "context": {"kind": kind, "key": key, "name": "Pat", "anonymous": anonymous}})
    };
    for key in keys {
        bench.store(json!([custom(key), seen("user", key, true), seen("org", key, false)])).await;
        bench.store(json!([seen("user", &format!("known {key}"), false)])).await;
        let instance = SdkInstance {
            instance_id: key.to_owned(),
            name: "go-server-sdk".to_owned(),
            version: String::new(),
            wrapper: String::new(),
            first_seen_ms: now,
            last_seen_ms: now,
        };
        bench.analytics.note_instance(HERE, instance).await.unwrap();
    }
    bench.counted().await;
    let store = EventStore::of(&bench.folder.config()).await.unwrap();
    let mut write = store.write().await.unwrap();
    let later = now + MINUTE_MS;
    let mut gone = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..4 {
        gone[0].push(count::forget_custom(&mut write, later / MINUTE_MS, 2).await.unwrap());
        gone[1].push(context::forget_anonymous(&mut write, i64::MAX, 2).await.unwrap());
        gone[2].push(instance::forget(&mut write, later, 2).await.unwrap());
    }
    for _ in 0..6 {
        gone[3].push(context::forget_unseen(&mut write, later, 2).await.unwrap());
    }
    // Of whatever kind they are, never more than was asked for.
    assert_eq!(gone[..3], [[2, 2, 1, 0], [2, 2, 1, 0], [2, 2, 1, 0]]);
    assert_eq!(gone[3], [2, 2, 2, 2, 2, 0]);
    write.commit().await.unwrap();
    store.close().await;
    assert_eq!((bench.found("").await, bench.found("pat").await), (vec![], vec![]));
}

#[tokio::test]
async fn batches_that_were_set_aside_are_forgotten_after_a_month() {
    let bench = Bench::new().await;
    let store = EventStore::of(&bench.folder.config()).await.unwrap();
    let mut write = store.write().await.unwrap();
    sql("INSERT INTO set_aside_batch (id, environment_id, received_at, unsummarised, body, reason)
         VALUES (1, 1, $1, 0, $2, 'odd')")
    .bind(now_ms())
    .bind(&b"[]"[..])
    .execute(&mut write)
    .await
    .unwrap();
    write.commit().await.unwrap();
    const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
    for (days, left) in [(29, 1), (31, 0)] {
        bench.analytics.sweep(now_ms() + days * DAY_MS).await.unwrap();
        let count: i64 = sql("SELECT count(*) FROM set_aside_batch")
            .fetch_scalar(&mut store.read().await.unwrap())
            .await
            .unwrap();
        assert_eq!(count, left, "after {days} days");
    }
    store.close().await;
}

/// One sender who counts nonsense neither hides what others count nor has a page fail.
#[tokio::test]
async fn counts_that_cannot_be_stay_within_bounds() {
    let bench = Bench::new().await;
    let nonsense = i64::MAX;
    let counters: Vec<Value> =
        (0..20_000).map(|_| json!({"variation": 0, "version": 1, "count": nonsense})).collect();
    for _ in 0..3 {
        bench.store(summary("f", counters.clone().into())).await;
    }
    let versions: Vec<Value> =
        (0..20_000).map(|version| json!({"variation": 1, "version": version, "count": nonsense})).collect();
    bench.store(summary("f", versions.into())).await;
    bench.store(summary("f", json!([{"variation": 0, "version": 1, "count": 1}]))).await;
    bench.store(summary("g", json!([{"variation": 0, "version": 1, "count": 1}]))).await;
    bench.counted().await;
    assert_eq!(bench.analytics.figures().batches_set_aside, 0);
    assert!(bench.last_hour("f").await.total >= 1 << 40);
    assert_eq!(bench.last_hour("g").await.total, 1);

    // However many such rows there are.
    let store = EventStore::of(&bench.folder.config()).await.unwrap();
    let mut write = store.write().await.unwrap();
    sql("UPDATE evaluation_count SET count = 9223372036854775807 WHERE flag_key = 'f'")
        .execute(&mut write)
        .await
        .unwrap();
    write.commit().await.unwrap();
    store.close().await;
    let counts = bench.last_hour("f").await;
    assert!(counts.of(1) >= 1 << 62 && counts.total >= counts.of(1), "{counts:?}");
    let range = (now_ms() - 5 * MINUTE_MS, now_ms() + MINUTE_MS);
    let buckets = bench.analytics.evaluations_of(HERE, "f", range, BucketSize::Hour).await.unwrap();
    assert!(buckets.iter().any(|bucket| bucket.counts.total >= 1 << 62));
}

#[tokio::test]
async fn deleted_environment_leaves_nothing() {
    let bench = Bench::new().await;
    for environment in [HERE, ELSEWHERE] {
        for events in [summary("f", json!([{"count": 1}])), index(json!({"kind": "user", "key": "u"}))] {
            bench.analytics.store_batch(batch(environment, events)).await.unwrap();
        }
    }
    // More than go at once.
    let many: Vec<Value> = (0..6_000)
        .map(|number| json!({"kind": "index", "context": {"kind": "org", "key": format!("org {number}"), "name": "Acme"}}))
        .collect();
    bench.take(many.into()).await;
    bench.analytics.forget_environment(HERE).await.unwrap();
    assert_eq!((bench.last_hour("f").await.total, bench.found("").await.len()), (0, 0));
    let store = EventStore::of(&bench.folder.config()).await.unwrap();
    for table in ["context", "context_term"] {
        let statement = composed_sql(format!("SELECT count(*) FROM {table} WHERE environment_id = $1"));
        let left: i64 = statement.bind(HERE.0).fetch_scalar(&mut store.read().await.unwrap()).await.unwrap();
        assert_eq!(left, 0, "{table}");
    }
    store.close().await;
    assert_eq!(bench.analytics.known_users_count(ELSEWHERE).await.unwrap(), 1);
    bench.take(index(json!({"kind": "user", "key": "u"}))).await;
    assert_eq!(bench.found("u").await, ["u"], "what was known before is not taken for known now");
}
