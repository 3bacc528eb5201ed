//! Polls and client-side evaluations per second, beside Unleash Edge with as many features and bodies of the
//! same size.

use std::time::Duration;

use crate::edge::Edge;
use crate::http::{Connection, Rate, rate, request};
use crate::service::{CLIENT_SIDE_ID, SDK_KEY, Service};
use crate::{Asked, report};

const CONNECTIONS: usize = 16;

/// `{"kind":"user","key":"ada"}` in base64.
const ADA: &str = "eyJraW5kIjoidXNlciIsImtleSI6ImFkYSJ9";

struct Case {
    name: &'static str,
    ours: Rate,
    size: usize,
    peer: Option<(Rate, usize)>,
    mark: &'static str,
}

pub async fn run(asked: &Asked) {
    let flags = 1_000;
    let during = Duration::from_secs_f64(if asked.small { 0.2 } else { 10.0 });
    let service = Service::start(&asked.flagstaff, &[]);
    // So long that the answer to an evaluation is as long as the peer's shortest.
    service.make_flags(flags, 88).await;

    let poll = request("GET", "/sdk/latest-all", &[("Authorization", SDK_KEY)], b"");
    let eval = request("GET", &format!("/sdk/evalx/{CLIENT_SIDE_ID}/contexts/{ADA}"), &[], b"");
    let mut connection = Connection::open(service.address).await;
    let full = connection.ask(&poll, true).await.expect("an answer");
    let evaluated = connection.ask(&eval, true).await.expect("an answer");
    assert_eq!((full.status, evaluated.status), (200, 200));
    let edge = match &asked.edge {
        Some(executable) => Edge::start(executable, flags, full.body.len(), evaluated.body.len()).await,
        None => None,
    };

    let mut cases = Vec::new();
    let tag = full.etag.clone().expect("a tag");
    let unchanged =
        request("GET", "/sdk/latest-all", &[("Authorization", SDK_KEY), ("If-None-Match", &tag)], b"");
    // Turn by turn, so that a drift of the machine's speed hits both.
    for (name, ours, status, size, mark) in [
        ("poll, nothing changed (304)", &unchanged, 304, 0, "25x"),
        ("poll, full body", &poll, 200, full.body.len(), "5x"),
        ("client-side evaluation of all flags for one user", &eval, 200, evaluated.body.len(), "8x"),
    ] {
        let ours = rate(service.address, ours, status, CONNECTIONS, during).await;
        let peer = match &edge {
            None => None,
            Some(edge) => {
                let (request, size) = match (status, mark) {
                    (304, _) => (&edge.unchanged, 0),
                    (_, "5x") => (&edge.poll, edge.poll_size),
                    _ => (&edge.evaluate, edge.evaluated_size),
                };
                Some((rate(edge.address, request, status, CONNECTIONS, during).await, size))
            }
        };
        cases.push(Case { name, ours, size, peer, mark });
    }

    let peer = if edge.is_some() { "Unleash Edge" } else { "Unleash Edge (not installed)" };
    report::table(
        &format!("Polls and evaluations per second, {flags} flags, {CONNECTIONS} connections"),
        &["Case", "ours", "middle, 99 %", "body", peer, "its body", "ratio", "mark"],
    );
    for Case { name, ours, size, peer, mark } in cases {
        let times = format!("{}, {}", report::time(ours.half), report::time(ours.nearly_all));
        let (theirs, their_size, ratio) = match peer {
            Some((rate, size)) => (
                format!("{:.0}", rate.per_second),
                report::size(size),
                format!("{:.1}x", ours.per_second / rate.per_second),
            ),
            None => ("-".into(), "-".into(), "-".into()),
        };
        let ours = format!("{:.0}", ours.per_second);
        report::row(&[name.into(), ours, times, report::size(size), theirs, their_size, ratio, mark.into()]);
    }
}
