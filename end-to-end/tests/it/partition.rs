//! Redis vanishes behind a network that drops everything without a word (R11): not even a connection is
//! refused. A program that uses it notices by its time-out once, and from then on is served from memory.
//!
//! In CI it is away for some seconds; `make soak` keeps it away for a minute (`FLAGSTAFF_PARTITION_SECONDS`).

use std::thread::sleep;
use std::time::{Duration, Instant};

use flagstaff_sdk::{Caching, Client, Config, Context, PersistentDataStore, Redis as RedisStore};

use crate::support::redis::Redis;
use crate::support::service::Service;
use crate::support::{alone, eventually, say};

const PATIENCE: Duration = Duration::from_secs(50);

#[test]
fn a_redis_that_vanishes_is_noticed_and_memory_serves_until_it_is_back_and_whole() {
    let Some(redis) = Redis::start_apart() else { return };
    let _alone = alone();
    let away = match std::env::var("FLAGSTAFF_PARTITION_SECONDS") {
        Ok(seconds) => Duration::from_secs(seconds.parse().expect("a number of seconds")),
        Err(_) => Duration::from_secs(5),
    };
    let service = Service::start();
    let ids = service.make_steps("steps", 3);
    let store = PersistentDataStore::new(RedisStore::new(redis.url()))
        .caching(Caching::For(Duration::from_millis(200)));
    let config = Config::new("sdk-demo-production").base_uri(service.url()).data_store(store);
    let client = Client::start(config).unwrap();
    assert!(client.wait_until_ready(PATIENCE));
    let context = Context::from_key("u").unwrap();
    let step = |wanted: i64| {
        eventually(PATIENCE, || match client.variation("steps", &context, -1_i64) {
            step if step == wanted => Ok(()),
            step => Err(format!("step {step} instead of {wanted}")),
        });
    };
    step(0);

    redis.set_cut_off(true);
    let cut_off = Instant::now();
    let mut noticed = None;
    let mut times = Vec::new();
    let mut is_stepped = false;
    while cut_off.elapsed() < away {
        let asked = Instant::now();
        let value = client.variation("steps", &context, -1_i64);
        times.push(asked.elapsed());
        assert!((0..=1).contains(&value), "{value}");
        if noticed.is_none() && !client.data_store_status().available {
            noticed = Some(cut_off.elapsed());
        }
        if !is_stepped && cut_off.elapsed() > away / 2 {
            service.serve("steps", &ids[1]);
            is_stepped = true;
        }
        sleep(Duration::from_micros(200));
    }
    step(1);
    let noticed = noticed.expect("that Redis is away was noticed");

    redis.set_cut_off(false);
    let healed = Instant::now();
    eventually(PATIENCE, || client.data_store_status().available.then_some(()).ok_or("not available".into()));
    let back = healed.elapsed();
    let stored = redis.ask(&["HGET", "launchdarkly:features", "steps"]);
    let stored: serde_json::Value = serde_json::from_str(&stored).expect("the flag is in Redis");
    assert_eq!(stored["fallthrough"]["variation"], 1, "the change made meanwhile is there");
    service.serve("steps", &ids[2]);
    step(2);

    times.sort_unstable();
    let p99 = times[times.len() * 99 / 100];
    let longest = times.last().expect("there were evaluations");
    say(&format!(
        "{} evaluations while Redis was away: 99 % within {p99:.0?}, the longest {longest:.1?}; noticed after \
         {noticed:.1?}, whole again {back:.1?} after it was back",
        times.len(),
    ));
    // One evaluation waits for Redis, for a second.
    let slow = times.iter().filter(|time| **time > Duration::from_millis(500)).count();
    assert!(slow <= 2, "{slow} evaluations waited");
}
