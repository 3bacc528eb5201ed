//! What can be said about the database that flags are written to.

use clap::Args;
use flagstaff_relay::database::Database;

use crate::Failure;

/// Options about the database that flags are written to, for programs in daemon mode.
#[derive(Debug, Default, Args)]
pub(crate) struct InDatabase {
    /// Write flags to Redis, for programs in daemon mode: redis://host:6379
    #[arg(long, env = "FLAGSTAFF_REDIS_URL", hide_env_values = true, value_name = "URL")]
    pub(super) redis_url: Option<String>,
    /// Write flags to Consul, for programs in daemon mode: its address, host:8500
    #[arg(long, env = "FLAGSTAFF_CONSUL", value_name = "ADDRESS")]
    pub(super) consul: Option<String>,
    /// What lets us in there
    #[arg(long, env = "FLAGSTAFF_CONSUL_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub(super) consul_token: Option<String>,
    /// Write flags to DynamoDB, for programs in daemon mode: the table of environments that have none of their own
    #[arg(long, env = "FLAGSTAFF_DYNAMODB_TABLE", value_name = "TABLE")]
    pub(super) dynamodb_table: Option<String>,
    /// Another address than Amazon's
    #[arg(long, env = "FLAGSTAFF_DYNAMODB_URL", value_name = "URL")]
    pub(super) dynamodb_url: Option<String>,
}

impl InDatabase {
    /// Which database it is, by what is said, what is set in names of other relays, and what stands in the file.
    /// Where it is may be in the file, and its secret in the environment.
    pub(super) fn resolve(self, set: Option<Database>, file: Self) -> Result<Option<Database>, Failure> {
        if self.names_one() {
            let is_dynamodb = self.dynamodb_table.is_some() || self.dynamodb_url.is_some();
            let of_file = |text: Option<String>, is_meant: bool| text.filter(|_| is_meant);
            let all = Self {
                consul_token: self.consul_token.or(of_file(file.consul_token, self.consul.is_some())),
                dynamodb_table: self.dynamodb_table.or(of_file(file.dynamodb_table, is_dynamodb)),
                dynamodb_url: self.dynamodb_url.or(of_file(file.dynamodb_url, is_dynamodb)),
                ..self
            };
            return all.one();
        }
        match set {
            Some(Database::Consul { address, token }) => {
                Ok(Some(Database::Consul { address, token: self.consul_token.or(token) }))
            }
            Some(other) => Ok(Some(other)),
            None => Self { consul_token: self.consul_token.or(file.consul_token), ..file }.one(),
        }
    }

    fn names_one(&self) -> bool {
        [&self.redis_url, &self.consul, &self.dynamodb_table, &self.dynamodb_url]
            .into_iter()
            .any(Option::is_some)
    }

    /// One at most.
    fn one(self) -> Result<Option<Database>, Failure> {
        let Self { redis_url, consul, consul_token, dynamodb_table, dynamodb_url } = self;
        match (redis_url, consul, dynamodb_table.is_some() || dynamodb_url.is_some()) {
            (None, None, false) => Ok(None),
            (Some(url), None, false) => Ok(Some(Database::Redis { url, user: None, password: None })),
            (None, Some(address), false) => Ok(Some(Database::Consul { address, token: consul_token })),
            (None, None, true) => dynamodb(dynamodb_table, dynamodb_url).map(Some),
            _ => {
                Err("flags can be written to one database: give one of redis-url, consul and dynamodb-table"
                    .into())
            }
        }
    }
}

/// DynamoDB, if this executable has it.
pub(super) fn dynamodb(table: Option<String>, endpoint: Option<String>) -> Result<Database, Failure> {
    #[cfg(feature = "dynamodb")]
    return Ok(Database::DynamoDb { table, endpoint });
    #[cfg(not(feature = "dynamodb"))]
    {
        let _ = (table, endpoint);
        Err("this executable was built without DynamoDB; build it with --features dynamodb".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn a_secret_is_said_elsewhere_than_where_the_database_is() {
        let said = || InDatabase { consul_token: text("said"), ..InDatabase::default() };
        let file = || InDatabase { consul: text("h:1"), consul_token: text("old"), ..InDatabase::default() };
        let set = || Database::Consul { address: "h:2".to_owned(), token: None };
        for (said, set, file, expected) in [
            (said(), None, file(), Some(("h:1", Some("said")))),
            (said(), Some(set()), file(), Some(("h:2", Some("said")))),
            (InDatabase::default(), None, file(), Some(("h:1", Some("old")))),
            (
                InDatabase { consul: text("h:3"), ..InDatabase::default() },
                Some(set()),
                file(),
                Some(("h:3", Some("old"))),
            ),
            (said(), None, InDatabase::default(), None),
        ] {
            let shown = format!("{said:?} {file:?}");
            let resolved = said.resolve(set, file).unwrap();
            let found = resolved.as_ref().map(|database| match database {
                Database::Consul { address, token } => (&**address, token.as_deref()),
                other => panic!("{other:?}"),
            });
            assert_eq!(found, expected, "{shown}");
        }
    }

    #[test]
    fn what_is_said_of_one_database_has_nothing_of_another_in_the_file() {
        let said = InDatabase { redis_url: text("redis://h"), ..InDatabase::default() };
        let file = InDatabase { consul: text("h:1"), ..InDatabase::default() };
        assert!(matches!(said.resolve(None, file).unwrap(), Some(Database::Redis { .. })));
        let both = InDatabase { redis_url: text("r"), consul: text("c"), ..InDatabase::default() };
        assert!(both.resolve(None, InDatabase::default()).is_err());
    }
}
