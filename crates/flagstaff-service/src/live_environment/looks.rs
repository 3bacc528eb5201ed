//! Looking for changes on behalf of somebody who knows of more than this node.

use std::time::Duration;

use tokio::sync::watch;

use super::LiveEnvironments;

/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// How many looks were asked for, and how many of those were had.
#[derive(Debug, Default)]
pub(super) struct Looks {
    asked: watch::Sender<u64>,
    had: watch::Sender<u64>,
}

impl LiveEnvironments {
    /// Has all that was committed before the call taken over. False if that could not be done in time.
    pub async fn look(&self) -> bool {
        if self.looks.asked.receiver_count() == 0 {
            // Nobody follows anything: what is here is all there is.
            return true;
        }
        let mut number = 0;
        self.looks.asked.send_modify(|asked| {
            *asked += 1;
            number = *asked;
        });
        let mut had = self.looks.had.subscribe();
        let looked = tokio::time::timeout(PATIENCE, had.wait_for(|had| *had >= number)).await;
        matches!(looked, Ok(Ok(_)))
    }

    /// Tells whoever follows that somebody asks for a look.
    pub(super) fn asked_for_looks(&self) -> watch::Receiver<u64> {
        self.looks.asked.subscribe()
    }

    /// That a look was had, for all who had asked as this many had.
    pub(super) fn looked(&self, asked: u64) {
        self.looks.had.send_replace(asked);
    }
}
