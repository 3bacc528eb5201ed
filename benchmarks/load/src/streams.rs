//! R22: ten thousand streams, and a flip each second for a minute.

use std::time::Duration;

use crate::fan_out::{Streams, flips};
use crate::service::Service;
use crate::{Asked, report};

pub async fn run(asked: &Asked) {
    let count = asked.size(10_000);
    let changes = asked.size(60);
    let service = Service::start(&asked.flagstaff, &[]);
    service.make_flags(1, 20).await;
    let (before, _) = service.memory();
    let mut streams = Streams::open(service.address, count, changes).await;
    let (after, _) = service.memory();
    let flips = flips(&service, &mut streams, changes, Duration::from_secs(1)).await;
    let (_, most) = service.memory();
    let broken = streams.broken();
    let missed: usize = (0..changes).map(|change| count - streams.have(change)).sum();
    let mut times: Vec<Duration> = flips.iter().flatten().map(|flip| flip.after_answer).collect();

    report::table(
        &format!("{count} streams, a flip each second for {changes} s (R22)"),
        &["What", "figure", "mark"],
    );
    let row = |what: &str, figure: String, mark: &str| report::row(&[what.into(), figure, mark.into()]);
    row("resident memory without streams", report::size(before), "");
    row("with all of them open", report::size(after), "< 210 MB (200 MiB)");
    row("each stream", report::size(after.saturating_sub(before) / count), "a few KiB");
    row("at most, during the flips", report::size(most), "< 210 MB (200 MiB)");
    let (half, nearly_all) = (report::percentile(&mut times, 0.5), report::percentile(&mut times, 0.99));
    row("from the answer to a flip to the last stream, middle", report::time(half), "");
    row("the same, 99 % of the flips", report::time(nearly_all), "500 ms");
    row("changes that did not arrive", missed.to_string(), "0");
    row("streams that broke off", broken.to_string(), "0");
    drop(streams);

    let mut one = Streams::open(service.address, 1, 21).await;
    let flips = crate::fan_out::flips(&service, &mut one, 21, Duration::from_millis(20)).await;
    let mut times: Vec<Duration> = flips.iter().flatten().map(|flip| flip.after_request).collect();
    let half = report::percentile(&mut times, 0.5);
    row(
        "from the request that flips to the one SDK that is connected, saved on the way, middle",
        report::time(half),
        "100 ms",
    );
}
