//! What is known of networks, as text.

use std::fmt::Write as _;

use super::look::{Beside, Limits, Member, Outside, Range, Report, Shown};
use crate::kernel::counters::Counters;

/// Returns a line for each network.
pub(super) fn table(report: &Report) -> String {
    let mut text = "NETWORK           DRIVER      INTERFACE        STATE    CONTAINERS  SUBNETS\n".to_owned();
    for network in &report.networks {
        let Shown { name, driver, interface, state, containers, subnets, .. } = network;
        let subnets: Vec<_> = subnets.iter().map(|subnet| subnet.cidr.as_str()).collect();
        let (state, subnets, count) = (state.as_str(), subnets.join(", "), containers.len());
        let line = format!("{name:<17} {driver:<11} {interface:<16} {state:<8} {count:<11} {subnets}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// Returns all that is known of each network.
pub(super) fn details(report: &Report) -> String {
    let mut text = String::new();
    for (at, network) in report.networks.iter().enumerate() {
        let Shown { name, id, driver, interface, state, subnets, internal, external, mtu, declared, .. } =
            network;
        let _ = writeln!(text, "{}network {name}  [{}]", if at == 0 { "" } else { "\n" }, state.as_str());
        let _ = writeln!(
            text,
            "  id: {id}\n  declared: {declared}\n  driver: {driver}\n  interface: {interface}"
        );
        for Range { cidr, gateway } in subnets {
            let gateway = gateway.as_ref().map_or_else(String::new, |gateway| format!(", gateway {gateway}"));
            let _ = writeln!(text, "  subnet: {cidr}{gateway}");
        }
        if let Some(Beside { interface, addresses }) = &network.host {
            let _ = writeln!(text, "  host: {} (on {interface})", addresses.join(", "));
        }
        for (what, is_so) in [("internal", internal), ("external", external)] {
            if *is_so {
                let _ = writeln!(text, "  {what}: yes");
            }
        }
        let _ = writeln!(text, "  mtu: {mtu}");
        if let Some(link) = &network.ndp_proxy {
            let _ = writeln!(text, "  ndp_proxy: {link}");
        }
        text.push_str(&traffic("  ", network.counters));
        network.containers.iter().for_each(|container| text.push_str(&member(container)));
    }
    text
}

/// Returns all that is known of a container on a network.
fn member(member: &Member) -> String {
    let Member { name, state, interface, host_interface, mac, addresses, aliases, .. } = member;
    let Member {
        device,
        external_addresses,
        bandwidth: Limits { ingress, egress },
        isolated,
        vlan,
        trunks,
        counters,
        ..
    } = member;
    let port = host_interface.as_ref().map_or_else(String::new, |port| format!(" (on the host {port})"));
    let mut text = format!("  container {name}  [{}]\n    interface: {interface}{port}\n", state.as_str());
    if let Some(device) = device {
        let _ = writeln!(text, "    device: {device}");
    }
    let _ = writeln!(text, "    mac: {mac}\n    addresses: {}", addresses.join(", "));
    for Outside { address, interface } in external_addresses {
        let on = interface.as_ref().map_or_else(String::new, |link| format!(" (on {link})"));
        let _ = writeln!(text, "    external address: {address}{on}");
    }
    if !aliases.is_empty() {
        let _ = writeln!(text, "    aliases: {}", aliases.join(", "));
    }
    if let Some(id) = vlan {
        let _ = writeln!(text, "    vlan: {id}");
    }
    if !trunks.is_empty() {
        let trunks: Vec<_> = trunks.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "    trunks: {}", trunks.join(", "));
    }
    let limits = [("receives", ingress), ("sends", egress)];
    let limits: Vec<_> =
        limits.iter().filter_map(|(what, rate)| Some(format!("{what} {}", rate.as_ref()?))).collect();
    if !limits.is_empty() {
        let _ = writeln!(text, "    bandwidth: {}", limits.join(", "));
    }
    if *isolated {
        text.push_str("    isolated: yes\n");
    }
    text + &traffic("    ", *counters)
}

fn traffic(indent: &str, counters: Option<Counters>) -> String {
    let Some(counters) = counters else { return String::new() };
    let Counters { received_packets, received_bytes, sent_packets, sent_bytes, dropped, errors } = counters;
    let mut line = format!(
        "{indent}received: {received_packets} packets, {received_bytes} bytes; sent: {sent_packets} packets, {sent_bytes} bytes"
    );
    for (what, count) in [("dropped", dropped), ("errors", errors)] {
        if count > 0 {
            let _ = write!(line, "; {what}: {count}");
        }
    }
    line + "\n"
}
