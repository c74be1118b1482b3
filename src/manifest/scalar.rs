//! Reads single values: names, numbers, addresses, subnets, words.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::fields::{closest, listed, shortened, wrong_type};
use super::node::{Entry, Kind, Node};
use super::problem::Problem;
use super::report::Report;
use super::{At, Place};
use crate::names::{Mac, NameError, Protocol};

/// Returns a text; `what` is how a message begins, e.g. "a network name".
pub(super) fn text<'n>(node: &'n Node, what: &str, report: &mut Report) -> Option<&'n str> {
    let wrong = || wrong_type(node, &format!("{what} is text"));
    match &node.kind {
        Kind::Text(text) => Some(text),
        Kind::Refused => None,
        Kind::Bool(_) | Kind::Integer(_) | Kind::Number(_) => {
            report.add(wrong().help("write it in quotes"));
            None
        }
        Kind::Null => {
            report.add(wrong().help("write a value, or leave the key out"));
            None
        }
        Kind::List(_) | Kind::Map(_) => {
            report.add(wrong());
            None
        }
    }
}

/// Returns a name that keeps its rule.
pub(super) fn name<T>(node: &Node, what: &str, report: &mut Report) -> Option<At<T>>
where
    T: for<'a> TryFrom<&'a str, Error = NameError>,
{
    let text = text(node, what, report)?;
    let value = parsed_name(text, node.place, report)?;
    Some(At { value, place: node.place })
}

/// Returns the name that a key is.
pub(super) fn key_name<T>(entry: &Entry, report: &mut Report) -> Option<T>
where
    T: for<'a> TryFrom<&'a str, Error = NameError>,
{
    parsed_name(&entry.key, entry.at, report)
}

fn parsed_name<T>(text: &str, place: Place, report: &mut Report) -> Option<T>
where
    T: for<'a> TryFrom<&'a str, Error = NameError>,
{
    match T::try_from(text) {
        Ok(name) => Some(name),
        Err(error) => {
            report.add(bad_name(error, place));
            None
        }
    }
}

/// Says which rule a name breaks.
pub(super) fn bad_name(error: NameError, place: Place) -> Problem {
    let code = "manifest::bad_name";
    match error {
        NameError::Empty { what } => {
            Problem::new(code, format!("{what} is empty"), place, "empty").help("write a name")
        }
        NameError::TooLong { what, text, limit } => {
            let message = format!("{what} `{}` is too long", shortened(&text));
            Problem::new(code, message, place, format!("{} bytes", text.len()))
                .help(format!("use at most {limit} bytes"))
        }
        NameError::Forbidden { what, text, rule } => {
            let message = format!("{what} `{}` is not allowed", shortened(&text));
            Problem::new(code, message, place, "not allowed").help(rule)
        }
    }
}

/// Returns `true` or `false`.
pub(super) fn flag(entry: &Entry, report: &mut Report) -> Option<At<bool>> {
    if let Kind::Bool(value) = entry.value.kind {
        return Some(At { value, place: entry.value.place });
    }
    if !matches!(entry.value.kind, Kind::Refused) {
        let problem = wrong_type(&entry.value, &format!("`{}` is `true` or `false`", entry.key));
        // YAML 1.1 had more words for it, and YAML 1.2.2 section 10.3.2 has not.
        let word = match &entry.value.kind {
            Kind::Text(text) => text.to_lowercase(),
            Kind::Null
            | Kind::Bool(_)
            | Kind::Integer(_)
            | Kind::Number(_)
            | Kind::List(_)
            | Kind::Map(_)
            | Kind::Refused => String::new(),
        };
        report.add(match word.as_str() {
            "yes" | "on" | "y" | "true" => problem.help("write `true`"),
            "no" | "off" | "n" | "false" => problem.help("write `false`"),
            _ => problem,
        });
    }
    None
}

/// Returns a whole number of a range; `what` is how a message begins, e.g. "`size`".
pub(super) fn integer(
    node: &Node,
    what: &str,
    range: RangeInclusive<i64>,
    report: &mut Report,
) -> Option<i64> {
    let number = match &node.kind {
        Kind::Integer(number) => Some(*number),
        Kind::Number(text) if text.contains(['.', 'e', 'E']) => {
            let message = format!("{what} is a whole number, and this is none");
            report.add(Problem::new("manifest::wrong_type", message, node.place, "not a whole number"));
            return None;
        }
        Kind::Number(_) => None,
        Kind::Refused => return None,
        Kind::Text(text) if let Ok(number) = text.parse::<i64>() => {
            let problem = wrong_type(node, &format!("{what} is a whole number"));
            // `0755` is text without quotes, too.
            let plain = number.to_string() == **text;
            let help =
                if plain { "write it without quotes".to_owned() } else { format!("write it as {number}") };
            report.add(problem.help(help));
            return None;
        }
        Kind::Null | Kind::Bool(_) | Kind::Text(_) | Kind::List(_) | Kind::Map(_) => {
            report.add(wrong_type(node, &format!("{what} is a whole number")));
            return None;
        }
    };
    if number.is_some_and(|number| range.contains(&number)) {
        return number;
    }
    let (low, high) = range.into_inner();
    let message = format!("{what} is a whole number from {low} to {high}");
    let problem = Problem::new("manifest::out_of_range", message, node.place, "out of range");
    let below = match &node.kind {
        Kind::Number(text) => text.starts_with('-'),
        Kind::Null
        | Kind::Bool(_)
        | Kind::Integer(_)
        | Kind::Text(_)
        | Kind::List(_)
        | Kind::Map(_)
        | Kind::Refused => number.is_some_and(|number| number < low),
    };
    report.add(problem.help(if below {
        format!("write {low} or more")
    } else {
        format!("write {high} or less")
    }));
    None
}

/// Returns a MAC address.
pub(super) fn mac(node: &Node, report: &mut Report) -> Option<At<Mac>> {
    let text = text(node, "a MAC address", report)?;
    match Mac::try_from(text.to_owned()) {
        Ok(value) => Some(At { value, place: node.place }),
        Err(error) => {
            report.add(bad_name(error, node.place));
            None
        }
    }
}

/// Returns an IP address of a single host.
pub(super) fn address(node: &Node, report: &mut Report) -> Option<At<IpAddr>> {
    let text = text(node, "an address", report)?;
    let value = parsed_address(text, node.place, report)?;
    if let Some(why) = not_a_host(value) {
        let message = format!("{value} is {why}, which no container or gateway can have");
        let problem = Problem::new("manifest::not_a_host_address", message, node.place, why);
        report.add(problem.help("use an address of a single host"));
        return None;
    }
    Some(At { value, place: node.place })
}

/// Returns an IP address, whatever it is for.
pub(super) fn parsed_address(text: &str, place: Place, report: &mut Report) -> Option<IpAddr> {
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_some() => {
            let v4 = v6.to_canonical();
            let message = format!("`{text}` is an IPv4 address in IPv6 form");
            let problem = Problem::new("manifest::bad_address", message, place, "IPv4 in IPv6 form");
            report.add(problem.help(format!("write {v4}")));
            None
        }
        Ok(address) => Some(address),
        Err(_) => {
            let message = format!("`{}` is not an IP address", shortened(text));
            let problem = Problem::new("manifest::bad_address", message, place, "not an IP address");
            report.add(match text.split_once('/') {
                Some((bare, _)) if bare.parse::<IpAddr>().is_ok() => {
                    problem.help(format!("write {bare}: the prefix length comes from the subnet"))
                }
                Some(_) | None => problem.help("write an address such as 10.7.0.5 or fd00:7::5"),
            });
            None
        }
    }
}

/// Says why an address cannot be that of one host; RFC 6890 lists the special ones.
pub(super) fn not_a_host(address: IpAddr) -> Option<&'static str> {
    if address.is_unspecified() {
        Some("the unspecified address")
    } else if address.is_loopback() {
        Some("a loopback address")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else if address == IpAddr::V4(std::net::Ipv4Addr::BROADCAST) {
        Some("the broadcast address")
    } else {
        None
    }
}

/// Returns a range of addresses that has no bits behind its prefix; `what` is e.g. "a subnet".
pub(super) fn range(node: &Node, what: &str, report: &mut Report) -> Option<At<IpNet>> {
    let text = text(node, what, report)?;
    let Ok(net) = text.parse::<IpNet>() else {
        let message = format!("`{}` is not {what}", shortened(text));
        let problem =
            Problem::new("manifest::bad_range", message, node.place, "not an address with a prefix");
        report.add(match text.parse::<IpAddr>() {
            Ok(address) => {
                let alone = IpNet::from(address);
                let prefix = if address.is_ipv4() { 24 } else { 64 };
                let around = IpNet::new(address, prefix).unwrap_or(alone).trunc();
                problem.help(format!("add a prefix length: {around}, or {alone} for this address alone"))
            }
            Err(_) => match text.split_once('/').and_then(|(address, _)| address.parse::<IpAddr>().ok()) {
                Some(address) => {
                    let longest = if address.is_ipv4() { 32 } else { 128 };
                    problem.help(format!("a prefix length is a number, at most {longest}"))
                }
                None => problem.help("write address and prefix length, like 10.7.0.0/24 or fd00:7::/64"),
            },
        });
        return None;
    };
    if net != net.trunc() {
        let message = format!("{what} begins at its first address, and {net} does not");
        report.add(
            Problem::new("manifest::host_bits", message, node.place, "bits behind the prefix are set")
                .help(format!("write {}", net.trunc())),
        );
        return None;
    }
    Some(At { value: net, place: node.place })
}

/// Returns the number of the word that a node is.
pub(super) fn word(node: &Node, what: &str, words: &[&str], report: &mut Report) -> Option<usize> {
    let found = text(node, what, report)?;
    let position = words.iter().position(|word| *word == found);
    if position.is_none() {
        let message = format!("{what} cannot be `{}`", shortened(found));
        let problem = Problem::new("manifest::unknown_word", message, node.place, "not known here");
        report.add(match closest(found, words) {
            Some(close) => problem.help(format!("did you mean `{close}`?")),
            None => problem.help(format!("it can be {}", listed(words))),
        });
    }
    position
}

/// Returns the protocol of this name.
pub(super) fn protocol(text: &str) -> Option<Protocol> {
    [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].into_iter().find(|protocol| protocol.as_str() == text)
}

/// Returns the items of a list; `what` is how a message begins, e.g. "`aliases`".
pub(super) fn list<'n>(node: &'n Node, what: &str, report: &mut Report) -> &'n [Node] {
    match &node.kind {
        Kind::List(items) => items,
        Kind::Refused => &[],
        Kind::Text(_) | Kind::Integer(_) | Kind::Number(_) | Kind::Bool(_) => {
            report.add(wrong_type(node, &format!("{what} is a list")).help("write it in brackets: [...]"));
            &[]
        }
        Kind::Null | Kind::Map(_) => {
            report.add(wrong_type(node, &format!("{what} is a list")));
            &[]
        }
    }
}

/// Returns the items of a list, or the one item that a node is.
pub(super) fn one_or_list(node: &Node) -> &[Node] {
    match &node.kind {
        Kind::List(items) => items,
        Kind::Null
        | Kind::Bool(_)
        | Kind::Integer(_)
        | Kind::Number(_)
        | Kind::Text(_)
        | Kind::Map(_)
        | Kind::Refused => std::slice::from_ref(node),
    }
}
