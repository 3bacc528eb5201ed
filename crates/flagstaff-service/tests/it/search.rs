//! Who a search finds, and in which order.

use std::time::Duration;

use flagstaff_service::analytics::{Analytics, Page, Sort};
use flagstaff_service::now_ms;
use flagstaff_service::store::EnvironmentId;
use flagstaff_service::store::analytics::batch::NewBatch;
use serde_json::{Value, json};

use crate::support::Folder;

const HERE: EnvironmentId = EnvironmentId(1);

struct People {
    /// Goes with them.
    _folder: Folder,
    analytics: Analytics,
}

impl People {
    /// Each was seen a minute after the one before.
    async fn seen(users: &[Value]) -> Self {
        let folder = Folder::new();
        let analytics = Analytics::of(&folder.config()).await.unwrap();
        let now = now_ms();
        let first = now - 60_000 * users.len() as i64;
        let events: Vec<Value> = (0_i64..)
            .zip(users)
            .map(|(n, user)| json!({"kind": "index", "creationDate": first + 60_000 * n, "user": user}))
            .collect();
        let batch = NewBatch {
            environment_id: HERE.0,
            received_ms: now,
            unsummarised: false,
            payload: None,
            body: json!(events).to_string().into(),
        };
        analytics.store_batch(batch).await.unwrap();
        assert!(analytics.wait_until_counted(Duration::from_secs(20)).await);
        Self { _folder: folder, analytics }
    }

    async fn page(
        &self,
        query: &str,
        sort: Option<Sort>,
        offset: usize,
        limit: usize,
    ) -> (Vec<String>, bool) {
        let found = self.analytics.search_users(HERE, query, sort, Page { offset, limit }).await.unwrap();
        (found.users.into_iter().map(|user| user.key).collect(), found.has_more)
    }

    async fn check(&self, query: &str, expected: &[&str]) {
        let (found, has_more) = self.page(query, None, 0, 50).await;
        assert_eq!(found, expected, "{query:?}");
        assert!(!has_more);
    }
}

async fn usual() -> People {
    People::seen(&[
        json!({"key": "aa0ceb", "firstName": "Ernestina", "lastName": "Evans", "email": "ernestina@example.com"}),
        json!({"key": "u-2", "name": "Ann Lee", "email": "ann.lee@example.com"}),
        json!({"key": "u-3", "name": "Anna Leeds", "email": "Anna@Example.org"}),
        json!({"key": "Ann", "name": "Zoë Straße"}),
        json!({"key": "user with spaces", "name": "100%_sure"}),
    ])
    .await
}

#[tokio::test]
async fn users_are_found_by_the_beginning_of_key_email_and_names() {
    let people = usual().await;
    people.check("aa0", &["aa0ceb"]).await;
    people.check("aa0ceb", &["aa0ceb"]).await;
    people.check("ernestina@example.com", &["aa0ceb"]).await;
    people.check("evans", &["aa0ceb"]).await;
    people.check("nestina", &[]).await;
    people.check("example.com", &[]).await;
    people.check("aa0cebx", &[]).await;
}

#[tokio::test]
async fn case_does_not_matter_beyond_ascii_either() {
    let people = usual().await;
    people.check("ERNESTINA@EXAMPLE.COM", &["aa0ceb"]).await;
    people.check("AnNa@example.ORG", &["u-3"]).await;
    people.check("ZOË", &["Ann"]).await;
    people.check("STRASSE", &["Ann"]).await;
}

#[tokio::test]
async fn every_word_must_be_met() {
    let people = usual().await;
    people.check("ann lee", &["u-2", "u-3"]).await;
    people.check("lee  ANN ", &["u-2", "u-3"]).await;
    people.check("ann leeds", &["u-3"]).await;
    people.check("ann evans", &[]).await;
    people.check("erne ernestina@", &["aa0ceb"]).await;
}

#[tokio::test]
async fn exact_matches_come_first() {
    let people = usual().await;
    people.check("ann", &["Ann", "u-2", "u-3"]).await;
    people.check("anna", &["u-3"]).await;
    people.check("u-", &["u-2", "u-3"]).await;
}

#[tokio::test]
async fn query_is_split_at_white_space_only_and_may_be_a_key_with_spaces() {
    let people = usual().await;
    people.check("ann.lee@example.com", &["u-2"]).await;
    people.check("ann.", &["u-2"]).await;
    people.check("user with sp", &["user with spaces"]).await;
    people.check("spaces", &[]).await;
}

#[tokio::test]
async fn nothing_in_a_query_is_a_wildcard() {
    let people = usual().await;
    people.check("100%", &["user with spaces"]).await;
    people.check("%", &[]).await;
    people.check("_", &[]).await;
    people.check("a_0", &[]).await;
    people.check("*", &[]).await;
    people.check("' OR 1=1 --", &[]).await;
    people.check("\u{10FFFF}", &[]).await;
    people.check("nul\0", &[]).await;
}

#[tokio::test]
async fn empty_query_lists_everybody_the_last_seen_first() {
    let people = usual().await;
    people.check("", &["user with spaces", "Ann", "u-3", "u-2", "aa0ceb"]).await;
    people.check(" \t ", &["user with spaces", "Ann", "u-3", "u-2", "aa0ceb"]).await;
}

#[tokio::test]
async fn pages_of_a_search_join_without_gap_or_repetition() {
    let users: Vec<Value> =
        (0..60).map(|n| json!({"key": format!("pat-{n:02}"), "name": "Pat Patterson", "email": format!("pat{n}@x.org")})).collect();
    let people = People::seen(&users).await;
    for (query, sort) in
        [("pat", None), ("", None), ("pat patterson", Some(Sort::Key)), ("pat-", Some(Sort::KeyDescending))]
    {
        let (all, _) = people.page(query, sort, 0, 100).await;
        assert_eq!(all.len(), 60, "{query}");
        let mut joined = Vec::new();
        loop {
            let (page, has_more) = people.page(query, sort, joined.len(), 7).await;
            assert_eq!(page.len(), if has_more { 7 } else { 60 - joined.len() });
            joined.extend(page);
            if !has_more {
                break;
            }
        }
        assert_eq!(joined, all, "{query}");
    }
}

#[tokio::test]
async fn found_users_can_be_sorted() {
    let people = usual().await;
    let sorted = async |query, sort| people.page(query, Some(sort), 0, 50).await.0;
    assert_eq!(sorted("ann", Sort::Key).await, ["Ann", "u-2", "u-3"]);
    assert_eq!(sorted("ann", Sort::KeyDescending).await, ["u-3", "u-2", "Ann"]);
    assert_eq!(sorted("ann", Sort::LastSeen).await, ["u-2", "u-3", "Ann"]);
    assert_eq!(sorted("ann lee", Sort::LastSeenDescending).await, ["u-3", "u-2"]);
    assert_eq!(sorted("user with", Sort::Key).await, ["user with spaces"]);
    assert_eq!(sorted("", Sort::Key).await, ["Ann", "aa0ceb", "u-2", "u-3", "user with spaces"]);
}

#[tokio::test]
async fn all_users_can_be_walked_through_by_key() {
    let people = usual().await;
    let mut keys: Vec<String> = Vec::new();
    loop {
        let after = keys.last().cloned().unwrap_or_default();
        let page = people.analytics.users_after(HERE, &after, 2).await.unwrap();
        keys.extend(page.users.into_iter().map(|user| user.key));
        if !page.has_more {
            break;
        }
    }
    assert_eq!(keys, ["Ann", "aa0ceb", "u-2", "u-3", "user with spaces"]);
}

#[tokio::test]
async fn deleted_user_is_not_found_until_seen_again() {
    let people = usual().await;
    assert!(people.analytics.delete_user(HERE, "u-2").await.unwrap());
    assert!(!people.analytics.delete_user(HERE, "u-2").await.unwrap());
    people.check("ann lee", &["u-3"]).await;
    people.check("ann.lee@example.com", &[]).await;
    assert_eq!(people.analytics.user(HERE, "u-2").await.unwrap(), None);
    assert_eq!(people.analytics.known_users_count(HERE).await.unwrap(), 4);
    let again = json!([{"kind": "identify", "creationDate": now_ms(), "user": {"key": "u-2", "name": "Ann Lee", "email": "ann.lee@example.com"}}]);
    let batch = NewBatch {
        environment_id: HERE.0,
        received_ms: now_ms(),
        unsummarised: false,
        payload: None,
        body: again.to_string().into(),
    };
    people.analytics.store_batch(batch).await.unwrap();
    assert!(people.analytics.wait_until_counted(Duration::from_secs(20)).await);
    people.check("ann.lee", &["u-2"]).await;
}
