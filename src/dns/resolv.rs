//! `resolv.conf`: what the host's says, and what a container's shall say. Source: resolv.conf(5).

use std::net::IpAddr;

/// Where every container's resolver is.
pub const ADDRESS: std::net::Ipv4Addr = std::net::Ipv4Addr::new(127, 0, 0, 11);

/// What a `resolv.conf` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolv {
    /// `nameserver`, in order.
    pub servers: Vec<IpAddr>,
    /// `search`, or else `domain`; the last line wins.
    pub search: Vec<String>,
    /// `options`, of all lines.
    pub options: Vec<String>,
}

/// Reads a `resolv.conf`; lines that make no sense are passed over, as the C library does.
///
/// A name server with a zone, as `fe80::1%eth0`, is passed over, too.
pub fn parse(text: &str) -> Resolv {
    let mut resolv = Resolv::default();
    for line in text.lines() {
        let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
        match words.next() {
            Some("nameserver") => {
                resolv.servers.extend(words.next().and_then(|word| word.parse::<IpAddr>().ok()))
            }
            Some("search" | "domain") => resolv.search = words.map(str::to_owned).collect(),
            Some("options") => resolv.options.extend(words.map(str::to_owned)),
            Some(_) | None => {}
        }
    }
    resolv
}

/// Returns what a container's `resolv.conf` says, given the host's.
///
/// Names of containers have no dot or one, and are asked for as they are before any search domain of the host is tried
/// (`ndots:0`), so that no query for them leaves with a domain behind it. Other options of the host are kept; a container
/// has one name server, and it answers all.
pub fn container(host: &Resolv) -> String {
    let mut text = format!("nameserver {ADDRESS}\n");
    if !host.search.is_empty() {
        text.push_str(&format!("search {}\n", host.search.join(" ")));
    }
    let kept = host.options.iter().map(String::as_str).filter(|option| !option.starts_with("ndots:"));
    let options: Vec<_> = kept.chain(["ndots:0"]).collect();
    text.push_str(&format!("options {}\n", options.join(" ")));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_file_is_read_as_the_c_library_does() {
        let text = "# comment\nnameserver 127.0.0.53\nnameserver\tfd00::1\nnameserver fe80::1%eth0\nnameserver x\n\
            domain old.example\nsearch corp.example example\noptions edns0 trust-ad\noptions ndots:2\nsortlist 1\n";

        let resolv = parse(text);

        assert_eq!(resolv.servers, ["127.0.0.53".parse::<IpAddr>().unwrap(), "fd00::1".parse().unwrap()]);
        assert_eq!(resolv.search, ["corp.example", "example"]);
        assert_eq!(
            container(&resolv),
            "nameserver 127.0.0.11\nsearch corp.example example\noptions edns0 trust-ad ndots:0\n"
        );
    }

    #[test]
    fn without_a_file_of_the_host_a_container_still_has_its_resolver() {
        assert_eq!(container(&parse("")), "nameserver 127.0.0.11\noptions ndots:0\n");
    }
}
