//! What the owner decides about users: how long they are kept, where they are, and what they look like.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use flagstaff_service::Config;
use flagstaff_service::avatars::GRAVATAR;
use serde::Deserialize;

use super::File;
use crate::Failure;

/// Options about users and counts, of `flagstaff serve`.
#[derive(Debug, Args)]
pub(crate) struct Users {
    /// How many days evaluations are kept counted by the minute [default: 90]
    #[arg(long, env = "FLAGSTAFF_KEEP_COUNTS_DAYS", value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..))]
    keep_counts_days: Option<u32>,
    /// How many days a user is kept after they were last seen; 0: for ever [default: 0]
    #[arg(long, env = "FLAGSTAFF_KEEP_USERS_DAYS", value_name = "DAYS")]
    keep_users_days: Option<u32>,
    /// How many days an anonymous user counts after they were last seen [default: 30]
    #[arg(long, env = "FLAGSTAFF_KEEP_ANONYMOUS_DAYS", value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..))]
    keep_anonymous_days: Option<u32>,
    /// A file in MaxMind's format, like GeoLite2-Country.mmdb, that gives users with an `ip` and without a `country`
    /// one; it is read at the start [default: none]
    #[arg(long, env = "FLAGSTAFF_COUNTRIES", value_name = "FILE")]
    countries: Option<PathBuf>,
    /// Whom the service asks for pictures of users, by a hash of their e-mail address [default: none]
    #[arg(long, env = "FLAGSTAFF_AVATARS", value_name = "WHOM")]
    avatars: Option<AvatarSource>,
}

/// Whom to ask for pictures.
#[derive(Clone, Copy, Debug, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AvatarSource {
    /// Nobody
    None,
    /// gravatar.com
    Gravatar,
}

impl Users {
    /// Puts into the configuration what is said here or in the file.
    pub(super) fn put_into(self, config: &mut Config, file: &File) -> Result<(), Failure> {
        let analytics = &mut config.analytics;
        // Zero means for ever elsewhere, so it must not be read as the opposite here.
        let at_least_one = |name: &str, days: u32| match days {
            0 => Err(format!("{name} is 0; give at least 1 day")),
            days => Ok(days),
        };
        if let Some(days) = self.keep_counts_days.or(file.keep_counts_days) {
            analytics.keep_counts_days = at_least_one("keep-counts-days", days)?;
        }
        if let Some(days) = self.keep_anonymous_days.or(file.keep_anonymous_days) {
            analytics.keep_anonymous_days = at_least_one("keep-anonymous-days", days)?;
        }
        analytics.keep_users_days = self.keep_users_days.or(file.keep_users_days).filter(|days| *days > 0);
        analytics.countries = self.countries.or_else(|| file.countries.clone());
        config.avatars = match self.avatars.or(file.avatars) {
            Some(AvatarSource::Gravatar) => Some(GRAVATAR.to_owned()),
            Some(AvatarSource::None) | None => None,
        };
        Ok(())
    }
}
