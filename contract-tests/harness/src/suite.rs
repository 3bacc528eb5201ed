//! Groups of tests, which of them run, several at a time.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt};

use crate::adapter::Adapter;
use crate::options::Options;
use crate::report;
use crate::scene::Scene;

/// A test that takes longer has hung.
const LONGEST: Duration = Duration::from_secs(120);
const LONGEST_OF_LONG_RUNNING: Duration = Duration::from_secs(600);

/// How a test ends: well, or with what is wrong.
pub(crate) type Verdict = Result<(), String>;

type Running = Pin<Box<dyn Future<Output = Verdict> + Send>>;
type Body = Arc<dyn Fn(Scene) -> Running + Send + Sync>;

#[derive(Default)]
pub(crate) struct Suite {
    pub(crate) groups: Vec<Group>,
}

/// Tests of one part of the protocol, which need the same of an SDK.
pub(crate) struct Group {
    pub(crate) name: String,
    needs: Vec<&'static str>,
    persistence: bool,
    long_running: bool,
    pub(crate) tests: Vec<Test>,
}

#[derive(Clone)]
pub(crate) struct Test {
    /// A sentence.
    pub(crate) name: String,
    body: Body,
}

/// How a group went.
pub(crate) struct Outcome {
    pub(crate) group: String,
    pub(crate) passed: usize,
    pub(crate) failures: Vec<Failure>,
    pub(crate) skipped: usize,
    /// Why, if any were.
    pub(crate) skipped_because: Option<String>,
    pub(crate) took: Duration,
}

pub(crate) struct Failure {
    pub(crate) test: String,
    pub(crate) what: String,
    /// What was said between the SDK, its adapter and us.
    pub(crate) exchanges: Vec<String>,
}

impl Suite {
    /// Begins a group. Its name starts with the section of the protocol reference.
    pub(crate) fn group(&mut self, name: impl Into<String>) -> &mut Group {
        self.groups.push(Group {
            name: name.into(),
            needs: vec!["server-side"],
            persistence: false,
            long_running: false,
            tests: Vec::new(),
        });
        let last = self.groups.len() - 1;
        &mut self.groups[last]
    }

    /// Runs what is wanted of it, and says how each group went as soon as it is known.
    pub(crate) async fn run(self, adapter: &Arc<Adapter>, options: &Options) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        let mut wanted = Vec::new();
        for (index, group) in self.groups.into_iter().enumerate() {
            let reason = group.skip_because(adapter, options);
            let longest = if group.long_running { LONGEST_OF_LONG_RUNNING } else { LONGEST };
            let tests: Vec<Test> = group
                .tests
                .into_iter()
                .filter(|test| match &options.run {
                    Some(pattern) => format!("{} / {}", group.name, test.name).contains(pattern.as_str()),
                    None => true,
                })
                .collect();
            let skipped = if reason.is_some() { tests.len() } else { 0 };
            outcomes.push(Outcome {
                group: group.name,
                passed: 0,
                failures: Vec::new(),
                skipped,
                skipped_because: reason.filter(|_| skipped > 0),
                took: Duration::ZERO,
            });
            if skipped == 0 {
                wanted.extend(tests.into_iter().map(|test| (index, test, longest)));
            }
        }
        let mut left: Vec<usize> = vec![0; outcomes.len()];
        wanted.iter().for_each(|(index, ..)| left[*index] += 1);
        // The longest begin first, so that none is left to run alone at the end.
        wanted.sort_by_key(|(_, _, longest)| std::cmp::Reverse(*longest));
        let mut ended = stream::iter(wanted)
            .map(|(index, test, longest)| {
                let scene = Scene::new(adapter.clone());
                async move {
                    let started = Instant::now();
                    let verdict = run_one(&test, scene.clone(), longest).await;
                    scene.clear().await;
                    (index, test, verdict, started.elapsed(), scene.exchanges())
                }
            })
            .buffer_unordered(options.parallel.max(1));
        while let Some((index, test, verdict, took, exchanges)) = ended.next().await {
            let outcome = &mut outcomes[index];
            outcome.took += took;
            if options.verbose {
                report::test(&outcome.group, &test.name, verdict.is_ok(), took);
            }
            match verdict {
                Ok(()) => outcome.passed += 1,
                Err(what) => outcome.failures.push(Failure { test: test.name, what, exchanges }),
            }
            left[index] -= 1;
            if left[index] == 0 {
                report::group(outcome);
            }
        }
        outcomes.iter().filter(|outcome| outcome.skipped > 0).for_each(report::group);
        outcomes
    }
}

/// A test that panics is a fault of ours, but ends like any other.
async fn run_one(test: &Test, scene: Scene, longest: Duration) -> Verdict {
    let task = tokio::spawn((test.body)(scene));
    let abort = task.abort_handle();
    match tokio::time::timeout(longest, task).await {
        Ok(Ok(verdict)) => verdict,
        Ok(Err(panic)) => Err(format!("the test itself broke: {panic}")),
        Err(_) => {
            abort.abort();
            Err(format!("the test had not ended after {longest:?}"))
        }
    }
}

impl Group {
    /// What an SDK must claim for the group to run.
    pub(crate) fn needs(&mut self, capability: &'static str) -> &mut Self {
        self.needs.push(capability);
        self
    }

    /// Runs only with `--enable-persistence-tests`.
    pub(crate) fn persistence(&mut self) -> &mut Self {
        self.persistence = true;
        self
    }

    /// Runs only with `--enable-long-running-tests`.
    pub(crate) fn long_running(&mut self) -> &mut Self {
        self.long_running = true;
        self
    }

    /// Adds a test; its name is a sentence.
    pub(crate) fn test<F, R>(&mut self, name: impl Into<String>, body: F) -> &mut Self
    where
        F: Fn(Scene) -> R + Send + Sync + 'static,
        R: Future<Output = Verdict> + Send + 'static,
    {
        let body: Body = Arc::new(move |scene| Box::pin(body(scene)));
        self.tests.push(Test { name: name.into(), body });
        self
    }

    fn skip_because(&self, adapter: &Adapter, options: &Options) -> Option<String> {
        if let Some(missing) = self.needs.iter().find(|capability| !adapter.can(capability)) {
            return Some(format!("`{missing}` is not claimed"));
        }
        if self.persistence && !options.enable_persistence_tests {
            return Some("without --enable-persistence-tests".to_owned());
        }
        if self.long_running && !options.enable_long_running_tests {
            return Some("without --enable-long-running-tests".to_owned());
        }
        None
    }
}
