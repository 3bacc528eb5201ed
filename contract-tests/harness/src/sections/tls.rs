//! Section 3.1: TLS, and a proxy.

use std::time::Duration;

use serde_json::{Value, json};

use crate::expect::ensure;
use crate::flags::{flags, put, serving, user, with};
use crate::mock::Answer;
use crate::scene::{SOON, Scene};
use crate::suite::{Group, Suite, Verdict};

/// What is reached by TLS, or through a proxy.
const REQUESTS: [&str; 3] = ["stream", "poll", "events"];

pub(crate) fn add(suite: &mut Suite) {
    let group = suite.group("3.1 TLS: the service's certificate is checked").needs("tls:verify-peer");
    refused(group, "of an authority that nobody knows", Show::Good, json!({}));
    let group = suite.group("3.1 TLS: checking is off").needs("tls:skip-verify-peer");
    let skip = json!({"skipVerifyPeer": true});
    accepted(group, "of an authority that nobody knows", Show::Good, Trust::Only(skip.clone()));
    accepted(group, "for another host", Show::OtherHost, Trust::Only(skip.clone()));
    accepted(group, "that has expired", Show::Expired, Trust::Only(skip));
    let group = suite.group("3.1 TLS: an authority of one's own").needs("tls:custom-ca");
    accepted(group, "of that authority", Show::Good, Trust::Authority);
    for (name, show) in [
        ("of that authority for another host", Show::OtherHost),
        ("of that authority that has expired", Show::Expired),
        ("of another authority", Show::OtherAuthority),
    ] {
        for kind in REQUESTS {
            group.test(format!("{kind}: a certificate {name} is refused"), move |scene| async move {
                reach(&scene, kind, show, &Trust::Authority, false).await
            });
        }
    }
    add_retry(suite);
    add_proxy(suite);
}

/// What the service shows.
#[derive(Clone, Copy)]
enum Show {
    Good,
    OtherHost,
    Expired,
    OtherAuthority,
}

/// Whom the SDK is told to trust.
#[derive(Clone)]
enum Trust {
    /// These settings and no file.
    Only(Value),
    /// The authority of the test, by its file.
    Authority,
}

fn accepted(group: &mut Group, name: &str, show: Show, trust: Trust) {
    for kind in REQUESTS {
        let trust = trust.clone();
        group.test(format!("{kind}: a certificate {name} is taken"), move |scene| {
            let trust = trust.clone();
            async move { reach(&scene, kind, show, &trust, true).await }
        });
    }
}

fn refused(group: &mut Group, name: &str, show: Show, settings: Value) {
    for kind in REQUESTS {
        let trust = Trust::Only(settings.clone());
        group.test(format!("{kind}: a certificate {name} is refused"), move |scene| {
            let trust = trust.clone();
            async move { reach(&scene, kind, show, &trust, false).await }
        });
    }
}

/// A client that asks a service behind TLS for one kind of thing; whether it gets through.
async fn reach(scene: &Scene, kind: &str, show: Show, trust: &Trust, gets_through: bool) -> Verdict {
    let authority = scene.authority()?;
    let other = scene.authority()?;
    let certificate = match show {
        Show::Good => authority.certificate("localhost")?,
        Show::OtherHost => authority.certificate("elsewhere.example")?,
        Show::Expired => authority.expired("localhost")?,
        Show::OtherAuthority => other.certificate("localhost")?,
    };
    let data = flags([serving("f", 1, "a")]);
    let answer = match kind {
        "stream" => Answer::events([put(&data)]),
        "poll" => Answer::json(data.to_string()),
        _ => Answer::status(202),
    };
    let secure = scene.secure_endpoint("TLS service", answer, &certificate).await?;
    let plain = scene.streaming(&data).await?;
    let tls = match trust {
        Trust::Only(settings) => settings.clone(),
        Trust::Authority => json!({"customCAFile": authority.file}),
    };
    let base = json!({
        "tls": tls, "initCanFail": true,
        "startWaitTimeMs": if gets_through { 5_000 } else { 700 },
    });
    let config = match kind {
        "stream" => json!({"streaming": {"baseUri": secure.url}}),
        "poll" => json!({"polling": {"baseUri": secure.url}}),
        _ => json!({"streaming": {"baseUri": plain.url}, "events": {"baseUri": secure.url}}),
    };
    let client = scene.client(with(base, config)).await?;
    if kind == "events" {
        client.identify(&user()).await?;
        client.flush().await?;
    }
    if gets_through {
        secure.request(0, SOON).await?;
        if kind != "events" {
            client.soon_has_value("f", "a").await?;
        }
        return Ok(());
    }
    let tried = std::time::Instant::now();
    while secure.connection_count() == 0 {
        ensure(tried.elapsed() < SOON, || "the service was not even connected to".to_owned())?;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    secure.no_request_after(0, Duration::from_millis(300)).await?;
    if kind != "events" {
        client.has_value("f", "default").await?;
    }
    Ok(())
}

/// Section 3.2: a failed handshake counts as what time does not mend.
fn add_retry(suite: &mut Suite) {
    for (capability, kind) in
        [("retry-conformance-fdv1-streaming", "streaming"), ("retry-conformance-fdv1-polling", "polling")]
    {
        suite
            .group(format!("8.6 {kind}: a certificate that is refused"))
            .needs(capability)
            .needs("tls:verify-peer")
            .test("it is not tried again soon", move |scene| async move {
                let certificate = scene.authority()?.certificate("localhost")?;
                let secure = scene.secure_endpoint("TLS service", Answer::status(200), &certificate).await?;
                let settings = json!({"baseUri": secure.url, "initialRetryDelayMs": 1, "pollIntervalMs": 50});
                let _client = scene
                    .client(json!({kind: settings, "initCanFail": true, "startWaitTimeMs": 500}))
                    .await?;
                tokio::time::sleep(Duration::from_secs(1)).await;
                let count = secure.connection_count();
                ensure(count == 1, || format!("it was connected to {count} times"))
            });
    }
}

fn add_proxy(suite: &mut Suite) {
    let group = suite.group("3.1 proxy").needs("http-proxy");
    for kind in REQUESTS {
        group.test(format!("{kind}: the proxy is asked, with the whole address"), move |scene| async move {
            let data = flags([serving("f", 1, "proxied")]);
            let proxy = scene.endpoint("proxy", Answer::status(202)).await?;
            let (stream, poll) = (Answer::events([put(&data)]), Answer::json(data.to_string()));
            proxy.answer_by(move |request| match request.path.as_str() {
                "/all" => stream.clone(),
                "/sdk/latest-all" => poll.clone(),
                _ => Answer::status(202),
            });
            // Nobody but the proxy can find this host.
            let target = "http://flags.invalid:81";
            let source = if kind == "poll" { "polling" } else { "streaming" };
            let client = scene
                .client(json!({
                    source: {"baseUri": target}, "events": {"baseUri": target}, "proxy": {"httpProxy": proxy.url},
                }))
                .await?;
            client.has_value("f", "proxied").await?;
            client.flush().await?;
            let path = match kind {
                "stream" => "/all",
                "poll" => "/sdk/latest-all",
                _ => "/bulk",
            };
            let want = format!("{target}{path}");
            let started = std::time::Instant::now();
            while !proxy.requests().iter().any(|request| request.target == want) {
                ensure(started.elapsed() < SOON, || format!("it was never asked for {want}"))?;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Ok(())
        });
    }
    group.test("without one the service is asked itself", |scene| async move {
        let (client, service) = scene.streaming_client(&flags([serving("f", 1, "a")])).await?;
        client.has_value("f", "a").await?;
        let target = service.request(0, SOON).await?.target;
        ensure(target == "/all", || format!("it was asked for {target}"))
    });
}
