//! What one test has in its hands: endpoints for the SDK to talk to, and clients to command.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::AbortHandle;

use crate::adapter::{Adapter, Reply};
use crate::expect::equal;
use crate::flags::{put, user, with};
use crate::mock::{Answer, Authority, Certificate, Endpoint, Log, excerpt};

/// How long something may take that takes a moment: ten times that, and the machine is shared.
pub(crate) const SOON: Duration = Duration::from_secs(10);
/// How long it is watched that something does not happen.
pub(crate) const A_WHILE: Duration = Duration::from_millis(400);

/// The SDK key of every client that is not given another.
pub(crate) const SDK_KEY: &str = "sdk-01234567-89ab-cdef-0123-456789abcdef";

#[derive(Clone)]
pub(crate) struct Scene(Arc<Inner>);

struct Inner {
    adapter: Arc<Adapter>,
    log: Log,
    /// The clients that were made and not closed by the test.
    clients: Mutex<Vec<String>>,
    /// Endpoints, which outlive the clients.
    endpoints: Mutex<Vec<AbortHandle>>,
}

impl Scene {
    pub(crate) fn new(adapter: Arc<Adapter>) -> Self {
        let (clients, endpoints) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Inner { adapter, log: Log::default(), clients, endpoints }))
    }

    pub(crate) fn can(&self, capability: &str) -> bool {
        self.0.adapter.can(capability)
    }

    /// What was said so far.
    pub(crate) fn exchanges(&self) -> Vec<String> {
        self.0.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Closes what the test left open.
    pub(crate) async fn clear(&self) {
        let clients: Vec<String> = self.clients().drain(..).collect();
        for client in clients {
            if let Err(error) = self.0.adapter.delete(&client).await {
                self.note(error);
            }
        }
        self.endpoints().drain(..).for_each(|endpoint| endpoint.abort());
    }

    /// An endpoint that answers every request with the same, until told otherwise.
    pub(crate) async fn endpoint(&self, name: &'static str, answer: Answer) -> Result<Endpoint, String> {
        let endpoint = Endpoint::start(name, self.0.log.clone(), answer).await?;
        self.endpoints().push(endpoint.accepting.clone());
        Ok(endpoint)
    }

    /// The same behind TLS.
    pub(crate) async fn secure_endpoint(
        &self,
        name: &'static str,
        answer: Answer,
        certificate: &Certificate,
    ) -> Result<Endpoint, String> {
        let log = self.0.log.clone();
        let endpoint = Endpoint::start_on(name, log, answer, Some(certificate)).await?;
        self.endpoints().push(endpoint.accepting.clone());
        Ok(endpoint)
    }

    pub(crate) fn authority(&self) -> Result<Authority, String> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        Authority::new(&COUNT.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// A streaming service whose streams begin with these flags.
    pub(crate) async fn streaming(&self, data: &Value) -> Result<Endpoint, String> {
        self.endpoint("stream", Answer::events([put(data)])).await
    }

    /// A polling service with these flags.
    pub(crate) async fn polling(&self, data: &Value) -> Result<Endpoint, String> {
        self.endpoint("poll", Answer::json(data.to_string())).await
    }

    /// A service that takes events.
    pub(crate) async fn sink(&self) -> Result<Sink, String> {
        Ok(Sink::new(self.endpoint("events", Answer::status(202)).await?))
    }

    /// A client with this configuration, which must be ready in time. What it leaves out of credential
    /// and start time is filled in.
    pub(crate) async fn client(&self, configuration: Value) -> Result<Client, String> {
        match self.try_client(configuration).await? {
            Ok(client) => Ok(client),
            Err(reply) => {
                Err(format!("the client could not be created: status {}, {}", reply.status, reply.body))
            }
        }
    }

    /// A client that was created, or how the adapter said no.
    pub(crate) async fn try_client(&self, configuration: Value) -> Result<Result<Client, Reply>, String> {
        let configuration = with(json!({"credential": SDK_KEY, "startWaitTimeMs": 5000}), configuration);
        let body = json!({"tag": "conformance", "configuration": configuration});
        self.note(format!("harness: POST / {}", excerpt(&body.to_string())));
        let reply = self.0.adapter.create(&body).await?;
        self.note(format!("adapter: {} {}", reply.status, excerpt(&reply.body)));
        if !(200..300).contains(&reply.status) {
            return Ok(Err(reply));
        }
        let Some(location) = &reply.location else {
            return Err("the client was created, but there is no `Location` header".to_owned());
        };
        let url = self.0.adapter.resolve(location);
        self.clients().push(url.clone());
        Ok(Ok(Client { scene: self.clone(), url }))
    }

    /// A client that streams these flags, and the service it streams from.
    pub(crate) async fn streaming_client(&self, data: &Value) -> Result<(Client, Endpoint), String> {
        let service = self.streaming(data).await?;
        let client = self.client(json!({"streaming": {"baseUri": service.url}})).await?;
        Ok((client, service))
    }

    /// A client that streams these flags and reports to the sink; `events` is added to that part of
    /// its configuration.
    pub(crate) async fn reporting_client(
        &self,
        data: &Value,
        events: Value,
    ) -> Result<(Client, Sink, Endpoint), String> {
        let service = self.streaming(data).await?;
        let sink = self.sink().await?;
        // What is expected in one payload is not to be torn in two by an interval that passes.
        let ours = json!({"baseUri": sink.endpoint.url, "flushIntervalMs": 3_600_000});
        let client =
            self.client(json!({"streaming": {"baseUri": service.url}, "events": with(ours, events)})).await?;
        Ok((client, sink, service))
    }

    fn clients(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn endpoints(&self) -> MutexGuard<'_, Vec<AbortHandle>> {
        self.0.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of a question that is asked again and again nothing is kept: how it ends says enough.
    fn forget_question(&self, said: usize) {
        let mut log = self.0.log.lock().unwrap_or_else(PoisonError::into_inner);
        // Unless something else was said meanwhile.
        if log.len() == said + 2 {
            log.truncate(said);
        }
    }

    pub(crate) fn note(&self, line: String) {
        self.0.log.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

/// A client of the SDK, inside the adapter.
#[derive(Clone)]
pub(crate) struct Client {
    scene: Scene,
    url: String,
}

impl Client {
    /// Gives a command; its result, null if there is none.
    pub(crate) async fn command(&self, name: &str, parameters: Value) -> Result<Value, String> {
        let reply = self.raw(json!({"command": name, name: parameters}).to_string()).await?;
        match reply.status {
            200..=299 if reply.body.is_empty() => Ok(Value::Null),
            200..=299 => serde_json::from_str(&reply.body)
                .map_err(|error| format!("`{name}` was answered with no JSON: {error}: {}", reply.body)),
            status => Err(format!("`{name}` was answered with {status}: {}", reply.body)),
        }
    }

    /// Sends anything to the client.
    pub(crate) async fn raw(&self, body: String) -> Result<Reply, String> {
        self.scene.note(format!("harness: POST CLIENT {}", excerpt(&body)));
        let reply = self.scene.0.adapter.tell(&self.url, body).await?;
        self.scene.note(format!("adapter: {} {}", reply.status, excerpt(&reply.body)));
        Ok(reply)
    }

    /// Evaluates with details, as any type.
    pub(crate) async fn detail(&self, flag: &str, context: &Value, default: Value) -> Result<Value, String> {
        self.typed(flag, context, "any", default, true).await
    }

    /// Evaluates as a type.
    pub(crate) async fn typed(
        &self,
        flag: &str,
        context: &Value,
        value_type: &str,
        default: Value,
        detail: bool,
    ) -> Result<Value, String> {
        let parameters = json!({
            "flagKey": flag, "context": context, "valueType": value_type, "defaultValue": default,
            "detail": detail,
        });
        self.command("evaluate", parameters).await
    }

    /// The value of a flag for the usual context.
    pub(crate) async fn value(&self, flag: &str, default: impl Into<Value>) -> Result<Value, String> {
        self.value_for(flag, &user(), default).await
    }

    pub(crate) async fn value_for(
        &self,
        flag: &str,
        context: &Value,
        default: impl Into<Value>,
    ) -> Result<Value, String> {
        let answer = self.typed(flag, context, "any", default.into(), false).await?;
        Ok(answer["value"].clone())
    }

    /// Fails unless the flag has this value now, for the usual context.
    pub(crate) async fn has_value(&self, flag: &str, want: impl Into<Value>) -> Result<(), String> {
        let want = want.into();
        let got = self.value(flag, "default").await?;
        if equal(&got, &want) { Ok(()) } else { Err(format!("`{flag}` is {got}, not {want}")) }
    }

    /// Fails unless the flag soon has this value.
    pub(crate) async fn soon_has_value(&self, flag: &str, want: impl Into<Value>) -> Result<(), String> {
        self.has_value_within(flag, want, SOON).await
    }

    pub(crate) async fn has_value_within(
        &self,
        flag: &str,
        want: impl Into<Value>,
        within: Duration,
    ) -> Result<(), String> {
        let want = want.into();
        let started = Instant::now();
        loop {
            let said = self.scene.0.log.lock().unwrap_or_else(PoisonError::into_inner).len();
            let got = self.value(flag, "default").await?;
            if equal(&got, &want) {
                return Ok(());
            }
            self.scene.forget_question(said);
            if started.elapsed() > within {
                return Err(format!("`{flag}` is still {got} after {within:?}, not {want}"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Every flag for a context, with these options.
    pub(crate) async fn all_flags(&self, context: &Value, options: Value) -> Result<Value, String> {
        let answer = self.command("evaluateAll", with(json!({"context": context}), options)).await?;
        Ok(answer["state"].clone())
    }

    pub(crate) async fn identify(&self, context: &Value) -> Result<(), String> {
        self.command("identifyEvent", json!({"context": context})).await.map(|_| ())
    }

    pub(crate) async fn flush(&self) -> Result<(), String> {
        self.command("flushEvents", json!({})).await.map(|_| ())
    }

    /// Flushes, and gives the events of the payload that arrives.
    pub(crate) async fn flushed(&self, sink: &Sink) -> Result<Vec<Value>, String> {
        self.flush().await?;
        sink.next().await
    }

    /// Closes it; its adapter must then no longer know it.
    pub(crate) async fn close(&self) -> Result<(), String> {
        self.scene.clients().retain(|url| *url != self.url);
        self.scene.note("harness: DELETE CLIENT".to_owned());
        let reply = self.scene.0.adapter.delete(&self.url).await?;
        self.scene.note(format!("adapter: {} {}", reply.status, reply.body));
        if (200..300).contains(&reply.status) {
            return Ok(());
        }
        Err(format!("closing a client was answered with {}: {}", reply.status, reply.body))
    }
}

/// A service that takes events.
pub(crate) struct Sink {
    pub(crate) endpoint: Endpoint,
    /// How many payloads the test has looked at.
    seen: AtomicUsize,
}

impl Sink {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, seen: AtomicUsize::new(0) }
    }

    /// The payloads so far.
    pub(crate) fn payloads(&self) -> Vec<crate::mock::Request> {
        self.endpoint.requests().into_iter().filter(|request| request.path.ends_with("/bulk")).collect()
    }

    /// The diagnostic reports so far.
    pub(crate) fn diagnostics(&self) -> Vec<crate::mock::Request> {
        self.endpoint.requests().into_iter().filter(|request| request.path.ends_with("/diagnostic")).collect()
    }

    /// The events of the next payload.
    pub(crate) async fn next(&self) -> Result<Vec<Value>, String> {
        self.next_within(SOON).await
    }

    pub(crate) async fn next_within(&self, within: Duration) -> Result<Vec<Value>, String> {
        let payload = self.next_payload(within).await?;
        match payload.json()? {
            Value::Array(events) => Ok(events),
            other => Err(format!("a payload of events is no list: {other}")),
        }
    }

    /// The next payload as it came.
    pub(crate) async fn next_payload(&self, within: Duration) -> Result<crate::mock::Request, String> {
        let number = self.seen.load(Ordering::Relaxed);
        let payload = nth(within, number, || self.payloads())
            .await
            .ok_or_else(|| format!("payload {} of events did not come within {within:?}", number + 1))?;
        self.seen.store(number + 1, Ordering::Relaxed);
        Ok(payload)
    }

    /// Fails if another payload comes within this time.
    pub(crate) async fn nothing_within(&self, within: Duration) -> Result<(), String> {
        match self.next_payload(within).await {
            Ok(payload) => Err(format!(
                "there should be no further events, but there are {}",
                String::from_utf8_lossy(&payload.plain_body()?)
            )),
            Err(_) => Ok(()),
        }
    }

    /// The diagnostic report with this number, from 0.
    pub(crate) async fn diagnostic(&self, number: usize) -> Result<crate::mock::Request, String> {
        nth(SOON, number, || self.diagnostics())
            .await
            .ok_or_else(|| format!("diagnostic report {} did not come within {SOON:?}", number + 1))
    }
}

/// The element with this number of a list that grows, once it is there.
async fn nth<T>(within: Duration, number: usize, list: impl Fn() -> Vec<T>) -> Option<T> {
    let started = Instant::now();
    loop {
        let mut list = list();
        if number < list.len() {
            return Some(list.swap_remove(number));
        }
        if started.elapsed() > within {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Those events of a payload that are of a kind.
pub(crate) fn of_kind(events: &[Value], kind: &str) -> Vec<Value> {
    events.iter().filter(|event| event["kind"] == kind).cloned().collect()
}

/// The only event of a kind.
pub(crate) fn only(events: &[Value], kind: &str) -> Result<Value, String> {
    match of_kind(events, kind).as_slice() {
        [event] => Ok(event.clone()),
        found => Err(format!(
            "expected one `{kind}` event, but there are {} in {}",
            found.len(),
            Value::from(events)
        )),
    }
}
