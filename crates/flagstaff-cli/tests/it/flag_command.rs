//! `flag`: flags of a running service, one by one.

use serde_json::{Value, json};

use crate::moving::{done, refused, url};
use crate::process::{Folder, Service};

#[test]
fn flags_are_listed_made_switched_read_and_deleted() {
    let folder = Folder::new("flag-command");
    let service = Service::start(&folder, &["--demo"]);
    let url = url(&service);
    let at = ["--url", url.as_str(), "--token", "api-demo", "--project", "demo"];
    let flag = |arguments: &[&str]| done(&[&["flag"], arguments, &at].concat());
    let listed = flag(&["list", "--environment", "production"]);
    assert_eq!(listed.lines().count(), 8);
    assert!(listed.starts_with("off  checkout-redesign "), "{listed}");
    assert_eq!(flag(&["list", "--query", "wish"]).lines().count(), 1);

    let made = flag(&[
        "create",
        "banner",
        "--name",
        "The banner",
        "--tag",
        "new",
        "--variation",
        "blue",
        "--variation",
        "3",
    ]);
    assert_eq!(made, "flag banner made in project demo, off in every environment\n");
    let shown: Value = serde_json::from_str(&flag(&["get", "banner"])).unwrap();
    assert_eq!((&shown["name"], &shown["tags"]), (&json!("The banner"), &json!(["new"])));
    assert_eq!(
        (&shown["variations"][0]["value"], &shown["variations"][1]["value"]),
        (&json!("blue"), &json!(3))
    );

    let on = flag(&["on", "banner", "--environment", "production", "--comment", "the sale begins"]);
    assert_eq!(on, "flag banner is on in production\n");
    assert_eq!(
        flag(&["on", "banner", "--environment", "production"]),
        "flag banner is on in production already\n"
    );
    let sent = service.request("GET", "/sdk/latest-flags/banner", "sdk-demo-production", "").unwrap().1;
    assert_eq!(sent["on"], true);
    assert_eq!(flag(&["off", "banner", "--environment", "production"]), "flag banner is off in production\n");

    let delete = [&["flag", "delete", "banner"][..], &at].concat();
    refused(&delete, "this deletes flag `banner` in every environment of project `demo`; say so with --yes");
    assert_eq!(flag(&["delete", "banner", "--yes"]), "flag banner deleted in project demo\n");
    refused(
        &[&["flag", "get", "banner"][..], &at].concat(),
        "answered 404: there is no flag `banner` in project `demo`",
    );
    refused(&[&["flag", "on", "wish-lists"][..], &at].concat(), "name the environment with --environment");
    refused(
        &[&["flag", "on", "wish-lists", "--environment", "moon"][..], &at].concat(),
        "there is no environment `moon`",
    );
    refused(&["flag", "list", "--token", "t"], "name the service with --url");
    refused(&["flag", "list", "--url", &url], "an access token of");
    refused(
        &[&["flag", "create", "x", "--variation", "1"][..], &at].concat(),
        "give at least two with --variation",
    );
    refused(&[&["flag", "create", "a b"][..], &at].concat(), "`a b` is not a key");
}

#[test]
fn a_list_longer_than_a_page_is_whole() {
    let folder = Folder::new("flag-pages");
    let service = Service::start(&folder, &["--demo"]);
    let flags: serde_json::Map<String, Value> = (0..230)
        .map(|number| {
            let key = format!("many-{number:03}");
            let flag = json!({"key": key, "version": 1, "on": true, "salt": "s", "variations": [true, false],
                "offVariation": 1, "fallthrough": {"variation": 0}});
            (key, flag)
        })
        .collect();
    let body = json!({"flags": flags, "segments": {}}).to_string();
    let (status, report) =
        service.request("POST", "/api/v2/import/demo/production", "api-demo", &body).unwrap();
    assert_eq!((status, &report["saved"]), (200, &json!(true)), "{report}");
    let listed = done(&["flag", "list", "--url", &url(&service), "--token", "api-demo", "--project", "demo"]);
    assert_eq!(listed.lines().count(), 238);
}
