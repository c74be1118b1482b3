//! Published and exposed ports: `"127.0.0.1:8080-8081:80-81/tcp"` and the like.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::fields::{self, Fields, shortened, wrong_type};
use super::network::required;
use super::node::{Kind, Node};
use super::problem::Problem;
use super::report::Report;
use super::scalar;
use super::{At, Place};
use crate::names::Protocol;

/// A published port or range: `"8080:80"`, `"127.0.0.1:5353:53/udp"`, or a map.
///
/// ```yaml
/// publish:
///   - "8080:80"
///   - {host_address: 127.0.0.1, host_port: 9000-9010, target_port: 90-100, protocol: udp, allow_from: [198.51.100.0/24]}
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// The host's address; `0.0.0.0` and `::` are any of their family, `None` is any of both.
    pub host_address: Option<IpAddr>,
    /// The ports on the host.
    pub host_ports: RangeInclusive<u16>,
    /// The container's ports: as many.
    pub target_ports: RangeInclusive<u16>,
    /// The protocol; the default is TCP.
    pub protocol: Protocol,
    /// `allow_from`: who may connect; empty means everyone.
    pub allow_from: Vec<At<IpNet>>,
}

/// A port that a container serves: `5432/tcp`.
///
/// ```yaml
/// expose: [80, 5432/tcp, 8000-8010/udp]
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expose {
    /// The ports.
    pub ports: RangeInclusive<u16>,
    /// The protocol; the default is TCP.
    pub protocol: Protocol,
}

/// The forms of an entry of `publish`, as help shows them.
const FORMS: &str =
    "write it like \"8080:80\", \"127.0.0.1:5353:53/udp\" or \"[2001:db8::7]:9000-9010:90-100\"";

/// The forms of an entry of a list of a container's ports.
const SERVED: &str = "write it like 80, 5432/tcp or 8000-8010/udp";

/// Returns the port or range that an entry of `publish` means.
pub(super) fn publish(node: &Node, report: &mut Report) -> Option<At<Publish>> {
    let value = match &node.kind {
        Kind::Text(text) => short(text, node.place, report)?,
        Kind::Map(_) => long(node, report)?,
        Kind::Integer(_) | Kind::Number(_) => {
            report.add(no_host_port(&node_text(node), node.place));
            return None;
        }
        Kind::Refused => return None,
        Kind::Null | Kind::Bool(_) | Kind::List(_) => {
            report.add(wrong_type(node, "a published port is text or a map").help(FORMS));
            return None;
        }
    };
    if publish_lengths_differ(&value) {
        let (host, target) = (&value.host_ports, &value.target_ports);
        let message = format!(
            "{} ports of the host cannot lead to {} ports of the container",
            host.len(),
            target.len()
        );
        let label = format!("{} to {}", shown(host), shown(target));
        let problem = Problem::new("manifest::port_ranges", message, node.place, label);
        report.add(problem.help("make both ranges of equal length"));
        return None;
    }
    Some(At { value, place: node.place })
}

/// Returns the port or range that an entry of `expose` means: `80`, `5432/tcp`, `8000-8010/udp`.
pub(super) fn expose(node: &Node, report: &mut Report) -> Option<At<Expose>> {
    served(node, "`expose`", report)
}

/// Returns the port or range that an entry of a list of a container's ports means; `list` is the list's key.
pub(super) fn served(node: &Node, list: &str, report: &mut Report) -> Option<At<Expose>> {
    let value = match &node.kind {
        Kind::Text(text) if text.contains(':') => {
            let message = format!("`{}` publishes a port, and {list} only names it", shortened(text));
            let problem = Problem::new("manifest::bad_port", message, node.place, "two ports");
            report.add(problem.help("write the container's port alone, or move this to `publish`"));
            return None;
        }
        Kind::Text(text) => {
            let (ports, protocol) = split_protocol(text, node.place, report)?;
            Expose { ports: ports_of(ports, (node.place, SERVED), report)?, protocol }
        }
        Kind::Refused => return None,
        Kind::Integer(_) | Kind::Number(_) | Kind::Null | Kind::Bool(_) | Kind::List(_) | Kind::Map(_) => {
            let port = port(node, &format!("a port of {list}"), report)?;
            Expose { ports: port..=port, protocol: Protocol::Tcp }
        }
    };
    Some(At { value, place: node.place })
}

/// Reads `[host_address:]host_port[-end]:target_port[-end][/protocol]`.
fn short(text: &str, place: Place, report: &mut Report) -> Option<Publish> {
    let (rest, protocol) = split_protocol(text, place, report)?;
    let Some((front, target)) = rest.rsplit_once(':') else {
        report.add(no_host_port(rest, place));
        return None;
    };
    // The ports of the host stand behind the last colon outside of brackets.
    let (address, host) = match front.strip_prefix('[') {
        Some(inside) => match inside.split_once("]:") {
            Some((address, host)) => (Some(address), host),
            None => {
                report.add(unreadable(text, (place, FORMS)));
                return None;
            }
        },
        None => match front.rsplit_once(':') {
            Some((address, host)) => (Some(address), host),
            None => (None, front),
        },
    };
    if host.is_empty() {
        let message = format!("`{}` has no port of the host", shortened(text));
        let problem = Problem::new("manifest::no_host_port", message, place, "which port of the host?");
        report.add(problem.help("netform chooses no port for you: write one, like \"127.0.0.1:8080:80\""));
        return None;
    }
    let bare_six = address.is_some_and(|address| address.contains(':')) && !front.starts_with('[');
    if bare_six {
        let message = format!("`{}` has an IPv6 address without brackets", shortened(text));
        let problem = Problem::new("manifest::bad_port", message, place, "where does the address end?");
        report.add(problem.help("write it like \"[2001:db8::7]:8080:80\""));
        return None;
    }
    let host_address = match address {
        Some(address) => Some(host_address(address, place, report)?),
        None => None,
    };
    Some(Publish {
        host_address,
        host_ports: ports_of(host, (place, FORMS), report)?,
        target_ports: ports_of(target, (place, FORMS), report)?,
        protocol,
        allow_from: vec![],
    })
}

fn long(node: &Node, report: &mut Report) -> Option<Publish> {
    let fields = Fields::open(node, &fields::PUBLISH, report)?;
    let address = match fields.value("host_address") {
        Some(node) => scalar::text(node, "an address", report)
            .and_then(|text| host_address(text, node.place, report))
            .map(Some),
        None => Some(None),
    };
    let host = required(fields, "host_port", &fields::PUBLISH, report);
    let host = host.and_then(|node| port_or_range(node, "`host_port`", report));
    let target = required(fields, "target_port", &fields::PUBLISH, report);
    let target = target.and_then(|node| port_or_range(node, "`target_port`", report));
    let protocol = match fields.value("protocol") {
        Some(node) => scalar::word(node, "`protocol`", &["tcp", "udp", "sctp"], report)
            .and_then(|_| scalar::protocol(scalar::text(node, "`protocol`", report)?)),
        None => Some(Protocol::Tcp),
    };
    let allow_from = fields.value("allow_from").map_or_else(Vec::new, |node| allow_from(node, report));
    Some(Publish {
        allow_from,
        host_address: address?,
        host_ports: host?,
        target_ports: target?,
        protocol: protocol?,
    })
}

fn allow_from(node: &Node, report: &mut Report) -> Vec<At<IpNet>> {
    let ranges = scalar::list(node, "`allow_from`", report);
    // Nobody may take it for "nobody": what is left out is open to everyone.
    if let (Kind::List(_), []) = (&node.kind, ranges) {
        let problem = Problem::new("manifest::empty_list", "`allow_from` names nobody", node.place, "empty");
        report.add(problem.help("leave it out: then everyone may connect; or do not publish the port"));
    }
    ranges.iter().filter_map(|node| scalar::range(node, "a range to allow", report)).collect()
}

fn publish_lengths_differ(publish: &Publish) -> bool {
    publish.host_ports.len() != publish.target_ports.len()
}

fn host_address(text: &str, place: Place, report: &mut Report) -> Option<IpAddr> {
    let address = scalar::parsed_address(text, place, report)?;
    if address.is_multicast() || address == IpAddr::V4(std::net::Ipv4Addr::BROADCAST) {
        let message = format!("{address} is no address of a single host");
        report.add(Problem::new("manifest::not_a_host_address", message, place, "not of one host"));
        return None;
    }
    // What a host sends to ::1 cannot be led to a container: IPv6 has no `route_localnet`, and the answer, translated back
    // to ::1, is dropped on any link but `lo` (RFC 4291 section 2.5.3; tried on Linux 6.18).
    if address == IpAddr::V6(std::net::Ipv6Addr::LOCALHOST) {
        let message = format!("a port cannot be published on {address}: IPv6 lets nothing out of loopback");
        let problem = Problem::new("manifest::ipv6_loopback", message, place, "the loopback address of IPv6");
        report.add(problem.help(
            "publish on 127.0.0.1, which `localhost` falls back to, or on another address of the host",
        ));
        return None;
    }
    Some(address)
}

fn split_protocol<'t>(text: &'t str, place: Place, report: &mut Report) -> Option<(&'t str, Protocol)> {
    let Some((ports, name)) = text.rsplit_once('/') else { return Some((text, Protocol::Tcp)) };
    if let Some(protocol) = scalar::protocol(name) {
        return Some((ports, protocol));
    }
    let message = format!("`{}` is not a protocol with ports", shortened(name));
    let problem = Problem::new("manifest::bad_port", message, place, "not a protocol");
    report.add(match scalar::protocol(&name.to_lowercase()) {
        Some(protocol) => problem.help(format!("write `{protocol}`")),
        None => problem.help("it can be `tcp`, `udp` and `sctp`"),
    });
    None
}

fn port_or_range(node: &Node, what: &str, report: &mut Report) -> Option<RangeInclusive<u16>> {
    match &node.kind {
        Kind::Text(text) => ports_of(text, (node.place, FORMS), report),
        Kind::Refused => None,
        Kind::Null | Kind::Bool(_) | Kind::Integer(_) | Kind::Number(_) | Kind::List(_) | Kind::Map(_) => {
            port(node, what, report).map(|port| port..=port)
        }
    }
}

fn port(node: &Node, what: &str, report: &mut Report) -> Option<u16> {
    let number = scalar::integer(node, what, 1..=65_535, report)?;
    u16::try_from(number).ok()
}

/// Reads `80` or `90-100`.
fn ports_of(text: &str, (place, forms): (Place, &str), report: &mut Report) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u32>().ok())?;
    let (Some(first), Some(last)) = (number(first), number(last)) else {
        report.add(unreadable(text, (place, forms)));
        return None;
    };
    match (u16::try_from(first), u16::try_from(last)) {
        (Ok(first @ 1..), Ok(last)) if first <= last => Some(first..=last),
        (Ok(1..), Ok(1..)) => {
            let message = format!("the range of ports {first}-{last} ends before it begins");
            let problem = Problem::new("manifest::bad_port", message, place, "ends before it begins");
            report.add(problem.help(format!("write {last}-{first}")));
            None
        }
        (Ok(_) | Err(_), Ok(_) | Err(_)) => {
            let message = format!("`{}` is not a port: ports are 1 to 65535", shortened(text));
            report.add(Problem::new("manifest::bad_port", message, place, "not a port"));
            None
        }
    }
}

fn unreadable(text: &str, (place, forms): (Place, &str)) -> Problem {
    let message = format!("`{}` is not a port or a range of ports", shortened(text));
    Problem::new("manifest::bad_port", message, place, "not understood").help(forms)
}

/// A target port alone means a random host port for Docker, which no plan could show.
fn no_host_port(text: &str, place: Place) -> Problem {
    let text = shortened(text);
    let message = format!("`{text}` names one port, and publishing needs two");
    let problem =
        Problem::new("manifest::no_host_port", message, place, "the host's port or the container's?");
    problem.help(format!("write \"{text}:{text}\": the host's port, then the container's"))
}

fn node_text(node: &Node) -> String {
    match &node.kind {
        Kind::Integer(number) => number.to_string(),
        Kind::Number(number) => number.clone(),
        Kind::Text(text) => text.to_string(),
        Kind::Null | Kind::Bool(_) | Kind::List(_) | Kind::Map(_) | Kind::Refused => String::new(),
    }
}

fn shown(ports: &RangeInclusive<u16>) -> String {
    let (first, last) = (ports.start(), ports.end());
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}
