//! The figures of what was taken in and counted, for `/metrics`.

use super::Analytics;
use crate::metrics::{Figures, Page};

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
    }
}
