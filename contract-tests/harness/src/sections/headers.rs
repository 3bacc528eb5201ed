//! Section 3.1: where requests go, and what they say of their sender.

use serde_json::{Value, json};

use crate::expect::ensure;
use crate::flags::{flags, serving, user};
use crate::mock::{Answer, Endpoint, Request};
use crate::scene::{SDK_KEY, SOON, Scene, Sink};
use crate::suite::Suite;

/// The kinds of request that every header is looked for on.
const REQUESTS: [&str; 4] = ["stream", "poll", "events", "diagnostic"];

pub(crate) fn add(suite: &mut Suite) {
    add_always(suite);
    add_tags(suite);
    add_wrapper(suite);
    add_instance_id(suite);
    add_bases(suite);
}

/// The first request of a kind that a client with this configuration sends.
async fn first(scene: &Scene, kind: &str, configuration: Value) -> Result<Request, String> {
    let data = flags([serving("f", 1, "a")]);
    let service = if kind == "poll" { scene.polling(&data).await? } else { scene.streaming(&data).await? };
    let sink = scene.sink().await?;
    let mut all =
        json!({"events": {"baseUri": sink.endpoint.url, "enableDiagnostics": kind == "diagnostic"}});
    all[if kind == "poll" { "polling" } else { "streaming" }] = json!({"baseUri": service.url});
    let client = scene.client(crate::flags::with(all, configuration)).await?;
    match kind {
        "events" => {
            client.identify(&user()).await?;
            client.flush().await?;
            sink.next_payload(SOON).await
        }
        "diagnostic" => sink.diagnostic(0).await,
        _ => service.request(0, SOON).await,
    }
}

fn add_always(suite: &mut Suite) {
    let group = suite.group("3.1 headers: who asks");
    for kind in REQUESTS {
        group.test(format!("{kind}: the SDK key stands bare in `Authorization`"), move |scene| async move {
            let request = first(&scene, kind, json!({})).await?;
            let value = request.header("authorization").unwrap_or("nothing");
            ensure(value == SDK_KEY, || format!("it is {value}"))
        });
        group.test(format!("{kind}: `User-Agent` is a name and a version"), move |scene| async move {
            let request = first(&scene, kind, json!({})).await?;
            let value = request.header("user-agent").unwrap_or_default().to_owned();
            let good = value.split_once('/').is_some_and(|(name, version)| {
                !name.is_empty() && version.starts_with(|first: char| first.is_ascii_digit())
            });
            ensure(good, || format!("it is `{value}`"))
        });
    }
}

/// Each kind of request must carry the header with this value; none if it must not be there.
fn on_every_request(
    suite: &mut Suite,
    group: &str,
    capability: &'static str,
    header: &'static str,
    cases: Vec<(String, Value, Option<String>)>,
) {
    let group = suite.group(group).needs(capability);
    for (name, configuration, want) in cases {
        for kind in REQUESTS {
            let (configuration, want) = (configuration.clone(), want.clone());
            group.test(format!("{kind}: {name}"), move |scene| {
                let (configuration, want) = (configuration.clone(), want.clone());
                async move {
                    let request = first(&scene, kind, configuration).await?;
                    let got = request.header(header);
                    ensure(got == want.as_deref(), || format!("`{header}` is {got:?}, not {want:?}"))
                }
            });
        }
    }
}

fn add_tags(suite: &mut Suite) {
    let longest = "a".repeat(64);
    let too_long = "a".repeat(65);
    let id = |value: &str| json!({"tags": {"applicationId": value}});
    let mut cases = vec![
        ("there are no tags unless they are set".to_owned(), json!({}), None),
        ("an empty set of tags is none".to_owned(), json!({"tags": {}}), None),
        ("an id alone".to_owned(), id("shop"), Some("application-id/shop".to_owned())),
        (
            "a version alone".to_owned(),
            json!({"tags": {"applicationVersion": "1.0-rc_2"}}),
            Some("application-version/1.0-rc_2".to_owned()),
        ),
        (
            "both, in the order of their names".to_owned(),
            json!({"tags": {"applicationVersion": "1.0", "applicationId": "shop"}}),
            Some("application-id/shop application-version/1.0".to_owned()),
        ),
        ("64 characters".to_owned(), id(&longest), Some(format!("application-id/{longest}"))),
        ("65 characters are too many".to_owned(), id(&too_long), None),
        ("an empty id is dropped".to_owned(), id(""), None),
    ];
    for bad in ["a b", "a/b", "a:b", "a@b", "ø"] {
        cases.push((format!("`{bad}` is dropped"), id(bad), None));
    }
    cases.push((
        "a bad id is dropped, the version is kept".to_owned(),
        json!({"tags": {"applicationId": "a b", "applicationVersion": "1.0"}}),
        Some("application-version/1.0".to_owned()),
    ));
    cases.push((
        "a bad version is dropped, the id is kept".to_owned(),
        json!({"tags": {"applicationId": "shop", "applicationVersion": "1/0"}}),
        Some("application-id/shop".to_owned()),
    ));
    on_every_request(suite, "3.1 headers: tags", "tags", "x-launchdarkly-tags", cases);
}

fn add_wrapper(suite: &mut Suite) {
    let cases = vec![
        ("there is no wrapper unless it is set".to_owned(), json!({}), None),
        (
            "a name alone".to_owned(),
            json!({"wrapper": {"name": "my-wrapper"}}),
            Some("my-wrapper".to_owned()),
        ),
        (
            "a name and a version".to_owned(),
            json!({"wrapper": {"name": "my-wrapper", "version": "2.0"}}),
            Some("my-wrapper/2.0".to_owned()),
        ),
        ("a version alone is none".to_owned(), json!({"wrapper": {"version": "2.0"}}), None),
    ];
    on_every_request(suite, "3.1 headers: wrapper", "wrapper", "x-launchdarkly-wrapper", cases);
}

fn add_instance_id(suite: &mut Suite) {
    suite
        .group("3.1 headers: instance id")
        .needs("instance-id")
        .test("it is a UUID, the same on every request of a client", |scene| async move {
            let service = scene.streaming(&flags([])).await?;
            let sink = scene.sink().await?;
            let client = scene
                .client(json!({
                    "streaming": {"baseUri": service.url, "initialRetryDelayMs": 1},
                    "events": {"baseUri": sink.endpoint.url, "enableDiagnostics": true},
                }))
                .await?;
            client.identify(&user()).await?;
            client.flush().await?;
            let first = instance_id(&service.request(0, SOON).await?)?;
            service.stream(0, SOON).await?.end();
            for request in
                [service.request(1, SOON).await?, sink.next_payload(SOON).await?, sink.diagnostic(0).await?]
            {
                let other = instance_id(&request)?;
                ensure(other == first, || format!("{request} has {other}, the first request has {first}"))?;
            }
            Ok(())
        })
        .test("it stays the same from poll to poll", |scene| async move {
            let service = scene.polling(&flags([])).await?;
            let config = json!({"polling": {"baseUri": service.url, "pollIntervalMs": 50}});
            let _client = scene.client(config).await?;
            let first = instance_id(&service.request(0, SOON).await?)?;
            let second = instance_id(&service.request(1, SOON).await?)?;
            ensure(first == second, || format!("it was {first} and is {second}"))
        })
        .test("it is another one in another client", |scene| async move {
            let service = scene.streaming(&flags([])).await?;
            let config = json!({"streaming": {"baseUri": service.url}});
            let _one = scene.client(config.clone()).await?;
            let _two = scene.client(config).await?;
            let first = instance_id(&service.request(0, SOON).await?)?;
            let second = instance_id(&service.request(1, SOON).await?)?;
            ensure(first != second, || format!("both have {first}"))
        });
}

fn instance_id(request: &Request) -> Result<String, String> {
    let id = request.header("x-launchdarkly-instance-id").unwrap_or_default().to_owned();
    let groups: Vec<usize> = id.split('-').map(str::len).collect();
    let is_uuid = groups == [8, 4, 4, 4, 12]
        && id.chars().all(|letter| letter == '-' || letter.is_ascii_hexdigit())
        && id.as_bytes().get(14) == Some(&b'4');
    ensure(is_uuid, || format!("`{id}` is no version 4 UUID, in {request}"))?;
    Ok(id)
}

fn add_bases(suite: &mut Suite) {
    let group = suite.group("3.1 base URIs");
    for (name, suffix, prefix) in [
        ("without a path", "", ""),
        ("with a trailing slash", "/", ""),
        ("with a path", "/some/path", "/some/path"),
        ("with a path and a trailing slash", "/some/path/", "/some/path"),
    ] {
        for (kind, path) in [
            ("stream", "/all"),
            ("poll", "/sdk/latest-all"),
            ("events", "/bulk"),
            ("diagnostic", "/diagnostic"),
        ] {
            group.test(
                format!("{kind}: the endpoint is appended to a base {name}"),
                move |scene| async move {
                    let got = path_below(&scene, kind, suffix, false).await?;
                    ensure(got == format!("{prefix}{path}"), || format!("it was asked for at {got}"))
                },
            );
        }
    }
    let group = suite.group("3.1 service endpoints").needs("service-endpoints");
    for (kind, path) in
        [("stream", "/all"), ("poll", "/sdk/latest-all"), ("events", "/bulk"), ("diagnostic", "/diagnostic")]
    {
        group.test(format!("{kind}: the base comes from the service endpoints"), move |scene| async move {
            let got = path_below(&scene, kind, "/base/", true).await?;
            ensure(got == format!("/base{path}"), || format!("it was asked for at {got}"))
        });
    }
}

/// The path at which a client asks, with this at the end of its base URI.
async fn path_below(scene: &Scene, kind: &str, suffix: &str, by_endpoints: bool) -> Result<String, String> {
    let data = flags([]);
    let polls = kind == "poll";
    let service: Endpoint = if polls { scene.polling(&data).await? } else { scene.streaming(&data).await? };
    let sink = Sink::new(scene.endpoint("events", Answer::status(202)).await?);
    let (delivery, events) = (format!("{}{suffix}", service.url), format!("{}{suffix}", sink.endpoint.url));
    let source = if polls { "polling" } else { "streaming" };
    let config = if by_endpoints {
        json!({
            "serviceEndpoints": {"streaming": delivery, "polling": delivery, "events": events},
            source: {}, "events": {"enableDiagnostics": kind == "diagnostic"},
        })
    } else {
        json!({
            source: {"baseUri": delivery},
            "events": {"baseUri": events, "enableDiagnostics": kind == "diagnostic"},
        })
    };
    let client = scene.client(config).await?;
    let request = match kind {
        "events" => {
            client.identify(&user()).await?;
            client.flush().await?;
            sink.endpoint.request(0, SOON).await?
        }
        "diagnostic" => sink.endpoint.request(0, SOON).await?,
        _ => service.request(0, SOON).await?,
    };
    Ok(request.path)
}
