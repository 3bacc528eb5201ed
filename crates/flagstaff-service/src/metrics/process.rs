//! What the system says of this process, under the names that all programs give it.
//!
//! Source: Prometheus' client conventions. Where there is no `/proc` (not on Linux) these are left out.

use std::fs;

use super::page::Page;

/// The kernel tells times in this unit, whatever its own clock: `USER_HZ`.
const TICKS_PER_SECOND: f64 = 100.0;

/// Adds the figures. Reads a few files: not for threads that serve requests.
pub(super) fn write(page: &mut Page) {
    if let Some(figures) = Figures::read() {
        figures.write(page);
    }
    if let Ok(entries) = fs::read_dir("/proc/self/fd") {
        // The listing itself has one open.
        let open = entries.count().saturating_sub(1);
        page.gauge("process_open_fds", "Open files and connections.", open);
    }
    if let Ok((soft, _)) = rlimit::Resource::NOFILE.get() {
        page.gauge("process_max_fds", "The most files and connections that may be open.", soft);
    }
}

/// From `/proc/self/stat` and its neighbours.
struct Figures {
    cpu_seconds: f64,
    threads: u64,
    start_time_seconds: f64,
    resident_bytes: u64,
    virtual_bytes: u64,
}

impl Figures {
    fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // The name before may hold spaces; what follows is numbers, of which the first is the third.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let system = fs::read_to_string("/proc/stat").ok()?;
        let booted: f64 = system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
        };
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) as f64 / TICKS_PER_SECOND,
            threads: field(20)?,
            start_time_seconds: booted + field(22)? as f64 / TICKS_PER_SECOND,
            resident_bytes: kib("VmRSS:")? * 1024,
            virtual_bytes: kib("VmSize:")? * 1024,
        })
    }

    fn write(&self, page: &mut Page) {
        page.counter("process_cpu_seconds_total", "Time of processors used, in seconds.", self.cpu_seconds);
        page.gauge("process_threads", "Threads.", self.threads);
        let help = "When the process started, in Unix seconds.";
        page.gauge("process_start_time_seconds", help, self.start_time_seconds);
        page.gauge("process_resident_memory_bytes", "Memory in use.", self.resident_bytes);
        page.gauge("process_virtual_memory_bytes", "Memory asked for.", self.virtual_bytes);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_those_of_this_process() {
        let figures = Figures::read().unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        assert!(figures.start_time_seconds <= now + 2.0, "started at {}", figures.start_time_seconds);
        assert!(figures.start_time_seconds > now - 86_400.0, "started at {}", figures.start_time_seconds);
        assert!(figures.threads >= 2, "the test's and its runner's");
        assert!(figures.resident_bytes > 1_000_000 && figures.resident_bytes < figures.virtual_bytes);
    }
}
