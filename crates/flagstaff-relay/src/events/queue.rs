//! Payloads that wait to be forwarded: a lane for each environment, so that one whose events upstream does not take
//! holds up no other. Bounded for each and altogether.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use flagstaff_service::live_environment::LiveEnvironment;
use flagstaff_service::store::EnvironmentId;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Payload;

/// How much may wait altogether, in bytes.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// How many payloads of one environment are sent at the same time.
const MOST_AT_ONCE: usize = 16;
/// How long before a payload is tried again when upstream was away.
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest time between two tries while upstream is away.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// So often a payload may not be taken while others of its environment are.
const MOST_ALONE: u32 = 20;

/// Payloads that wait to be forwarded.
#[derive(Debug)]
pub(super) struct Queue {
    /// How many events of one environment may wait before another payload of it is refused.
    capacity: usize,
    /// For tests: pauses are so much shorter.
    time_factor: u32,
    state: Mutex<State>,
    /// Somebody may go on: there is a payload, or there will be none.
    changed: Notify,
    /// Cancelled when no more payloads come.
    over: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    /// The names of environments that are relayed, and of their parts.
    names: HashMap<EnvironmentId, Arc<str>>,
    lanes: BTreeMap<Arc<str>, Lane>,
    /// Whose turn it was last.
    last: Option<Arc<str>>,
    bytes: usize,
}

/// The payloads of one environment.
#[derive(Debug, Default)]
struct Lane {
    /// As it is, or was last; none if it has not been relayed since the start.
    environment: Option<Arc<LiveEnvironment>>,
    is_relayed: bool,
    waiting: VecDeque<Waiting>,
    /// How many events there are, those that are being kept or sent among them.
    events: usize,
    sending: usize,
    delivered: u64,
    /// Upstream was away: nothing is sent until then, and after that one payload, until one is delivered.
    paused: Option<Instant>,
    pause: Duration,
}

/// There is no room for a payload.
#[derive(Debug)]
pub(super) struct Full {
    /// How many events of its environment wait.
    pub(super) waiting: usize,
}

/// Room for a payload, given back when dropped.
#[derive(Debug)]
pub(super) struct Room {
    queue: Arc<Queue>,
    name: Arc<str>,
    events: usize,
    bytes: usize,
}

/// A payload that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) payload: Box<Payload>,
    /// Its number on disk, if it is there.
    pub(super) kept: Option<u64>,
    _room: Room,
    /// How often it was not taken while others were.
    alone: u32,
    /// How many of its environment had been delivered when it was tried last.
    tried_at: Option<u64>,
}

/// A payload that is being sent.
#[derive(Debug)]
pub(super) struct Taken {
    queue: Arc<Queue>,
    pub(super) environment: Arc<LiveEnvironment>,
    /// None once it is settled.
    waiting: Option<Waiting>,
    name: Arc<str>,
}

impl Room {
    /// The name of the environment that it is for.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl Queue {
    pub(super) fn new(capacity: usize, time_factor: u32) -> Self {
        let (state, changed, over) = (Mutex::default(), Notify::new(), CancellationToken::new());
        Self { capacity, time_factor, state, changed, over }
    }

    /// These are relayed from now on, by their names, each with the numbers by which its events come.
    pub(super) fn serves(&self, all: Vec<(String, Arc<LiveEnvironment>, Vec<EnvironmentId>)>) {
        let mut state = self.state();
        state.names.clear();
        state.lanes.values_mut().for_each(|lane| lane.is_relayed = false);
        for (name, environment, numbers) in all {
            let name = Arc::<str>::from(name);
            state.names.extend(numbers.into_iter().map(|number| (number, name.clone())));
            let lane = state.lanes.entry(name).or_default();
            (lane.environment, lane.is_relayed) = (Some(environment), true);
        }
        state.lanes.retain(|_, lane| lane.is_relayed || lane.events > 0);
        drop(state);
        self.changed.notify_one();
    }

    /// The name by which an environment is relayed, if it is.
    pub(super) fn name_of(&self, environment: EnvironmentId) -> Option<Arc<str>> {
        self.state().names.get(&environment).cloned()
    }

    /// Makes room for a payload, as long as fewer events of its environment wait than may. So there can be more
    /// than that, by one payload: one that is larger than all that may wait has to be forwarded too.
    pub(super) fn room(self: &Arc<Self>, name: Arc<str>, payload: &Payload) -> Result<Room, Full> {
        let mut state = self.state();
        let waiting = state.lanes.get(&name).map_or(0, |lane| lane.events);
        if waiting >= self.capacity || state.bytes >= MOST_BYTES {
            return Err(Full { waiting });
        }
        Ok(self.reserve(&mut state, name, payload))
    }

    /// The same for one that was taken before, however much waits.
    pub(super) fn room_for_known(self: &Arc<Self>, name: Arc<str>, payload: &Payload) -> Room {
        self.reserve(&mut self.state(), name, payload)
    }

    fn reserve(self: &Arc<Self>, state: &mut State, name: Arc<str>, payload: &Payload) -> Room {
        let (events, bytes) = (payload.count, payload.body.len());
        state.lanes.entry(name.clone()).or_default().events += events;
        state.bytes += bytes;
        Room { queue: self.clone(), name, events, bytes }
    }

    /// Takes a payload in.
    pub(super) fn push(&self, room: Room, payload: Payload, kept: Option<u64>) {
        let name = room.name.clone();
        let waiting = Waiting { payload: Box::new(payload), kept, _room: room, alone: 0, tried_at: None };
        self.state().lanes.entry(name).or_default().waiting.push_back(waiting);
        self.changed.notify_one();
    }

    /// The next payload, of each environment in turn; none if there will be none any more.
    pub(super) async fn next(self: &Arc<Self>) -> Option<Taken> {
        loop {
            let until = {
                let mut state = self.state();
                match state.next(Instant::now()) {
                    Next::Taken(name, environment, waiting) => {
                        // Another may find another.
                        self.changed.notify_one();
                        return Some(Taken {
                            queue: self.clone(),
                            environment,
                            waiting: Some(waiting),
                            name,
                        });
                    }
                    Next::None if self.over.is_cancelled() => {
                        // Whoever waits beside this one learns of it too.
                        self.changed.notify_one();
                        return None;
                    }
                    Next::None => None,
                    Next::Later(until) => until,
                }
            };
            let paused = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.changed.notified() => {}
                () = paused => {}
            }
        }
    }

    /// No more payloads come: those that wait are to be sent soon.
    pub(super) fn finish(&self) {
        self.over.cancel();
        let soon = Instant::now() + FIRST_PAUSE / self.time_factor;
        for lane in self.state().lanes.values_mut() {
            lane.paused = lane.paused.map(|until| until.min(soon));
        }
        self.changed.notify_one();
    }

    /// Cancelled when no more payloads come.
    pub(super) fn over(&self) -> &CancellationToken {
        &self.over
    }

    /// How many events wait, those among them that are being sent.
    pub(super) fn waiting(&self) -> usize {
        self.state().lanes.values().map(|lane| lane.events).sum()
    }

    /// The payloads of environments that are not known, which leave the queue.
    pub(super) fn of_nobody(&self) -> Vec<Waiting> {
        let mut state = self.state();
        let unknown = state.lanes.values_mut().filter(|lane| lane.environment.is_none());
        unknown.flat_map(|lane| std::mem::take(&mut lane.waiting)).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What there is to send.
enum Next {
    Taken(Arc<str>, Arc<LiveEnvironment>, Waiting),
    /// There may be something, at this time at the latest, or when something else is done.
    Later(Option<Instant>),
    /// Nothing waits, and nothing is being sent that may come back.
    None,
}

impl State {
    fn next(&mut self, now: Instant) -> Next {
        let after = self.last.clone();
        let in_turn = match &after {
            // Behind the one whose turn it was, and around.
            Some(last) => {
                let behind = self.lanes.range::<Arc<str>, _>((Excluded(last), Unbounded));
                behind.chain(self.lanes.range::<Arc<str>, _>(..=last.clone())).collect::<Vec<_>>()
            }
            None => self.lanes.iter().collect(),
        };
        let (mut found, mut until, mut may_come) = (None, None::<Instant>, false);
        for (name, lane) in in_turn {
            let Some(environment) = &lane.environment else { continue };
            may_come |= lane.sending > 0 || !lane.waiting.is_empty();
            if lane.waiting.is_empty() {
                continue;
            }
            let is_free = match lane.paused {
                Some(paused) if now < paused => {
                    until = Some(until.map_or(paused, |until| until.min(paused)));
                    false
                }
                Some(_) => lane.sending == 0,
                None => lane.sending < MOST_AT_ONCE,
            };
            if is_free {
                found = Some((name.clone(), environment.clone()));
                break;
            }
        }
        let Some((name, environment)) = found else {
            return if may_come { Next::Later(until) } else { Next::None };
        };
        let lane = self.lanes.get_mut(&name).expect("it was just found");
        lane.sending += 1;
        let waiting = lane.waiting.pop_front().expect("it was not empty");
        self.last = Some(name.clone());
        Next::Taken(name, environment, waiting)
    }
}

impl Taken {
    pub(super) fn payload(&self) -> &Payload {
        &self.waiting().payload
    }

    /// The name of its environment.
    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Upstream has it. Gives its number on disk.
    pub(super) fn delivered(mut self) -> Option<u64> {
        let mut state = self.queue.state();
        if let Some(lane) = state.lanes.get_mut(&self.name) {
            lane.delivered += 1;
            (lane.paused, lane.pause) = (None, Duration::ZERO);
        }
        drop(state);
        self.waiting.take().and_then(|waiting| waiting.kept)
    }

    /// Upstream never will. Gives its number on disk.
    pub(super) fn lost(mut self) -> Option<u64> {
        self.waiting.take().and_then(|waiting| waiting.kept)
    }

    /// Upstream takes nothing at present: it waits on, behind the others. Given back if it is always this one that is
    /// not taken.
    #[must_use]
    pub(super) fn not_now(mut self) -> Option<Self> {
        let mut waiting = self.waiting.take().expect("it is not settled");
        let mut state = self.queue.state();
        let delivered = state.lanes.get(&self.name).map_or(0, |lane| lane.delivered);
        if waiting.tried_at.replace(delivered).is_some_and(|before| before < delivered) {
            waiting.alone += 1;
        }
        if waiting.alone >= MOST_ALONE {
            drop(state);
            self.waiting = Some(waiting);
            return Some(self);
        }
        let now = Instant::now();
        let lane = state.lanes.entry(self.name.clone()).or_default();
        // Those that were sent beside it say nothing new.
        if lane.paused.is_none_or(|until| until <= now) {
            lane.pause = (lane.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
            let pause = if self.queue.over.is_cancelled() { FIRST_PAUSE } else { lane.pause };
            // Several environments wait side by side, and must not come back at once.
            let pause = pause.mul_f64(1.0 - random() / 2.0);
            lane.paused = Some(now + pause / self.queue.time_factor);
        }
        lane.waiting.push_back(waiting);
        None
    }

    fn waiting(&self) -> &Waiting {
        self.waiting.as_ref().expect("it is not settled")
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let left = self.waiting.take();
        let mut state = self.queue.state();
        if let Some(lane) = state.lanes.get_mut(&self.name) {
            lane.sending -= 1;
            // Whoever sent it was stopped.
            lane.waiting.extend(left);
        }
        drop(state);
        self.queue.changed.notify_one();
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        state.bytes -= self.bytes;
        if let Some(lane) = state.lanes.get_mut(&self.name) {
            lane.events -= self.events;
            if lane.events == 0 && lane.sending == 0 && !lane.is_relayed {
                state.lanes.remove(&self.name);
            }
        }
    }
}

/// From 0 to 1.
fn random() -> f64 {
    let (high, _) = uuid::Uuid::new_v4().as_u64_pair();
    (high >> 32) as f64 / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use bytes::Bytes;
    use flagstaff_service::live_environment::Audience;

    use super::*;
    use crate::config::Environment;
    use crate::environment::about;
    use crate::events::Kind;

    /// A queue for environments of these names, with pauses of a thousandth.
    fn queue(names: &[&str], capacity: usize) -> Arc<Queue> {
        let queue = Arc::new(Queue::new(capacity, 1_000));
        let one = |(number, name): (i64, &&str)| {
            let id = EnvironmentId(number);
            let about = about(&Environment::new(*name, format!("sdk-{name}")), id, String::new());
            ((*name).to_owned(), Arc::new(LiveEnvironment::awaiting(about, None)), vec![id])
        };
        queue.serves((1..).zip(names).map(one).collect());
        queue
    }

    fn payload(body: &'static str) -> Payload {
        let (headers, body) = (HeaderMap::new(), Bytes::from_static(body.as_bytes()));
        Payload { audience: Audience::Server, kind: Kind::Events, headers, body, count: 1 }
    }

    fn push(queue: &Arc<Queue>, name: &str, body: &'static str) {
        let payload = payload(body);
        let room = queue.room(name.into(), &payload).unwrap();
        queue.push(room, payload, None);
    }

    async fn next(queue: &Arc<Queue>) -> Taken {
        tokio::time::timeout(Duration::from_secs(60), queue.next()).await.unwrap().unwrap()
    }

    fn body(taken: &Taken) -> &str {
        std::str::from_utf8(&taken.payload().body).unwrap()
    }

    #[tokio::test]
    async fn environments_take_turns_and_none_takes_all_senders() {
        let queue = queue(&["a", "b"], 100);
        for _ in 0..MOST_AT_ONCE + 5 {
            push(&queue, "a", "of a");
        }
        push(&queue, "b", "of b");
        push(&queue, "b", "of b");
        let mut taken = Vec::new();
        for expected in ["of a", "of b", "of a", "of b"] {
            taken.push(next(&queue).await);
            assert_eq!(body(&taken[taken.len() - 1]), expected);
        }
        for _ in 0..MOST_AT_ONCE - 2 {
            taken.push(next(&queue).await);
        }
        // All of its senders are at it.
        assert!(tokio::time::timeout(Duration::from_millis(50), queue.next()).await.is_err());
        assert_eq!(queue.waiting(), MOST_AT_ONCE + 7);
        taken.swap_remove(0).delivered();
        taken.push(next(&queue).await);
        assert_eq!(queue.waiting(), MOST_AT_ONCE + 6);
    }

    #[tokio::test]
    async fn after_an_outage_one_payload_tries_and_the_others_follow_it() {
        let queue = queue(&["a"], 100);
        for body in ["1", "2", "3"] {
            push(&queue, "a", body);
        }
        let (first, second) = (next(&queue).await, next(&queue).await);
        assert!(first.not_now().is_none() && second.not_now().is_none());
        let tries = next(&queue).await;
        assert_eq!(body(&tries), "3", "who was not taken stands behind");
        assert!(tokio::time::timeout(Duration::from_millis(50), queue.next()).await.is_err());
        tries.delivered();
        let both = [next(&queue).await, next(&queue).await];
        assert_eq!(both.each_ref().map(body), ["1", "2"]);
        for taken in both {
            taken.delivered();
        }
        assert_eq!(queue.waiting(), 0);
        queue.finish();
        assert!(queue.next().await.is_none());
    }

    #[tokio::test]
    async fn a_payload_that_alone_is_never_taken_is_given_up() {
        let queue = queue(&["a"], 100);
        push(&queue, "a", "bad");
        let mut rounds = 0;
        loop {
            let taken = next(&queue).await;
            if body(&taken) == "good" {
                taken.delivered();
                continue;
            }
            push(&queue, "a", "good");
            rounds += 1;
            if let Some(alone) = taken.not_now() {
                assert_eq!(body(&alone), "bad");
                alone.lost();
                break;
            }
        }
        assert_eq!(rounds, MOST_ALONE + 1);
        // While nothing is taken, nothing is given up.
        next(&queue).await.delivered();
        push(&queue, "a", "patient");
        for _ in 0..2 * MOST_ALONE {
            assert!(next(&queue).await.not_now().is_none());
        }
        assert_eq!(queue.waiting(), 1);
    }

    #[tokio::test]
    async fn what_belongs_to_nobody_waits_until_all_environments_are_known() {
        let queue = queue(&["a"], 100);
        let known = payload("of old");
        let room = queue.room_for_known("old".into(), &known);
        queue.push(room, known, Some(7));
        assert!(tokio::time::timeout(Duration::from_millis(50), queue.next()).await.is_err());
        assert_eq!(queue.waiting(), 1);
        let gone = queue.of_nobody();
        assert_eq!(gone.iter().map(|waiting| waiting.kept).collect::<Vec<_>>(), [Some(7)]);
        drop(gone);
        assert_eq!(queue.waiting(), 0);
    }
}
