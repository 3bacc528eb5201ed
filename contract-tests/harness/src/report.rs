//! What is printed.

use std::io::Write as _;
use std::time::Duration;

use crate::adapter::Adapter;
use crate::suite::{Outcome, Suite};

/// So many of the last exchanges stand under a failure.
const EXCHANGES: usize = 14;

/// To stdout; that nobody reads it is no reason to stop.
fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

pub(crate) fn problem(what: &str) {
    let _ = writeln!(std::io::stderr(), "conformance: {what}");
}

pub(crate) fn list(suite: &Suite) {
    for group in &suite.groups {
        say(format_args!("{} ({})", group.name, group.tests.len()));
        for test in &group.tests {
            say(format_args!("    {}", test.name));
        }
    }
    let count: usize = suite.groups.iter().map(|group| group.tests.len()).sum();
    say(format_args!("{count} tests in {} groups", suite.groups.len()));
}

pub(crate) fn introduce(adapter: &Adapter) {
    say(format_args!(
        "{} {} claims {} capabilities: {}",
        adapter.name,
        adapter.version,
        adapter.capabilities.len(),
        adapter.capabilities.iter().map(String::as_str).collect::<Vec<_>>().join(" "),
    ));
}

pub(crate) fn test(group: &str, name: &str, passed: bool, took: Duration) {
    let verdict = if passed { "ok" } else { "FAILED" };
    say(format_args!("{verdict:6} {:7.2} s  {group} / {name}", took.as_secs_f64()));
}

pub(crate) fn group(outcome: &Outcome) {
    let mut line = format!("{:58} {:4} passed", outcome.group, outcome.passed);
    if !outcome.failures.is_empty() {
        line.push_str(&format!(", {} FAILED", outcome.failures.len()));
    }
    if let Some(reason) = &outcome.skipped_because {
        line.push_str(&format!(", {} skipped: {reason}", outcome.skipped));
    }
    say(format_args!("{line}"));
}

/// The failures, and the last lines. Gives whether all went well.
pub(crate) fn summary(outcomes: &[Outcome], stand_ins: &[String]) -> bool {
    for outcome in outcomes {
        for failure in &outcome.failures {
            say(format_args!(
                "\nFAILED {} / {}\n    {}",
                outcome.group,
                failure.test,
                indented(&failure.what)
            ));
            let skipped = failure.exchanges.len().saturating_sub(EXCHANGES);
            for exchange in &failure.exchanges[skipped..] {
                say(format_args!("      | {}", indented(exchange)));
            }
        }
    }
    let sum = |count: fn(&Outcome) -> usize| outcomes.iter().map(count).sum::<usize>();
    let failed = sum(|outcome| outcome.failures.len());
    say(format_args!(
        "\n{} passed, {failed} failed, {} skipped",
        sum(|outcome| outcome.passed),
        sum(|outcome| outcome.skipped)
    ));
    let databases = match stand_ins {
        [] => String::new(),
        names => format!("; stand-in databases: {}", names.join(", ")),
    };
    say(format_args!("public harness: not installed (stand-in suite){databases}"));
    failed == 0
}

fn indented(text: &str) -> String {
    text.replace('\n', "\n      ")
}
