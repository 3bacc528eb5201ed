//! How often the tests of R1 to R3 kill, and when.

use std::time::Duration;

/// Kills of an ordinary test run.
const USUAL: u64 = 10;

/// How often to kill: `FLAGSTAFF_KILLS`, 200 for the whole of R1 and R2, else a few.
pub(crate) fn kills() -> u64 {
    number("FLAGSTAFF_KILLS").unwrap_or(USUAL)
}

/// How often to end the database server, which is slower to start.
pub(crate) fn crashes() -> u64 {
    kills().div_ceil(10).max(2)
}

/// Chance that can be repeated: the seed is printed, so a test shows it when it fails, and is taken from
/// `FLAGSTAFF_SEED`.
#[derive(Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(test: &str) -> Self {
        let clock = || std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos() as u64);
        let seed = number("FLAGSTAFF_SEED").unwrap_or_else(clock) | 1;
        println!("{test}: FLAGSTAFF_SEED={seed}");
        Self(seed)
    }

    /// From nothing up to `end`.
    pub(crate) fn pause(&mut self, end: Duration) -> Duration {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Duration::from_micros(self.0 % end.as_micros().max(1) as u64)
    }
}

pub(crate) fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is `{text}`, which is no number")))
}
