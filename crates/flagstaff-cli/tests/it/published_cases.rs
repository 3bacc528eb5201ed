//! R29: every published evaluation case through `flagstaff evaluate`.
//!
//! The flags of a case are a file: whatever SDKs read from a file can stand in it, also flags that contradict
//! themselves, which nobody can put into a service.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use flagstaff_testkit::{Expected, PublishedCase, published_cases};
use serde_json::Value;

use crate::process::{Folder, run};

/// The published data's own count.
const EXPECTED_CASES: usize = 728;

#[test]
fn evaluate_answers_every_published_case() {
    let Some(published) = published_cases() else { return };
    let folder = Folder::new("published");
    let (next, cases, untold) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let failures = Mutex::new(Vec::new());
    let take_one_after_the_other = || {
        while let Some((number, document)) = published
            .get(next.fetch_add(1, Relaxed))
            .map(|document| (document.name.replace(' ', "-"), document))
        {
            let file = folder.path().join(format!("{number}.json"));
            std::fs::write(&file, document.data.to_string()).unwrap();
            for case in &document.cases {
                cases.fetch_add(1, Relaxed);
                if case.expected == Expected::WrongType {
                    untold.fetch_add(1, Relaxed);
                } else if let Err(difference) = check(case, file.to_str().unwrap()) {
                    let failure = format!("{} / {}: {difference}", document.name, case.name);
                    failures.lock().unwrap().push(failure);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(take_one_after_the_other);
        }
    });
    let (cases, untold, failures) = (cases.into_inner(), untold.into_inner(), failures.into_inner().unwrap());
    println!(
        "R29: {cases} published cases through `flagstaff evaluate`: {} asked, {} not as published; {untold} are \
         about the type that a program wants, which a command is not told",
        cases - untold,
        failures.len(),
    );
    assert!(failures.is_empty(), "{} of {cases}:\n{}", failures.len(), failures.join("\n"));
    assert_eq!(cases, EXPECTED_CASES);
}

fn check(case: &PublishedCase, file: &str) -> Result<(), String> {
    // There are no users at the command line, only what they are today.
    let context = case.context_of_today().unwrap_or_else(|| case.context.clone()).to_string();
    let output = run(&["evaluate", &case.flag_key, "--context", &context, "--file", file, "--json"]);
    let said = String::from_utf8_lossy(&output.stderr);
    match (&case.expected, output.status.success()) {
        (Expected::NoFlag, false) if said.contains("there is no flag") => Ok(()),
        (Expected::NoContext, false) if said.contains("not a context") => Ok(()),
        (_, false) => Err(said.into_owned()),
        (_, true) => {
            let told: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
            case.check(&told["value"], &told["variation"], &told["reason"])
        }
    }
}
