//! `ports` and `expose` of a service.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use crate::import::Value;
use crate::names::Protocol;

/// A published port or range, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Port {
    pub(super) address: Option<String>,
    /// The host's; `None` is one that Docker chooses.
    pub(super) host: Option<RangeInclusive<u16>>,
    pub(super) target: RangeInclusive<u16>,
    pub(super) protocol: Protocol,
}

/// What can be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Published {
    /// It is published so.
    So(Value),
    /// It cannot be, for this reason.
    Not(String),
    /// It is no port at all, for this reason.
    Wrong(String),
}

/// Reads `3000`, `8000:80`, `127.0.0.1:8001:8001/udp`, `[::1]:80:80`, ranges too.
pub(super) fn short(text: &str) -> Result<Port, String> {
    let unreadable = || format!("`{text}` is not a port, `HOST:CONTAINER` or `ADDRESS:HOST:CONTAINER`");
    let (ports, protocol) = protocol_of(text)?;
    let (rest, target) = ports.rsplit_once(':').map_or((None, ports), |(rest, target)| (Some(rest), target));
    let target = range(target).ok_or_else(unreadable)?;
    let Some(rest) = rest else { return Ok(Port { address: None, host: None, target, protocol }) };
    let (address, host) = match rest.rsplit_once(':') {
        None => (None, rest),
        Some((address, host)) => {
            (Some(address.trim_start_matches('[').trim_end_matches(']').to_owned()), host)
        }
    };
    let host = if host.is_empty() { None } else { Some(range(host).ok_or_else(unreadable)?) };
    Ok(Port { address, host, target, protocol })
}

/// Reads `80`, `8000-8010/udp`.
pub(super) fn exposed(text: &str) -> Result<Value, String> {
    let (ports, protocol) = protocol_of(text)?;
    let ports = range(ports).ok_or_else(|| format!("`{text}` is not a port or a range of ports"))?;
    Ok(Value::text(format!("{}/{protocol}", shown(&ports))))
}

fn protocol_of(text: &str) -> Result<(&str, Protocol), String> {
    let Some((ports, name)) = text.rsplit_once('/') else { return Ok((text, Protocol::Tcp)) };
    Ok((ports, named(name)?))
}

/// Returns the protocol of a name.
pub(super) fn named(name: &str) -> Result<Protocol, String> {
    Protocol::named(&name.to_ascii_lowercase())
        .ok_or_else(|| format!("`{name}` is not a protocol with ports"))
}

/// Reads `80` or `90-100`.
pub(super) fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (1 <= first && first <= last).then_some(first..=last)
}

/// Returns what can be done about a port of a container that has addresses of IPv6, or has not.
pub(super) fn published(port: &Port, has_ipv6: bool) -> Published {
    let Port { address, host, target, protocol } = port;
    let Some(host) = host else {
        let why =
            format!("Docker chooses a port of the host; choose one and write \"PORT:{}\"", shown(target));
        return Published::Not(why);
    };
    if host.len() != target.len() {
        return if target.len() == 1 {
            Published::Not(format!(
                "Docker chooses one of {}; choose one and write \"PORT:{}\"",
                shown(host),
                shown(target)
            ))
        } else {
            Published::Wrong(format!("{} ports of the host cannot lead to {}", host.len(), target.len()))
        };
    }
    let address = match address.as_deref().map(|text| (text, text.parse::<IpAddr>())) {
        None => None,
        Some((_, Ok(IpAddr::V6(address)))) if address.is_loopback() => {
            return Published::Not(
                "nothing can be led out of ::1; 127.0.0.1 is what `localhost` falls back to".to_owned(),
            );
        }
        Some((_, Ok(IpAddr::V6(address)))) if !has_ipv6 => {
            let why = format!(
                "Docker's proxy leads {address} to IPv4, netform does not: give its network a subnet of IPv6"
            );
            return Published::Not(why);
        }
        Some((_, Ok(address))) => Some(address),
        Some((text, Err(_))) => return Published::Wrong(format!("`{text}` is not an address of the host")),
    };
    let (host, target) = (shown(host), shown(target));
    let suffix = if *protocol == Protocol::Tcp { String::new() } else { format!("/{protocol}") };
    Published::So(match address {
        None => Value::text(format!("{host}:{target}{suffix}")),
        Some(IpAddr::V4(address)) => Value::text(format!("{address}:{host}:{target}{suffix}")),
        Some(IpAddr::V6(address)) => {
            let port =
                |ports: &str| if ports.contains('-') { Value::text(ports) } else { Value::plain(ports) };
            let fields = [
                ("host_address", Value::text(address)),
                ("host_port", port(&host)),
                ("target_port", port(&target)),
                ("protocol", Value::text(protocol)),
            ];
            Value::Map(fields.map(|(key, value)| (key.to_owned(), value)).into())
        }
    })
}

fn shown(ports: &RangeInclusive<u16>) -> String {
    let (first, last) = (ports.start(), ports.end());
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: &str) {
        let got = match short(text).map(|port| published(&port, false)) {
            Ok(Published::So(Value::Text(text))) => text,
            Ok(Published::So(value)) => format!("{value:?}"),
            Ok(Published::Not(why)) => format!("not: {why}"),
            Ok(Published::Wrong(why)) | Err(why) => format!("wrong: {why}"),
        };
        assert_eq!(got, want);
    }

    #[test]
    fn a_port_is_published_as_compose_writes_it() {
        check("8000:80", "8000:80");
        check("9090-9091:8080-8081", "9090-9091:8080-8081");
        check("127.0.0.1:5353:53/udp", "127.0.0.1:5353:53/udp");
        check("0.0.0.0:80:80/TCP", "0.0.0.0:80:80");
        check("3000", "not: Docker chooses a port of the host; choose one and write \"PORT:3000\"");
        check("127.0.0.1::80", "not: Docker chooses a port of the host; choose one and write \"PORT:80\"");
        check("8000-8010:80", "not: Docker chooses one of 8000-8010; choose one and write \"PORT:80\"");
        check(
            "[::1]:80:80",
            "not: nothing can be led out of ::1; 127.0.0.1 is what `localhost` falls back to",
        );
        check(
            "[::]:80:80",
            "not: Docker's proxy leads :: to IPv4, netform does not: give its network a subnet of IPv6",
        );
        check("80-81:80-82", "wrong: 2 ports of the host cannot lead to 3");
        check("web:80:80", "wrong: `web` is not an address of the host");
        check("80:http", "wrong: `80:http` is not a port, `HOST:CONTAINER` or `ADDRESS:HOST:CONTAINER`");
        check("80:80/icmp", "wrong: `icmp` is not a protocol with ports");
        check("70000:80", "wrong: `70000:80` is not a port, `HOST:CONTAINER` or `ADDRESS:HOST:CONTAINER`");
    }
}
