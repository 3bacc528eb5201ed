//! Everything around a program breaks at once: its stream is cut every second, its events are refused, its
//! Redis is killed, comes back empty, and is emptied again while it runs. A flag steps up from 0 meanwhile.
//!
//! Nothing wrong may be served: no client ever sees a default, a value that was never set, or a step back.
//! And every evaluation is accounted for: counted by the service, or in a payload that was refused twice.
//!
//! In CI the events are refused for some seconds, while flushes are quick; `make soak` refuses them for ten
//! minutes, with the flush interval that programs have (`FLAGSTAFF_SINK_DOWN_SECONDS`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use flagstaff_sdk::{Caching, Client, Config, Context, PersistentDataStore, Redis as RedisStore};

use crate::support::proxy::{CuttingProxy, EventSink};
use crate::support::redis::Redis;
use crate::support::service::Service;
use crate::support::{alone, eventually, say};

const FLAG: &str = "steps";
const STEPS: usize = 200;
/// Ten times what it should take.
const PATIENCE: Duration = Duration::from_secs(100);

#[test]
fn nothing_wrong_is_served_and_counts_add_up_while_everything_breaks() {
    let Some(mut redis) = Redis::start() else { return };
    let _alone = alone();
    let sink_down = match std::env::var("FLAGSTAFF_SINK_DOWN_SECONDS") {
        Ok(seconds) => Duration::from_secs(seconds.parse().expect("a number of seconds")),
        Err(_) => Duration::from_secs(6),
    };
    let flush_interval =
        if sink_down > Duration::from_secs(60) { Duration::from_secs(5) } else { Duration::from_millis(500) };
    let service = Service::start();
    let ids = service.make_steps(FLAG, STEPS);
    let stream = CuttingProxy::start(service.url(), Duration::from_secs(1));
    let sink = EventSink::start(service.url());
    let config = || {
        Config::new("sdk-demo-production")
            .base_uri(service.url())
            .stream_uri(stream.url())
            .events_uri(sink.url())
            .initial_reconnect_delay(Duration::from_millis(20))
            .flush_interval(flush_interval)
            .diagnostic_opt_out(true)
    };
    let store = |caching| PersistentDataStore::new(RedisStore::new(redis.url())).caching(caching);

    // One client receives flags and writes them to Redis, one has nothing but Redis.
    let receiving =
        Client::start(config().data_store(store(Caching::For(Duration::from_millis(100))))).unwrap();
    assert!(receiving.wait_until_ready(PATIENCE));
    let reading = config().data_store(store(Caching::Off)).daemon_mode(true);
    let reading = Client::start(reading).unwrap();
    let published = Arc::new(AtomicI64::new(0));
    let traffic = [Traffic::start(&receiving, &published), Traffic::start(&reading, &published)];

    let mut next_step = 1;
    let mut steps_for = |time: Duration| {
        let begun = Instant::now();
        // In a long run the steps are spread over it.
        let pause = (time / 20).max(Duration::from_millis(50));
        while begun.elapsed() < time {
            if next_step < STEPS {
                // Said first: a client may see it before the service's answer is here.
                published.store(next_step as i64, Ordering::SeqCst);
                service.serve(FLAG, &ids[next_step]);
                next_step += 1;
            }
            sleep(pause);
        }
    };
    let flags = service.get("flags/demo?env=production")["items"].as_array().map_or(0, Vec::len);
    let redis_has_all = |redis: &Redis| {
        eventually(PATIENCE, || match redis.ask(&["HLEN", "launchdarkly:features"]) {
            count if count == flags.to_string() => Ok(()),
            count => Err(format!("Redis holds {count} of {flags} flags")),
        });
    };

    steps_for(Duration::from_secs(2));
    redis_has_all(&redis);

    sink.set_down(true);
    steps_for(sink_down / 3);
    redis.kill();
    steps_for(sink_down / 3);
    eventually(PATIENCE, || {
        (!receiving.data_store_status().available).then_some(()).ok_or("available".into())
    });
    redis.start_again();
    let begun = Instant::now();
    redis_has_all(&redis);
    let refilled = begun.elapsed();
    steps_for(sink_down / 3);
    sink.set_down(false);

    assert_eq!(redis.ask(&["FLUSHALL"]), "OK");
    let begun = Instant::now();
    steps_for(Duration::from_millis(500));
    redis_has_all(&redis);
    let repopulated = begun.elapsed();
    steps_for(Duration::from_secs(2));

    let last = published.load(Ordering::SeqCst);
    for traffic in &traffic {
        eventually(PATIENCE, || match traffic.seen.load(Ordering::SeqCst) {
            seen if seen == last => Ok(()),
            seen => Err(format!("step {seen} of {last}")),
        });
    }
    let evaluated: u64 = traffic.into_iter().map(Traffic::stop).sum();
    receiving.close();
    reading.close();
    let counted = eventually(PATIENCE, || {
        let (counted, lost) = (service.evaluations_of(FLAG), sink.lost());
        if counted + lost == evaluated {
            Ok(counted)
        } else {
            Err(format!("{counted} counted, {lost} lost, of {evaluated}"))
        }
    });
    let (attempts, payloads) = sink.attempts();
    say(&format!(
        "{evaluated} evaluations over {last} steps: {counted} counted, {} in payloads given up; {attempts} attempts at \
         {payloads} payloads; {} streams cut; Redis whole again after {refilled:.1?} (killed) and {repopulated:.1?} (emptied)",
        evaluated - counted,
        stream.cuts(),
    ));
    assert!(stream.cuts() > 3 && evaluated > counted, "the faults took place");
    assert!(attempts <= payloads * 2, "{attempts} attempts at {payloads} payloads");
}

/// Evaluates the flag all the time, and fails on anything wrong.
struct Traffic {
    threads: Vec<JoinHandle<()>>,
    ended: Arc<AtomicBool>,
    evaluated: Arc<AtomicU64>,
    /// The highest step any thread has seen.
    seen: Arc<AtomicI64>,
}

impl Traffic {
    fn start(client: &Client, published: &Arc<AtomicI64>) -> Self {
        let (ended, evaluated, seen) = <(Arc<AtomicBool>, Arc<AtomicU64>, Arc<AtomicI64>)>::default();
        let threads = (0..2).map(|thread| {
            let (client, published) = (client.clone(), published.clone());
            let (ended, evaluated, highest) = (ended.clone(), evaluated.clone(), seen.clone());
            spawn(move || {
                let mut last = 0;
                for turn in 0_u64.. {
                    if ended.load(Ordering::SeqCst) {
                        return;
                    }
                    let context = Context::from_key(format!("{thread}-{}", turn % 100)).unwrap();
                    let step: i64 = client.variation(FLAG, &context, -1);
                    evaluated.fetch_add(1, Ordering::SeqCst);
                    let newest = published.load(Ordering::SeqCst);
                    assert!(
                        step >= last && step <= newest,
                        "step {step} after {last}, with {newest} published"
                    );
                    last = step;
                    highest.fetch_max(step, Ordering::SeqCst);
                    sleep(Duration::from_micros(500));
                }
            })
        });
        Self { threads: threads.collect(), ended, evaluated, seen }
    }

    /// How many evaluations there were.
    fn stop(self) -> u64 {
        self.ended.store(true, Ordering::SeqCst);
        self.threads.into_iter().for_each(|thread| thread.join().expect("nothing wrong was served"));
        self.evaluated.load(Ordering::SeqCst)
    }
}
