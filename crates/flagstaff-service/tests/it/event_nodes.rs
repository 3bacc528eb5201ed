//! Several nodes that take events in and count them, on one PostgreSQL database. They run wherever PostgreSQL is
//! installed, whatever the rest of the suite runs on.

use std::time::{Duration, Instant};

use flagstaff_service::analytics::{Accepted, Analytics, Page};
use flagstaff_service::store::EnvironmentId;
use flagstaff_service::store::analytics::EventStore;
use flagstaff_service::store::analytics::batch::NewBatch;
use flagstaff_service::store::connection::{composed_sql, sql};
use flagstaff_service::{Config, now_ms};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::engine;

const HERE: EnvironmentId = EnvironmentId(1);
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Ten times what is expected.
const PATIENCE: Duration = Duration::from_secs(60);

/// Two nodes on an empty database.
struct Nodes {
    config: Config,
    nodes: [Analytics; 2],
}

impl Nodes {
    /// None where PostgreSQL is not installed.
    async fn start() -> Option<Self> {
        let mut config = Config::new("unused");
        config.database = engine::fresh_postgres()?;
        let nodes = [Analytics::of(&config).await.unwrap(), Analytics::of(&config).await.unwrap()];
        Some(Self { config, nodes })
    }

    /// The database, beside the nodes.
    async fn store(&self) -> EventStore {
        EventStore::of(&self.config).await.unwrap()
    }

    /// A number that a statement gives.
    async fn number(&self, statement: &'static str) -> i64 {
        let store = self.store().await;
        let number = sql(statement).fetch_scalar(&mut store.read().await.unwrap()).await.unwrap();
        store.close().await;
        number
    }

    async fn counted(&self) {
        for node in &self.nodes {
            assert!(node.wait_until_counted(PATIENCE).await, "batches were not counted in time");
        }
    }

    /// On the node of this number; all is counted when it returns.
    async fn take(&self, node: usize, events: Value) {
        self.nodes[node].store_batch(batch(None, events)).await.unwrap();
        self.counted().await;
    }

    async fn evaluations(&self, flag: &str) -> [u64; 2] {
        let of = async |node: &Analytics| {
            let all = node.evaluations_last_hour(HERE).await.unwrap();
            all.get(flag).map_or(0, |counts| counts.total)
        };
        [of(&self.nodes[0]).await, of(&self.nodes[1]).await]
    }

    /// The plan of a user, as both nodes tell it.
    async fn plan(&self, key: &str) -> [Option<Value>; 2] {
        let of =
            async |node: &Analytics| Some(node.user(HERE, key).await.unwrap()?.attributes["plan"].clone());
        [of(&self.nodes[0]).await, of(&self.nodes[1]).await]
    }

    async fn close(self) {
        for node in &self.nodes {
            assert_eq!(node.figures().batches_set_aside, 0);
            node.close().await;
        }
    }
}

fn batch(payload: Option<u8>, events: Value) -> NewBatch {
    NewBatch {
        environment_id: HERE.0,
        received_ms: now_ms(),
        unsummarised: false,
        payload: payload.map(|number| [number; 16]),
        body: events.to_string().into(),
    }
}

fn summary(flag: &str, variation: usize) -> Value {
    json!({"kind": "summary", "startDate": now_ms(), "endDate": now_ms(),
           "features": {flag: {"counters": [{"variation": variation, "version": 1, "count": 1}]}}})
}

fn user(key: &str, plan: &str) -> Value {
    json!({"kind": "index", "creationDate": now_ms(), "context": {"kind": "user", "key": key, "plan": plan, "name": "Pat"}})
}

#[tokio::test]
async fn payload_sent_to_two_nodes_at_once_is_counted_once() {
    let Some(nodes) = Nodes::start().await else { return };
    let sent = (0..=255).flat_map(|number| {
        // In opposite orders, so that each waits for the other somewhere.
        [(&nodes.nodes[0], number), (&nodes.nodes[1], 255 - number), (&nodes.nodes[0], number)]
    });
    let sent = sent.map(|(node, number)| node.store_batch(batch(Some(number), json!([summary("f", 0)]))));
    let accepted = join_all(sent).await;
    let stored = accepted.iter().filter(|accepted| matches!(accepted, Ok(Accepted::Stored))).count();
    let known = accepted.iter().filter(|accepted| matches!(accepted, Ok(Accepted::Known))).count();
    assert_eq!((stored, known), (256, 512), "every one is acknowledged");
    nodes.counted().await;
    assert_eq!(nodes.evaluations("f").await, [256, 256]);
    nodes.close().await;
}

#[tokio::test]
async fn nodes_that_count_the_same_flags_and_users_neither_double_nor_hinder_each_other() {
    let Some(nodes) = Nodes::start().await else { return };
    const BATCHES: usize = 400;
    let sent = (0..BATCHES).map(|number| {
        let node = &nodes.nodes[number % 2];
        let mut events: Vec<Value> = (0..5).map(|flag| summary(&format!("f{flag}"), number % 3)).collect();
        // The same users from both, in opposite orders; and now and then one who was known is anonymous.
        let users = (0..20).map(|place| {
            let place = if number % 2 == 0 { place } else { 19 - place };
            user(&format!("u{place}"), &format!("plan {}", number % 7))
        });
        events.extend(users);
        let anonymous = number % 10 == 0;
        events.push(json!({"kind": "index", "creationDate": now_ms(),
                           "context": {"kind": "user", "key": format!("a{}", number % 3), "anonymous": anonymous}}));
        node.store_batch(batch(None, events.into()))
    });
    for stored in join_all(sent).await {
        assert_eq!(stored.unwrap(), Accepted::Stored);
    }
    nodes.counted().await;
    for flag in 0..5 {
        assert_eq!(nodes.evaluations(&format!("f{flag}")).await, [BATCHES as u64; 2]);
    }
    for place in 0..20 {
        let [here, there] = nodes.plan(&format!("u{place}")).await;
        assert!(here.is_some() && here == there, "{here:?} {there:?}");
    }
    // Every user is found by the terms of now, each once.
    let found = "SELECT count(*) FROM context_term WHERE term LIKE 'u%' OR term = 'pat'";
    assert_eq!(nodes.number(found).await, 40);
    assert_eq!(nodes.number("SELECT count(*) FROM batch").await, 0);
    nodes.close().await;
}

#[tokio::test]
async fn what_one_node_learns_of_a_user_the_other_does_not_take_for_known() {
    let Some(nodes) = Nodes::start().await else { return };
    let is = |plan: &str| [Some(json!(plan)), Some(json!(plan))];
    for (node, plan) in [(0, "free"), (1, "pro"), (0, "free"), (0, "free"), (1, "pro"), (0, "team")] {
        nodes.take(node, json!([user("ada", plan)])).await;
        assert_eq!(nodes.plan("ada").await, is(plan), "after node {node}");
    }
    assert!(nodes.nodes[1].delete_user(HERE, "ada").await.unwrap());
    assert_eq!(nodes.plan("ada").await, [None, None]);
    nodes.take(0, json!([user("ada", "team")])).await;
    assert_eq!(nodes.plan("ada").await, is("team"), "who is seen again is known again");
    nodes.close().await;
}

#[tokio::test]
async fn user_is_found_on_both_nodes_soon_after_one_took_the_event() {
    let Some(nodes) = Nodes::start().await else { return };
    for (number, node) in nodes.nodes.iter().enumerate() {
        let name = format!("Seen{number}");
        let event = json!([{"kind": "index", "creationDate": now_ms(), "context": {"kind": "user", "key": name, "name": name}}]);
        node.store_batch(batch(None, event)).await.unwrap();
        let stored = Instant::now();
        for asked in &nodes.nodes {
            let page = Page { offset: 0, limit: 10 };
            while asked.search_users(HERE, &name, None, page).await.unwrap().users.is_empty() {
                assert!(stored.elapsed() < 10 * Duration::from_secs(1), "the user is not found");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        println!("found on both nodes after {:?}; the mark is 1 s", stored.elapsed());
    }
    nodes.close().await;
}

#[tokio::test]
async fn batches_that_a_node_claimed_and_did_not_count_are_counted_by_another() {
    let Some(nodes) = Nodes::start().await else { return };
    let [dying, other] = &nodes.nodes;
    // What a node does that is killed after it has claimed batches: it says nothing more.
    dying.close().await;
    let store = nodes.store().await;
    other.store_batch(batch(Some(1), json!([summary("f", 0)]))).await.unwrap();
    let claim = loop {
        let claim = store.claim(10, usize::MAX).await.unwrap();
        if !claim.batches.is_empty() {
            break claim;
        }
        // The other node was quicker; it gets the next one, too, and so on until it is not.
        other.store_batch(batch(None, json!([summary("f", 0)]))).await.unwrap();
    };
    let stored = other.figures().batches_stored;
    let claimed = claim.batches.len() as u64;
    assert!(
        !other.wait_until_counted(Duration::from_secs(2)).await,
        "what is claimed is not counted by others"
    );
    let counted =
        async || other.evaluations_last_hour(HERE).await.unwrap().get("f").map_or(0, |counts| counts.total);
    assert_eq!(counted().await, stored - claimed);
    drop(claim);
    store.close().await;
    assert!(other.wait_until_counted(PATIENCE).await);
    assert_eq!(counted().await, stored);
    other.close().await;
}

#[tokio::test]
async fn batch_that_cannot_be_counted_is_set_aside_by_one_node_and_the_others_are_counted() {
    let Some(nodes) = Nodes::start().await else { return };
    let store = nodes.store().await;
    let mut write = store.write().await.unwrap();
    sql("ALTER TABLE evaluation_count ADD CONSTRAINT sane CHECK (flag_key <> 'poison')")
        .execute(&mut write)
        .await
        .unwrap();
    write.commit().await.unwrap();
    store.close().await;
    let sent = (0..60).map(|number| {
        let flag = if number % 20 == 7 { "poison" } else { "f" };
        nodes.nodes[number % 2].store_batch(batch(None, json!([summary(flag, 0)])))
    });
    for stored in join_all(sent).await {
        stored.unwrap();
    }
    nodes.counted().await;
    assert_eq!(nodes.evaluations("f").await, [57, 57]);
    assert_eq!(nodes.number("SELECT count(*) FROM set_aside_batch WHERE reason LIKE '%sane%'").await, 3);
    let set_aside = nodes.nodes.each_ref().map(|node| node.figures().batches_set_aside);
    assert_eq!(set_aside.iter().sum::<u64>(), 3, "each by one node: {set_aside:?}");
    for node in &nodes.nodes {
        node.close().await;
    }
}

#[tokio::test]
async fn one_node_at_a_time_forgets_what_is_too_old() {
    let Some(nodes) = Nodes::start().await else { return };
    nodes.take(0, json!([summary("f", 0)])).await;
    nodes.nodes[0].store_batch(batch(Some(1), json!([summary("f", 0)]))).await.unwrap();
    nodes.counted().await;
    let store = nodes.store().await;
    let mut write = store.write().await.unwrap();
    // What the node holds that sweeps.
    let holds = "SELECT CAST(1 AS BIGINT) FROM (SELECT pg_advisory_xact_lock(1398228304, hashtext(current_schema()))) AS held";
    let _: i64 = composed_sql(holds.to_owned()).fetch_scalar(&mut write).await.unwrap();
    let later = now_ms() + 400 * DAY_MS;
    nodes.nodes[1].sweep(later).await.unwrap();
    assert_eq!(nodes.number("SELECT count(*) FROM payload").await, 1, "another node is at it");
    drop(write);
    let [here, there] = &nodes.nodes;
    let (here, there) = tokio::join!(here.sweep(later), there.sweep(later));
    here.unwrap();
    there.unwrap();
    nodes.nodes[0].sweep(later).await.unwrap();
    assert_eq!(nodes.number("SELECT count(*) FROM payload").await, 0);
    assert_eq!(nodes.number("SELECT count(*) FROM evaluation_count").await, 0);
    store.close().await;
    nodes.close().await;
}

#[tokio::test]
async fn text_with_nul_is_left_out_and_everything_beside_it_counts() {
    let Some(nodes) = Nodes::start().await else { return };
    let events = json!([
        summary("nul\0", 0),
        summary("f", 0),
        {"kind": "custom", "creationDate": now_ms(), "key": "bought\0", "contextKeys": {"user": "ada\0"}},
        {"kind": "custom", "creationDate": now_ms(), "key": "bought", "contextKeys": {"user": "ada"}},
        user("nul\0", "pro"),
        {"kind": "index", "creationDate": now_ms(),
         "context": {"kind": "user", "key": "ada", "name": "Ada\0 Love\0lace", "note\0": "a\0b", "plan": "pro"}},
    ]);
    nodes.take(0, events).await;
    let [here, there] = &nodes.nodes;
    assert_eq!(nodes.evaluations("f").await, [1, 1]);
    assert_eq!(nodes.evaluations("nul\0").await, [0, 0]);
    assert_eq!(here.custom_events_since(HERE, "bought", 0).await.unwrap(), 1);
    assert_eq!(here.custom_events_since(HERE, "bought\0", 0).await.unwrap(), 0);
    assert_eq!(there.user(HERE, "nul\0").await.unwrap(), None);
    assert!(!there.delete_user(HERE, "nul\0").await.unwrap());
    let ada = there.user(HERE, "ada").await.unwrap().unwrap();
    assert_eq!((ada.text("name"), ada.text("note\0")), (Some("Ada\0 Love\0lace"), Some("a\0b")));
    let keys = async |query: &str| {
        let found = there.search_users(HERE, query, None, Page { offset: 0, limit: 10 }).await.unwrap();
        found.users.into_iter().map(|user| user.key).collect::<Vec<_>>()
    };
    assert_eq!(keys("lovelace").await, ["ada"]);
    assert_eq!(keys("love\0lace").await, ["ada"]);
    let after = async |key: &str| there.users_after(HERE, key, 10).await.unwrap().users.len();
    assert_eq!((after("ac\0").await, after("ada\0").await), (1, 0));
    assert_eq!(here.figures().batches_set_aside, 0);
    nodes.close().await;
}
