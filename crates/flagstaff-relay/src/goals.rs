//! What browsers are to report: clicks and page views that metrics upstream count. Asked for now and then, and
//! handed on as it is answered; what was known last holds while upstream does not answer.
//!
//! Source: the protocol's *Goals*.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::HeaderValue;
use axum::http::header::{ETAG, IF_NONE_MATCH};
use flagstaff_sdk::{ConfigError, describe_http_error, http_client};
use flagstaff_service::live_environment::{Goals, LiveEnvironment};
use flagstaff_service::store::EnvironmentId;
use flagstaff_wire::paths;
use futures_util::StreamExt as _;
use tokio::time::timeout;

use crate::SharedRelay;
use crate::config::Upstream;
use crate::environment::client_config;

/// How often they are asked for.
const EVERY: Duration = Duration::from_secs(60);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// An answer is never larger.
const LARGEST: usize = 1024 * 1024;
/// So many environments are asked about at the same time.
const AT_ONCE: usize = 8;

/// Asks upstream what browsers are to report.
#[derive(Debug)]
pub(crate) struct Asking {
    client: reqwest::Client,
    upstream: Upstream,
    known: HashMap<EnvironmentId, Known>,
}

/// What was asked about an environment.
#[derive(Clone, Debug)]
struct Known {
    client_side_id: String,
    /// Upstream's, of what it answered last.
    tag: Option<HeaderValue>,
    asked: Instant,
}

/// What is asked about.
struct Question {
    client_side_id: String,
    tag: Option<HeaderValue>,
    live: Arc<LiveEnvironment>,
}

enum Answer {
    Unchanged,
    Goals(Goals, Option<HeaderValue>),
}

impl Asking {
    /// Asks nobody yet.
    ///
    /// # Errors
    /// If upstream cannot be reached as it is configured.
    pub(crate) fn new(upstream: &Upstream) -> Result<Self, ConfigError> {
        let client = http_client(client_config(upstream, ""))?;
        Ok(Self { client, upstream: upstream.clone(), known: HashMap::new() })
    }

    /// Keeps all environments up to date until the process stops, new ones from the start.
    pub(crate) async fn follow(mut self, relay: SharedRelay) {
        let stopping = relay.serving.stopping.clone();
        stopping
            .run_until_cancelled(async move {
                let mut changes = relay.serving.live.changes();
                loop {
                    changes.mark_unchanged();
                    self.ask_about(&relay).await;
                    tokio::select! {
                        () = tokio::time::sleep(self.every() / 2) => {}
                        changed = changes.changed() => if changed.is_err() { return },
                    }
                }
            })
            .await;
    }

    async fn ask_about(&mut self, relay: &SharedRelay) {
        let questions = self.questions(relay);
        let asker = &*self;
        let answers = futures_util::stream::iter(questions).map(|question| async move {
            let answer = timeout(PATIENCE, asker.ask(&question)).await;
            (question, answer.unwrap_or_else(|_| Err(format!("there was no answer for {PATIENCE:?}"))))
        });
        let answers: Vec<_> = answers.buffer_unordered(AT_ONCE).collect().await;
        for (Question { client_side_id, mut tag, live }, answer) in answers {
            match answer {
                Ok(Answer::Unchanged) => {}
                Ok(Answer::Goals(goals, new_tag)) => {
                    live.tell_goals(goals);
                    tag = new_tag;
                }
                Err(why) => tracing::debug!(
                    "upstream does not say what browsers of `{client_side_id}` are to report, what was known holds: {why}"
                ),
            }
            self.known.insert(live.id(), Known { client_side_id, tag, asked: Instant::now() });
        }
    }

    /// Whom it is time to ask about.
    fn questions(&mut self, relay: &SharedRelay) -> Vec<Question> {
        let mut questions = Vec::<Question>::new();
        let mut known = HashMap::new();
        for environment in relay.environments_now() {
            let (settings, live) = (environment.settings(), environment.live());
            let (Some(client_side_id), None) = (settings.client_side_id, &settings.source) else { continue };
            let before = self.known.remove(&live.id()).filter(|known| known.client_side_id == client_side_id);
            let is_due = before.as_ref().is_none_or(|known| known.asked.elapsed() >= self.every() / 2);
            let tag = before.as_ref().and_then(|known| known.tag.clone());
            known.extend(before.map(|before| (live.id(), before)));
            if is_due {
                questions.push(Question { client_side_id, tag, live: live.clone() });
            }
        }
        self.known = known;
        questions
    }

    async fn ask(&self, question: &Question) -> Result<Answer, String> {
        let url = paths::join(&self.upstream.client_side, &format!("/sdk/goals/{}", question.client_side_id));
        let mut request = self.client.get(url);
        if let Some(tag) = &question.tag {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let mut response = request.send().await.map_err(|error| describe_http_error(&error))?;
        match response.status().as_u16() {
            200 => {}
            304 => return Ok(Answer::Unchanged),
            status => return Err(format!("it answered {status}")),
        }
        let tag = response.headers().get(ETAG).cloned();
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| describe_http_error(&error))? {
            body.extend_from_slice(&piece);
            if body.len() > LARGEST {
                return Err(format!("its answer has more than {LARGEST} bytes"));
            }
        }
        let goals =
            Goals::received(body.into()).map_err(|error| format!("its answer cannot be read: {error}"))?;
        Ok(Answer::Goals(goals, tag))
    }

    fn every(&self) -> Duration {
        EVERY / self.upstream.time_factor
    }
}
