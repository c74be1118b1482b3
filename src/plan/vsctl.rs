//! What a user would type to have bridges and ports of Open vSwitch: ovs-vsctl(8).

use crate::names::IfName;
use crate::resource::link::Link;
use crate::resource::vswitch::{SwitchPort, Vswitch};

/// Returns what makes a bridge.
pub(super) fn add_bridge(link: &Link, switch: &Vswitch) -> String {
    format!("ovs-vsctl add-br {} -- {}", link.name, settings(link, switch))
}

/// Returns what has a bridge as it shall be.
pub(super) fn set_bridge(link: &Link, switch: &Vswitch) -> String {
    format!("ovs-vsctl {}", settings(link, switch))
}

fn settings(link: &Link, switch: &Vswitch) -> String {
    let Vswitch { datapath, fail_mode, stp, mcast_snooping, intact: _ } = switch;
    let (name, mtu) = (&link.name, link.mtu);
    let mac = link.mac.map_or_else(String::new, |mac| format!(" other_config:hwaddr=\\\"{mac}\\\""));
    format!(
        "set bridge {name} datapath_type={datapath} fail_mode={fail_mode} stp_enable={stp} \
         mcast_snooping_enable={mcast_snooping}{mac} external_ids:netform=... -- set interface {name} mtu_request={mtu}"
    )
}

/// Returns what removes a bridge.
pub(super) fn del_bridge(name: &IfName) -> String {
    format!("ovs-vsctl del-br {name}")
}

/// Returns what makes a link a port of its bridge, or has it as it shall be.
pub(super) fn put_port(link: &Link) -> Option<String> {
    let SwitchPort { vlan, trunks, intact: _ } = link.port.as_ref()?;
    let (name, bridge) = (&link.name, link.master.as_ref()?);
    let listed = || trunks.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let trunks = if trunks.is_empty() { "[]".to_owned() } else { listed() };
    let vlan = vlan.map_or_else(|| "[]".to_owned(), |vlan| vlan.to_string());
    Some(format!(
        "ovs-vsctl --may-exist add-port {bridge} {name} -- set port {name} tag={vlan} trunks={trunks} \
         external_ids:netform=..."
    ))
}

/// Returns what takes a port off its bridge.
pub(super) fn del_port(link: &Link) -> Option<String> {
    let bridge = link.master.as_ref().filter(|_| link.port.is_some())?;
    Some(format!("ovs-vsctl --if-exists del-port {bridge} {}", link.name))
}
