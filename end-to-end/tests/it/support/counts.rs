//! The service's own count of evaluations, from its database: no REST path shows it yet.

use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use super::api::FLAG;
use super::service::Service;

impl Service {
    /// How often the flag was evaluated, over all variations and versions, as far as it is added up.
    pub(crate) fn evaluations(&self) -> u64 {
        self.evaluations_of(FLAG)
    }

    /// The same of another flag.
    pub(crate) fn evaluations_of(&self, flag_key: &str) -> u64 {
        self.sum("SELECT coalesce(sum(count), 0) FROM evaluation_count WHERE flag_key = $1", flag_key)
    }

    /// How often a custom event happened, as far as it is added up.
    pub(crate) fn tracked(&self, event_key: &str) -> u64 {
        self.sum("SELECT coalesce(sum(count), 0) FROM custom_count WHERE event_key = $1", event_key)
    }

    fn sum(&self, text: &'static str, key: &str) -> u64 {
        let options = SqliteConnectOptions::new().filename(self.file("data/events.sqlite")).read_only(true);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let count: i64 = runtime
            .block_on(async {
                let mut connection = SqliteConnection::connect_with(&options).await?;
                let count = sqlx::query_scalar(text).bind(key).fetch_one(&mut connection).await?;
                connection.close().await?;
                Ok::<_, sqlx::Error>(count)
            })
            .expect("the counts can be read");
        count.unsigned_abs()
    }
}
