//! Who sent a request: the other end of the connection, or, where that is a proxy that is trusted, whom it names.
//!
//! A proxy adds the address that it was asked from behind those that came with the request
//! (`X-Forwarded-For`, or `Forwarded` as RFC 7239 has it). So the last one was seen by our own proxy, the one
//! before it by whoever that is; reading from the right, the first address that is no trusted proxy is the
//! peer. What stands to its left may be made up, and is not read.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};

use crate::error::ApiError;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// From where.
    pub address: IpAddr,
    /// Whether a proxy that is trusted named that address; the connection comes from another.
    pub is_behind_proxy: bool,
    /// Whether it came encrypted, to us or to the outermost proxy that is trusted.
    pub encrypted: bool,
}

/// Those who are limited together: an address, or the network of 64 bits that one connection to the Internet has
/// by IPv6, all addresses of which are its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Neighbours(IpAddr);

impl Neighbours {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => Self(IpAddr::V6((address.to_bits() >> 64 << 64).into())),
            address => Self(address),
        }
    }
}

/// The addresses of one network, like `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// How many leading bits count.
    prefix: u32,
}

/// The proxies in front that are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

/// One hop, as a proxy tells it.
#[derive(Debug, PartialEq, Eq)]
struct Hop<'a> {
    /// None if it is hidden or unreadable.
    address: Option<IpAddr>,
    protocol: Option<&'a str>,
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                same_start(own.to_bits().into(), other.to_bits().into(), 32, self.prefix)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                same_start(own.to_bits(), other.to_bits(), 128, self.prefix)
            }
            _ => false,
        }
    }
}

fn same_start(one: u128, other: u128, width: u32, prefix: u32) -> bool {
    // A shift by the whole width is none in Rust.
    (one ^ other).checked_shr(width - prefix).unwrap_or(0) == 0
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{}` is not a network; give one like 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7",
                text.escape_debug()
            )
        };
        let (address, prefix) = match text.trim().split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text.trim(), None),
        };
        let address = address.parse::<IpAddr>().map_err(|_| wrong())?.to_canonical();
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(width), |prefix| prefix.parse().map_err(|_| wrong()))?;
        if prefix > width {
            return Err(wrong());
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix)
    }
}

impl TrustedProxies {
    /// These are believed.
    pub fn new(networks: Vec<Network>) -> Self {
        Self(networks)
    }

    /// Whether a proxy at this address is believed.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// Who sent a request that came from `socket`.
    pub(crate) fn peer(&self, socket: SocketAddr, encrypted: bool, headers: &HeaderMap) -> Peer {
        let direct = Peer { address: socket.ip().to_canonical(), is_behind_proxy: false, encrypted };
        if !self.trusts(direct.address) {
            return direct;
        }
        let common = self.walk(direct, &common_hops(headers));
        if !headers.contains_key(header::FORWARDED) {
            return common;
        }
        let standard = self.walk(direct, &standard_hops(headers));
        if !headers.contains_key(FORWARDED_FOR) {
            return standard;
        }
        // A proxy writes one of the two and may pass the other on as the sender made it up: only what both
        // say is believed.
        if common.address == standard.address { standard } else { direct }
    }

    /// From the right: the first hop that is no trusted proxy.
    fn walk(&self, direct: Peer, hops: &[Hop<'_>]) -> Peer {
        let mut peer = direct;
        for hop in hops.iter().rev() {
            if let Some(protocol) = hop.protocol {
                peer.encrypted = protocol.eq_ignore_ascii_case("https");
            }
            let Some(address) = hop.address else { break };
            (peer.address, peer.is_behind_proxy) = (address, true);
            if !self.trusts(address) {
                break;
            }
        }
        peer
    }
}

/// `X-Forwarded-For`, with `X-Forwarded-Proto` beside it: as many protocols as addresses, or fewer, of the
/// proxies nearest to us.
fn common_hops(headers: &HeaderMap) -> Vec<Hop<'_>> {
    let mut protocols = listed(headers, FORWARDED_PROTO);
    let mut hops: Vec<_> = listed(headers, FORWARDED_FOR)
        .rev()
        .map(|address| Hop { address: read_address(address), protocol: protocols.next_back() })
        .collect();
    if hops.is_empty() {
        // The address is not said, but perhaps the protocol.
        hops.extend(protocols.next_back().map(|protocol| Hop { address: None, protocol: Some(protocol) }));
    }
    hops.reverse();
    hops
}

/// `Forwarded: for=192.0.2.60;proto=https, for="[2001:db8::1]:4711"`
fn standard_hops(headers: &HeaderMap) -> Vec<Hop<'_>> {
    let hop = |element: &'_ str| {
        let mut hop = Hop { address: None, protocol: None };
        for pair in element.split(';') {
            let Some((name, value)) = pair.split_once('=') else { continue };
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "for" => hop.address = read_address(value),
                "proto" => {
                    hop.protocol = Some(if value.eq_ignore_ascii_case("https") { "https" } else { "http" })
                }
                _ => {}
            }
        }
        hop
    };
    listed(headers, header::FORWARDED).map(hop).collect()
}

/// What a header lists, over all its lines.
fn listed(headers: &HeaderMap, name: HeaderName) -> impl DoubleEndedIterator<Item = &str> {
    // A line that is no text is one hop that cannot be read.
    let lines = headers.get_all(name).iter().map(|line| line.to_str().unwrap_or("?"));
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

/// An address, with or without a port.
fn read_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))?;
    Some(IpAddr::to_canonical(&address))
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let known = parts.extensions.get::<Peer>().copied();
        Ok(known.unwrap_or_else(|| unreachable!("every connection says who is at its other end")))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn proxies(networks: &[&str]) -> TrustedProxies {
        TrustedProxies::new(networks.iter().map(|network| network.parse().unwrap()).collect())
    }

    fn peer(trusted: &[&str], socket: &str, headers: &[(&'static str, &'static str)]) -> (String, bool) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        let peer = proxies(trusted).peer(socket.parse().unwrap(), false, &map);
        (peer.address.to_string(), peer.encrypted)
    }

    #[test]
    fn a_network_holds_its_addresses_and_no_other() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("192.0.2.128/25", "192.0.2.255", "192.0.2.127"),
            ("0.0.0.0/0", "198.51.100.1", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("::/0", "::1", "127.0.0.1"),
            ("::ffff:10.1.2.3", "10.1.2.3", "10.1.2.4"),
        ] {
            let trusted = proxies(&[network]);
            assert!(trusted.trusts(inside.parse().unwrap()), "{inside} in {network}");
            assert!(!trusted.trusts(outside.parse().unwrap()), "{outside} not in {network}");
        }
        for wrong in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "proxy.example", "10.0.0.0/", "10.0.0.0/-1"] {
            assert!(wrong.parse::<Network>().unwrap_err().contains("is not a network"), "{wrong}");
        }
    }

    #[test]
    fn who_has_a_network_has_no_more_tries_than_who_has_an_address() {
        let of = |address: &str| Neighbours::of(address.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }

    #[test]
    fn headers_of_strangers_are_not_read() {
        let forged = [
            ("x-forwarded-for", "203.0.113.9"),
            ("forwarded", "for=203.0.113.9;proto=https"),
            ("x-forwarded-proto", "https"),
        ];
        assert_eq!(peer(&[], "198.51.100.7:1", &forged), ("198.51.100.7".into(), false));
        assert_eq!(peer(&["10.0.0.0/8"], "198.51.100.7:1", &forged), ("198.51.100.7".into(), false));
    }

    #[test]
    fn the_peer_is_the_rightmost_address_that_is_no_trusted_proxy() {
        let trusted = ["10.0.0.0/8", "2001:db8::1"];
        for (headers, address, encrypted) in [
            (&[][..], "10.0.0.1", false),
            (&[("x-forwarded-for", "192.0.2.1")], "192.0.2.1", false),
            (&[("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https")], "192.0.2.1", true),
            // The sender made up the first one.
            (&[("x-forwarded-for", "1.1.1.1, 192.0.2.1")], "192.0.2.1", false),
            (
                &[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "192.0.2.1, 10.0.0.2")],
                "192.0.2.1",
                false,
            ),
            // One who names a proxy of ours is the one that our proxy saw.
            (&[("x-forwarded-for", "10.0.0.9, 192.0.2.1, 10.0.0.2")], "192.0.2.1", false),
            // Everybody on the way is a proxy: the outermost of them asks.
            (&[("x-forwarded-for", "10.0.0.3, 10.0.0.2")], "10.0.0.3", false),
            (&[("x-forwarded-for", "192.0.2.1:4711")], "192.0.2.1", false),
            (&[("x-forwarded-for", "[2001:db8::7]:4711")], "2001:db8::7", false),
            (&[("x-forwarded-for", "::ffff:192.0.2.1")], "192.0.2.1", false),
            // What cannot be read ends the chain where it is still known.
            (&[("x-forwarded-for", "192.0.2.1, unknown, 10.0.0.2")], "10.0.0.2", false),
            (&[("x-forwarded-for", "nonsense")], "10.0.0.1", false),
            (&[("x-forwarded-proto", "https")], "10.0.0.1", true),
        ] {
            assert_eq!(peer(&trusted, "10.0.0.1:1", headers), (address.into(), encrypted), "{headers:?}");
        }
        assert_eq!(
            peer(&trusted, "[::ffff:10.0.0.1]:1", &[("x-forwarded-for", "192.0.2.1")]).0,
            "192.0.2.1",
            "a proxy that comes by IPv4 to a listener of IPv6"
        );
    }

    #[test]
    fn the_protocol_is_the_one_by_which_the_outermost_trusted_proxy_was_asked() {
        let trusted = ["10.0.0.0/8"];
        let addresses = ("x-forwarded-for", "192.0.2.1, 10.0.0.2");
        for (protocols, encrypted) in
            [("https, http", true), ("http, https", false), ("https", true), ("https, https, http", true)]
        {
            let headers = [addresses, ("x-forwarded-proto", protocols)];
            assert_eq!(
                peer(&trusted, "10.0.0.1:1", &headers),
                ("192.0.2.1".into(), encrypted),
                "{protocols}"
            );
        }
        // A stranger's claim stands to the left of what our proxy saw.
        let forged = [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https, http")];
        assert_eq!(peer(&trusted, "10.0.0.1:1", &forged), ("192.0.2.1".into(), false));
    }

    #[test]
    fn the_standard_header_is_read_in_the_same_way() {
        let trusted = ["10.0.0.0/8"];
        for (value, address, encrypted) in [
            ("for=192.0.2.1;proto=https;by=10.0.0.1", "192.0.2.1", true),
            ("For=\"[2001:db8::7]:4711\"; Proto=http", "2001:db8::7", false),
            ("for=1.1.1.1;proto=https, for=192.0.2.1;proto=http, for=10.0.0.2", "192.0.2.1", false),
            ("for=192.0.2.1, for=_hidden, for=10.0.0.2", "10.0.0.2", false),
            ("for=unknown;proto=https", "10.0.0.1", true),
            ("nonsense", "10.0.0.1", false),
        ] {
            assert_eq!(
                peer(&trusted, "10.0.0.1:1", &[("forwarded", value)]),
                (address.into(), encrypted),
                "{value}"
            );
        }
    }

    #[test]
    fn of_two_headers_that_disagree_neither_is_believed() {
        let both = |common, standard| {
            peer(&["10.0.0.0/8"], "10.0.0.1:1", &[("x-forwarded-for", common), ("forwarded", standard)])
        };
        assert_eq!(both("192.0.2.1", "for=192.0.2.1;proto=https"), ("192.0.2.1".into(), true));
        assert_eq!(both("203.0.113.9", "for=192.0.2.1;proto=https"), ("10.0.0.1".into(), false));
        assert_eq!(both("192.0.2.1", "for=203.0.113.9;proto=https"), ("10.0.0.1".into(), false));
    }
}
