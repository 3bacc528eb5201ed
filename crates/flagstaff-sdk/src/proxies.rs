//! Which proxy a request goes through: the configured one, or one of the environment's.

use std::collections::HashMap;
use std::sync::Arc;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::{Proxy, Url};

use crate::config::{Config, ConfigError, check_uri, without_password};

/// Whether requests may go through a proxy, by the configuration or the environment.
pub(crate) fn uses_proxy(config: &Config) -> bool {
    proxies(config).is_ok_and(|proxies| !proxies.is_empty())
}

/// The proxy of the configuration, for everything; else those of the environment.
pub(crate) fn proxies(config: &Config) -> Result<Vec<Proxy>, ConfigError> {
    if let Some(url) = &config.http_proxy {
        let url = checked("proxy", url)?;
        return Proxy::all(url.clone()).map(|proxy| vec![proxy]).map_err(|_| bad("proxy", url.as_str()));
    }
    let environment = Environment(config.proxy_environment.as_deref());
    let excluded = Arc::new(Excluded::new(&environment.variable("no_proxy").unwrap_or_default()));
    let mut proxies = Vec::new();
    // In a CGI program `HTTP_PROXY` is what a visitor sent as the header `Proxy`.
    let in_cgi = environment.exact("REQUEST_METHOD").is_some();
    for (scheme, name) in [("https", "https_proxy"), ("http", "http_proxy")] {
        let found =
            if in_cgi && scheme == "http" { environment.exact(name) } else { environment.variable(name) };
        if let Some(url) = found {
            let proxy = checked(name, &url)?;
            let excluded = Arc::clone(&excluded);
            proxies.push(Proxy::custom(move |url| {
                (url.scheme() == scheme && !excluded.has(url)).then(|| proxy.clone())
            }));
        }
    }
    Ok(proxies)
}

/// The address of a proxy, of which the scheme may be left out.
fn checked(which: &'static str, url: &str) -> Result<Url, ConfigError> {
    let full = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    check_uri(which, Some(&full))?;
    full.parse().map_err(|_| bad(which, url))
}

fn bad(which: &'static str, url: &str) -> ConfigError {
    ConfigError::BadUri { which, uri: without_password(url) }
}

/// What the variables are read from: the process's, if the configuration brings none.
struct Environment<'c>(Option<&'c HashMap<String, String>>);

impl Environment<'_> {
    /// In either case; small letters win.
    fn variable(&self, name: &str) -> Option<String> {
        self.exact(name).or_else(|| self.exact(&name.to_uppercase()))
    }

    fn exact(&self, name: &str) -> Option<String> {
        let value = match self.0 {
            Some(variables) => variables.get(name).cloned(),
            None => std::env::var(name).ok(),
        };
        value.filter(|value| !value.is_empty())
    }
}

/// Whom `no_proxy` exempts: hosts with all below them, addresses and their ranges, `*` for all. An entry
/// may name a port.
struct Excluded(Vec<(Matcher, Option<u16>)>);

impl Excluded {
    fn new(list: &str) -> Self {
        let entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        Self(entries.map(Self::entry).collect())
    }

    fn entry(entry: &str) -> (Matcher, Option<u16>) {
        let split = entry.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let (host, port) = match split {
            // More colons are those of an address of the sixth version.
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
            _ => (entry, None),
        };
        let host = match host.trim_start_matches('[').trim_end_matches(']') {
            // To the matcher, that is all names, and no address.
            "*" => "*,0.0.0.0/0,::/0",
            host => host,
        };
        // Any proxy will do: whether it would be used is what counts.
        (Matcher::builder().all("http://proxy").no(host).build(), port)
    }

    fn has(&self, url: &Url) -> bool {
        let Ok(uri) = url.as_str().parse() else { return false };
        let port = url.port_or_known_default();
        self.0
            .iter()
            .any(|(matcher, only)| (only.is_none() || *only == port) && matcher.intercept(&uri).is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excluded(list: &str, url: &str) -> bool {
        Excluded::new(list).has(&url.parse().unwrap())
    }

    #[test]
    fn no_proxy_exempts_hosts_and_all_below() {
        assert!(excluded("example.com", "https://example.com"));
        assert!(excluded("example.com", "https://flags.example.com:8443"));
        assert!(excluded(".example.com", "https://flags.example.com"));
        assert!(!excluded("example.com", "https://notexample.com"));
        assert!(excluded("*", "http://127.0.0.1"));
        assert!(excluded("*", "http://[::1]"));
        assert!(excluded("*", "http://example.com"));
        assert!(excluded("other, , 10.0.0.0/8", "http://10.1.2.3"));
        assert!(excluded("::1", "http://[::1]:80"));
        assert!(!excluded("", "http://example.com"));
        assert!(!excluded(" ,", "http://example.com"));
    }

    #[test]
    fn no_proxy_may_name_a_port() {
        assert!(excluded("example.com:8443", "https://example.com:8443"));
        assert!(!excluded("example.com:8443", "https://example.com"));
        assert!(excluded("example.com:443", "https://example.com"));
        assert!(excluded("[::1]:80", "http://[::1]"));
        assert!(!excluded("[::1]:81", "http://[::1]"));
        assert!(!excluded("*:81", "http://example.com"));
    }

    fn count(variables: &[(&str, &str)]) -> usize {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        proxies(&Config::new("").proxy_environment(variables)).unwrap().len()
    }

    #[test]
    fn a_visitor_of_a_cgi_program_names_no_proxy() {
        assert_eq!(count(&[("HTTP_PROXY", "a:1"), ("HTTPS_PROXY", "a:1")]), 2);
        assert_eq!(count(&[("HTTP_PROXY", "a:1"), ("REQUEST_METHOD", "GET")]), 0);
        assert_eq!(count(&[("http_proxy", "a:1"), ("REQUEST_METHOD", "GET")]), 1);
        assert_eq!(count(&[("http_proxy", "")]), 0);
    }
}
