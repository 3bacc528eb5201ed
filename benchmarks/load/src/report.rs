//! What is printed: Markdown, so that it can be kept.

use std::time::Duration;

/// The head of a table.
pub fn table(title: &str, columns: &[&str]) {
    println!("\n### {title}\n\n| {} |\n|{}", columns.join(" | "), "---|".repeat(columns.len()));
}

/// A row of it.
pub fn row(cells: &[String]) {
    println!("| {} |", cells.join(" | "));
}

/// A time in a readable unit.
pub fn time(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 0.001 => format!("{:.0} us", seconds * 1e6),
        seconds if seconds < 1.0 => format!("{:.1} ms", seconds * 1e3),
        seconds => format!("{seconds:.1} s"),
    }
}

/// Bytes in a readable unit.
pub fn size(bytes: usize) -> String {
    match bytes as f64 {
        bytes if bytes < 1e4 => format!("{bytes:.0} B"),
        bytes if bytes < 1e6 => format!("{:.1} KB", bytes / 1e3),
        bytes => format!("{:.1} MB", bytes / 1e6),
    }
}

/// The value below which this share of them lies.
pub fn percentile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    times
        .get(((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}
