//! `evaluate`: what a context gets, and which clause decided.

use serde_json::{Value, json};

use crate::moving::{done, refused, url};
use crate::process::{Folder, Service};

const DEMO: [&str; 4] = ["--project", "demo", "--environment", "production"];

#[test]
fn the_clause_that_decided_is_told_from_a_file_a_service_and_a_folder_alike() {
    let folder = Folder::new("evaluate");
    let service = Service::start(&folder, &["--demo"]);
    let (url, data) = (url(&service), folder.path().to_str().unwrap());
    let file = folder.path().join("flags.json");
    let file = file.to_str().unwrap();
    done(&["export", "--data", data, "--output", file]);
    let evaluate = [
        "evaluate",
        "shipping-banner",
        "--context",
        r#"{"kind":"user","key":"ann","plan":"free","country":"SE"}"#,
    ];
    let from_file = done(&[&evaluate[..], &["--file", file], &DEMO].concat());
    let service_said = done(&[&evaluate[..], &["--url", &url, "--sdk-key", "sdk-demo-production"]].concat());
    let from_folder = done(&[&evaluate[..], &["--data", data], &DEMO].concat());
    assert_eq!((&service_said, &from_folder), (&from_file, &from_file));
    for line in [
        "value      \"free-shipping\"\n",
        "variation  1\n",
        "reason     RULE_MATCH, rule 2 (",
        "  user plan is one of \"pro\", \"business\": no, the context has \"free\"\n",
        ") matches: that decided\n  user country is one of \"NO\", \"SE\", \"DK\": yes, the context has \"SE\"\n",
    ] {
        assert!(from_file.contains(line), "`{line}` in\n{from_file}");
    }

    let told: Value =
        serde_json::from_str(&done(&[&evaluate[..], &["--json", "--file", file], &DEMO].concat())).unwrap();
    assert_eq!((&told["value"], &told["reason"]["kind"]), (&json!("free-shipping"), &json!("RULE_MATCH")));
    assert_eq!(told["steps"][1]["clauses"][0]["found"], "SE");
}

#[test]
fn rollouts_segments_targets_and_prerequisites_are_told_in_words() {
    let folder = Folder::new("evaluate-words");
    let service = Service::start(&folder, &["--demo"]);
    let url = url(&service);
    let told = |flag: &str, context: &str| {
        done(&["evaluate", flag, "--context", context, "--url", &url, "--sdk-key", "sdk-demo-production"])
    };
    let split = told("search-ranking-v2", r#"{"kind":"user","key":"ann"}"#);
    assert!(
        split.contains(
            "nothing else matched: the default rule decided\n  user key hashed with search-ranking-v2."
        ),
        "{split}"
    );
    assert!(
        split.contains(" falls at ")
            && split.contains("20.000 %")
            && split.contains("which serves variation"),
        "{split}"
    );
    let nobody = told("search-ranking-v2", r#"{"kind":"org","key":"acme"}"#);
    assert!(nobody.contains("the context has no user to place, so it counts as 0 %"), "{nobody}");
    let target = told("wish-lists", r#"{"kind":"organization","key":"acme"}"#);
    assert!(
        target.contains("organization \"acme\" is an individual target of variation 0: that decided"),
        "{target}"
    );
    let segment = told("wish-lists", r#"{"kind":"user","key":"eve","email":"eve@example.com"}"#);
    assert!(
        segment.contains("  in segment \"beta-testers\": yes\n    segment beta-testers: in, by a rule\n"),
        "{segment}"
    );
    assert!(
        segment.contains("user email ends with \"@example.com\": yes, the context has \"eve@example.com\""),
        "{segment}"
    );
    let excluded = told("wish-lists", r#"{"kind":"user","key":"mallory"}"#);
    assert!(excluded.contains("segment beta-testers: user \"mallory\" is excluded"), "{excluded}");
    let prerequisite = told("instant-refunds", r#"{"kind":"user","key":"ann"}"#);
    assert!(
        prerequisite
            .contains("flag new-payments must be on and serve variation 0 first: it does (variation 0)"),
        "{prerequisite}"
    );
    let off = told("checkout-redesign", r#"{"kind":"user","key":"ann"}"#);
    assert!(
        off.contains(
            "reason     OFF\n\ntargeting is off: the off variation of flag checkout-redesign is served"
        ),
        "{off}"
    );
}

#[test]
fn what_cannot_be_evaluated_says_why() {
    let folder = Folder::new("evaluate-refused");
    let service = Service::start(&folder, &["--demo"]);
    let url = url(&service);
    let data = folder.path().to_str().unwrap();
    let ann = r#"{"kind":"user","key":"ann"}"#;
    let evaluate = |flag: &'static str, context: &'static str| ["evaluate", flag, "--context", context];
    let from = ["--url", url.as_str(), "--sdk-key", "sdk-demo-production"];
    refused(
        &[&evaluate("wish-list", ann)[..], &from].concat(),
        "there is no flag `wish-list`; there is `wish-lists`",
    );
    refused(
        &[&evaluate("zzz", ann)[..], &from].concat(),
        "there is no flag `zzz`; there are checkout-redesign, exports-enabled, ",
    );
    refused(&[&evaluate("wish-lists", "ann")[..], &from].concat(), "the context is not JSON");
    refused(&[&evaluate("wish-lists", r#"{"kind":"user"}"#)[..], &from].concat(), "this is not a context");
    refused(&[&evaluate("wish-lists", "@nowhere.json")[..], &from].concat(), "could not read `nowhere.json`");
    refused(
        &[&evaluate("wish-lists", ann)[..], &["--data", data]].concat(),
        "there are several environments: demo/production, demo/staging; name one",
    );
    refused(
        &[&evaluate("wish-lists", ann)[..], &["--data", data, "--environment", "moon"]].concat(),
        "there is no environment `moon`",
    );
}
