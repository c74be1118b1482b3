//! `driver` with its `options`, and what the networks of a driver cannot have.

use std::net::IpAddr;

use super::At;
use super::fields::{self, Fields, missing};
use super::node::{Entry, Kind};
use super::physical::physical;
use super::problem::Problem;
use super::report::Report;
use super::scalar;
use super::veth::veth;
use super::vswitch::vswitch;
use crate::names::IfName;
use crate::resource::link::{IpvlanFlag, IpvlanMode, MacvlanMode};
use crate::resource::vswitch::Vswitch;

/// How a network is made, as written.
///
/// ```yaml
/// driver: macvlan
/// options: {parent: eth1, mode: bridge}
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Driver {
    /// `bridge`: a Linux bridge.
    #[default]
    Bridge,
    /// `macvlan`: each container has a link of its own on a link of the host.
    Macvlan {
        /// `options.parent`: that link.
        parent: At<IfName>,
        /// `options.mode: bridge | vepa | private | passthru`; the default is bridge.
        mode: MacvlanMode,
    },
    /// `ipvlan`: each container has a link of its own on a link of the host, with that one's link-layer address.
    Ipvlan {
        /// `options.parent`: that link.
        parent: At<IfName>,
        /// `options.mode: l2 | l3 | l3s`; the default is l2.
        mode: IpvlanMode,
        /// `options.flag: bridge | private | vepa`; the default is bridge.
        flag: IpvlanFlag,
    },
    /// `veth`: a pair of links, whose one end a container has.
    Veth(OtherEnd),
    /// `openvswitch`: a bridge of Open vSwitch, with its `options`.
    OpenVswitch(Vswitch),
    /// `physical`: each container has a link of the host for itself, its `device`.
    Physical,
}

/// Who has the other end of the pair that a `veth` network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherEnd {
    /// Another container.
    Container,
    /// The host: `options: {host: true}`.
    Host,
}

impl Driver {
    /// Returns the link of the host that the network stands on.
    pub fn parent(&self) -> Option<&At<IfName>> {
        match self {
            Self::Bridge | Self::Veth(_) | Self::OpenVswitch(_) | Self::Physical => None,
            Self::Macvlan { parent, mode: _ } | Self::Ipvlan { parent, mode: _, flag: _ } => Some(parent),
        }
    }

    /// Tells whether the host itself is on the network.
    pub fn has_host(&self) -> bool {
        match self {
            Self::Bridge | Self::Veth(OtherEnd::Host) | Self::OpenVswitch(_) => true,
            Self::Macvlan { .. } | Self::Ipvlan { .. } | Self::Veth(OtherEnd::Container) | Self::Physical => {
                false
            }
        }
    }
}

/// The words of `driver`.
const DRIVERS: &[&str] = &["bridge", "macvlan", "ipvlan", "veth", "physical", "openvswitch"];
/// Drivers that netform will have.
const LATER: &[&str] = &["overlay"];

/// Returns the driver of a network.
pub(super) fn driver(fields: Fields<'_>, report: &mut Report) -> Driver {
    let Some(driver) = fields.get("driver") else { return Driver::Bridge };
    let Some(text) = scalar::text(&driver.value, "a driver", report) else { return Driver::Bridge };
    match text {
        "bridge" => Driver::Bridge,
        "macvlan" => macvlan(driver, fields, report).unwrap_or_default(),
        "ipvlan" => ipvlan(driver, fields, report).unwrap_or_default(),
        "veth" => Driver::Veth(veth(driver, fields, report)),
        "openvswitch" => Driver::OpenVswitch(vswitch(driver, fields, report)),
        "physical" => physical(driver, fields, report),
        later if LATER.contains(&later) => {
            let message = format!("the driver `{later}` is not supported by this version of netform");
            let problem =
                Problem::new("manifest::unsupported", message, driver.value.place, "not supported yet");
            report.add(problem.help(format!("use one of {}", DRIVERS.join(", "))));
            Driver::Bridge
        }
        _ => {
            scalar::word(&driver.value, "`driver`", DRIVERS, report);
            Driver::Bridge
        }
    }
}

fn macvlan(driver: &Entry, fields: Fields<'_>, report: &mut Report) -> Option<Driver> {
    let (options, parent) = behind_a_link(driver, (fields, "a macvlan", &fields::MACVLAN), report)?;
    let mode = chosen(options, "mode", &MacvlanMode::ALL, report);
    Some(Driver::Macvlan { parent: parent?, mode })
}

fn ipvlan(driver: &Entry, fields: Fields<'_>, report: &mut Report) -> Option<Driver> {
    let (options, parent) = behind_a_link(driver, (fields, "an ipvlan", &fields::IPVLAN), report)?;
    let mode = chosen(options, "mode", &IpvlanMode::ALL, report);
    let flag = chosen(options, "flag", &IpvlanFlag::ALL, report);
    Some(Driver::Ipvlan { parent: parent?, mode, flag })
}

/// Returns the options of a network behind a link of the host, and that link.
fn behind_a_link<'f>(
    driver: &Entry,
    (fields, what, shape): (Fields<'f>, &str, &fields::Shape),
    report: &mut Report,
) -> Option<(Fields<'f>, Option<At<IfName>>)> {
    refuse_others(driver, (fields, what), report);
    if fields
        .get("subnets")
        .is_none_or(|entry| matches!(&entry.value.kind, Kind::List(list) if list.is_empty()))
    {
        let message =
            format!("{what} network needs its `subnets`: they are those of the network behind its parent");
        let problem = Problem::new("manifest::missing_key", message, driver.value.place, "which subnet?");
        report.add(problem.help(
            "write `subnets: [{cidr: 192.168.1.0/24, gateway: 192.168.1.1, pool: 192.168.1.192/27}]`, the pool being what \
             no router there gives away",
        ));
    }
    let Some(entry) = fields.get("options") else {
        let message = format!("{what} network needs its parent, a link of the host");
        let problem = Problem::new("manifest::missing_key", message, driver.value.place, "on which link?");
        report.add(problem.help("write `options: {parent: eth0}`"));
        return None;
    };
    let options = Fields::open(&entry.value, shape, report)?;
    let Some(parent) = options.value("parent") else {
        report.add(missing(options.node, shape, "parent"));
        return Some((options, None));
    };
    Some((options, scalar::name::<IfName>(parent, "a link's name", report)))
}

/// Returns the addresses that the host is to have beside the containers of a network behind a link.
pub(super) fn host_addresses(driver: &Driver, fields: Fields<'_>, report: &mut Report) -> Vec<At<IpAddr>> {
    let entries = match (driver.parent(), fields.value("options").map(|node| &node.kind)) {
        (Some(_), Some(Kind::Map(entries))) => entries,
        (Some(_) | None, _) => return vec![],
    };
    let entry = entries.iter().find(|entry| entry.key == "host_address");
    let nodes = entry.map_or(&[][..], |entry| scalar::one_or_list(&entry.value));
    nodes.iter().filter_map(|node| scalar::address(node, report)).collect()
}

/// Returns what an option says in one of some words, or what silence means.
pub(super) fn chosen<T: Copy + Default, const N: usize>(
    options: Fields<'_>,
    key: &str,
    all: &[(T, &str); N],
    report: &mut Report,
) -> T {
    let words = all.map(|(_, word)| word);
    let what = format!("`{key}`");
    let word = options.value(key).and_then(|node| scalar::word(node, &what, &words, report));
    word.and_then(|at| all.get(at)).map(|(value, _)| *value).unwrap_or_default()
}

/// Reports the keys that a network without the host cannot have.
fn refuse_others(driver: &Entry, (fields, what): (Fields<'_>, &str), report: &mut Report) {
    for entry in fields.entries() {
        let why = match entry.key.as_str() {
            "ndp_proxy" => "its containers answer for themselves on the link that they are on",
            "internal" | "icc" | "egress" | "ingress" => "its packets do not pass the host's firewall",
            "ipv4" | "ipv6" => "its `subnets` are those of the network behind its parent",
            "interface" | "external" => "it has no bridge; `options.parent` names the link that it stands on",
            "lifecycle" => "nothing of it is on the host",
            _ => continue,
        };
        let message = format!("{what} network has no `{}`: {why}", entry.key);
        report.add(
            Problem::new("manifest::driver_key", message, entry.at, "nothing to set")
                .and(driver.value.place, "the driver")
                .help(format!("leave `{}` out, or use `driver: bridge`", entry.key)),
        );
    }
}
