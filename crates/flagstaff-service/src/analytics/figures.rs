//! The figures of what was taken in and counted, for `/metrics`.

use std::sync::atomic::Ordering;

use super::Analytics;
use crate::metrics::{Figures, Page};
use crate::now_ms;

impl Figures for Analytics {
    fn write(&self, page: &mut Page) {
        let figures = self.figures();
        let name = "flagstaff_event_batches_total";
        page.family(name, "counter", "Event batches taken in, by what became of them.");
        for (became, count) in [
            ("stored", figures.batches_stored),
            ("known", figures.batches_known),
            ("set_aside", figures.batches_set_aside),
        ] {
            page.sample(name, &[("became", became)], count);
        }
        let help = "Events passed over as unreadable.";
        page.counter("flagstaff_events_unreadable_total", help, figures.events_unreadable);
        let help = "Event batches stored and not counted yet.";
        page.gauge("flagstaff_event_batches_waiting", help, figures.backlog);
        let help =
            "Whether events are stored: 0 once the disk failed or the database was found to be damaged.";
        page.gauge("flagstaff_events_writable", help, u8::from(self.trouble().is_none()));
        let since = self.writer.shared().waiting_since.load(Ordering::Relaxed);
        let lag = if since == 0 { 0 } else { (now_ms() - since).max(0) };
        let help = "How long the oldest batch of events has waited to be counted.";
        page.gauge("flagstaff_event_lag_seconds", help, lag as f64 / 1000.0);
    }
}
