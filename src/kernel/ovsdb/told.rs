//! What Open vSwitch says of the interfaces of a host, for who looks at all of them.

use super::Connection;
use super::records::Records;
use crate::kernel::census::Interface;
use crate::resource::owner::Mark;

/// The kind of a bridge of Open vSwitch, to which the kernel's kinds do not go down.
pub const SWITCH: &str = "ovs-bridge";

/// What `ovs-vswitchd` has in the kernel while it has bridges: by its datapaths.
const TRACES: [&str; 2] = ["ovs-system", "ovs-netdev"];

/// Notes which interfaces are bridges and which are their ports, where there is a trace of any. A database that does not
/// answer leaves them as the kernel has them.
pub(crate) async fn tell(interfaces: &mut [Interface]) {
    if !interfaces.iter().any(|link| TRACES.contains(&link.name.as_str())) {
        return;
    }
    let Ok(mut connection) = Connection::open().await else { return };
    let Ok(records) = Records::read(&mut connection).await else { return };
    for link in interfaces.iter_mut() {
        if let Some(bridge) = records.bridges.get(link.name.as_str()) {
            link.kind = SWITCH.to_owned();
            link.mark = link.mark.take().or_else(|| Mark::parse(&bridge.mark));
        }
    }
    let index = |name: &str, all: &[Interface]| {
        all.iter().find(|link| link.name == name && link.kind == SWITCH).map(|link| link.index)
    };
    for at in 0..interfaces.len() {
        let port = interfaces.get(at).filter(|link| link.kind != SWITCH);
        let Some(port) = port.and_then(|link| records.ports.get(link.name.as_str())) else { continue };
        let master = index(&port.bridge, interfaces);
        if let Some(link) = interfaces.get_mut(at) {
            (link.master, link.vlan) = (master, port.vlan.map(|vlan| vlan.number()));
        }
    }
}
