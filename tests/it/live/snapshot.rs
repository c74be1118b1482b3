//! What the kernel holds, as text that two hosts in the same state share.

use std::fmt::Write as _;

use serde_json::Value;

use super::world::World;

/// Returns links, addresses and routes of the host and of every named namespace, the firewall, forwarding and the hosts
/// files; without what the kernel chooses by chance.
pub(crate) fn everything(world: &World) -> String {
    let names = world.sh("ip netns list | awk '{print $1}' | sort");
    let mut text = format!("namespaces: {}\n", names.split_whitespace().collect::<Vec<_>>().join(" "));
    for ns in std::iter::once("").chain(names.split_whitespace()) {
        let ip = if ns.is_empty() { "ip".to_owned() } else { format!("ip -n {ns}") };
        let _ = writeln!(text, "[{ns}]");
        for line in links(&world.sh(&format!("{ip} -j -d addr"))) {
            let _ = writeln!(text, "{line}");
        }
        // The kernel's own link-local routes come and go with carriers, which a bridge without ports has at first.
        for family in ["-4", "-6"] {
            text.push_str(&world.sh(&format!(
                "{ip} {family} route show table main 2>/dev/null | grep -v fe80 | sed 's/ linkdown//' | sort || true"
            )));
        }
    }
    for line in ruleset(&world.sh("nft -s -j list ruleset")) {
        let _ = writeln!(text, "{line}");
    }
    text.push_str(
        &world.sh("sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding; ip -6 neigh show proxy | sort"),
    );
    text.push_str(&world.sh("cd /proc/sys/net/ipv6/conf; grep -H . */proxy_ndp */accept_ra"));
    text.push_str(&world.sh("for f in /etc/netns/*/*; do [ -e $f ] && echo $f && cat $f || true; done"));
    text
}

/// Asserts that two states are the same; shows what differs otherwise.
#[track_caller]
pub(crate) fn assert_same(after: &str, before: &str, what: &str) {
    assert!(
        after == before,
        "{what}:\n{}",
        similar::TextDiff::from_lines(before, after).unified_diff().context_radius(1)
    );
}

fn links(json: &str) -> Vec<String> {
    let all: Vec<Value> = serde_json::from_str(json).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let line = |link: &Value| {
        let kind = text(&link["linkinfo"]["info_kind"]);
        // The host end of a pair has an address that the kernel has chosen.
        let mac =
            if kind == "veth" && link["master"].is_string() { String::new() } else { text(&link["address"]) };
        let up = link["flags"].as_array().is_some_and(|flags| flags.iter().any(|flag| flag == "UP"));
        let mut addresses: Vec<_> = link["addr_info"].as_array().into_iter().flatten().collect();
        addresses.retain(|address| address["scope"] != "link");
        let mut addresses: Vec<String> = addresses
            .into_iter()
            .map(|address| {
                format!("{}/{} {}", text(&address["local"]), address["prefixlen"], address["protocol"])
            })
            .collect();
        addresses.sort();
        format!(
            "{} {kind} {mac} mtu {} up {up} master {} group {} alias {} {} {addresses:?}",
            text(&link["ifname"]),
            link["mtu"],
            link["master"],
            link["group"],
            link["ifalias"],
            link["altnames"],
        )
    };
    let mut lines: Vec<String> = all.iter().map(line).collect();
    lines.sort();
    lines
}

/// Returns an object of the ruleset a line, without numbers that the kernel gives out, and elements in order.
fn ruleset(json: &str) -> Vec<String> {
    let document: Value = serde_json::from_str(json).unwrap();
    let mut lines = vec![];
    for object in document["nftables"].as_array().unwrap() {
        let (kind, mut object) =
            object.as_object().unwrap().iter().next().map(|(k, v)| (k, v.clone())).unwrap();
        // What the kernel has made of the table; it may have been made by another path.
        if kind == "metainfo" || object["name"].as_str().is_some_and(|name| name.starts_with("seal-")) {
            continue;
        }
        object.as_object_mut().unwrap().remove("handle");
        if let Some(elements) = object["elem"].as_array_mut() {
            elements.sort_by_key(ToString::to_string);
        }
        lines.push(format!("{kind} {object}"));
    }
    lines
}
