//! A network's node to a [`Network`].

use std::net::IpAddr;

use ipnet::IpNet;

use super::check;
use super::dns::dns;
use super::driver;
use super::external;
use super::fields::{self, Fields, each_once, missing, wrong_type};
use super::node::{Entry, Kind, Node};
use super::problem::Problem;
use super::proxy;
use super::report::Report;
use super::scalar;
use super::{At, Driver, Egress, Families, Ingress, Network, Pool, Subnet, bridge};
use crate::names::{IfName, Mtu};

/// The fields that `lifecycle.ignore` may name.
pub(super) const IGNORABLE: &[&str] = &["mtu", "mac"];
/// The words of `egress`.
pub(super) const EGRESS: &[&str] = &["masquerade", "routed"];
/// The words of `ingress`.
pub(super) const INGRESS: &[&str] = &["published", "open", "none"];

/// Returns the network that an entry of `networks` declares.
pub(super) fn network(entry: &Entry, report: &mut Report) -> Network {
    // `front:` with nothing behind it is a network of defaults.
    if matches!(entry.value.kind, Kind::Null) {
        return Network::default();
    }
    let Some(fields) = Fields::open(&entry.value, &fields::NETWORK, report) else {
        return Network::default();
    };
    let lifecycle = fields.value("lifecycle").map(|node| lifecycle(node, report));
    let (prevent_destroy, ignore) = lifecycle.unwrap_or_default();
    let interface =
        fields.value("interface").and_then(|node| scalar::name::<IfName>(node, "an interface name", report));
    let driver = driver::driver(fields, report);
    let subnets = fields.value("subnets").map_or_else(Vec::new, |node| subnets(node, &driver, report));
    let egress = fields.value("egress").and_then(|node| egress(node, report));
    let with = (fields, &driver, egress.as_ref());
    let network = Network {
        ndp_proxy: fields.get("ndp_proxy").and_then(|entry| proxy::ndp_proxy(entry, with, report)),
        host: driver::host_addresses(&driver, fields, report),
        driver,
        bridge: bridge::options(fields, report),
        families: Families::read(fields, &subnets, report),
        subnets,
        internal: fields
            .get("internal")
            .and_then(|entry| scalar::flag(entry, report))
            .is_some_and(|at| at.value),
        icc: fields.get("icc").and_then(|entry| scalar::flag(entry, report)),
        mtu: fields.value("mtu").and_then(|node| mtu(node, report)),
        external: fields
            .get("external")
            .and_then(|entry| external::bridge(entry, fields, interface.as_ref(), report)),
        interface,
        egress,
        ingress: fields.value("ingress").and_then(|node| ingress(node, report)),
        dns: fields.get("dns").map(|entry| dns(entry, report)).unwrap_or_default(),
        prevent_destroy,
        ignore,
    };
    check::network(&network, report);
    network
}

/// Returns `pools`.
pub(super) fn pools(node: &Node, report: &mut Report) -> Vec<At<Pool>> {
    let mut pools = vec![];
    for item in scalar::list(node, "`pools`", report) {
        let Some(fields) = Fields::open(item, &fields::POOL, report) else { continue };
        let cidr = required(fields, "cidr", &fields::POOL, report);
        let size = required(fields, "size", &fields::POOL, report);
        let cidr = cidr.and_then(|node| scalar::range(node, "a pool", report));
        let size = size.and_then(|node| {
            let value = scalar::integer(node, "`size`", 0..=128, report)?;
            Some(At { value: u8::try_from(value).ok()?, place: node.place })
        });
        if let (Some(cidr), Some(size)) = (cidr, size)
            && check::pool(&cidr, &size, report)
        {
            pools.push(At { value: Pool { cidr: cidr.value, size: size.value }, place: item.place });
        }
    }
    pools
}

/// Returns the value of a key that must be there, or reports that it is not.
pub(super) fn required<'n>(
    fields: Fields<'n>,
    key: &str,
    shape: &fields::Shape,
    report: &mut Report,
) -> Option<&'n Node> {
    let value = fields.value(key);
    if value.is_none() {
        report.add(missing(fields.node, shape, key));
    }
    value
}

fn subnets(node: &Node, driver: &Driver, report: &mut Report) -> Vec<At<Subnet>> {
    let mut subnets = vec![];
    for item in scalar::list(node, "`subnets`", report) {
        let subnet = match &item.kind {
            Kind::Map(_) => subnet(item, driver, report),
            Kind::Null
            | Kind::Bool(_)
            | Kind::Integer(_)
            | Kind::Number(_)
            | Kind::Text(_)
            | Kind::List(_)
            | Kind::Refused => scalar::range(item, "a subnet", report)
                .filter(|cidr| check::cidr(cidr, driver, report))
                .map(|cidr| Subnet { cidr: cidr.value, gateway: None, pool: None, reserve: vec![] }),
        };
        subnets.extend(subnet.map(|value| At { value, place: item.place }));
    }
    subnets
}

fn subnet(node: &Node, driver: &Driver, report: &mut Report) -> Option<Subnet> {
    let fields = Fields::open(node, &fields::SUBNET, report)?;
    let cidr = required(fields, "cidr", &fields::SUBNET, report);
    let cidr = cidr.and_then(|node| scalar::range(node, "a subnet", report));
    let cidr = cidr.filter(|cidr| check::cidr(cidr, driver, report));
    let gateway = fields.value("gateway").and_then(|node| scalar::address(node, report));
    let pool = fields.value("pool").and_then(|node| scalar::range(node, "an address pool", report));
    let reserve = fields.value("reserve").map_or_else(Vec::new, |node| reserve(node, report));
    let cidr = cidr?;
    check::subnet(&cidr, gateway.as_ref(), pool.as_ref(), &reserve, report);
    Some(Subnet { cidr: cidr.value, gateway, pool, reserve })
}

fn reserve(node: &Node, report: &mut Report) -> Vec<(String, At<IpAddr>)> {
    let entries = match &node.kind {
        Kind::Map(entries) => entries,
        Kind::Refused => return vec![],
        Kind::Null | Kind::Bool(_) | Kind::Integer(_) | Kind::Number(_) | Kind::Text(_) | Kind::List(_) => {
            let problem = wrong_type(node, "`reserve` is a map from names to addresses");
            report.add(problem.help("write `reserve: {router: 10.7.0.5}`"));
            return vec![];
        }
    };
    let mut reserved: Vec<(String, At<IpAddr>)> = vec![];
    let mut seen = foldhash::HashMap::default();
    for entry in entries {
        let Some(address) = scalar::address(&entry.value, report) else { continue };
        if let Some(first) = seen.insert(address.value, address.place) {
            let message = format!("{} is reserved twice", address.value);
            let problem = Problem::new("manifest::duplicate", message, address.place, "here again");
            report.add(problem.and(first, "first here").help("delete one"));
        }
        reserved.push((entry.key.to_string(), address));
    }
    reserved
}

fn mtu(node: &Node, report: &mut Report) -> Option<At<Mtu>> {
    if matches!(&node.kind, Kind::Text(text) if text == "auto") {
        return None;
    }
    if matches!(&node.kind, Kind::Text(text) if text.parse::<i64>().is_err()) {
        let problem = wrong_type(node, "`mtu` is a number of bytes, or `auto`");
        report.add(problem.help("write it like 1500, without a unit"));
        return None;
    }
    // The limits are those of `Mtu`.
    let bytes = scalar::integer(node, "`mtu`", 68..=65_535, report)?;
    let value = Mtu::try_from(u32::try_from(bytes).ok()?).ok()?;
    Some(At { value, place: node.place })
}

fn egress(node: &Node, report: &mut Report) -> Option<At<Egress>> {
    let value = if matches!(node.kind, Kind::Map(_)) {
        let fields = Fields::open(node, &fields::EGRESS, report)?;
        let snat = required(fields, "snat", &fields::EGRESS, report)?;
        let addresses: Vec<_> =
            scalar::one_or_list(snat).iter().filter_map(|node| scalar::address(node, report)).collect();
        let help = "name an address of the host, or write `egress: masquerade`";
        check::one_per_family(("snat", "manifest::snat_twice", help), snat, &addresses, report);
        Egress::Snat(addresses)
    } else {
        match EGRESS.get(scalar::word(node, "`egress`", EGRESS, report)?) {
            Some(&"routed") => Egress::Routed,
            Some(_) | None => Egress::Masquerade,
        }
    };
    Some(At { value, place: node.place })
}

fn ingress(node: &Node, report: &mut Report) -> Option<At<Ingress>> {
    let value = match INGRESS.get(scalar::word(node, "`ingress`", INGRESS, report)?) {
        Some(&"open") => Ingress::Open,
        Some(&"none") => Ingress::None,
        Some(_) | None => Ingress::Published,
    };
    Some(At { value, place: node.place })
}

fn lifecycle(node: &Node, report: &mut Report) -> (bool, Vec<At<String>>) {
    let Some(fields) = Fields::open(node, &fields::LIFECYCLE, report) else { return (false, vec![]) };
    let prevent = fields.get("prevent_destroy").and_then(|entry| scalar::flag(entry, report));
    let items = fields.value("ignore").map_or(&[][..], |node| scalar::list(node, "`ignore`", report));
    let mut ignore = vec![];
    let mut texts = vec![];
    for item in items {
        let word = scalar::word(item, "a field to ignore", IGNORABLE, report);
        if let Some(word) = word.and_then(|word| IGNORABLE.get(word)) {
            ignore.push(At { value: (*word).to_owned(), place: item.place });
            texts.push((*word, item));
        }
    }
    each_once(texts.into_iter(), "the field", report);
    (prevent.is_some_and(|at| at.value), ignore)
}

/// Returns the range `10.7.0.0/24` of a subnet, as a label says it.
pub(super) fn subnet_label(cidr: IpNet) -> String {
    format!("the subnet is {cidr}")
}
