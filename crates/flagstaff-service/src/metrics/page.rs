//! The page that Prometheus reads.

use std::fmt::{Display, Write as _};

use super::sharded::{BOUNDS, Measured};

/// The page, in the making.
#[derive(Debug, Default)]
pub struct Page(String);

/// The labels of a sample, each a name and a value.
pub(crate) type Labels<'a> = &'a [(&'a str, &'a str)];

impl Page {
    /// A figure that only rises.
    pub fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "counter", help);
        self.sample(name, &[], value);
    }

    /// A figure that rises and falls.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    /// What its samples mean; they follow.
    pub(crate) fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One sample of the family before.
    pub(crate) fn sample(&mut self, name: &str, labels: Labels<'_>, value: impl Display) {
        self.0.push_str(name);
        for (place, (label, value)) in labels.iter().enumerate() {
            let start = if place == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{start}{label}=\"{value}\"");
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    /// The samples of a histogram of the family before, in seconds.
    pub(crate) fn histogram(&mut self, name: &str, labels: Labels<'_>, measured: Measured) {
        let mut count = 0;
        let bucket = format!("{name}_bucket");
        let bounds = BOUNDS.iter().map(|bound| (*bound as f64 / 1e6).to_string());
        for (bound, counted) in bounds.chain(["+Inf".to_owned()]).zip(measured.counts) {
            count += counted;
            self.sample(&bucket, &[labels, &[("le", &bound)]].concat(), count);
        }
        self.sample(&format!("{name}_sum"), labels, measured.microseconds as f64 / 1e6);
        self.sample(&format!("{name}_count"), labels, count);
    }

    /// What is answered.
    pub(crate) fn text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::sharded::Durations;
    use super::*;

    #[test]
    fn a_page_is_what_prometheus_reads() {
        let mut page = Page::default();
        page.counter("a_total", "As.", 3);
        page.family("b", "gauge", "Bs.");
        page.sample("b", &[("kind", "x"), ("of", "y")], 0.5);
        assert_eq!(
            page.text(),
            "# HELP a_total As.\n# TYPE a_total counter\na_total 3\n\
             # HELP b Bs.\n# TYPE b gauge\nb{kind=\"x\",of=\"y\"} 0.5\n"
        );
    }

    #[test]
    fn the_buckets_of_a_histogram_include_those_below() {
        let durations = Durations::default();
        for microseconds in [50, 200, 9_000_000] {
            durations.note(Duration::from_micros(microseconds));
        }
        let mut page = Page::default();
        page.histogram("t_seconds", &[("class", "c")], durations.measured());
        let text = page.text();
        for line in [
            "t_seconds_bucket{class=\"c\",le=\"0.0001\"} 1",
            "t_seconds_bucket{class=\"c\",le=\"0.00025\"} 2",
            "t_seconds_bucket{class=\"c\",le=\"5\"} 2",
            "t_seconds_bucket{class=\"c\",le=\"+Inf\"} 3",
            "t_seconds_sum{class=\"c\"} 9.00025",
            "t_seconds_count{class=\"c\"} 3",
        ] {
            assert!(text.lines().any(|own| own == line), "{line} in {text}");
        }
    }
}
