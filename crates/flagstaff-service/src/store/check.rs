//! Everything that is kept looked at, for whoever asks; nothing is changed.

use super::health::Fault;
use super::integrity::structure::Structure;
use super::quarantine::{self, Quarantined};
use super::{Engine, Store, StoreError, integrity};

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// What SQLite finds wrong with its file, first.
    pub structure: Option<String>,
    /// Damaged rows that the next start puts back from their copies.
    pub put_back: Vec<String>,
    /// Damaged rows that the next start takes out.
    pub beyond_help: Vec<String>,
    /// What was taken out by a start.
    pub quarantined: Vec<Quarantined>,
}

impl Report {
    /// Whether there is nothing to say.
    pub fn is_sound(&self) -> bool {
        *self == Self::default()
    }
}

impl Store {
    /// Looks at everything.
    ///
    /// # Errors
    /// If the database cannot be read at all.
    pub async fn check(&self) -> Result<Report, StoreError> {
        let mut report = Report::default();
        if let Engine::Sqlite(pools) = &self.engine {
            report.structure = match pools.structure().await? {
                Structure::Sound => None,
                Structure::Essential(finding) | Structure::Elsewhere(finding) => Some(finding),
            };
        }
        let rows = integrity::damaged(&mut *self.snapshot().await?).await;
        match rows {
            Ok(damaged) => {
                (report.put_back, report.beyond_help) = (damaged.put_back, damaged.taken_out);
            }
            // It has been said what is wrong.
            Err(error) if error.fault() == Some(Fault::Damaged) && report.structure.is_some() => {
                return Ok(report);
            }
            Err(error) => return Err(error),
        }
        report.quarantined = quarantine::list(&mut *self.read().await?).await?;
        Ok(report)
    }
}
