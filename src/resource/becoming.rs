//! How one kernel object becomes another: in place, or made anew.

use super::Resource;
use super::link::LinkKind;
use super::sharing::moved;

impl Resource {
    /// Tells whether the kernel can turn this object into `to` (of the same id) without making it anew.
    ///
    /// # Errors
    ///
    /// The reason why it cannot, as the end of "must be replaced: ...".
    pub fn can_become(&self, to: &Self) -> Result<(), String> {
        match (self, to) {
            (Self::Link(from), Self::Link(to)) => kind_can_become(&from.kind, &to.kind),
            (Self::Netns(old), Self::Netns(new)) if old.whole != new.whole => {
                Err("there is no namespace behind its name".to_owned())
            }
            (Self::Netns(_), Self::Netns(_))
            | (Self::Address(_), Self::Address(_))
            | (Self::Route(_), Self::Route(_))
            | (Self::Sysctl(_), Self::Sysctl(_))
            | (Self::NftTable(_), Self::NftTable(_))
            | (Self::Passage(_), Self::Passage(_))
            | (Self::Neighbour(_), Self::Neighbour(_))
            | (Self::Qdisc(_), Self::Qdisc(_))
            | (Self::File(_), Self::File(_)) => Ok(()),
            (Self::NftElement(_), Self::NftElement(_)) => {
                Err("a map's element cannot change its data".to_owned())
            }
            (
                Self::Netns(_)
                | Self::Address(_)
                | Self::Link(_)
                | Self::Route(_)
                | Self::Sysctl(_)
                | Self::NftTable(_)
                | Self::NftElement(_)
                | Self::Passage(_)
                | Self::Neighbour(_)
                | Self::Qdisc(_)
                | Self::File(_),
                _,
            ) => Err("it becomes another kind of object".to_owned()),
        }
    }
}

fn kind_can_become(from: &LinkKind, to: &LinkKind) -> Result<(), String> {
    match (from, to) {
        (LinkKind::Bridge, LinkKind::Bridge) | (LinkKind::Ifb, LinkKind::Ifb) => Ok(()),
        (LinkKind::Veth(old), LinkKind::Veth(new)) if old.ns != new.ns => {
            Err(format!("its peer moves from {} to {}", old.ns, new.ns))
        }
        // A link that is up cannot be renamed before Linux 6.2, and never without losing what refers to it.
        (LinkKind::Veth(old), LinkKind::Veth(new)) if old.name != new.name => {
            Err(format!("its peer is renamed from {} to {}", old.name, new.name))
        }
        (LinkKind::Veth(_), LinkKind::Veth(_)) => Ok(()),
        (LinkKind::Macvlan(old), LinkKind::Macvlan(new)) if old.parent != new.parent => {
            Err(format!("its parent becomes {} instead of {}", new.parent, old.parent))
        }
        // The kernel changes some modes in place and refuses others (`macvlan_changelink()`).
        (LinkKind::Macvlan(old), LinkKind::Macvlan(new)) if old.mode != new.mode => {
            Err(format!("its mode becomes {} instead of {}", new.mode, old.mode))
        }
        (LinkKind::Macvlan(_), LinkKind::Macvlan(_)) => Ok(()),
        (LinkKind::Ipvlan(old), LinkKind::Ipvlan(new)) if old != new => Err(moved(old, new)),
        (LinkKind::Ipvlan(_), LinkKind::Ipvlan(_)) => Ok(()),
        (LinkKind::Vlan(old), LinkKind::Vlan(new)) if old != new => {
            Err(format!("it becomes VLAN {} of {}", new.id, new.parent))
        }
        (LinkKind::Vlan(_), LinkKind::Vlan(_)) => Ok(()),
        (LinkKind::OpenVswitch(old), LinkKind::OpenVswitch(new)) => old.can_become(new),
        (LinkKind::Device(old), LinkKind::Device(new)) if old != new => {
            Err(format!("it becomes {} of the host instead of {}", new.name, old.name))
        }
        (LinkKind::Device(_), LinkKind::Device(_)) => Ok(()),
        (
            LinkKind::Bridge
            | LinkKind::Veth(_)
            | LinkKind::Macvlan(_)
            | LinkKind::Ipvlan(_)
            | LinkKind::Vlan(_)
            | LinkKind::OpenVswitch(_)
            | LinkKind::Device(_)
            | LinkKind::Ifb
            | LinkKind::Other(_),
            _,
        ) => Err("it becomes another kind of link".to_owned()),
    }
}
