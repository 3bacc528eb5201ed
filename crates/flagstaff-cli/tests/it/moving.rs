//! `export` and `import`: out of one service and into another, by every way there is.

use std::path::Path;
use std::process::Output;

use flagstaff_eval::model::FlagData;
use flagstaff_eval::{Context, DataSet, evaluate};
use flagstaff_testkit::{Answer, FakeService};
use serde_json::{Value, json};

use crate::process::{Folder, Service, flagstaff, run};

const TOKEN: &str = "api-demo";

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Runs a command that has to succeed, and gives what it prints.
#[track_caller]
pub(crate) fn done(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {} {}", stdout(&output), stderr(&output));
    stdout(&output)
}

/// Runs a command that has to fail with one sentence, and gives what it prints besides.
#[track_caller]
pub(crate) fn refused(arguments: &[&str], said: &str) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", stderr(&output));
    let message = stderr(&output);
    assert!(message.contains(said), "`{message}` does not say `{said}`");
    assert_eq!(message.lines().count(), 1, "{message}");
    stdout(&output)
}

pub(crate) fn url(service: &Service) -> String {
    format!("http://{}", service.address())
}

fn demo(name: &str) -> (Folder, Service) {
    let folder = Folder::new(name);
    let service = Service::start(&folder, &["--demo"]);
    (folder, service)
}

/// Flags and a segment that split contexts in every way.
fn splitting() -> Value {
    let rollout = |more: Value| {
        let mut rollout = json!({"variations": [
            {"variation": 0, "weight": 20000}, {"variation": 1, "weight": 30000}, {"variation": 2, "weight": 50000}]});
        for (name, value) in more.as_object().unwrap() {
            rollout[name] = value.clone();
        }
        json!({"rollout": rollout})
    };
    let flag = |key: &str, fallthrough: Value, rules: Value| {
        json!({"key": key, "version": 9, "on": true, "salt": format!("salt of {key}"), "variations": ["a", "b", "c"],
            "offVariation": 2, "fallthrough": fallthrough, "rules": rules})
    };
    let in_segment = json!([{"id": "r", "variation": 1, "clauses": [
        {"attribute": "", "op": "segmentMatch", "values": ["some"], "negate": false}]}]);
    json!({
        "flags": {
            "plain": flag("plain", rollout(json!({})), json!([])),
            "measured": flag("measured", rollout(json!({"kind": "experiment", "seed": 61})), json!([])),
            "by-plan": flag("by-plan", rollout(json!({"contextKind": "user", "bucketBy": "/address/zip"})), json!([])),
            "by-segment": flag("by-segment", json!({"variation": 0}), in_segment),
            "needs": {"key": "needs", "version": 1, "on": true, "salt": "s", "variations": [1, 2], "offVariation": 1,
                "fallthrough": {"variation": 0}, "prerequisites": [{"key": "plain", "variation": 1}]},
        },
        "segments": {"some": {"key": "some", "version": 4, "salt": "salt of some", "excluded": ["user-7"], "rules": [
            {"id": "half", "weight": 50000, "rolloutContextKind": "user", "clauses": [
                {"contextKind": "user", "attribute": "key", "op": "startsWith", "values": ["user-"], "negate": false}]}]}},
    })
}

/// What a thousand contexts get of every flag of that file.
fn variations(data: &Value) -> Vec<Option<usize>> {
    let data = DataSet::from_model(serde_json::from_value::<FlagData>(data.clone()).unwrap());
    let keys = ["plain", "measured", "by-plan", "by-segment", "needs"];
    let of_one = |number: usize| {
        let context = json!({"kind": "user", "key": format!("user-{number}"), "address": {"zip": format!("{}", number % 97)}});
        let context = Context::from_json(&context).unwrap();
        let data = &data;
        keys.map(|key| {
            let flag = data.flag(key).unwrap_or_else(|| panic!("there is a flag {key}"));
            evaluate(data, flag, &context, &mut |_| {}).variation_index
        })
    };
    (0..1000).flat_map(of_one).collect()
}

/// What SDKs with this key get.
fn sent(service: &Service, sdk_key: &str) -> Value {
    service.request("GET", "/sdk/latest-all", sdk_key, "").unwrap().1
}

/// The flags that SDKs of an environment get, but for their versions.
fn versionless(service: &Service, sdk_key: &str) -> Value {
    let mut all = sent(service, sdk_key);
    for item in all["flags"].as_object_mut().unwrap().values_mut() {
        item["version"] = json!(0);
    }
    all["flags"].clone()
}

/// The SDK key of an environment.
fn sdk_key(service: &Service, project: &str, environment: &str) -> String {
    let path = format!("/api/v2/projects/{project}/environments/{environment}");
    service.request("GET", &path, TOKEN, "").unwrap().1["apiKey"].as_str().unwrap().to_owned()
}

fn write(folder: &Folder, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn nobody_moves_to_another_bucket_whichever_way_flags_come() {
    let files = Folder::new("moving-files");
    let before = variations(&splitting());
    let counted = |wanted: usize| before.iter().filter(|found| **found == Some(wanted)).count();
    assert!(counted(0) > 500 && counted(1) > 500 && counted(2) > 500, "they are spread");
    let (_first_folder, first) = demo("moving-first");
    let (_second_folder, second) = demo("moving-second");
    let (from, to) = (url(&first), url(&second));
    let into = |project: &'static str| ["--project", project, "--environment", "live"];

    // From a file, into a running service.
    let file = write(&files, "flags.json", &splitting().to_string());
    let arguments = ["import", &file, "--url", &from, "--token", TOKEN];
    let said = done(&[&arguments[..], &into("shop")].concat());
    assert_eq!(
        said,
        "saved: made 5 flags, 1 segments, 2 others; replaced 0 flags, 0 segments, 0 others; unchanged 0 flags, 0 \
         segments, 0 others; skipped 0 flags, 0 segments, 0 others; refused 0 flags, 0 segments, 0 others\n"
    );
    let key = sdk_key(&first, "shop", "live");
    assert_eq!(variations(&sent(&first, &key)), before);

    // By the SDK key alone.
    let arguments = ["import", "--from-sdk-key", &key, "--from", &from, "--url", &to, "--token", TOKEN];
    done(&[&arguments[..], &into("by-key")].concat());
    assert_eq!(variations(&sent(&second, &sdk_key(&second, "by-key", "live"))), before);

    // By an access token, names and all.
    let arguments = ["import", "--from-token", TOKEN, "--from", &from, "--from-project", "shop"];
    done(&[&arguments[..], &["--url", &to, "--token", TOKEN]].concat());
    assert_eq!(variations(&sent(&second, &sdk_key(&second, "shop", "live"))), before);

    // What was exported is a file of flags as well, in JSON; the same in YAML.
    let exported = done(&["export", "--url", &to, "--sdk-key", &sdk_key(&second, "shop", "live")]);
    assert_eq!(variations(&serde_json::from_str(&exported).unwrap()), before);
    // JSON is YAML, once it does not begin with a brace.
    let yaml = write(&files, "flags.yaml", &format!("# the same\n{exported}"));
    let arguments = ["import", &yaml, "--url", &to, "--token", TOKEN];
    done(&[&arguments[..], &into("by-yaml")].concat());
    assert_eq!(variations(&sent(&second, &sdk_key(&second, "by-yaml", "live"))), before);
    let again = done(&["export", "--url", &to, "--sdk-key", &sdk_key(&second, "by-yaml", "live")]);
    assert_eq!(again, exported, "equal contents are equal byte by byte");
}

#[test]
fn an_archive_for_relays_is_taken_in_as_well() {
    let files = Folder::new("moving-archive");
    let (_first_folder, first) = demo("archived");
    let file = files.path().join("flags.tar.gz");
    let file = file.to_str().unwrap();
    done(&["archive", file, "--upstream", &url(&first), "--auto-config-key", "rel-demo"]);
    let (_second_folder, second) = demo("from-archive");
    let into = ["--url", &url(&second), "--token", TOKEN];
    let said = done(&[&["import", file, "--on-conflict", "replace"], &into[..]].concat());
    assert!(said.contains("; replaced 8 flags, 2 segments, 0 others;"), "{said}");
    for key in ["sdk-demo-production", "sdk-demo-staging"] {
        assert_eq!(versionless(&second, key), versionless(&first, key));
    }
    assert_eq!(sdk_key(&second, "demo", "production"), "sdk-demo-production");
    let told = done(&[
        "evaluate",
        "wish-lists",
        "--file",
        file,
        "--context",
        r#"{"kind":"user","key":"ann"}"#,
        "--environment",
        "staging",
    ]);
    assert!(told.starts_with("value "), "{told}");
    let whole = std::fs::read(file).unwrap();
    let half = write(&files, "half.tar.gz", "");
    std::fs::write(&half, &whole[..whole.len() / 2]).unwrap();
    refused(&[&["import", &half][..], &into].concat(), "is damaged");
    let keys = Folder::new("archive-keys");
    let data = keys.path().to_str().unwrap();
    let mut third = Service::start(&keys, &[]);
    assert_eq!(third.terminate(), Some(0));
    done(&["import", file, "--keys", "--data", data]);
    let third = Service::start(&keys, &[]);
    assert_eq!(versionless(&third, "sdk-demo-staging"), versionless(&first, "sdk-demo-staging"));
}

/// Runs a command where the environment says this.
fn run_where(variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    flagstaff(arguments).envs(variables.iter().copied()).output().unwrap()
}

#[test]
fn what_the_command_line_says_counts_whatever_the_environment_says() {
    let files = Folder::new("said");
    let (_folder, service) = demo("said-service");
    let url = url(&service);
    let file = files.path().join("flags.json");
    let file = file.to_str().unwrap();
    let around = [
        ("FLAGSTAFF_URL", "http://127.0.0.1:1"),
        ("FLAGSTAFF_TOKEN", TOKEN),
        ("FLAGSTAFF_FROM_TOKEN", "api-other"),
    ];
    let done = |arguments: &[&str]| {
        let output = run_where(&around, arguments);
        assert!(output.status.success(), "{arguments:?}: {} {}", stdout(&output), stderr(&output));
        stdout(&output)
    };
    done(&["export", "--url", &url, "--sdk-key", "sdk-demo-production", "--output", file]);
    let exported: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(exported["flagstaff"], Value::Null, "what SDKs read, and nothing else");
    let evaluate = ["evaluate", "wish-lists", "--context", r#"{"kind":"user","key":"ann"}"#];
    done(&[&evaluate[..], &["--file", file]].concat());
    let to = ["--project", "demo", "--environment", "production", "--dry-run"];
    let said = done(&[&["import", file, "--url", &url], &to[..]].concat());
    assert!(said.contains("unchanged 8 flags"), "{said}");
    let nowhere = run_where(&around, &[&evaluate[..], &["--data", files.path().to_str().unwrap()]].concat());
    assert!(stderr(&nowhere).contains("there is no database in"), "{}", stderr(&nowhere));
    let unreachable = run_where(&around, &["flag", "list"]);
    assert!(
        stderr(&unreachable).contains("could not reach `http://127.0.0.1:1`"),
        "{}",
        stderr(&unreachable)
    );
}

#[test]
fn what_cannot_be_sent_is_said_before() {
    refused(&["flag", "list", "--url", "foo", "--token", "x"], "`foo` is not the address of a service");
    refused(
        &["flag", "list", "--url", "http://127.0.0.1:1", "--token", "a\nb"],
        "the access token has a character",
    );
    let evaluate =
        ["evaluate", "f", "--url", "http://127.0.0.1:1", "--context", r#"{"kind":"user","key":"ann"}"#];
    refused(&[&evaluate[..], &["--sdk-key", "a\nb"]].concat(), "the SDK key has a character");
    refused(
        &[&evaluate[..], &["--sdk-key", "k", "--environment", "staging"]].concat(),
        "an SDK key is of one environment",
    );
}

#[test]
fn an_export_comes_back_equal_through_a_service_and_through_its_folder() {
    let files = Folder::new("equal-files");
    let (first_folder, mut first) = demo("equal-first");
    let (second_folder, mut second) = demo("equal-second");
    let file = files.path().join("export.json");
    let file = file.to_str().unwrap();
    done(&["export", "--url", &url(&first), "--token", TOKEN, "--output", file]);
    let text = std::fs::read_to_string(file).unwrap();
    let data = |folder: &Folder| folder.path().to_str().unwrap().to_owned();
    assert_eq!(done(&["export", "--data", &data(&first_folder)]), text, "also straight from the folder");

    let import = ["import", file, "--on-conflict", "replace"];
    let said = done(&[&import[..], &["--url", &url(&second), "--token", TOKEN, "--dry-run"]].concat());
    assert!(said.contains("flag checkout-redesign in demo would be replaced\n"), "{said}");
    assert!(said.ends_with("refused 0 flags, 0 segments, 0 others\n") && said.contains("tried, not saved"));
    let other = done(&["export", "--url", &url(&second), "--token", TOKEN]);
    assert_ne!(other, text, "a dry run changes nothing");
    done(&[&import[..], &["--url", &url(&second), "--token", TOKEN]].concat());
    assert_eq!(done(&["export", "--url", &url(&second), "--token", TOKEN]), text);

    // Into the folder, which must not be in use.
    let third_folder = Folder::new("equal-third");
    let mut third = Service::start(&third_folder, &["--demo"]);
    let folder = data(&third_folder);
    refused(&[&import[..], &["--data", &folder]].concat(), "is in use");
    assert_eq!(third.terminate(), Some(0));
    done(&[&import[..], &["--data", &folder]].concat());
    assert_eq!(done(&["export", "--data", &folder]), text);
    let third = Service::start(&third_folder, &["--demo"]);
    assert_eq!(versionless(&third, "sdk-demo-production"), versionless(&first, "sdk-demo-production"));
    assert_eq!((first.terminate(), second.terminate()), (Some(0), Some(0)));
    drop(second_folder);
}

#[test]
fn what_is_refused_is_named_with_its_reason_and_the_exit_code_says_so() {
    let (_folder, service) = demo("refusals");
    let files = Folder::new("refusals-files");
    let (url, to) = (url(&service), ["--token", TOKEN, "--project", "demo", "--environment", "production"]);
    let mut data = splitting();
    data["flags"]["plain"]["fallthrough"]["rollout"]["variations"][0]["weight"] = json!(1);
    data["flags"]["wish-lists"] = data["flags"]["measured"].clone();
    data["flags"]["wish-lists"]["key"] = json!("wish-lists");
    let file = write(&files, "flags.json", &data.to_string());
    let import = [&["import", &file, "--url", &url][..], &to].concat();
    let said = refused(&import, "3 refused, so nothing is saved; with --partial the rest would be");
    for line in [
        "flag plain in demo refused: environments.production.fallthrough.rollout: the weights add up to 80001",
        "flag needs in demo refused: environments.production.prerequisites[0]: there is no flag `plain`",
        "flag wish-lists in demo refused: it is here already and is not the same; choose with --on-conflict",
    ] {
        assert!(said.contains(line), "`{line}` in {said}");
    }
    assert!(said.contains("not saved: made 3 flags"), "{said}");
    refused(&[&import[..], &["--partial", "--on-conflict", "skip"]].concat(), "2 refused, the rest is saved");
    assert!(sent(&service, "sdk-demo-production")["flags"]["measured"].is_object());

    let file = file.as_str();
    refused(&["import", file, "--url", &url, "--token", TOKEN], "does not say where it belongs");
    refused(&[&import[..], &["--data", "x"]].concat(), "say either where a service runs");
    refused(&["import", file, "--url", &url, "--project", "p", "--environment", "e"], "an access token of");
    refused(&["import", "no-such-file", "--url", &url, "--token", TOKEN], "could not read `no-such-file`");
    let wrong = write(&files, "wrong.json", "{\"flags\": {\"a\": []}}");
    refused(&["import", &wrong, "--url", &url, "--token", TOKEN], "flag `a`");
    refused(
        &[
            "import",
            "--from-sdk-key",
            "sdk-wrong",
            "--from",
            &url,
            "--project",
            "p",
            "--environment",
            "e",
            "--url",
            &url,
            "--token",
            TOKEN,
        ],
        "does not know this SDK key",
    );
    let empty = Folder::new("refusals-empty");
    refused(&["export", "--data", empty.path().to_str().unwrap()], "there is no database in");
    refused(&["export", "--url", &url, "--token", "api-wrong"], "answered 401: unknown access token");
    refused(
        &["export", "--url", "http://127.0.0.1:1", "--token", TOKEN],
        "could not reach `http://127.0.0.1:1`",
    );
    refused(&["export", "--url", "flags.example", "--token", TOKEN], "is not the address of a service");
    let two = run(&["import", file, "--from-sdk-key", "k"]);
    assert_eq!(two.status.code(), Some(2), "one source at a time");
    assert!(Path::new(file).exists());
}

fn page(items: Value, next: bool) -> Answer {
    let mut page = json!({"items": items, "_links": {}});
    if next {
        page["_links"]["next"] = json!({"href": "/more"});
    }
    Answer::Status(200, Vec::new(), page.to_string())
}

/// A service of another make: a REST API in its shape, and a stream.
fn elsewhere(api_key: &str) -> FakeService {
    let service = FakeService::start([]);
    let project = json!({"key": "web", "name": "The web shop", "tags": ["eu"],
        "defaultClientSideAvailability": {"usingEnvironmentId": true, "usingMobileKey": false}});
    service.answer_always("/api/v2/projects/web", Answer::Status(200, Vec::new(), project.to_string()));
    let environment = json!({"_id": "client-id", "key": "live", "name": "Live", "color": "FF0000", "tags": [],
        "apiKey": api_key, "mobileKey": "mob-elsewhere", "critical": true, "defaultTtl": 5});
    service.answer_always("/api/v2/projects/web/environments", page(json!([environment]), false));
    let flag = |key: &str| {
        json!({"key": key, "name": format!("Flag {key}"), "description": "old", "tags": ["moved"], "temporary": false,
            "creationDate": 1_500_000_000_000_i64, "includeInSnippet": true,
            "clientSideAvailability": {"usingEnvironmentId": true, "usingMobileKey": false},
            "variations": [{"_id": format!("{key}-0"), "value": "a", "name": "First"}, {"_id": format!("{key}-1"), "value": "b"}],
            "defaults": {"onVariation": 0, "offVariation": 1}, "_maintainer": {"email": "gone@example.com"},
            "environments": {"live": {"on": true, "salt": format!("salt of {key}"), "targets": [], "contextTargets": [],
                "prerequisites": [], "offVariation": 1, "trackEvents": false, "trackEventsFallthrough": true,
                "fallthrough": {"rollout": {"variations": [{"variation": 0, "weight": 50000}, {"variation": 1, "weight": 50000}]}},
                "rules": [{"_id": "rule-of-old", "description": "Norway", "variation": 0, "trackEvents": false, "clauses": [
                    {"_id": "clause-of-old", "attribute": "country", "op": "in", "values": ["NO"], "negate": false}]}]}}})
    };
    let flags = "/api/v2/flags/web";
    service.answer_next(flags, Answer::Status(429, vec![("retry-after", "0".to_owned())], String::new()));
    service.answer_next(flags, page(json!([flag("one")]), true));
    service.answer_next(flags, page(json!([flag("two")]), false));
    let segment = json!({"key": "some", "name": "Some people", "description": "", "tags": [], "version": 3,
        "creationDate": 1_500_000_000_000_i64, "lastModifiedDate": 1, "included": ["ann"], "excluded": [], "deleted": false,
        "generation": 1, "unbounded": false, "rules": [{"_id": "r", "weight": 50000, "clauses": [
            {"_id": "c", "attribute": "key", "op": "startsWith", "values": ["u"], "negate": false}]}]});
    service.answer_always("/api/v2/segments/web/live", page(json!([segment]), false));
    service
}

#[test]
fn projects_of_another_make_come_with_their_names_page_by_page() {
    let (_folder, service) = demo("rest-source");
    let to = url(&service);
    let source = elsewhere("sdk-****-1234");
    let from = source.url();
    let import =
        ["import", "--from-token", "api-elsewhere", "--from", &from, "--from-project", "web", "--url", &to];
    let said = done(&[&import[..], &["--token", TOKEN]].concat());
    for line in [
        "note: `web/live` is taken from the REST API alone (the token may not see its SDK key)",
        "note: segment `some` in `web/live` takes in a share of contexts",
        "note: flag `one` is looked after by gone@example.com, who is no member here",
        "saved: made 2 flags, 1 segments, 2 others",
    ] {
        assert!(said.contains(line), "`{line}` in {said}");
    }
    let queries: Vec<String> =
        source.requests("/api/v2/flags/web").iter().map(|request| request.query.clone()).collect();
    assert_eq!(queries.len(), 3, "asked again after 429: {queries:?}");
    assert!(queries[2].contains("offset=1") && queries[2].contains("env=live"), "{queries:?}");
    assert_eq!(source.requests("/api/v2/flags/web")[0].header("authorization"), Some("api-elsewhere"));

    let shown = service.request("GET", "/api/v2/flags/web/one", TOKEN, "").unwrap().1;
    assert_eq!(shown["name"], "Flag one");
    assert_eq!(shown["creationDate"], 1_500_000_000_000_i64);
    assert_eq!(shown["variations"][0], json!({"_id": "one-0", "value": "a", "name": "First"}));
    let live = &shown["environments"]["live"];
    assert_eq!((&live["salt"], &live["rules"][0]["_id"]), (&json!("salt of one"), &json!("rule-of-old")));
    assert_eq!(live["rules"][0]["description"], "Norway");
    assert_eq!(live["rules"][0]["clauses"][0]["_id"], "clause-of-old");
    let project = service.request("GET", "/api/v2/projects/web", TOKEN, "").unwrap().1;
    assert_eq!(project["name"], "The web shop");
    let environment = service.request("GET", "/api/v2/projects/web/environments/live", TOKEN, "").unwrap().1;
    assert_eq!((&environment["color"], &environment["critical"]), (&json!("FF0000"), &json!(true)));
    assert_ne!(environment["_id"], "client-id", "keys are taken over only when asked for");
}

#[test]
fn where_the_token_sees_the_sdk_key_the_stream_says_what_the_api_leaves_out() {
    let (_folder, service) = demo("rest-exact");
    let to = url(&service);
    let source = elsewhere("sdk-elsewhere");
    source.set_flags(
        [
            flagstaff_testkit::flag("one").with("salt", "from the stream"),
            flagstaff_testkit::flag("two").with("samplingRatio", 4),
        ],
        None,
    );
    let from = source.url();
    let import =
        ["import", "--from-token", "t", "--from", &from, "--from-project", "web", "--keys", "--url", &to];
    let said = done(&[&import[..], &["--token", TOKEN]].concat());
    assert!(!said.contains("REST API alone"), "{said}");
    // The keys came along, so programs only need another address.
    let sent = sent(&service, "sdk-elsewhere");
    assert_eq!(sent["flags"]["one"]["salt"], "from the stream");
    assert_eq!(sent["flags"]["two"]["samplingRatio"], 4);
    let shown = service.request("GET", "/api/v2/flags/web/two", TOKEN, "").unwrap().1;
    assert_eq!((&shown["name"], &shown["variations"][0]["name"]), (&json!("Flag two"), &json!("First")));
}
