//! What bridge(8) would be told of VLANs.

use std::collections::BTreeMap;

use super::equivalent::In;
use crate::resource::amiss::PortFault;
use crate::resource::link::{Link, LinkKind};
use crate::resource::vlan::{Filtering, PortVlans, VlanId};

/// Returns what ip(8) is told of a bridge that keeps VLANs apart, or does no more.
pub(super) fn filters(filtering: Option<Filtering>) -> String {
    match filtering {
        None => "vlan_filtering 0".to_owned(),
        Some(Filtering::OURS) => "vlan_filtering 1".to_owned(),
        Some(Filtering { default }) => {
            let default = default.map_or(0, VlanId::number);
            format!("vlan_filtering 1 vlan_default_pvid {default}")
        }
    }
}

/// Returns what gives a port, or a bridge itself, its VLANs in the place of those that it had.
pub(super) fn set(before: Option<&PortVlans>, link: &Link) -> Vec<String> {
    let (had, has) = (entries(before), entries(link.vlans.as_ref()));
    let line = |verb: &str, id: &VlanId, how: &str| {
        let own = if link.kind == LinkKind::Bridge { " self" } else { "" };
        format!("bridge vlan {verb} dev {} vid {id}{how}{own}", link.name)
    };
    let gone = had.keys().filter(|id| !has.contains_key(id)).map(|id| line("del", id, ""));
    let come = has.iter().filter(|(id, how)| had.get(id) != Some(how)).map(|(id, how)| line("add", id, how));
    gone.chain(come).collect()
}

/// Returns what makes a port as it shall be again, what it does as nobody wants it included.
pub(super) fn mended_port(from: &Link, to: &Link) -> Vec<String> {
    // bridge(8) knows nothing of a bridge that answers for others.
    let is_of_ip = |fault: &PortFault| matches!(fault, PortFault::ProxyArp | PortFault::ProxyArpWifi);
    let (by_ip, by_bridge): (Vec<PortFault>, Vec<PortFault>) =
        from.amiss.port.iter().copied().partition(is_of_ip);
    let words: Vec<_> = by_bridge.iter().map(|fault| fault.mended()).collect();
    let first = [set_port(to)].into_iter().chain(words).collect::<Vec<_>>().join(" ");
    let ip = In("ip", &to.ns);
    let by_ip =
        by_ip.iter().map(|fault| format!("{ip} link set {} type bridge_slave {}", to.name, fault.mended()));
    [first].into_iter().chain(by_ip).collect()
}

/// Returns what makes a port as it shall be.
pub(super) fn set_port(link: &Link) -> String {
    let word = |on: bool| if on { "on" } else { "off" };
    let (hairpin, isolated) = (word(link.hairpin), word(link.isolated));
    format!("{} link set dev {} hairpin {hairpin} isolated {isolated}", In("bridge", &link.ns), link.name)
}

fn entries(vlans: Option<&PortVlans>) -> BTreeMap<VlanId, &'static str> {
    let (vlan, trunks) = match vlans {
        None => (Filtering::OURS.default, [].as_slice()),
        Some(PortVlans { vlan, trunks, intact: _ }) => (*vlan, trunks.as_slice()),
    };
    let own = vlan.into_iter().map(|id| (id, " pvid untagged"));
    trunks.iter().map(|id| (*id, "")).chain(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{IfName, Mtu};
    use crate::resource::netns::NsRef;

    fn vlans(vlan: u16, trunks: &[u16]) -> PortVlans {
        let id = |number: &u16| VlanId::try_from(*number).unwrap();
        let trunks = trunks.iter().map(id).collect();
        PortVlans { vlan: VlanId::try_from(vlan).ok(), trunks, intact: true }
    }

    #[track_caller]
    fn check(before: Option<PortVlans>, after: Option<PortVlans>, want: &[&str]) {
        let name = IfName::try_from("ve0").unwrap();
        let other = LinkKind::Other("veth".to_owned());
        let link = Link { vlans: after, ..Link::alone(NsRef::Host, name, Mtu::ETHERNET, other) };
        assert_eq!(set(before.as_ref(), &link), want);
    }

    #[test]
    fn what_a_port_has_no_more_goes_before_the_new_comes() {
        let ten = "bridge vlan add dev ve0 vid 10 pvid untagged";
        check(None, Some(vlans(10, &[])), &["bridge vlan del dev ve0 vid 1", ten]);
        check(Some(vlans(10, &[])), Some(vlans(10, &[20])), &["bridge vlan add dev ve0 vid 20"]);
        check(Some(vlans(0, &[10])), Some(vlans(10, &[])), &[ten]);
        let usual = "bridge vlan add dev ve0 vid 1 pvid untagged";
        check(
            Some(vlans(10, &[20])),
            None,
            &["bridge vlan del dev ve0 vid 10", "bridge vlan del dev ve0 vid 20", usual],
        );
    }
}
