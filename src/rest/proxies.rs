//! Where a request comes from, behind proxies that the operator trusts.
//!
//! A header can say anything, so it is read only where the other end of the connection is a trusted proxy, and from the
//! right: each proxy appends whom it was called by, and the first one that is not trusted is the client. What stands
//! left of it the client may have made up.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName};

/// The header that proxies append to.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// A network of addresses, such as `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is no network.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no network: write an address, or one and the length of its prefix, with zeros behind it, such as 10.0.0.1, \
     10.0.0.0/8 or fd00::/8"
)]
pub struct NoNetwork(String);

/// The bits of an address from the left, and how many it has.
fn bits(address: IpAddr) -> (u128, u8) {
    match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)) << 96, 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    }
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        let ((ours, length), (theirs, of)) = (bits(self.address), bits(address.to_canonical()));
        let differ = ours ^ theirs;
        length == of && differ.leading_zeros() >= u32::from(self.prefix)
    }
}

impl FromStr for Network {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let wrong = || NoNetwork(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let (ours, length) = bits(address);
        let prefix = match prefix {
            // As it is written: no sign, no zero before it.
            Some(text) => text.parse::<u8>().ok().filter(|prefix| prefix.to_string() == text),
            None => Some(length),
        };
        let prefix = prefix.filter(|prefix| *prefix <= length).ok_or_else(wrong)?;
        let behind = ours.checked_shl(prefix.into()).unwrap_or(0);
        let mapped = address != address.to_canonical();
        if behind != 0 || mapped {
            return Err(wrong());
        }
        Ok(Self { address, prefix })
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// The proxies that are trusted. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Arc<[Network]>);

impl Proxies {
    /// Those in these networks.
    pub fn new(networks: &[Network]) -> Self {
        Self(networks.into())
    }

    fn trust(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// Who sent a request that came from `peer`: the client if `peer` is a trusted proxy that says so in a way that can
    /// be read, else `peer` itself.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.trust(peer) {
            return peer;
        }
        let mut client = peer;
        for value in headers.get_all(FORWARDED_FOR).iter().rev() {
            for hop in value.as_bytes().rsplit(|byte| *byte == b',') {
                let Some(hop) = address(hop) else { return peer };
                client = hop.to_canonical();
                if !self.trust(client) {
                    return client;
                }
            }
        }
        client
    }
}

/// The address that a proxy wrote, with or without a port: `203.0.113.7`, `203.0.113.7:4711`, `2001:db8::7`,
/// `[2001:db8::7]` or `[2001:db8::7]:4711`.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop.trim_ascii()).ok()?;
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    text.parse().ok().or_else(|| bracketed().map(IpAddr::V6)).or_else(with_port)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn proxies(networks: &[&str]) -> Proxies {
        Proxies::new(&networks.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn a_network_is_an_address_with_a_prefix_and_nothing_behind_it() {
        for right in ["10.0.0.0/8", "10.1.2.3/32", "0.0.0.0/0", "fd00::/8", "::/0", "::1/128"] {
            assert_eq!(right.parse::<Network>().map(|it| it.to_string()), Ok(right.to_owned()));
        }
        assert_eq!(
            "127.0.0.1".parse::<Network>().map(|it| it.to_string()),
            Ok("127.0.0.1/32".to_owned())
        );
        for wrong in [
            "",
            "proxy",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/08",
            "fd00::1/8",
            "::/129",
            "::ffff:10.0.0.0/104",
            "10.0.0.0/8/8",
            "/8",
        ] {
            assert_eq!(wrong.parse::<Network>(), Err(NoNetwork(wrong.to_owned())), "{wrong}");
        }
    }

    #[test]
    fn the_client_is_the_first_from_the_right_that_is_not_trusted() {
        let proxies = proxies(&["10.0.0.0/8", "fd00::/8", "127.0.0.1"]);
        for (peer, headers, client) in [
            ("203.0.113.1", &["198.51.100.1"][..], "203.0.113.1"),
            ("127.0.0.1", &[], "127.0.0.1"),
            ("127.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("::ffff:127.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("127.0.0.1", &["1.1.1.1, 198.51.100.1 ,10.0.0.3"], "198.51.100.1"),
            ("127.0.0.1", &["1.1.1.1", "198.51.100.1, fd00::3", "10.0.0.3"], "198.51.100.1"),
            ("127.0.0.1", &["made up, 198.51.100.1"], "198.51.100.1"),
            ("127.0.0.1", &["10.0.0.2, 10.0.0.3"], "10.0.0.2"),
            ("127.0.0.1", &["::ffff:198.51.100.1"], "198.51.100.1"),
            ("127.0.0.1", &["198.51.100.1, made up"], "127.0.0.1"),
            ("127.0.0.1", &["198.51.100.1, made up, 10.0.0.3"], "127.0.0.1"),
            ("127.0.0.1", &[""], "127.0.0.1"),
            ("127.0.0.1", &["198.51.100.1,"], "127.0.0.1"),
            ("127.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("127.0.0.1", &["2001:db8::7, [fd00::3]:80"], "2001:db8::7"),
            ("127.0.0.1", &["[2001:db8::7]"], "2001:db8::7"),
            ("127.0.0.1", &["[2001:db8::7]:4711, 10.0.0.3:443"], "2001:db8::7"),
            ("127.0.0.1", &["\u{fc}, 198.51.100.1"], "198.51.100.1"),
            ("127.0.0.1", &["198.51.100.1, \u{fc}"], "127.0.0.1"),
            ("127.0.0.1", &["[198.51.100.1]"], "127.0.0.1"),
            ("127.0.0.1", &["198.51.100.1:"], "127.0.0.1"),
            ("127.0.0.1", &["198.51.100.1:99999"], "127.0.0.1"),
        ] {
            let mut map = HeaderMap::new();
            for header in headers {
                map.append(FORWARDED_FOR, HeaderValue::from_bytes(header.as_bytes()).unwrap());
            }
            let found = proxies.client(peer.parse().unwrap(), &map);
            assert_eq!(found, client.parse::<IpAddr>().unwrap(), "{peer} {headers:?}");
        }
        assert!(!Proxies::default().trust("127.0.0.1".parse().unwrap()));
    }
}
