//! Options of commands that look after what a service keeps, while it runs or not.

use std::path::PathBuf;

use clap::Args;
use flagstaff_service::Config;

use super::{File, data, database, read};
use crate::Failure;

/// Where a service keeps what it keeps.
#[derive(Clone, Debug, Args)]
pub(crate) struct Kept {
    /// The service's data folder [default: ./flagstaff-data]
    #[arg(long, env = "FLAGSTAFF_DATA", value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// The service's PostgreSQL database, if it uses one
    #[arg(long, env = "FLAGSTAFF_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// The TOML file the service was started with
    #[arg(long, env = "FLAGSTAFF_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Kept {
    /// Whether any of it was said.
    pub(crate) fn is_named(&self) -> bool {
        self.data.is_some() || self.database_url.is_some() || self.config.is_some()
    }

    /// As much of the service's configuration; and the file, for the rest.
    pub(crate) fn resolve(self) -> Result<(Config, File), Failure> {
        let file: File = read(self.config.as_deref())?;
        let mut config = Config::new(data(self.data, file.data.clone()));
        config.database = database(self.database_url, file.database_url.clone())?;
        Ok((config, file))
    }
}

/// Options of `flagstaff check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Forget what was taken out because it was damaged
    #[arg(long)]
    pub(crate) forget: bool,
    #[command(flatten)]
    pub(crate) kept: Kept,
}

/// Options of `flagstaff backup` and `flagstaff restore`.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The backup
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) kept: Kept,
}
