//! Chains of others that drop the packets which the host forwards, unless a rule of theirs accepts them: Docker's, firewalls'.
//!
//! What one base chain accepts the next may still drop, so nothing that netform's own table says lets a packet through
//! there. Source: `enum nft_chain_attributes` and `enum nft_hook_attributes` in
//! `include/uapi/linux/netfilter/nf_tables.h`.

use std::collections::BTreeSet;

use netlink_packet_core::NLM_F_DUMP;
use serde_json::Value;

use super::{PREFIX, program};
use crate::kernel::answer::{each, number_of};
use crate::kernel::netlink::{Blocking, Refusal, text};
use crate::kernel::netns;
use crate::names::IfName;
use crate::resource::sysctl::Family;
use crate::topology::facts::Barrier;

/// `NFNL_SUBSYS_NFTABLES` with `NFT_MSG_NEWCHAIN` and `NFT_MSG_GETCHAIN`.
const NEW_CHAIN: u16 = 0x0a03;
const GET_CHAIN: u16 = 0x0a04;

/// `NF_INET_FORWARD` and `NF_DROP` in `include/uapi/linux/netfilter.h`.
const FORWARD: u32 = 2;
const DROP: u32 = 0;

/// A base chain that drops what it forwards.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Chain {
    family: &'static str,
    table: String,
    name: String,
}

/// Returns the chains that are in the way, with what their tables accept. What cannot be read is in nobody's way.
pub(super) async fn barriers() -> BTreeSet<Barrier> {
    let chains = netns::on_thread(chains).await.ok().and_then(Result::ok).unwrap_or_default();
    let mut barriers = BTreeSet::new();
    for Chain { family, table, name } in chains {
        let listed = program::nft(&["-j", "list", "table", family, &table], "").await.ok();
        let listed = listed.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        barriers.insert(Barrier { bridged: is_bridged(family), ..barrier((family, &table, &name), &listed) });
    }
    barriers
}

/// Tells whether the chains of a family see what passes from one port of a bridge to another. Without the module there are
/// no such parameters.
fn is_bridged(family: &str) -> bool {
    let is_on = |name: &str| {
        let value = std::fs::read_to_string(format!("/proc/sys/net/bridge/bridge-nf-call-{name}"));
        value.is_ok_and(|value| value.trim() == "1")
    };
    match family {
        "ip" => is_on("iptables"),
        "ip6" => is_on("ip6tables"),
        _ => is_on("iptables") || is_on("ip6tables"),
    }
}

/// Returns the families of which the IP layer's tables see what passes from one port of a bridge to another.
pub fn judged() -> BTreeSet<Family> {
    let families = [(Family::Ipv4, "ip"), (Family::Ipv6, "ip6")];
    families.into_iter().filter(|(_, name)| is_bridged(name)).map(|(family, _)| family).collect()
}

fn chains() -> Result<Vec<Chain>, Refusal> {
    Blocking::open_netfilter()?.netfilter((GET_CHAIN, NLM_F_DUMP), &[0; 4], chain)
}

fn chain(kind: u16, body: &[u8]) -> Option<Chain> {
    const TABLE: u16 = 1;
    const NAME: u16 = 3;
    const HOOK: u16 = 4;
    const POLICY: u16 = 5;
    const HOOK_NUMBER: u16 = 1;
    let (header, attributes) = body.split_at_checked(4).filter(|_| kind == NEW_CHAIN)?;
    // `NFPROTO_INET`, `NFPROTO_IPV4` and `NFPROTO_IPV6` in `include/uapi/linux/netfilter.h`.
    let family = match header.first()? {
        1 => "inet",
        2 => "ip",
        10 => "ip6",
        _ => return None,
    };
    let number = |value: &[u8]| value.first_chunk().map(|number| u32::from_be_bytes(*number));
    let (mut table, mut name, mut hook, mut policy) = (String::new(), String::new(), None, None);
    each(attributes, |kind, value| match kind {
        TABLE => table = text(value).to_string(),
        NAME => name = text(value).to_string(),
        HOOK => hook = number_of(value, HOOK_NUMBER),
        POLICY => policy = number(value),
        _ => {}
    });
    let drops = hook == Some(FORWARD) && policy == Some(DROP) && !table.starts_with(PREFIX);
    drops.then_some(Chain { family, table, name })
}

/// Returns a barrier, with the interfaces that a rule of its table accepts packets from and to.
fn barrier((family, table, chain): (&str, &str, &str), listed: &Value) -> Barrier {
    let objects = listed.get("nftables").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let rules = || objects.iter().filter_map(|object| object.get("rule")?.get("expr")?.as_array());
    let accepts = |rule: &&Vec<Value>| rule.iter().any(|part| part.get("accept").is_some());
    let named = |key: &str| -> BTreeSet<IfName> {
        rules().filter(accepts).flatten().filter_map(|part| interface(part, key)).collect()
    };
    let chains = objects.iter().filter_map(|object| object.get("chain")?.get("name")?.as_str());
    Barrier {
        family: family.to_owned(),
        table: table.to_owned(),
        chain: chain.to_owned(),
        bridged: false,
        is_dockers: chains.into_iter().any(|name| name == "DOCKER-USER"),
        from: named("iifname"),
        to: named("oifname"),
    }
}

/// Returns the interface that a part of a rule is about.
fn interface(part: &Value, key: &str) -> Option<IfName> {
    let test = part.get("match")?;
    let is_meant = test.pointer("/left/meta/key").is_some_and(|it| it == key) && test.get("op")? == "==";
    IfName::try_from(test.get("right")?.as_str().filter(|_| is_meant)?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rule_that_accepts_is_about_its_interface() {
        let rule = |key: &str, name: &str, verdict: &str| {
            let test = json!({"match": {"op": "==", "left": {"meta": {"key": key}}, "right": name}});
            json!({"rule": {"expr": [test, {"counter": {"packets": 0, "bytes": 0}}, {verdict: null}]}})
        };
        let listed = json!({"nftables": [
            {"chain": {"name": "DOCKER-USER"}},
            rule("iifname", "br-front", "accept"),
            rule("oifname", "br-front", "accept"),
            rule("iifname", "br-back", "drop"),
        ]});

        let barrier = barrier(("ip", "filter", "FORWARD"), &listed);

        let names = |names: &BTreeSet<IfName>| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            (names(&barrier.from), names(&barrier.to)),
            (vec!["br-front".to_owned()], vec!["br-front".to_owned()])
        );
        assert!(barrier.is_dockers);
    }
}
