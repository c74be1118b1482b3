//! The keys of each kind of map, and reading a map by them.

use foldhash::HashMap;

use super::node::{Entry, Kind, Node};
use super::problem::Problem;
use super::report::Report;

/// What a kind of map may hold. The schema has the same keys, by a test.
#[derive(Debug)]
pub(super) struct Shape {
    /// What users call it, as in "a network has no key `x`".
    pub(super) what: &'static str,
    /// Its keys.
    pub(super) keys: &'static [&'static str],
    /// Keys that netform will have, each with what to use until then.
    pub(super) later: &'static [(&'static str, &'static str)],
}

/// The whole file.
pub(super) const MANIFEST: Shape = Shape {
    what: "a manifest",
    keys: &[
        "netform",
        "project",
        "include",
        "pools",
        "coexist",
        "own_external_addresses",
        "policies",
        "networks",
        "containers",
    ],
    later: &[("cluster", "this version connects containers of one host")],
};

/// `coexist`.
pub(super) const COEXIST: Shape = Shape { what: "`coexist`", keys: &["docker"], later: &[] };

/// An entry of `policies`.
pub(super) const POLICY: Shape = Shape { what: "a policy", keys: &["allow", "deny"], later: &[] };

/// What a policy allows or denies.
pub(super) const POLICY_WAY: Shape =
    Shape { what: "what a policy decides", keys: &["from", "to", "ports"], later: &[] };

/// An entry of `pools`.
pub(super) const POOL: Shape = Shape { what: "a pool", keys: &["cidr", "size"], later: &[] };

/// A network.
pub(super) const NETWORK: Shape = Shape {
    what: "a network",
    keys: &[
        "driver",
        "subnets",
        "ipv4",
        "ipv6",
        "internal",
        "icc",
        "mtu",
        "interface",
        "egress",
        "ndp_proxy",
        "ingress",
        "external",
        "dns",
        "lifecycle",
        "options",
    ],
    later: &[],
};

/// `options` of a macvlan network.
pub(super) const MACVLAN: Shape =
    Shape { what: "a macvlan network's `options`", keys: &["parent", "mode", "host_address"], later: &[] };

/// `options` of a bridge network.
pub(super) const BRIDGE: Shape =
    Shape { what: "a bridge network's `options`", keys: &["stp", "hairpin"], later: &[] };

/// `options` of an ipvlan network.
pub(super) const IPVLAN: Shape = Shape {
    what: "an ipvlan network's `options`",
    keys: &["parent", "mode", "flag", "host_address"],
    later: &[],
};

/// `options` of a veth network.
pub(super) const VETH: Shape = Shape { what: "a veth network's `options`", keys: &["host"], later: &[] };

/// `options` of an openvswitch network.
pub(super) const OPEN_VSWITCH: Shape = Shape {
    what: "an openvswitch network's `options`",
    keys: &["datapath", "fail_mode", "stp", "mcast_snooping"],
    later: &[],
};

/// An entry of `subnets` that is a map.
pub(super) const SUBNET: Shape =
    Shape { what: "a subnet", keys: &["cidr", "gateway", "pool", "reserve"], later: &[] };

/// `egress` that is a map.
pub(super) const EGRESS: Shape = Shape { what: "`egress`", keys: &["snat"], later: &[] };

/// `dns` of a network.
pub(super) const DNS: Shape = Shape { what: "`dns`", keys: &["upstream", "alias_policy", "ttl"], later: &[] };

/// `lifecycle`.
pub(super) const LIFECYCLE: Shape =
    Shape { what: "`lifecycle`", keys: &["prevent_destroy", "ignore"], later: &[] };

/// A container.
pub(super) const CONTAINER: Shape = Shape {
    what: "a container",
    keys: &["netns", "docker", "podman", "pid", "mode", "networks", "publish", "expose", "routes", "sysctls"],
    later: &[("host", "this version connects containers of one host")],
};

/// A container on a network.
pub(super) const ATTACHMENT: Shape = Shape {
    what: "an attachment",
    keys: &[
        "address",
        "external_address",
        "aliases",
        "links",
        "mac",
        "interface",
        "gateway_priority",
        "vlan",
        "trunks",
        "routes",
        "sysctls",
        "device",
        "bandwidth",
        "isolated",
        "hairpin",
    ],
    later: &[],
};

/// `bandwidth` of an attachment.
pub(super) const BANDWIDTH: Shape =
    Shape { what: "`bandwidth`", keys: &["ingress", "egress", "burst"], later: &[] };

/// An entry of `routes`.
pub(super) const ROUTE: Shape =
    Shape { what: "a route", keys: &["to", "via", "metric", "table", "type", "onlink"], later: &[] };

/// An entry of `publish` that is a map.
pub(super) const PUBLISH: Shape = Shape {
    what: "a published port",
    keys: &["host_address", "host_port", "target_port", "protocol", "allow_from"],
    later: &[],
};

/// Returns the keys of a network.
pub(crate) fn of_network() -> &'static [&'static str] {
    NETWORK.keys
}

/// Returns the keys that the `options` of a network may have, whatever its driver is.
pub(crate) fn of_options() -> impl Iterator<Item = &'static str> {
    let all = [MACVLAN.keys, BRIDGE.keys, IPVLAN.keys, VETH.keys, OPEN_VSWITCH.keys];
    all.into_iter().flatten().copied()
}

/// Returns the keys of a container on a network.
pub(crate) fn of_attachment() -> &'static [&'static str] {
    ATTACHMENT.keys
}

/// What Compose calls what a manifest has under another name.
const COMPOSE: &[(&str, &str)] = &[
    ("services", "containers"),
    ("version", "netform"),
    ("name", "project"),
    ("ipam", "subnets"),
    ("subnet", "cidr"),
    ("ip_range", "pool"),
    ("enable_ipv4", "ipv4"),
    ("enable_ipv6", "ipv6"),
    ("aux_addresses", "reserve"),
    ("network_mode", "mode"),
    ("ports", "publish"),
    ("published", "host_port"),
    ("target", "target_port"),
    ("host_ip", "host_address"),
    ("ipv4_address", "address"),
    ("ipv6_address", "address"),
    ("mac_address", "mac"),
    ("interface_name", "interface"),
    ("gw_priority", "gateway_priority"),
    ("destination", "to"),
    ("gateway", "via"),
];

/// A map whose keys have been checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'n> {
    entries: &'n [Entry],
    /// The map.
    pub(super) node: &'n Node,
}

impl<'n> Fields<'n> {
    /// Checks that a node is a map with the keys of a shape, and reports every other key.
    pub(super) fn open(node: &'n Node, shape: &Shape, report: &mut Report) -> Option<Self> {
        let entries = match &node.kind {
            Kind::Map(entries) => entries,
            Kind::Refused => return None,
            Kind::Null
            | Kind::Bool(_)
            | Kind::Integer(_)
            | Kind::Number(_)
            | Kind::Text(_)
            | Kind::List(_) => {
                let what = shape.what;
                let help = format!("its keys are {}", listed(shape.keys));
                report.add(wrong_type(node, &format!("{what} is a map")).help(help));
                return None;
            }
        };
        for entry in entries {
            if !shape.keys.contains(&entry.key.as_str()) {
                report.add(unknown_key(entry, shape));
            }
        }
        Some(Self { entries, node })
    }

    /// Returns all entries, in the order of the text.
    pub(super) fn entries(&self) -> &'n [Entry] {
        self.entries
    }

    /// Returns the entry of a key.
    pub(super) fn get(&self, key: &str) -> Option<&'n Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Returns the value of a key.
    pub(super) fn value(&self, key: &str) -> Option<&'n Node> {
        self.get(key).map(|entry| &entry.value)
    }
}

/// Says that something must be there that is not.
pub(super) fn missing(node: &Node, shape: &Shape, key: &str) -> Problem {
    Problem::new(
        "manifest::missing_key",
        format!("{} needs the key `{key}`", shape.what),
        node.place,
        format!("`{key}` is missing here"),
    )
}

/// Says that something is of the wrong type; `want` is a sentence such as "`mtu` is a number".
pub(super) fn wrong_type(node: &Node, want: &str) -> Problem {
    let found = node.kind.describe();
    Problem::new(
        "manifest::wrong_type",
        format!("{want}, and this is {found}"),
        node.place,
        format!("this is {found}"),
    )
}

fn unknown_key(entry: &Entry, shape: &Shape) -> Problem {
    let Entry { key, at, value: _ } = entry;
    if let Some((_, until)) = shape.later.iter().find(|(later, _)| later == key) {
        return unsupported(entry, until);
    }
    let problem = Problem::new(
        "manifest::unknown_key",
        format!("{} has no key `{}`", shape.what, shortened(key)),
        *at,
        "not known here",
    );
    let compose = COMPOSE.iter().find(|(theirs, ours)| theirs == key && shape.keys.contains(ours));
    match compose.map(|(_, ours)| *ours).or_else(|| closest(key, shape.keys)) {
        Some(close) => problem.help(format!("did you mean `{close}`?")),
        None => problem.help(format!("its keys are {}", listed(shape.keys))),
    }
}

/// Says that a key is right, and that this version cannot do what it asks for.
pub(super) fn unsupported(entry: &Entry, until: &str) -> Problem {
    Problem::new(
        "manifest::unsupported",
        format!("`{}` is not supported by this version of netform", entry.key),
        entry.at,
        "not supported yet",
    )
    .help(until)
}

/// Returns the word that somebody may have meant.
pub(super) fn closest<'w>(text: &str, words: &[&'w str]) -> Option<&'w str> {
    // No known word is longer, and the distance costs the product of the lengths.
    if text.len() > 64 {
        return None;
    }
    let text = text.to_lowercase().replace('-', "_");
    let scored = words.iter().map(|word| (strsim::damerau_levenshtein(&text, word), *word));
    let (distance, word) = scored.min_by_key(|(distance, _)| *distance)?;
    let prefix = text.len() >= 3 && (word.starts_with(&text) || text.starts_with(word));
    (prefix || distance <= 1 + word.len() / 5).then_some(word)
}

/// Returns words as a sentence has them: "`a`, `b` and `c`".
pub(super) fn listed(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => format!("`{one}`"),
        [first @ .., last] => {
            let first: Vec<_> = first.iter().map(|word| format!("`{word}`")).collect();
            format!("{} and `{last}`", first.join(", "))
        }
    }
}

/// Returns a text as messages quote it: not longer than a line.
pub(super) fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        shown.push('…');
    }
    shown
}

/// Reports the items that were there before; `what` names them.
pub(super) fn each_once<'n>(
    items: impl Iterator<Item = (&'n str, &'n Node)>,
    what: &str,
    report: &mut Report,
) {
    let mut seen = HashMap::default();
    for (text, node) in items {
        match seen.get(text) {
            None => drop(seen.insert(text, node.place)),
            Some(first) => report.add(
                Problem::new(
                    "manifest::duplicate",
                    format!("{what} `{}` is there twice", shortened(text)),
                    node.place,
                    "here again",
                )
                .and(*first, "first here")
                .help("delete one"),
            ),
        }
    }
}
