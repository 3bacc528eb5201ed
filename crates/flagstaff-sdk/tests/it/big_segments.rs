//! Segments too large to stream, asked of a store that can be told how to behave.

use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant, SystemTime};

use flagstaff_sdk::{
    AllFlagsOptions, BigSegmentStore, BigSegmentStoreStatus, BigSegments, BigSegmentsStatus, Client, Config,
    Context, ErrorKind, Membership, ReasonKind, StoreError,
};
use flagstaff_testkit::{Answer, FakeService, FlagBuilder, PATIENCE, eventually, flag, user};
use serde_json::json;

#[cfg(unix)]
use crate::fork::{becomes, in_child};
use crate::support::{Lines, config, started};

/// The hash of `user1`, from the protocol.
const USER_1: &str = "CgQblGLKpKMbrDVn4Lbm/ZEAeH2yq0M9lvbReMq/zpA=";

/// What the store does when it is asked.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Answers,
    Fails,
    Panics,
    /// Until the mood changes.
    Hangs,
}

struct State {
    mood: Mood,
    last_up_to_date: Option<SystemTime>,
    /// Included, by hash.
    included: Vec<(String, &'static str)>,
    excluded: Vec<(String, &'static str)>,
    /// The hashes that were asked for.
    asked: Vec<String>,
    polls: usize,
    threads: Vec<ThreadId>,
}

#[derive(Clone)]
struct Store(Arc<(Mutex<State>, Condvar)>);

impl Store {
    fn new() -> Self {
        let state = State {
            mood: Mood::Answers,
            last_up_to_date: Some(SystemTime::now()),
            included: vec![(USER_1.to_owned(), "vip.g3"), (USER_1.to_owned(), "other.g1")],
            excluded: Vec::new(),
            asked: Vec::new(),
            polls: 0,
            threads: Vec::new(),
        };
        Self(Arc::new((Mutex::new(state), Condvar::new())))
    }

    fn with<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let result = change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
        result
    }

    fn is(&self, mood: Mood) {
        self.with(|state| state.mood = mood);
    }

    /// How often it was asked for members.
    fn asked(&self) -> usize {
        self.with(|state| state.asked.len())
    }

    fn in_its_mood<R>(
        &self,
        note: impl FnOnce(&mut State),
        answer: impl FnOnce(&State) -> R,
    ) -> Result<R, StoreError> {
        let mut state = self.0.0.lock().unwrap();
        note(&mut state);
        state.threads.push(thread::current().id());
        let state = self.0.1.wait_while(state, |state| state.mood == Mood::Hangs).unwrap();
        let mood = state.mood;
        let answer = answer(&state);
        drop(state);
        match mood {
            Mood::Fails => Err(StoreError::new("it is told to fail")),
            Mood::Panics => panic!("it is told to panic"),
            _ => Ok(answer),
        }
    }
}

impl BigSegmentStore for Store {
    fn last_up_to_date(&self) -> Result<Option<SystemTime>, StoreError> {
        self.in_its_mood(|state| state.polls += 1, |state| state.last_up_to_date)
    }

    fn membership(&self, context_hash: &str) -> Result<Option<Membership>, StoreError> {
        self.in_its_mood(
            |state| state.asked.push(context_hash.to_owned()),
            |state| {
                let of = |list: &[(String, &'static str)]| -> Vec<&'static str> {
                    list.iter()
                        .filter(|(hash, _)| *hash == context_hash)
                        .map(|(_, segment)| *segment)
                        .collect()
                };
                let (included, excluded) = (of(&state.included), of(&state.excluded));
                let known = !included.is_empty() || !excluded.is_empty();
                known.then(|| Membership::new(included, excluded))
            },
        )
    }
}

/// A flag that serves true to whoever is in one of these segments, and false to others.
fn asking(key: &str, segments: &[&str]) -> FlagBuilder {
    let clauses = json!([{"attribute": "", "op": "segmentMatch", "values": segments}]);
    flag(key)
        .with("rules", json!([{"variation": 0, "clauses": clauses}]))
        .with("fallthrough", json!({"variation": 1}))
        .with("variations", json!([true, false]))
}

fn service() -> FakeService {
    FakeService::start([
        asking("f", &["vip"]),
        asking("both", &["nobody", "other", "vip"]),
        asking("plain", &[]),
    ])
}

/// A client whose service has sent big segments too: `vip`, which lets in by a rule whoever has a
/// ticket, and `other` and `nobody`.
fn with_segments(service: &FakeService, config: Config) -> Client {
    let client = started(config);
    let rules = json!([{"clauses": [{"attribute": "ticket", "op": "in", "values": [true]}]}]);
    let segments = [
        json!({"key": "vip", "version": 1, "unbounded": true, "generation": 3, "rules": rules}),
        json!({"key": "other", "version": 1, "unbounded": true, "generation": 1}),
        json!({"key": "nobody", "version": 1, "unbounded": true, "generation": 1}),
    ];
    for segment in &segments {
        let path = format!("/segments/{}", segment["key"].as_str().unwrap());
        let patch = json!({"path": path, "data": segment});
        service.send(format!("event: patch\ndata: {patch}\n\n").as_bytes());
    }
    eventually("the segments had come", || client.data_set().segment("nobody").map(|_| ()));
    client
}

/// How the store is used by most tests: what takes long shows.
fn slowly(store: &Store) -> BigSegments {
    BigSegments::new(store.clone())
        .timeout(PATIENCE)
        .context_cache_time(PATIENCE * 10)
        .status_poll_interval(PATIENCE * 10)
}

fn client_asking(big_segments: BigSegments) -> (FakeService, Client) {
    let service = service();
    let client = with_segments(&service, config(&service).big_segments(big_segments));
    (service, client)
}

fn ask(client: &Client, key: &str, context: &Context) -> (bool, Option<BigSegmentsStatus>) {
    let detail = client.variation_detail(key, context, false);
    assert_ne!(detail.reason.error_kind(), Some(ErrorKind::MalformedFlag));
    (detail.value, detail.reason.big_segments_status)
}

fn status(client: &Client) -> (bool, bool) {
    let BigSegmentStoreStatus { available, stale, .. } = client.big_segment_store_status();
    (available, stale)
}

const HEALTHY: Option<BigSegmentsStatus> = Some(BigSegmentsStatus::Healthy);
const STORE_ERROR: Option<BigSegmentsStatus> = Some(BigSegmentsStatus::StoreError);

#[test]
fn members_come_from_the_store_and_everybody_else_by_the_rules() {
    let store = Store::new();
    let (_service, client) = client_asking(slowly(&store));
    assert_eq!(ask(&client, "f", &user("user1")), (true, HEALTHY));
    assert_eq!(ask(&client, "f", &user("user2")), (false, HEALTHY));
    let with_ticket = |key: &str| Context::builder(key).set("ticket", true).build().unwrap();
    assert_eq!(ask(&client, "f", &with_ticket("user2")), (true, HEALTHY));
    // Kept out by name, whatever the rules say.
    store.with(|state| state.excluded.push((USER_1.to_owned(), "vip.g3")));
    store.with(|state| state.included.clear());
    let service = service();
    let client = with_segments(&service, config(&service).big_segments(slowly(&store)));
    assert_eq!(ask(&client, "f", &with_ticket("user1")), (false, HEALTHY));
    // Nothing to ask: another kind of context, or no big segment.
    let asked = store.asked();
    let org = Context::builder("user1").kind("org").build().unwrap();
    assert_eq!(ask(&client, "f", &org), (false, None));
    assert_eq!(ask(&client, "plain", &user("user9")), (false, None));
    assert_eq!(store.asked(), asked);
}

#[test]
fn a_context_is_asked_for_once_whatever_segments_and_flags_there_are() {
    let store = Store::new();
    let (_service, client) = client_asking(slowly(&store));
    for _ in 0..3 {
        assert_eq!(ask(&client, "both", &user("user1")), (true, HEALTHY));
        assert_eq!(ask(&client, "f", &user("user1")), (true, HEALTHY));
    }
    assert_eq!(store.with(|state| state.asked.clone()), [USER_1]);
    // That there is nothing of a context is remembered too.
    for _ in 0..3 {
        assert_eq!(ask(&client, "both", &user("user2")), (false, HEALTHY));
    }
    assert_eq!(store.asked(), 2);
    let state = client.all_flags_state(&user("user3"), AllFlagsOptions::default());
    assert_eq!(state.flags().len(), 3);
    assert_eq!(store.asked(), 3);
    let state = client.all_flags_state(&user("user1"), AllFlagsOptions::default());
    assert_eq!(state.flag("f").unwrap().value(), Some(&json!(true)));
    assert_eq!(store.asked(), 3);
    let own = thread::current().id();
    assert!(store.with(|state| state.threads.iter().all(|thread| *thread != own)), "on other threads only");
}

#[test]
fn members_are_remembered_for_so_long_and_of_so_many() {
    let store = Store::new();
    let (_service, client) =
        client_asking(slowly(&store).context_cache_size(1).context_cache_time(Duration::from_millis(200)));
    let begun = Instant::now();
    assert_eq!(ask(&client, "f", &user("user1")), (true, HEALTHY));
    store.with(|state| state.included.clear());
    eventually("the members were forgotten", || (!ask(&client, "f", &user("user1")).0).then_some(()));
    assert!(begun.elapsed() >= Duration::from_millis(200));
    assert_eq!(store.asked(), 2);

    let (_service, client) = client_asking(slowly(&store).context_cache_size(1));
    let before = store.asked();
    for key in ["user1", "user1", "user2", "user1"] {
        ask(&client, "f", &user(key));
    }
    assert_eq!(store.asked() - before, 3, "the second took the place of the first");
}

#[test]
fn a_store_that_fails_is_told_of_in_the_reason_and_asked_again() {
    let store = Store::new();
    let lines = Lines::default();
    let service = service();
    let config = config(&service).big_segments(slowly(&store)).log_to(Arc::new(lines.clone()));
    let client = with_segments(&service, config);
    assert_eq!(status(&client), (true, false));
    for mood in [Mood::Fails, Mood::Panics] {
        store.is(mood);
        let before = store.asked();
        for count in 1..3 {
            assert_eq!(ask(&client, "both", &user("user1")), (false, STORE_ERROR));
            assert_eq!(
                store.asked(),
                before + count,
                "once for each evaluation, as errors are not remembered"
            );
        }
    }
    client.all_flags_state(&user("user1"), AllFlagsOptions::default());
    assert_eq!(store.asked(), 5, "once for all flags");
    store.is(Mood::Answers);
    assert_eq!(ask(&client, "both", &user("user1")), (true, HEALTHY));
    let said = lines.with("the database of big segments does not answer");
    assert_eq!(said.len(), 1, "once while it lasts: {}", lines.text());
    assert!(said[0].ends_with("it is told to fail"), "{said:?}");
    eventually("each panic was told of", || {
        (lines.with("the database of big segments panicked").len() == 3).then_some(())
    });
    assert_eq!(lines.with("the database of big segments answers again").len(), 1);
}

#[test]
fn many_who_want_the_same_at_once_ask_once() {
    let store = Store::new();
    let (_service, client) = client_asking(slowly(&store));
    assert_eq!(status(&client), (true, false));
    store.is(Mood::Hangs);
    thread::scope(|scope| {
        let asking: Vec<_> = (0..8).map(|_| scope.spawn(|| ask(&client, "both", &user("user1")))).collect();
        eventually("the store was asked", || (store.asked() > 0).then_some(()));
        thread::sleep(Duration::from_millis(50));
        store.is(Mood::Answers);
        for asked in asking {
            assert_eq!(asked.join().unwrap(), (true, HEALTHY));
        }
    });
    assert_eq!(store.asked(), 1);
}

#[test]
fn a_store_that_hangs_costs_one_time_out_and_a_late_answer_is_kept() {
    let store = Store::new();
    let timeout = Duration::from_secs(2);
    let (service, client) = client_asking(slowly(&store).timeout(timeout));
    assert_eq!(status(&client), (true, false));
    store.is(Mood::Hangs);
    let begun = Instant::now();
    assert_eq!(ask(&client, "both", &user("user1")), (false, STORE_ERROR));
    let waited = begun.elapsed();
    assert!(waited >= timeout && waited < timeout * 10, "{waited:?}");
    // What is overdue is not waited for again.
    let begun = Instant::now();
    for _ in 0..100 {
        assert_eq!(ask(&client, "both", &user("user1")), (false, STORE_ERROR));
    }
    assert!(begun.elapsed() < timeout, "{:?}", begun.elapsed());
    assert_eq!(store.asked(), 1);
    // All flags together wait once.
    service.patch(asking("more", &["vip"]));
    let begun = Instant::now();
    client.all_flags_state(&user("user2"), AllFlagsOptions::default());
    assert!(begun.elapsed() < timeout * 2, "{:?}", begun.elapsed());
    store.is(Mood::Answers);
    eventually("the late answer had come", || {
        (ask(&client, "f", &user("user1")) == (true, HEALTHY)).then_some(())
    });
    assert_eq!(store.asked(), 2);
    // Nor does closing wait.
    store.is(Mood::Hangs);
    ask(&client, "f", &user("user3"));
    let begun = Instant::now();
    client.close();
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    store.is(Mood::Answers);
}

#[test]
fn the_status_is_asked_for_and_listened_to() {
    let store = Store::new();
    let service = service();
    let quickly = slowly(&store)
        .timeout(Duration::from_millis(500))
        .status_poll_interval(Duration::from_millis(5))
        .stale_after(Duration::from_secs(60));
    let client = Client::start(config(&service).big_segments(quickly)).unwrap();
    // Never polled before, or just now: it is waited for.
    assert_eq!(status(&client), (true, false));
    let (sender, heard) = channel();
    let id =
        client.big_segment_store_status_provider().add_listener(move |status| sender.send(*status).unwrap());
    let next = || {
        let status = heard.recv_timeout(PATIENCE).expect("there was a change of the status");
        (status.available, status.stale)
    };
    store.is(Mood::Fails);
    assert_eq!(next(), (false, false));
    store.with(|state| (state.mood, state.last_up_to_date) = (Mood::Answers, None));
    assert_eq!(next(), (true, true), "never up to date is stale");
    store.with(|state| state.last_up_to_date = Some(SystemTime::now() - Duration::from_secs(30)));
    assert_eq!(next(), (true, false));
    store.with(|state| state.last_up_to_date = Some(SystemTime::now() - Duration::from_secs(60)));
    assert_eq!(next(), (true, true));
    store.with(|state| state.last_up_to_date = Some(SystemTime::now() + Duration::from_secs(3600)));
    assert_eq!(next(), (true, false), "a clock that is ahead");
    store.is(Mood::Panics);
    assert_eq!(next(), (false, false));
    store.is(Mood::Answers);
    assert_eq!(next(), (true, false));
    store.is(Mood::Hangs);
    assert_eq!(next(), (false, false));
    let polls = store.with(|state| state.polls);
    thread::sleep(Duration::from_millis(50));
    assert_eq!(store.with(|state| state.polls), polls, "a store that hangs is not asked again meanwhile");
    store.is(Mood::Answers);
    assert_eq!(next(), (true, false));
    assert_eq!(client.big_segment_store_status_provider().status(), client.big_segment_store_status());
    assert!(client.big_segment_store_status_provider().remove_listener(id));
    assert!(heard.recv_timeout(PATIENCE).is_err());
}

#[test]
fn a_stale_store_is_told_of_in_the_reason() {
    let store = Store::new();
    store.with(|state| state.last_up_to_date = Some(SystemTime::now() - Duration::from_secs(121)));
    let (_service, client) = client_asking(slowly(&store));
    assert_eq!(ask(&client, "f", &user("user1")), (true, Some(BigSegmentsStatus::Stale)));
    assert_eq!(status(&client), (true, true));
}

#[test]
fn without_a_store_nobody_is_asked() {
    let service = service();
    let client = with_segments(&service, config(&service));
    assert_eq!(ask(&client, "f", &user("user1")), (false, Some(BigSegmentsStatus::NotConfigured)));
    assert_eq!(status(&client), (false, false));
    let store = Store::new();
    let offline = Client::start(config(&service).big_segments(slowly(&store)).offline(true)).unwrap();
    assert_eq!(status(&offline), (false, false));
    let detail = offline.variation_detail("f", &user("user1"), false);
    assert!(matches!(detail.reason.kind, ReasonKind::Error { .. }), "{:?}", detail.reason);
    assert_eq!(store.with(|state| state.polls + state.asked.len()), 0);
}

#[test]
fn async_code_awaits_the_store_and_goes_on_meanwhile() {
    let store = Store::new();
    let (_service, client) = client_asking(slowly(&store));
    assert_eq!(status(&client), (true, false));
    store.is(Mood::Hangs);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let context = user("user1");
        let detail = client.variation_detail_async("both", &context, false);
        let all = client.all_flags_state_async(&context, AllFlagsOptions::default());
        let release = async {
            // This one thread gets here only if the other does not keep it.
            store.is(Mood::Answers);
        };
        let (detail, all, ()) = tokio::join!(detail, all, release);
        assert_eq!((detail.value, detail.reason.big_segments_status), (true, HEALTHY));
        assert_eq!(all.flag("f").unwrap().value(), Some(&json!(true)));
        assert!(client.variation_async("f", &context, false).await);
        assert!(!client.variation_async("f", &user("user2"), false).await);
    });
    assert_eq!(store.asked(), 2);
    // Also there a time-out ends it.
    let (_service, client) = client_asking(slowly(&store).timeout(Duration::from_millis(50)));
    assert_eq!(status(&client), (true, false));
    store.is(Mood::Hangs);
    let detail = runtime.block_on(client.variation_detail_async("f", &user("user1"), false));
    assert_eq!((detail.value, detail.reason.big_segments_status), (false, STORE_ERROR));
    store.is(Mood::Answers);
}

#[test]
fn a_value_listener_hears_of_values_that_come_from_the_store() {
    let store = Store::new();
    let (service, client) = client_asking(slowly(&store));
    let (sender, heard) = channel();
    client.flag_tracker().add_value_change_listener("f", &user("user1"), "none", move |change| {
        sender.send((change.old_value.clone(), change.new_value.clone())).unwrap();
    });
    service.patch(asking("f", &["nobody"]).version(2));
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), (json!(true), json!(false)));
    assert_eq!(store.asked(), 1);
}

#[cfg(unix)]
#[test]
fn a_child_process_remembers_what_is_known_and_asks_for_itself() {
    if !crate::fork::runs_alone() {
        return;
    }
    let store = Store::new();
    let (service, client) = client_asking(slowly(&store).status_poll_interval(Duration::from_millis(5)));
    assert_eq!(ask(&client, "f", &user("user1")), (true, HEALTHY));
    // The child keeps the segments that it has: a new stream would begin without them.
    service.answer_always("/all", Answer::status(503));
    // A thread of the parent's is asking when the process forks.
    store.is(Mood::Hangs);
    thread::scope(|scope| {
        let asking = scope.spawn(|| ask(&client, "f", &user("user2")));
        eventually("the store was asked", || (store.asked() == 2).then_some(()));
        // Not one of the store's own threads holds its lock while the process forks.
        let held = store.0.0.lock().unwrap();
        let child = in_child(|| {
            drop(held);
            store.is(Mood::Answers);
            let known = ask(&client, "f", &user("user1")) == (true, HEALTHY) && store.asked() == 2;
            let asked = ask(&client, "f", &user("user2")) == (false, HEALTHY) && store.asked() == 3;
            store.is(Mood::Fails);
            let polled = becomes(|| status(&client) == (false, false));
            client.close();
            known && asked && polled
        });
        assert_eq!(child, 0);
        store.is(Mood::Answers);
        assert_eq!(asking.join().unwrap(), (false, HEALTHY));
    });
}

#[test]
fn options_that_cannot_be_are_refused() {
    let config = |options: BigSegments| Config::new("sdk-key").big_segments(options);
    let big_segments = || BigSegments::new(Store::new());
    let refused = |options| Client::start(config(options)).expect_err("it is refused").to_string();
    assert_eq!(
        refused(big_segments().timeout(Duration::ZERO)),
        "the time-out of big segments is 0ns, and must be at least 1ms"
    );
    assert_eq!(
        refused(big_segments().status_poll_interval(Duration::ZERO)),
        "the status poll interval of big segments is 0ns, and must be at least 1ms"
    );
}

#[test]
fn endless_times_are_as_good_as_never() {
    let store = Store::new();
    let endless = BigSegments::new(store.clone())
        .timeout(Duration::MAX)
        .context_cache_time(Duration::MAX)
        .stale_after(Duration::MAX)
        .status_poll_interval(Duration::MAX);
    let (_service, client) = client_asking(endless);
    assert_eq!(ask(&client, "f", &user("user1")), (true, HEALTHY));
    assert_eq!(status(&client), (true, false));
}
