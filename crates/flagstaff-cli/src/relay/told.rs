//! What can be said about who tells a relay what to serve.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use flagstaff_relay::config::OfflineArchive;
use flagstaff_relay::database::Database;
use flagstaff_relay::{AutoConfig, Config};
use flagstaff_service::config::Origin;
use serde::Deserialize;

use crate::Failure;

/// The shortest time between two looks at an archive.
const SHORTEST_POLL: Duration = Duration::from_millis(100);

/// Options about who tells a relay what to serve, and how that is served.
#[derive(Debug, Default, Args)]
pub(crate) struct Told {
    /// Has upstream say which environments to relay: the key of a relay configuration there. Others see command
    /// lines, so say it in the environment or in the file
    #[arg(long, env = "FLAGSTAFF_AUTO_CONFIG_KEY", hide_env_values = true, value_name = "KEY")]
    auto_config_key: Option<String>,
    /// Serves the environments in this file, a .tar or .tar.gz, without upstream; it may be replaced meanwhile
    #[arg(long, env = "FLAGSTAFF_OFFLINE_ARCHIVE", value_name = "FILE")]
    offline_archive: Option<PathBuf>,
    /// How often that file is looked at, in seconds; at least 0.1 [default: 1]
    #[arg(long, env = "FLAGSTAFF_OFFLINE_ARCHIVE_POLL", value_name = "SECONDS")]
    offline_archive_poll: Option<f64>,
    /// What the keys of these environments in the database begin with; $CID stands for an environment's ID
    #[arg(long, env = "FLAGSTAFF_TOLD_PREFIX", value_name = "PREFIX")]
    told_prefix: Option<String>,
    /// The DynamoDB tables of these environments, in the same way
    #[arg(long, env = "FLAGSTAFF_TOLD_TABLE", value_name = "TABLE")]
    told_table: Option<String>,
    /// The origins whose pages may read what browsers ask these environments for [default: those of the relay]
    #[arg(long, env = "FLAGSTAFF_TOLD_ALLOWED_ORIGINS", value_delimiter = ',', value_name = "ORIGIN,...")]
    told_allowed_origins: Option<Vec<Origin>>,
    /// Headers that pages may send to these environments, beside those of SDKs
    #[arg(long, env = "FLAGSTAFF_TOLD_ALLOWED_HEADERS", value_delimiter = ',', value_name = "HEADER,...")]
    told_allowed_headers: Option<Vec<String>>,
}

/// The same in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ToldFile {
    auto_config_key: Option<String>,
    offline_archive: Option<PathBuf>,
    offline_archive_poll: Option<f64>,
    prefix: Option<String>,
    table: Option<String>,
    allowed_origins: Option<Vec<String>>,
    allowed_headers: Option<Vec<String>>,
}

/// The same in names of other relays.
#[derive(Debug, Default)]
pub(crate) struct ToldVariables {
    pub(crate) auto_config_key: Option<String>,
    pub(crate) offline_archive: Option<PathBuf>,
    pub(crate) offline_archive_poll: Option<Duration>,
    pub(crate) prefix: Option<String>,
    pub(crate) table: Option<String>,
    pub(crate) allowed_origins: Option<Vec<Origin>>,
    pub(crate) allowed_headers: Option<Vec<String>>,
}

impl Told {
    /// Puts into the configuration what is said of this.
    pub(crate) fn resolve(
        self,
        set: ToldVariables,
        file: ToldFile,
        config: &mut Config,
    ) -> Result<(), Failure> {
        let key = self.auto_config_key.or(set.auto_config_key).or(file.auto_config_key);
        config.auto_config = key.filter(|key| !key.is_empty()).map(|key| AutoConfig { key });
        let archive = self.offline_archive.or(set.offline_archive).or(file.offline_archive);
        config.offline_archive = archive.map(OfflineArchive::at);
        let said = self.offline_archive_poll.map(seconds).transpose()?.or(set.offline_archive_poll);
        let poll = said.or(file.offline_archive_poll.map(seconds).transpose()?);
        if let Some((archive, poll)) = config.offline_archive.as_mut().zip(poll) {
            archive.poll = poll.max(SHORTEST_POLL);
        }
        if config.offline_archive.is_some() && config.auto_config.is_some() {
            return Err(
                "give either auto-config-key or offline-archive: there is no upstream to ask where an \
                        archive is served"
                    .into(),
            );
        }
        let template = &mut config.template;
        template.prefix = self.told_prefix.or(set.prefix).or(file.prefix);
        template.table = self.told_table.or(set.table).or(file.table);
        let in_file = file.allowed_origins.unwrap_or_default();
        template.allowed_origins = match self.told_allowed_origins.or(set.allowed_origins) {
            Some(said) => said,
            None => in_file.iter().map(|origin| origin.parse()).collect::<Result<_, _>>()?,
        };
        let headers = self.told_allowed_headers.or(set.allowed_headers).or(file.allowed_headers);
        template.allowed_headers = headers.unwrap_or_default();
        let is_told = config.auto_config.is_some() || config.offline_archive.is_some();
        let has_id = |text: &Option<String>| text.as_ref().is_some_and(|text| text.contains("$CID"));
        if is_told && config.database.is_some() && !has_id(&template.prefix) && !has_id(&template.table) {
            return Err("several environments would be written over each other in the database; \
                        give told-prefix with $CID in it, which stands for an environment's ID"
                .into());
        }
        if is_told && template.table.is_none() && config.database.as_ref().is_some_and(Database::needs_table)
        {
            return Err("no table is named for the environments that this relay is told of; \
                        give dynamodb-table, or told-table with $CID in it"
                .into());
        }
        Ok(())
    }
}

fn seconds(seconds: f64) -> Result<Duration, Failure> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| format!("offline-archive-poll is {seconds}; give a number of seconds, like 1"))
}
