//! The names that the configuration of other relays has in the environment, so that it moves over as it is.
//!
//! Source: the protocol's *Configuration names*. What is said by a name of ours counts before these; these
//! count before the file. Variables of theirs that mean nothing here are named in a log line.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use flagstaff_relay::config::{Environment, EventMode};
use flagstaff_relay::database::Database;
use flagstaff_service::config::Origin;

use super::told::ToldVariables;
use crate::Failure;

/// What is set in names of other relays.
#[derive(Debug, Default)]
pub(crate) struct Variables {
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) metrics_listen: Option<SocketAddr>,
    pub(crate) tls_certificate: Option<PathBuf>,
    pub(crate) tls_key: Option<PathBuf>,
    pub(crate) heartbeat_interval: Option<Duration>,
    pub(crate) longest_stream: Option<Duration>,
    pub(crate) log: Option<String>,
    pub(crate) stream: Option<String>,
    pub(crate) poll: Option<String>,
    pub(crate) events: Option<String>,
    pub(crate) client_side: Option<String>,
    pub(crate) event_mode: Option<EventMode>,
    pub(crate) events_capacity: Option<usize>,
    pub(crate) disconnected_after: Option<Duration>,
    pub(crate) big_segments_stale_after: Option<Duration>,
    pub(crate) big_segments_stale_as_degraded: Option<bool>,
    pub(crate) proxy: Option<String>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) database: Option<Database>,
    pub(crate) environments: Vec<Environment>,
    pub(crate) told: ToldVariables,
    /// Those that are set and mean nothing here.
    pub(crate) unused: Vec<String>,
}

/// Those that mean nothing here.
const UNUSED: [&str; 14] = [
    "EXIT_ON_ERROR",
    "EXIT_ALWAYS",
    "IGNORE_CONNECTION_ERRORS",
    "INIT_TIMEOUT",
    "TLS_MIN_VERSION",
    "EXPIRED_CREDENTIAL_CLEANUP_INTERVAL",
    "EVENTS_FLUSH_INTERVAL",
    "EVENTS_INLINE_USERS",
    "EVENTS_MAX_INBOUND_PAYLOAD_SIZE",
    "CACHE_TTL",
    "PROMETHEUS_PREFIX",
    "USE_DATADOG",
    "USE_STACKDRIVER",
    "PROXY_AUTH_DOMAIN",
];

/// What all environments begin with.
const ENVIRONMENT: &str = "LD_ENV_";
/// What their settings begin with.
const SETTINGS: [&str; 9] = [
    "LD_MOBILE_KEY_",
    "LD_CLIENT_SIDE_ID_",
    "LD_SECURE_MODE_",
    "LD_PREFIX_",
    "LD_TABLE_NAME_",
    "LD_ALLOWED_ORIGIN_",
    "LD_ALLOWED_HEADER_",
    "LD_TTL_",
    "LD_PROJ_KEY_",
];
/// What the filters of a project begin with.
const FILTERS: &str = "LD_FILTER_KEYS_";
/// What means nothing here, of any environment.
const LOG_LEVEL: &str = "LD_LOG_LEVEL_";

/// The environment, asked by name.
struct Set(BTreeMap<String, String>);

impl Variables {
    /// Reads them. An empty one is as good as none.
    pub(crate) fn read(all: impl IntoIterator<Item = (String, String)>) -> Result<Self, Failure> {
        let set = Set(all.into_iter().filter(|(_, value)| !value.trim().is_empty()).collect());
        let mut read = Self::default();
        let anywhere = |port: u16| SocketAddr::from(([0, 0, 0, 0], port));
        read.listen = set.number("PORT")?.map(anywhere);
        if set.is_on("USE_PROMETHEUS")? {
            read.metrics_listen = Some(anywhere(set.number("PROMETHEUS_PORT")?.unwrap_or(8031)));
        }
        if set.is_on("TLS_ENABLED")? {
            read.tls_certificate = set.text("TLS_CERT").map(PathBuf::from);
            read.tls_key = set.text("TLS_KEY").map(PathBuf::from);
        }
        read.heartbeat_interval = set.duration("HEARTBEAT_INTERVAL")?;
        read.longest_stream = set.duration("MAX_CLIENT_CONNECTION_TIME")?;
        read.disconnected_after = set.duration("DISCONNECTED_STATUS_TIME")?;
        read.big_segments_stale_after = set.duration("BIG_SEGMENTS_STALE_THRESHOLD")?;
        read.big_segments_stale_as_degraded = set.switch("BIG_SEGMENTS_STALE_AS_DEGRADED")?;
        read.log = set.text("LOG_LEVEL").map(|level| match level.to_ascii_lowercase().as_str() {
            "none" => "off".to_owned(),
            level => level.to_owned(),
        });
        read.stream = set.text("STREAM_URI");
        read.poll = set.text("BASE_URI");
        read.events = set.text("EVENTS_HOST");
        read.client_side = set.text("CLIENT_SIDE_BASE_URI");
        read.event_mode =
            set.switch("USE_EVENTS")?.map(|on| if on { EventMode::Forwarded } else { EventMode::Refused });
        read.events_capacity = set.number("EVENTS_CAPACITY")?;
        read.proxy = set.proxy()?;
        read.ca_file = set.text("PROXY_CA_CERTS").map(PathBuf::from);
        read.database = set.database()?;
        read.environments = set.environments()?;
        read.told = set.told()?;
        read.unused = set.unused(&read.environments);
        Ok(read)
    }
}

impl Set {
    fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|value| value.trim().to_owned())
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Failure> {
        let read = |text: String| {
            text.parse().map_err(|_| format!("the environment variable {name} is `{text}`; give a number"))
        };
        self.text(name).map(read).transpose()
    }

    fn switch(&self, name: &str) -> Result<Option<bool>, Failure> {
        let read = |text: String| match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" => Ok(true),
            "false" | "0" | "no" => Ok(false),
            _ => Err(format!("the environment variable {name} is `{text}`; give true or false")),
        };
        self.text(name).map(read).transpose()
    }

    fn is_on(&self, name: &str) -> Result<bool, Failure> {
        Ok(self.switch(name)?.unwrap_or(false))
    }

    /// Nought is none.
    fn duration(&self, name: &str) -> Result<Option<Duration>, Failure> {
        let read = |text: String| {
            duration(&text).ok_or_else(|| {
                format!("the environment variable {name} is `{text}`; give a time like 30s, 3m or 1h30m")
            })
        };
        self.text(name).map(read).transpose()
    }

    fn proxy(&self) -> Result<Option<String>, Failure> {
        if self.is_on("PROXY_AUTH_NTLM")? {
            return Err(
                "PROXY_AUTH_NTLM is set, but this relay signs in at proxies by name and password alone"
                    .into(),
            );
        }
        let Some(url) = self.text("PROXY_URL") else { return Ok(None) };
        let Some(user) = self.text("PROXY_AUTH_USER") else { return Ok(Some(url)) };
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", &url));
        let password = self.text("PROXY_AUTH_PASSWORD").unwrap_or_default();
        Ok(Some(format!("{scheme}://{}:{}@{rest}", escaped(&user), escaped(&password))))
    }

    fn database(&self) -> Result<Option<Database>, Failure> {
        let named = |names: &[&str]| names.iter().any(|name| self.0.contains_key(*name));
        let wanted =
            |switch, by: &[&str]| Ok::<_, Failure>(self.switch(switch)?.unwrap_or_else(|| named(by)));
        let redis = wanted("USE_REDIS", &["REDIS_URL", "REDIS_HOST"])?;
        let (consul, dynamodb) = (wanted("USE_CONSUL", &["CONSUL_HOST"])?, self.is_on("USE_DYNAMODB")?);
        if [redis, consul, dynamodb].iter().filter(|wanted| **wanted).count() > 1 {
            return Err(
                "flags can be written to one database: set one of USE_REDIS, USE_CONSUL and USE_DYNAMODB"
                    .into(),
            );
        }
        if redis {
            let url = self.text("REDIS_URL").map_or_else(
                || {
                    let scheme = if self.is_on("REDIS_TLS")? { "rediss" } else { "redis" };
                    let host = self.text("REDIS_HOST").unwrap_or_else(|| "localhost".to_owned());
                    let port: u16 = self.number("REDIS_PORT")?.unwrap_or(6379);
                    Ok::<_, Failure>(format!("{scheme}://{host}:{port}"))
                },
                Ok,
            )?;
            let (user, password) = (self.text("REDIS_USERNAME"), self.text("REDIS_PASSWORD"));
            return Ok(Some(Database::Redis { url, user, password }));
        }
        if consul {
            let address = self.text("CONSUL_HOST").unwrap_or_else(|| "localhost:8500".to_owned());
            let token = match (self.text("CONSUL_TOKEN"), self.text("CONSUL_TOKEN_FILE")) {
                (Some(token), _) => Some(token),
                (None, Some(file)) => Some(secret_in(&file)?),
                (None, None) => None,
            };
            return Ok(Some(Database::Consul { address, token }));
        }
        if dynamodb {
            return super::database::dynamodb(self.text("DYNAMODB_TABLE"), self.text("DYNAMODB_URL"))
                .map(Some);
        }
        Ok(None)
    }

    /// Those that are set and mean nothing here, also because there is no environment that they are about.
    fn unused(&self, environments: &[Environment]) -> Vec<String> {
        let is_unused = |variable: &str| {
            let setting_of = SETTINGS.iter().find_map(|setting| variable.strip_prefix(setting));
            let filters_of = variable.strip_prefix(FILTERS);
            UNUSED.contains(&variable)
                || variable.starts_with(LOG_LEVEL)
                || setting_of.is_some_and(|of| environments.iter().all(|known| known.name != of))
                || filters_of.is_some_and(|of| environments.iter().all(|known| known.names.project_key != of))
        };
        self.0.keys().filter(|variable| is_unused(variable)).cloned().collect()
    }

    fn told(&self) -> Result<ToldVariables, Failure> {
        let list = |name: &str| self.text(name).map(|list| split(&list));
        let origins = list("ENV_ALLOWED_ORIGIN");
        let origins = origins.map(|list| list.iter().map(|origin| origin.parse()).collect::<Result<_, _>>());
        Ok(ToldVariables {
            auto_config_key: self.text("AUTO_CONFIG_KEY"),
            offline_archive: self.text("FILE_DATA_SOURCE").map(PathBuf::from),
            offline_archive_poll: self.duration("FILE_DATA_SOURCE_MONITORING_INTERVAL")?,
            prefix: self.text("ENV_DATASTORE_PREFIX"),
            table: self.text("ENV_DATASTORE_TABLE_NAME"),
            allowed_origins: origins.transpose()?,
            allowed_headers: list("ENV_ALLOWED_HEADER"),
        })
    }

    fn environments(&self) -> Result<Vec<Environment>, Failure> {
        let named = self.0.iter().filter_map(|(name, key)| Some((name.strip_prefix(ENVIRONMENT)?, key)));
        named.map(|(name, key)| self.environment(name, key.trim())).collect()
    }

    fn environment(&self, name: &str, key: &str) -> Result<Environment, Failure> {
        let own = |of: &str| self.text(&format!("LD_{of}_{name}"));
        let mut environment = Environment::new(name, key);
        environment.mobile_key = own("MOBILE_KEY");
        environment.client_side_id = own("CLIENT_SIDE_ID");
        environment.secure_mode = self.is_on(&format!("LD_SECURE_MODE_{name}"))?;
        environment.prefix = own("PREFIX");
        environment.table = own("TABLE_NAME");
        environment.names.project_key = own("PROJ_KEY").unwrap_or_default();
        environment.allowed_headers = own("ALLOWED_HEADER").map(|list| split(&list)).unwrap_or_default();
        let origins = own("ALLOWED_ORIGIN").map(|list| split(&list)).unwrap_or_default();
        environment.allowed_origins =
            origins.iter().map(|origin| origin.parse::<Origin>()).collect::<Result<_, _>>()?;
        if let Some(ttl) = self.duration(&format!("LD_TTL_{name}"))? {
            environment.ttl_minutes = i64::try_from(ttl.as_secs().div_ceil(60)).unwrap_or(i64::MAX);
        }
        if let Some(project) = own("PROJ_KEY") {
            let filters = self.text(&format!("{FILTERS}{project}"));
            environment.filters = filters.map(|list| split(&list)).unwrap_or_default().into_iter().collect();
        }
        Ok(environment)
    }
}

/// The parts of a list.
pub(crate) fn split(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// The secret in a file.
fn secret_in(file: &str) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("could not read the secret in `{file}`: {error}"))?;
    Ok(text.trim().to_owned())
}

/// `1h30m`, `90s`, `500ms`; `:30` is seconds and `5:00` minutes and seconds; bare numbers are none.
fn duration(text: &str) -> Option<Duration> {
    if let Some((minutes, seconds)) = text.split_once(':') {
        let minutes: u64 = if minutes.is_empty() { 0 } else { minutes.parse().ok()? };
        return Some(Duration::from_secs(minutes.checked_mul(60)?.checked_add(seconds.parse().ok()?)?));
    }
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut sum) = (text, Duration::ZERO);
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let (number, unit) = rest.split_at(digits);
        let letters = unit.find(|character: char| !character.is_ascii_alphabetic()).unwrap_or(unit.len());
        let (unit, after) = unit.split_at(letters);
        let seconds = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        sum = sum.checked_add(part)?;
        rest = after;
    }
    (!text.is_empty()).then_some(sum)
}

/// For the part of an address before its `@`.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Variables, Failure> {
        Variables::read(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn the_configuration_of_another_relay_is_understood() {
        let read = read(&[
            ("PORT", "9000"),
            ("STREAM_URI", "https://stream.example"),
            ("EVENTS_HOST", "https://events.example"),
            ("CLIENT_SIDE_BASE_URI", "https://client.example"),
            ("USE_EVENTS", "true"),
            ("EVENTS_CAPACITY", "500"),
            ("HEARTBEAT_INTERVAL", "1m30s"),
            ("DISCONNECTED_STATUS_TIME", ":30"),
            ("BIG_SEGMENTS_STALE_THRESHOLD", "10m"),
            ("BIG_SEGMENTS_STALE_AS_DEGRADED", "true"),
            ("LOG_LEVEL", "NONE"),
            ("INIT_TIMEOUT", "5s"),
            ("USE_REDIS", "1"),
            ("REDIS_HOST", "cache"),
            ("REDIS_PASSWORD", "secret"),
            ("PROXY_URL", "http://proxy:3128"),
            ("PROXY_AUTH_USER", "me"),
            ("PROXY_AUTH_PASSWORD", "p@ss"),
            ("LD_ENV_Shop_Production", "sdk-1"),
            ("LD_MOBILE_KEY_Shop_Production", "mob-1"),
            ("LD_CLIENT_SIDE_ID_Shop_Production", "id-1"),
            ("LD_SECURE_MODE_Shop_Production", "true"),
            ("LD_PREFIX_Shop_Production", "shop"),
            ("LD_TTL_Shop_Production", "90s"),
            ("LD_PROJ_KEY_Shop_Production", "shop"),
            ("LD_FILTER_KEYS_shop", "web, mobile"),
            ("LD_ALLOWED_ORIGIN_Shop_Production", "https://shop.example"),
            ("AUTO_CONFIG_KEY", "rel-1"),
            ("ENV_DATASTORE_PREFIX", "ld-$CID"),
            ("ENV_ALLOWED_HEADER", "x-a, x-b"),
            ("FILE_DATA_SOURCE_MONITORING_INTERVAL", "500ms"),
            ("LD_ENV_Test", "sdk-2"),
            ("LD_MOBILE_KEY_Test", " "),
            ("LD_LOG_LEVEL_Test", "debug"),
            ("LD_TTL_Tset", "5m"),
            ("LD_FILTER_KEYS_toys", "web"),
        ])
        .unwrap();
        assert_eq!(read.listen.unwrap().to_string(), "0.0.0.0:9000");
        assert_eq!(read.stream.as_deref(), Some("https://stream.example"));
        assert_eq!(read.client_side.as_deref(), Some("https://client.example"));
        assert_eq!((read.event_mode, read.events_capacity), (Some(EventMode::Forwarded), Some(500)));
        assert_eq!(read.heartbeat_interval, Some(Duration::from_secs(90)));
        assert_eq!(read.disconnected_after, Some(Duration::from_secs(30)));
        assert_eq!(read.big_segments_stale_after, Some(Duration::from_secs(600)));
        assert_eq!(read.big_segments_stale_as_degraded, Some(true));
        assert_eq!(read.log.as_deref(), Some("off"));
        assert_eq!(read.proxy.as_deref(), Some("http://me:p%40ss@proxy:3128"));
        assert_eq!(read.unused, ["INIT_TIMEOUT", "LD_FILTER_KEYS_toys", "LD_LOG_LEVEL_Test", "LD_TTL_Tset"]);
        assert!(matches!(
            read.database,
            Some(Database::Redis { ref url, password: Some(_), .. }) if url == "redis://cache:6379"
        ));
        assert_eq!(
            (read.told.auto_config_key.as_deref(), read.told.prefix.as_deref()),
            (Some("rel-1"), Some("ld-$CID"))
        );
        assert_eq!(read.told.allowed_headers.as_deref(), Some(&["x-a".to_owned(), "x-b".to_owned()][..]));
        assert_eq!(read.told.offline_archive_poll, Some(Duration::from_millis(500)));
        let [production, test] = &read.environments[..] else { panic!("{:?}", read.environments) };
        assert_eq!((&*production.name, &*production.sdk_key), ("Shop_Production", "sdk-1"));
        assert_eq!(production.mobile_key.as_deref(), Some("mob-1"));
        assert_eq!((production.secure_mode, production.ttl_minutes), (true, 2));
        assert_eq!(production.filters.iter().collect::<Vec<_>>(), ["mobile", "web"]);
        assert_eq!(production.allowed_origins.len(), 1);
        assert_eq!((&*test.name, &test.mobile_key), ("Test", &None));
    }

    #[test]
    fn what_cannot_be_is_said_with_its_name() {
        for (name, value) in [
            ("PORT", "many"),
            ("USE_EVENTS", "perhaps"),
            ("HEARTBEAT_INTERVAL", "3"),
            ("PROXY_AUTH_NTLM", "true"),
        ] {
            let said = read(&[(name, value)]).unwrap_err();
            assert!(said.contains(name), "{said}");
        }
    }

    #[test]
    fn there_is_one_database_at_most_and_none_that_is_switched_off() {
        let none = read(&[("USE_REDIS", "false"), ("REDIS_HOST", "cache")]).unwrap();
        assert!(none.database.is_none());
        let consul = read(&[("USE_REDIS", "false"), ("REDIS_HOST", "cache"), ("CONSUL_HOST", "h")]).unwrap();
        assert!(matches!(consul.database, Some(Database::Consul { .. })));
        let said = read(&[("USE_REDIS", "true"), ("USE_CONSUL", "true")]).unwrap_err();
        assert!(said.contains("one database"), "{said}");
    }

    #[test]
    fn nothing_set_is_nothing_said() {
        let read = read(&[("HOME", "/root"), ("PORT", "")]).unwrap();
        assert!(read.listen.is_none() && read.database.is_none() && read.environments.is_empty());
    }

    #[test]
    fn durations_have_units() {
        for (text, milliseconds) in
            [("500ms", 500), ("1h30m", 5_400_000), ("1.5s", 1_500), ("0", 0), ("2:10", 130_000)]
        {
            assert_eq!(duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        let most = format!("{0}s{0}s", u64::MAX);
        for text in
            ["", "3", "s", "3 m", "3d", "-1s", "1:x", &most, "999999999999999999:0", "1:18446744073709551615"]
        {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
