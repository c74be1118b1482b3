//! `networks` of a Compose file.

use std::net::IpAddr;

use ipnet::IpNet;

use super::reader::Reader;
use crate::import::{Item, Value};
use crate::manifest::{Entry, Node, Place};
use crate::names::{IfName, Mtu, NetName};

/// What becomes of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is a network of the manifest, of this name.
    Made {
        /// Its name there.
        name: String,
        /// Whether it has a subnet of IPv6.
        has_ipv6: bool,
        /// The address of the host that ports are published on when they name none.
        binding: Option<IpAddr>,
    },
    /// It is the host's own network.
    Host,
    /// It is none at all.
    Nothing,
    /// It has no equivalent.
    Left,
}

/// Returns a network as an item, and what becomes of it. `name` is the manifest's.
pub(super) fn network(entry: &Entry, name: &str, reader: &mut Reader<'_>) -> (Item, Fate) {
    let mut draft = Draft { item: Item::named(name), ..Draft::default() };
    if let Err(error) = NetName::try_from(name) {
        reader.wrong(entry.at, error.to_string(), "not a name of a network");
    }
    let fields = reader.map(&entry.value);
    let field = |key: &str| fields.iter().find(|entry| entry.key == key).map(|entry| &entry.value);
    if let Some(external) = field("external")
        && let Some(fate) = external_fate(external, field("name"), reader)
    {
        return match fate {
            Fate::Left => left_out(draft.item, entry.at, reader),
            Fate::Host | Fate::Nothing | Fate::Made { .. } => (Item::default(), fate),
        };
    }
    let driver = field("driver").and_then(|node| Some((reader.text(node)?, node.place)));
    match driver.as_ref().map(|(driver, place)| (driver.as_str(), *place)) {
        None | Some(("" | "default" | "bridge", _)) => {}
        Some(("host", _)) => return (Item::default(), Fate::Host),
        Some(("none" | "null", _)) => return (Item::default(), Fate::Nothing),
        Some((driver @ ("macvlan" | "ipvlan"), place)) => {
            draft.behind_a_link(driver, (field("driver_opts"), place), reader);
        }
        Some((other, place)) => {
            let why =
                "netform makes bridges, macvlan and ipvlan; the network is left out, with what is on it";
            reader.note(&mut draft.item, place, (&format!("driver {other}"), why));
            draft.left = true;
        }
    }
    for entry in &fields {
        draft.field(entry, reader);
    }
    draft.finish(reader, entry.at)
}

/// Returns what becomes of an external network; `None` when it is not external after all.
fn external_fate(external: &Node, name: Option<&Node>, reader: &mut Reader<'_>) -> Option<Fate> {
    let (is_external, old_name) = match &external.kind {
        crate::manifest::Kind::Map(entries) => (true, entries.iter().find(|entry| entry.key == "name")),
        crate::manifest::Kind::Null
        | crate::manifest::Kind::Bool(_)
        | crate::manifest::Kind::Integer(_)
        | crate::manifest::Kind::Number(_)
        | crate::manifest::Kind::Text(_)
        | crate::manifest::Kind::List(_)
        | crate::manifest::Kind::Refused => (reader.flag(external)?, None),
    };
    let name = name.or(old_name.map(|entry| &entry.value)).and_then(|node| reader.text(node));
    is_external.then_some(match name.as_deref() {
        Some("host") => Fate::Host,
        Some("none") => Fate::Nothing,
        Some(_) | None => Fate::Left,
    })
}

fn left_out(mut item: Item, place: Place, reader: &mut Reader<'_>) -> (Item, Fate) {
    let why = "somebody else's, of which this file does not know the bridge: write `external: BRIDGE`, which \
               `docker network inspect` tells; left out until then";
    reader.note(&mut item, place, ("external", why));
    (told(item), Fate::Left)
}

/// Returns an item that is only told of, in comments.
fn told(item: Item) -> Item {
    let Item { name, mut notes, fields: _ } = item;
    notes.insert(0, format!("{}:", name.unwrap_or_default()));
    Item { name: None, notes, fields: vec![] }
}

/// A network under construction.
#[derive(Default)]
struct Draft {
    item: Item,
    left: bool,
    egress: Option<Value>,
    snat: Vec<IpAddr>,
    has_subnets: bool,
    has_ipv6: bool,
    binding: Option<IpAddr>,
    /// Where the file asks for IPv6.
    wants_ipv6: Option<Place>,
    wants_no_ipv4: bool,
}

impl Draft {
    fn field(&mut self, entry: &Entry, reader: &mut Reader<'_>) {
        let node = &entry.value;
        match entry.key.as_str() {
            "driver" | "external" | "name" | "labels" => {}
            "driver_opts" => {
                for (key, value, place) in reader.pairs(node) {
                    self.option((&key, &value), place, reader);
                }
            }
            "internal" => {
                if reader.flag(node) == Some(true) {
                    self.item.put("internal", Value::plain(true));
                }
            }
            "ipam" => self.ipam(node, reader),
            "enable_ipv6" => self.wants_ipv6 = reader.flag(node).filter(|wanted| *wanted).map(|_| entry.at),
            "enable_ipv4" => self.wants_no_ipv4 = reader.flag(node) == Some(false),
            "attachable" => reader.note(
                &mut self.item,
                entry.at,
                ("attachable", "Swarm's; any container may be attached"),
            ),
            other => {
                let what = other.to_owned();
                reader.note(&mut self.item, entry.at, (&what, "has no equivalent"));
            }
        }
    }

    fn option(&mut self, (key, value): (&str, &str), place: Place, reader: &mut Reader<'_>) {
        let is =
            |wanted: bool| value.parse::<bool>() == Ok(wanted) || value == if wanted { "1" } else { "0" };
        match key {
            "com.docker.network.bridge.name" => match IfName::try_from(value) {
                Ok(name) => self.item.put("interface", Value::text(name)),
                Err(error) => reader.wrong(place, error.to_string(), "not a name of an interface"),
            },
            "com.docker.network.driver.mtu" => {
                match value.parse().ok().and_then(|mtu: u32| Mtu::try_from(mtu).ok()) {
                    Some(mtu) => self.item.put("mtu", Value::plain(mtu)),
                    None => reader.wrong(place, format!("`{value}` is not an MTU"), "not an MTU"),
                }
            }
            "com.docker.network.bridge.enable_icc" if is(true) => {}
            "com.docker.network.bridge.enable_icc" if is(false) => self.item.put("icc", Value::plain(false)),
            "com.docker.network.bridge.enable_ip_masquerade" if is(true) => {}
            "com.docker.network.bridge.enable_ip_masquerade" if is(false) => {
                self.egress = Some(Value::text("routed"))
            }
            "com.docker.network.host_ipv4" | "com.docker.network.host_ipv6" => match value.parse() {
                Ok(address) => self.snat.push(address),
                Err(_) => reader.wrong(place, format!("`{value}` is not an address"), "not an address"),
            },
            "com.docker.network.bridge.host_binding_ipv4" => match value.parse() {
                Ok(address) => self.binding = Some(address),
                Err(_) => reader.wrong(place, format!("`{value}` is not an address"), "not an address"),
            },
            "parent" | "macvlan_mode" | "ipvlan_mode" | "ipvlan_flag"
                if self.item.fields.iter().any(|(key, _)| *key == "driver") => {}
            other => {
                let what = format!("driver_opts {other}");
                let why = format!("has no equivalent ({value})");
                reader.note(&mut self.item, place, (&what, &why));
            }
        }
    }

    fn behind_a_link(
        &mut self,
        driver: &str,
        (options, place): (Option<&Node>, Place),
        reader: &mut Reader<'_>,
    ) {
        let options = options.map_or_else(Vec::new, |node| reader.pairs(node));
        let option =
            |key: &str| options.iter().find(|(it, _, _)| it == key).map(|(_, value, place)| (value, *place));
        let Some((parent, at)) = option("parent") else {
            let why =
                "without a parent Docker makes a network that leads nowhere; left out, with what is on it";
            reader.note(&mut self.item, place, (&format!("driver {driver}"), why));
            self.left = true;
            return;
        };
        if let Err(error) = IfName::try_from(parent.as_str()) {
            reader.wrong(at, error.to_string(), "not a name of an interface");
        }
        self.item.put("driver", Value::text(driver));
        let mut fields = vec![("parent".to_owned(), Value::text(parent))];
        let known: &[(&str, &str, &[&str])] = match driver {
            "ipvlan" => &[
                ("ipvlan_mode", "mode", &["l2", "l3", "l3s"]),
                ("ipvlan_flag", "flag", &["bridge", "private", "vepa"]),
            ],
            _ => &[("macvlan_mode", "mode", &["bridge", "vepa", "private", "passthru"])],
        };
        for (key, name, words) in known {
            match option(key) {
                None => {}
                Some((word, _)) if words.contains(&word.as_str()) => {
                    fields.push(((*name).to_owned(), Value::text(word)));
                }
                Some((word, at)) => {
                    reader.wrong(at, format!("`{word}` is no {name} of {driver}"), &format!("not a {name}"));
                }
            }
        }
        self.item.put("options", Value::Map(fields));
    }

    fn ipam(&mut self, node: &Node, reader: &mut Reader<'_>) {
        for entry in reader.map(node) {
            match entry.key.as_str() {
                "config" => {
                    let items = reader.list(&entry.value);
                    let subnets: Vec<Value> =
                        items.iter().filter_map(|item| self.subnet(item, reader)).collect();
                    self.has_subnets |= !subnets.is_empty();
                    self.item.put("subnets", Value::List(subnets));
                }
                "driver" if reader.text(&entry.value).is_none_or(|driver| driver == "default") => {}
                other => {
                    let what = format!("ipam {other}");
                    reader.note(
                        &mut self.item,
                        entry.at,
                        (&what, "has no equivalent: netform gives out addresses itself"),
                    );
                }
            }
        }
    }

    fn subnet(&mut self, node: &Node, reader: &mut Reader<'_>) -> Option<Value> {
        let (mut cidr, mut more) = (None, vec![]);
        let address = |text: &str| text.parse::<IpAddr>().ok();
        for entry in reader.map(node) {
            let value = &entry.value;
            match entry.key.as_str() {
                "subnet" => {
                    cidr = reader
                        .parsed(value, "a subnet", |text| text.parse::<IpNet>().ok())
                        .map(|it| it.trunc())
                }
                "gateway" => {
                    let gateway = reader.parsed(value, "an address", address);
                    more.extend(gateway.map(|it| ("gateway".to_owned(), Value::text(it))));
                }
                "ip_range" => {
                    let range =
                        reader.parsed(value, "a range of addresses", |text| text.parse::<IpNet>().ok());
                    more.extend(range.map(|it| ("pool".to_owned(), Value::text(it.trunc()))));
                }
                "aux_addresses" => {
                    let named = reader.map(value).into_iter().filter_map(|entry| {
                        let address = reader.parsed(&entry.value, "an address", address)?;
                        Some((entry.key.to_string(), Value::text(address)))
                    });
                    let named: Vec<_> = named.collect();
                    more.extend((!named.is_empty()).then(|| ("reserve".to_owned(), Value::Map(named))));
                }
                other => {
                    let what = format!("ipam config {other}");
                    reader.note(&mut self.item, entry.at, (&what, "has no equivalent"));
                }
            }
        }
        let Some(cidr) = cidr else {
            if !more.is_empty() {
                reader.note(
                    &mut self.item,
                    node.place,
                    ("ipam config", "says something of a subnet, and not of which"),
                );
            }
            return None;
        };
        self.has_ipv6 |= cidr.addr().is_ipv6();
        more.insert(0, ("cidr".to_owned(), Value::text(cidr)));
        Some(if more.len() == 1 { Value::text(cidr) } else { Value::Map(more) })
    }

    fn finish(mut self, reader: &mut Reader<'_>, place: Place) -> (Item, Fate) {
        let is_behind = self.item.fields.iter().any(|(key, _)| *key == "driver");
        if self.wants_no_ipv4 && !self.has_subnets {
            self.item.put("ipv4", Value::plain(false));
        }
        if let Some(place) = self.wants_ipv6.filter(|_| !self.has_ipv6) {
            if is_behind {
                let why = "a subnet of IPv6 has to be written under `subnets`, where there is none yet";
                reader.note(&mut self.item, place, ("enable_ipv6", why));
            } else {
                self.item.put("ipv6", Value::plain(true));
                self.has_ipv6 = true;
            }
        }
        if is_behind {
            // These are a bridge's, and Docker takes no notice of them there.
            let (kept, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.item.fields)
                .into_iter()
                .partition(|(key, _)| ["driver", "options", "subnets", "mtu"].contains(key));
            self.item.fields = kept;
            for (key, _) in rest {
                // What shall lead nowhere must not come to lead to the link's network.
                self.left |= key == "internal";
                reader.note(
                    &mut self.item,
                    place,
                    (
                        key,
                        if key == "internal" {
                            "on a link of the host it could not be so; left out, with what is on it"
                        } else {
                            "a network behind a link has no such thing"
                        },
                    ),
                );
            }
            if !self.has_subnets {
                let why = "netform gives no address of a network behind a link unless the file says which are there: write `ipam`";
                reader.note(&mut self.item, place, ("no subnet", why));
                self.left = true;
            }
        } else if !self.snat.is_empty() {
            self.item.put("egress", Value::Map(vec![("snat".to_owned(), Value::texts(&self.snat))]));
        } else if let Some(egress) = self.egress.take() {
            self.item.put("egress", egress);
        }
        if self.left {
            return (told(self.item), Fate::Left);
        }
        let name = self.item.name.clone().unwrap_or_default();
        (self.item, Fate::Made { name, has_ipv6: self.has_ipv6, binding: self.binding })
    }
}
