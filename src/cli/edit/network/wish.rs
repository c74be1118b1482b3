//! What `docker network` asks for, as values of a manifest.

use std::net::IpAddr;

use serde_yaml::{Mapping, Value};

use super::super::super::args::{Connect, Create};
use super::super::super::failure::{Code, Failure};
use super::super::{path_of, value_of};
use crate::manifest::edit::path::Path;
use crate::manifest::fields;
use crate::topology::nearest;

/// What a container is on that names no network.
pub(super) const DEFAULT: &str = "default";
/// What Docker's options for bridges begin with.
const BRIDGE: &str = "com.docker.network.bridge.";
/// What Docker's options for endpoints begin with.
const ENDPOINT: &str = "com.docker.network.endpoint.";

/// Returns the path to a network.
pub(super) fn network(name: &str) -> Path {
    Path::default().key("networks").key(name)
}

/// Returns the path to a container.
pub(super) fn container(name: &str) -> Path {
    Path::default().key("containers").key(name)
}

/// Returns what the manifest says of a new network.
pub(super) fn new_network(wish: &Create) -> Result<Value, Failure> {
    let Create { driver, subnets, gateways, ranges, reserved, .. } = wish;
    let mut map = Mapping::new();
    if driver != "bridge" {
        put(&mut map, "driver", driver.as_str());
    }
    let mut nets: Vec<Mapping> = subnets
        .iter()
        .map(|cidr| {
            let mut net = Mapping::new();
            put(&mut net, "cidr", cidr.to_string());
            net
        })
        .collect();
    let mut places = Places { subnets, nets: &mut nets };
    for gateway in gateways {
        let net = places.of("--gateway", *gateway)?;
        once(net, "gateway", &gateway.to_string())?;
    }
    for range in ranges {
        let net = places.of("--ip-range", range.addr())?;
        once(net, "pool", &range.to_string())?;
    }
    for pair in reserved {
        let (name, address) = split(pair, "--aux-address")?;
        let parsed: IpAddr = address
            .parse()
            .map_err(|_| Failure::new(Code::Usage, format!("`{address}` of --aux-address is no address")))?;
        let net = places.of("--aux-address", parsed)?;
        let entry = net.entry(Value::from("reserve")).or_insert_with(|| Value::Mapping(Mapping::new()));
        if let Value::Mapping(reserve) = entry {
            put(reserve, name, address);
        }
    }
    if !nets.is_empty() {
        put(&mut map, "subnets", Value::Sequence(nets.into_iter().map(shortest).collect()));
    }
    add_flags(&mut map, wish);
    for option in &wish.options {
        add_option(&mut map, option)?;
    }
    Ok(Value::Mapping(map))
}

fn add_flags(map: &mut Mapping, wish: &Create) {
    if let Some(ipv4) = wish.ipv4 {
        put(map, "ipv4", ipv4);
    }
    for (key, flag) in [("ipv6", wish.ipv6), ("internal", wish.internal)] {
        if flag {
            put(map, key, true);
        }
    }
}

/// The subnets of a network, and what is said of each.
struct Places<'a> {
    subnets: &'a [ipnet::IpNet],
    nets: &'a mut [Mapping],
}

impl Places<'_> {
    /// Returns the subnet that an address is in.
    fn of(&mut self, flag: &str, address: IpAddr) -> Result<&mut Mapping, Failure> {
        let at = self.subnets.iter().position(|cidr| cidr.contains(&address));
        at.and_then(|at| self.nets.get_mut(at)).ok_or_else(|| {
            Failure::new(Code::Usage, format!("no --subnet holds {address} of {flag}"))
                .help("give the --subnet that it is in")
        })
    }
}

/// Returns a subnet as it is written: without more to say, it is its range alone.
fn shortest(net: Mapping) -> Value {
    match net.get("cidr") {
        Some(cidr) if net.len() == 1 => cidr.clone(),
        Some(_) | None => Value::Mapping(net),
    }
}

fn add_option(map: &mut Mapping, option: &str) -> Result<(), Failure> {
    let (key, value) = split(option, "--opt")?;
    let bool_of = |value: &str| match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Failure::new(Code::Usage, format!("`{option}` is neither true nor false"))),
    };
    match key.strip_prefix(BRIDGE).unwrap_or(key) {
        "com.docker.network.driver.mtu" | "mtu" => put(map, "mtu", number(value)),
        "name" if key.starts_with(BRIDGE) => put(map, "interface", value),
        "enable_icc" => put(map, "icc", bool_of(value)?),
        "enable_ip_masquerade" => put(map, "egress", if bool_of(value)? { "masquerade" } else { "routed" }),
        // What is a number, too, may be the name of a link.
        "parent" => put_option(map, "parent", value),
        "macvlan_mode" | "ipvlan_mode" => put_option(map, "mode", value),
        "ipvlan_flag" => put_option(map, "flag", value),
        "host" | "stp" | "hairpin" | "mcast_snooping" => put_option(map, key, bool_of(value)?),
        _ => {
            let in_options = fields::of_options().any(|option| option == first_of(key));
            let root = if in_options { Path::default().key("options") } else { Path::default() };
            let known = fields::of_network().iter().copied().chain(fields::of_options());
            return put_key(map, (root, known), (key, value)).map_err(|failure| {
                failure.help(
                    "the keys of a network and of its `options` are known, and Docker's macvlan_mode, ipvlan_mode, \
                     ipvlan_flag, com.docker.network.driver.mtu, and of com.docker.network.bridge: name, enable_icc and \
                     enable_ip_masquerade",
                )
            });
        }
    }
    Ok(())
}

/// Returns the key that a path begins with.
fn first_of(path: &str) -> &str {
    path.split(['.', '[']).next().unwrap_or(path)
}

/// Puts a value, written as in a manifest, at a key of a manifest's or below it: `bandwidth.egress`.
fn put_key<'k>(
    map: &mut Mapping,
    (root, mut known): (Path, impl Iterator<Item = &'k str>),
    (key, value): (&str, &str),
) -> Result<(), Failure> {
    if !known.any(|known| known == first_of(key)) {
        return Err(Failure::new(Code::Usage, format!("netform has nothing for the option `{key}`")));
    }
    let path = path_of(key)?;
    let path = Path(root.0.into_iter().chain(path.0).collect());
    let mut whole = Value::Mapping(std::mem::take(map));
    let is_there = path.get(&whole).is_ok();
    let done = path.set(&mut whole, value_of(value)?).map_err(|error| Failure::of(Code::Usage, &error));
    *map = map_of(Some(whole));
    if is_there {
        return Err(Failure::new(Code::Usage, format!("`{key}` is there twice")));
    }
    done
}

/// Puts something into the `options` of a network.
fn put_option(map: &mut Mapping, key: &str, value: impl Into<Value>) {
    let entry = map.entry(Value::from("options")).or_insert_with(|| Value::Mapping(Mapping::new()));
    if let Value::Mapping(options) = entry {
        put(options, key, value);
    }
}

/// Returns what the manifest says of a container on a network.
pub(super) fn attachment(wish: &Connect) -> Result<Value, Failure> {
    let Connect { ip, ip6, aliases, links, gw_priority, mac_address, options, .. } = wish;
    let mut map = Mapping::new();
    let addresses: Vec<_> =
        ip.map(|ip| ip.to_string()).into_iter().chain(ip6.map(|ip| ip.to_string())).collect();
    match addresses.as_slice() {
        [] => {}
        [one] => put(&mut map, "address", one.as_str()),
        both => put(&mut map, "address", both.to_vec()),
    }
    if !aliases.is_empty() {
        put(&mut map, "aliases", aliases.clone());
    }
    if !links.is_empty() {
        let mut named = Mapping::new();
        for link in links {
            let (container, alias) = link.split_once(':').unwrap_or((link, link));
            put(&mut named, alias, container);
        }
        put(&mut map, "links", Value::Mapping(named));
    }
    if let Some(mac) = mac_address {
        put(&mut map, "mac", mac.as_str());
    }
    for option in options {
        add_attachment_option(&mut map, split(option, "--driver-opt")?)?;
    }
    if let Some(priority) = gw_priority {
        put(&mut map, "gateway_priority", *priority);
    }
    Ok(Value::Mapping(map))
}

fn add_attachment_option(map: &mut Mapping, (key, value): (&str, &str)) -> Result<(), Failure> {
    match key.strip_prefix(ENDPOINT) {
        Some("ifname") => put(map, "interface", value),
        Some("sysctls") => {
            let mut sysctls = Mapping::new();
            for sysctl in value.split(',') {
                let (name, value) = split(sysctl, key)?;
                put(&mut sysctls, name, number(value));
            }
            put(map, "sysctls", Value::Mapping(sysctls));
        }
        // What is a number, too, may be the name of a link.
        None if key == "device" => put(map, key, value),
        Some(_) | None => {
            let known = (Path::default(), fields::of_attachment().iter().copied());
            return put_key(map, known, (key, value)).map_err(|failure| {
                failure.help(
                    "the keys of an attachment are known, such as device and bandwidth.egress, and of \
                     com.docker.network.endpoint: ifname and sysctls",
                )
            });
        }
    }
    Ok(())
}

/// Puts a container on a network.
pub(super) fn connect(whole: &mut Value, wish: &Connect) -> Result<(), Failure> {
    let Connect { network, container: name, create, .. } = wish;
    let (path, new) = (container(name), attachment(wish)?);
    let old = path.get(whole).ok().cloned();
    if old.is_none() && !create {
        return Err(no_container(whole, name, "--create declares it, too, and netform makes its namespace"));
    }
    let is_new = old.is_none();
    let mut spec = map_of(old);
    // Without networks of its own it was on `default`, and stays there.
    let silent = !is_new && !spec.contains_key("mode") && !spec.contains_key("networks");
    let before = if silent { vec![DEFAULT] } else { vec![] };
    if spec.get("mode").and_then(Value::as_str) == Some("none") {
        spec.shift_remove("mode");
    }
    let networks = spec.get("networks").cloned().unwrap_or_else(|| Value::from(before));
    let networks = match networks {
        Value::Sequence(mut names) if new.as_mapping().is_none_or(Mapping::is_empty) => {
            names.push(Value::from(network.as_str()));
            Value::Sequence(names)
        }
        Value::Sequence(names) => {
            let mut map: Mapping =
                names.into_iter().map(|name| (name, Value::Mapping(Mapping::new()))).collect();
            put(&mut map, network, new);
            Value::Mapping(map)
        }
        other @ (Value::Mapping(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Tagged(_)) => {
            let mut map = map_of(Some(other));
            put(&mut map, network, new);
            Value::Mapping(map)
        }
    };
    put(&mut spec, "networks", networks);
    set(whole, &path, Value::Mapping(spec))
}

/// Takes a container off a network; on none at all, it has a namespace with nothing but `lo`.
pub(super) fn disconnect(whole: &mut Value, network: &str, name: &str) -> Result<(), Failure> {
    let path = container(name);
    let Ok(old) = path.get(whole) else {
        return Err(no_container(whole, name, "`netform get containers` lists them"));
    };
    let mut spec = map_of(Some(old.clone()));
    let mut networks = match spec.get("networks") {
        Some(networks) => networks.clone(),
        None if spec.contains_key("mode") => Value::Sequence(vec![]),
        None => Value::from(vec![DEFAULT]),
    };
    let (was_there, left) = match &mut networks {
        Value::Sequence(names) => {
            let before = names.len();
            names.retain(|name| name.as_str() != Some(network));
            (names.len() < before, names.len())
        }
        Value::Mapping(map) => (map.shift_remove(network).is_some(), map.len()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Tagged(_) => (false, 0),
    };
    if !was_there {
        return Err(Failure::new(Code::NoInput, format!("{name} is not on network {network}"))
            .help(format!("`netform get containers.{name}` shows what it is on")));
    }
    if left == 0 {
        spec.shift_remove("networks");
        put(&mut spec, "mode", "none");
    } else {
        put(&mut spec, "networks", networks);
    }
    set(whole, &path, Value::Mapping(spec))
}

fn no_container(whole: &Value, name: &str, otherwise: &str) -> Failure {
    let all = whole.get("containers").and_then(Value::as_mapping);
    let names = all.into_iter().flat_map(Mapping::keys).filter_map(Value::as_str);
    let failure = Failure::new(Code::NoInput, format!("the manifest declares no container {name}"));
    match nearest(name, names) {
        Some(near) => failure.help(format!("did you mean `{near}`? {otherwise}")),
        None => failure.help(otherwise),
    }
}

/// Puts a value into a manifest.
pub(super) fn set(whole: &mut Value, path: &Path, value: Value) -> Result<(), Failure> {
    path.set(whole, value).map_err(|error| Failure::of(Code::Failed, &error))
}

fn map_of(value: Option<Value>) -> Mapping {
    match value {
        Some(Value::Mapping(map)) => map,
        Some(_) | None => Mapping::new(),
    }
}

fn put(map: &mut Mapping, key: &str, value: impl Into<Value>) {
    map.insert(Value::from(key), value.into());
}

fn once(net: &mut Mapping, key: &str, value: &str) -> Result<(), Failure> {
    if net.contains_key(key) {
        return Err(Failure::new(Code::Usage, format!("a subnet has one {key}, and {value} is another")));
    }
    put(net, key, value);
    Ok(())
}

fn number(text: &str) -> Value {
    text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from)
}

fn split<'t>(text: &'t str, flag: &str) -> Result<(&'t str, &'t str), Failure> {
    text.split_once('=')
        .ok_or_else(|| Failure::new(Code::Usage, format!("`{text}` of {flag} has no `=`: write KEY=VALUE")))
}
