//! What a user would type to do the same by hand.

use std::fmt;

use super::{mended, remark, vlans, vsctl};
use crate::kernel::Op;
use crate::names::IfName;
use crate::resource::Resource;
use crate::resource::address::Address;
use crate::resource::device::Device;
use crate::resource::file::TextFile;
use crate::resource::link::{Ipvlan, Link, LinkKind, Macvlan, Peer, Tag};
use crate::resource::neighbour::Neighbour;
use crate::resource::netns::{Netns, NsRef};
use crate::resource::nft::{NftElement, NftTable};
use crate::resource::passage::{Passage, chain};
use crate::resource::qdisc::{NUMBER, Qdisc, QdiscKind};
use crate::resource::route::{MAIN_TABLE, PROTOCOL, Rank, Route, Way};
use crate::resource::sysctl::Sysctl;
use crate::resource::vlan::Vlan;

/// Returns the commands of ip(8), sysctl(8) and nft(8) that do the same as an operation.
pub fn equivalent(op: &Op) -> Vec<String> {
    match op {
        Op::Create(entry) => created(&entry.resource),
        Op::Update { from, to } => updated(&from.resource, &to.resource),
        Op::Delete(entry) => deleted(&entry.resource),
    }
}

/// A command that is run inside a namespace.
pub(super) struct In<'a>(pub(super) &'a str, pub(super) &'a NsRef);

impl fmt::Display for In<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(tool, ns) = self;
        match (ns, *tool) {
            (NsRef::Host, _) => f.write_str(tool),
            (NsRef::Named(name), "ip") => write!(f, "ip -n {name}"),
            (NsRef::Named(name), _) => write!(f, "ip netns exec {name} {tool}"),
            (NsRef::Path(path), _) => write!(f, "nsenter --net={} {tool}", path.display()),
            (NsRef::Process(process), _) => write!(f, "nsenter --net=/proc/{}/ns/net {tool}", process.pid),
        }
    }
}

fn created(resource: &Resource) -> Vec<String> {
    match resource {
        Resource::Netns(Netns { name, whole: _, lo: _, loopback: _, lacks: _, stray: _ }) => {
            vec![format!("ip netns add {name}"), format!("ip -n {name} link set lo up")]
        }
        Resource::Link(link) => created_link(link),
        Resource::Address(Address { ns, link, addr, lost: _, stray: _ }) => {
            let how = if addr.addr().is_ipv4() { " brd +" } else { " nodad" };
            vec![format!("{} addr add {addr} dev {link}{how}", In("ip", ns))]
        }
        Resource::Route(route) => {
            vec![format!("{} route replace {}", In("ip", &route.ns), route_words(route))]
        }
        Resource::Sysctl(Sysctl { ns, key, value }) => vec![format!("{} -w {key}={value}", In("sysctl", ns))],
        Resource::NftTable(NftTable { id, digest, intact: _, body: _ }) => {
            vec![format!("nft -j -f -  # table {} {}, rules {digest}", id.family.as_str(), id.name)]
        }
        Resource::NftElement(element) => vec![format!("nft add element {}", element_words(element))],
        Resource::Passage(passage) => {
            vec![format!(
                "nft insert rule {} {} counter accept",
                chain(passage.family),
                passage_words(passage)
            )]
        }
        Resource::Neighbour(neighbour) => vec![answered(neighbour, "add")],
        Resource::Qdisc(qdisc) => limited(qdisc, "add"),
        Resource::File(TextFile { path, content, mode: _ }) => {
            vec![format!("cat > {}  # {} lines", path.display(), content.lines().count())]
        }
    }
}

fn created_link(link: &Link) -> Vec<String> {
    let Link {
        ns,
        name,
        mac,
        mtu,
        up,
        master,
        hairpin,
        isolated,
        stp,
        filtering,
        vlans,
        port,
        altname,
        protected: _,
        amiss: _,
        kind,
    } = link;
    let ip = In("ip", ns);
    let mac = mac.map_or(String::new(), |mac| format!(" address {mac}"));
    let mut lines = match kind {
        LinkKind::Bridge => {
            let stp = if *stp { " stp_state 1" } else { "" };
            let filters =
                filtering.map_or_else(String::new, |it| format!(" {}", self::vlans::filters(Some(it))));
            vec![format!("{ip} link add {name}{mac} mtu {mtu} type bridge{stp}{filters}")]
        }
        LinkKind::Veth(Peer { ns: peer_ns, name: peer, mac: peer_mac, mtu: peer_mtu, up: peer_up, tag }) => {
            let target = match peer_ns {
                NsRef::Host => String::new(),
                NsRef::Named(_) | NsRef::Path(_) | NsRef::Process(_) => format!(" netns {}", target(peer_ns)),
            };
            let mut lines = vec![format!(
                "{ip} link add {name}{mac} mtu {mtu} type veth peer name {peer} address {peer_mac} mtu {peer_mtu}{target}"
            )];
            if *peer_up {
                lines.push(format!("{} link set {peer} up", In("ip", peer_ns)));
            }
            lines.extend(tag.iter().flat_map(|tag| tagged(peer_ns, peer, tag)));
            lines
        }
        LinkKind::Macvlan(Macvlan { parent, mode }) => vec![format!(
            "ip link add link {parent} name {name}{mac} mtu {mtu} netns {ns} type macvlan mode {mode}"
        )],
        LinkKind::Ipvlan(Ipvlan { parent, mode, flag }) => vec![format!(
            "ip link add link {parent} name {name} mtu {mtu} netns {ns} type ipvlan mode {mode} {flag}"
        )],
        LinkKind::Vlan(Vlan { parent, id }) => vec![format!(
            "{ip} link add link {parent} name {name} mtu {mtu} type vlan id {id} loose_binding on"
        )],
        LinkKind::OpenVswitch(switch) => vec![vsctl::add_bridge(link, switch)],
        LinkKind::Device(device) => {
            vec![format!("ip link set {} netns {} name {name}{mac} mtu {mtu}", device.name, target(ns))]
        }
        LinkKind::Ifb => vec![format!("{ip} link add {name} mtu {mtu} type ifb")],
        LinkKind::Other(kind) => vec![format!("{ip} link add {name}{mac} mtu {mtu} type {kind}")],
    };
    lines.extend(
        altname.as_ref().map(|altname| format!("{ip} link property add dev {name} altname {altname}")),
    );
    let master = master.as_ref().filter(|_| port.is_none());
    lines.extend(master.map(|master| format!("{ip} link set {name} master {master}")));
    lines.extend(vsctl::put_port(link));
    lines.extend((*hairpin || *isolated).then(|| vlans::set_port(link)));
    lines.extend(vlans.iter().flat_map(|_| self::vlans::set(None, link)));
    if *up {
        lines.push(format!("{ip} link set {name} up"));
    }
    lines
}

fn updated(from: &Resource, to: &Resource) -> Vec<String> {
    match (from, to) {
        (Resource::Link(from), Resource::Link(to)) => updated_link(from, to),
        (Resource::Qdisc(_), Resource::Qdisc(to)) => limited(to, "change"),
        (Resource::Address(from), Resource::Address(to)) if from.lost != to.lost => {
            mended::connected(from, to)
        }
        (Resource::Address(_), Resource::Address(to)) => vec![remark::address(to)],
        (Resource::Route(from), Resource::Route(to)) if from.stray != to.stray => {
            created(&Resource::Route(to.clone())).into_iter().map(remark::route).collect()
        }
        (Resource::Netns(from), Resource::Netns(to)) => remark::namespace(from, to),
        (Resource::File(from), Resource::File(to)) if from.content == to.content => vec![mended::mode(to)],
        (
            Resource::Netns(_)
            | Resource::Link(_)
            | Resource::Address(_)
            | Resource::Route(_)
            | Resource::Sysctl(_)
            | Resource::NftTable(_)
            | Resource::NftElement(_)
            | Resource::Passage(_)
            | Resource::Neighbour(_)
            | Resource::Qdisc(_)
            | Resource::File(_),
            _,
        ) => created(to),
    }
}

fn updated_link(from: &Link, to: &Link) -> Vec<String> {
    let (ip, name) = (In("ip", &to.ns), &to.name);
    let set = |what: String| format!("{ip} link set {name} {what}");
    let renamed = from.amiss.name.as_ref().filter(|_| to.amiss.name.is_none());
    let mut lines: Vec<_> =
        renamed.map(|now| format!("{ip} link set {now} name {name}")).into_iter().collect();
    if let (LinkKind::Veth(old), LinkKind::Veth(new)) = (&from.kind, &to.kind) {
        let set = |what: String| format!("{} link set {} {what}", In("ip", &new.ns), new.name);
        lines.extend((old.mac != new.mac).then(|| set(format!("address {}", new.mac))));
        lines.extend(mended::link_local((&new.ns, &new.name), [old.mac, new.mac]));
        lines.extend((old.mtu != new.mtu).then(|| set(format!("mtu {}", new.mtu))));
        lines.extend((old.up != new.up).then(|| set(state(new.up))));
        let tag = new.tag.as_ref().filter(|tag| old.tag.as_ref() != Some(*tag));
        lines.extend(tag.iter().flat_map(|tag| tagged(&new.ns, &new.name, tag)));
    }
    lines.extend(to.mac.filter(|_| from.mac != to.mac).map(|mac| set(format!("address {mac}"))));
    if let (Some(old), Some(new)) = (from.mac, to.mac) {
        lines.extend(mended::link_local((&to.ns, name), [old, new]));
    }
    lines.extend((from.mtu != to.mtu).then(|| set(format!("mtu {}", to.mtu))));
    if let (LinkKind::OpenVswitch(old), LinkKind::OpenVswitch(new)) = (&from.kind, &to.kind) {
        lines.extend((old != new).then(|| vsctl::set_bridge(to, new)));
    }
    if (&from.master, &from.port) == (&to.master, &to.port) {
        // It stays where it is.
    } else if let Some(put) = vsctl::put_port(to) {
        lines.push(put);
    } else if let Some(del) = vsctl::del_port(from) {
        lines.push(del);
        lines.extend(to.master.as_ref().map(|master| set(format!("master {master}"))));
    } else {
        lines
            .push(set(to.master.as_ref().map_or("nomaster".to_owned(), |master| format!("master {master}"))));
    }
    if to.must_set_port(from) {
        lines.extend(vlans::mended_port(from, to));
    }
    lines.extend(
        from.amiss
            .mark
            .as_ref()
            .filter(|_| to.amiss.mark.is_none())
            .map(|_| format!("# {name} is marked again")),
    );
    lines.extend((from.stp != to.stp).then(|| set(format!("type bridge stp_state {}", u8::from(to.stp)))));
    let filters = (from.filtering != to.filtering).then(|| vlans::filters(to.filtering));
    lines.extend(filters.map(|filters| set(format!("type bridge {filters}"))));
    if to.must_set_vlans(from) {
        lines.extend(vlans::set(from.vlans.as_ref().filter(|_| from.master == to.master), to));
    }
    if from.altname != to.altname {
        let property = |verb, altname| format!("{ip} link property {verb} dev {name} altname {altname}");
        lines.extend(from.altname.as_ref().map(|altname| property("del", altname)));
        lines.extend(to.altname.as_ref().map(|altname| property("add", altname)));
    }
    lines.extend((from.up != to.up).then(|| set(state(to.up))));
    lines.extend(mended::link(from, to));
    if lines.is_empty() {
        lines.push(set("alias ...  # the owner's mark".to_owned()));
    }
    lines
}

/// Returns what marks the second end of a pair between two containers.
fn tagged(ns: &NsRef, name: &IfName, tag: &Tag) -> Vec<String> {
    let ip = In("ip", ns);
    let altname =
        tag.altname.as_ref().map(|altname| format!("{ip} link property add dev {name} altname {altname}"));
    let alias = format!("{ip} link set {name} alias ...  # the mark of {}", tag.owner);
    altname.into_iter().chain([alias]).collect()
}

/// Returns the name by which ip(8) takes a namespace as the target of a link.
fn target(ns: &NsRef) -> String {
    match ns {
        NsRef::Host => "1".to_owned(),
        NsRef::Named(_) | NsRef::Path(_) => ns.to_string(),
        NsRef::Process(process) => process.pid.to_string(),
    }
}

/// Returns what gives a link back to the host as it was there.
fn given_back(link: &Link, device: &Device) -> Vec<String> {
    let Device { name, before } = device;
    let mut lines = vec![format!("{} link set {} netns 1 name {name}", In("ip", &link.ns), link.name)];
    let Some(before) = before else { return lines };
    let mac = before.mac.map_or_else(String::new, |mac| format!(" address {mac}"));
    lines.push(format!("ip link set {name}{mac} mtu {} {}", before.mtu, state(before.up)));
    lines.extend(before.addresses.iter().map(|held| format!("ip addr add {} dev {name}", held.addr)));
    lines.extend(before.routes.iter().map(|led| {
        let via = led.via.map_or_else(String::new, |via| format!(" via {via}"));
        format!("ip route add {}{via} dev {name} metric {} table {}", led.dest, led.metric, led.table)
    }));
    lines
}

/// Returns what makes a limit or leads to one, or changes it.
fn limited(Qdisc { link, kind }: &Qdisc, verb: &str) -> Vec<String> {
    match kind {
        QdiscKind::Limit(_, bucket) => vec![format!(
            "tc qdisc {verb} dev {link} root handle {NUMBER:x}: tbf rate {} burst {}b limit {}b",
            bucket.rate,
            bucket.bytes(),
            bucket.queue
        )],
        QdiscKind::Diversion(to) => {
            let room = (verb == "add").then(|| format!("tc qdisc add dev {link} ingress"));
            let led = to.as_ref().map(|to| {
                format!(
                    "tc filter {verb} dev {link} ingress pref {NUMBER} protocol all u32 match u32 0 0 action mirred egress \
                     redirect dev {to}"
                )
            });
            room.into_iter().chain(led).collect()
        }
    }
}

/// Returns what has a link answer for an address, or no more.
fn answered(Neighbour { ns, link, addr }: &Neighbour, verb: &str) -> String {
    let protocol = if verb == "add" { format!(" protocol {PROTOCOL}") } else { String::new() };
    format!("{} neigh {verb} proxy {addr} dev {link}{protocol}", In("ip", ns))
}

pub(super) fn state(up: bool) -> String {
    if up { "up" } else { "down" }.to_owned()
}

fn deleted(resource: &Resource) -> Vec<String> {
    let line = match resource {
        Resource::Netns(Netns { name, whole: _, lo: _, loopback: _, lacks: _, stray: _ }) => {
            format!("ip netns del {name}")
        }
        Resource::Link(link) => match link.kind.device() {
            Some(device) => return given_back(link, device),
            None => return deleted_link(link),
        },
        Resource::Address(Address { ns, link, addr, lost: _, stray: _ }) => {
            format!("{} addr del {addr} dev {link}", In("ip", ns))
        }
        Resource::Route(route) => format!("{} route del {}", In("ip", &route.ns), route_words(route)),
        Resource::Sysctl(Sysctl { ns: _, key, value: _ }) => format!("# {key} stays as it is"),
        Resource::NftTable(table) => {
            format!("nft delete table {} {}", table.id.family.as_str(), table.id.name)
        }
        Resource::NftElement(element) => format!("nft delete element {}", element_words(element)),
        Resource::Passage(passage) => {
            format!("nft delete rule {} handle ...  # {}", chain(passage.family), passage_words(passage))
        }
        Resource::Neighbour(neighbour) => answered(neighbour, "del"),
        Resource::Qdisc(Qdisc { link, kind }) => match kind {
            QdiscKind::Limit(..) => format!("tc qdisc del dev {link} root"),
            QdiscKind::Diversion(_) => format!("tc filter del dev {link} ingress pref {NUMBER}"),
        },
        Resource::File(TextFile { path, content: _, mode: _ }) => format!("rm {}", path.display()),
    };
    vec![line]
}

fn deleted_link(link: &Link) -> Vec<String> {
    if link.kind.switch().is_some() {
        return vec![vsctl::del_bridge(&link.name)];
    }
    let del = format!("{} link del {}", In("ip", &link.ns), link.name);
    vsctl::del_port(link).into_iter().chain([del]).collect()
}

fn route_words(route: &Route) -> String {
    let Route { ns: _, dest, way, rank: Rank { table, metric }, stray: _ } = route;
    let dest = if dest.prefix_len() == 0 { "default".to_owned() } else { dest.to_string() };
    let metric = if *metric == 0 { String::new() } else { format!(" metric {metric}") };
    let table = if *table == MAIN_TABLE { String::new() } else { format!(" table {table}") };
    match way {
        Way::By { link, via, onlink } => {
            let via = via.map_or(String::new(), |via| format!(" via {via}"));
            let onlink = if *onlink { " onlink" } else { "" };
            format!("{dest}{via} dev {link}{onlink}{metric}{table}")
        }
        Way::Refused(refusal) => format!("{refusal} {dest}{metric}{table}"),
    }
}

fn passage_words(passage: &Passage) -> String {
    let Passage { family: _, from, to, intact: _ } = passage;
    let from = from.iter().map(|from| format!("iifname {from}"));
    from.chain(to.iter().map(|to| format!("oifname {to}"))).collect::<Vec<_>>().join(" ")
}

fn element_words(element: &NftElement) -> String {
    let NftElement { table, set, key, data, stance: _ } = element;
    let data = data.as_ref().map_or(String::new(), |data| format!(" : {data}"));
    format!("{} {} {set} '{{ {}{data} }}'", table.family.as_str(), table.name, key.join(" . "))
}
