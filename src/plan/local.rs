//! Plans that stay where they are: no object outside of what they touch depends on what they do.

use super::Plan;
use crate::kernel::Op;
use crate::resource::Resource;
use crate::resource::link::LinkKind;
use crate::resource::state::Entry;

impl Plan {
    /// Tells whether the plan can be made, and carried out, with no regard to what it does not touch: it changes what is
    /// there, and makes namespaces, bridges, pairs, addresses, routes, parameters and files.
    pub fn is_local(&self) -> bool {
        self.waves.iter().flatten().all(is_local)
    }
}

fn is_local(op: &Op) -> bool {
    match op {
        Op::Update { from: _, to } => match &to.resource {
            Resource::Link(_)
            | Resource::Address(_)
            | Resource::Route(_)
            | Resource::Sysctl(_)
            | Resource::Neighbour(_)
            | Resource::Qdisc(_)
            | Resource::File(_) => true,
            Resource::Netns(_) | Resource::NftTable(_) | Resource::NftElement(_) | Resource::Passage(_) => {
                false
            }
        },
        Op::Create(entry) => makes_little(entry),
        // What goes with a link, and what guards say to it, takes a look at everything.
        Op::Delete(entry) => match &entry.resource {
            Resource::Address(_) | Resource::Route(_) | Resource::Neighbour(_) => true,
            Resource::Link(_)
            | Resource::Netns(_)
            | Resource::Sysctl(_)
            | Resource::NftTable(_)
            | Resource::NftElement(_)
            | Resource::Passage(_)
            | Resource::Qdisc(_)
            | Resource::File(_) => false,
        },
    }
}

fn makes_little(entry: &Entry) -> bool {
    match &entry.resource {
        Resource::Link(link) => match &link.kind {
            LinkKind::Veth(_)
            | LinkKind::Macvlan(_)
            | LinkKind::Ipvlan(_)
            | LinkKind::Vlan(_)
            | LinkKind::OpenVswitch(_)
            | LinkKind::Ifb
            | LinkKind::Bridge => true,
            // What leaves the host, guards look at.
            LinkKind::Device(_) | LinkKind::Other(_) => false,
        },
        Resource::Netns(_)
        | Resource::Address(_)
        | Resource::Route(_)
        | Resource::Sysctl(_)
        | Resource::Neighbour(_)
        | Resource::Qdisc(_)
        | Resource::File(_) => true,
        Resource::NftTable(_) | Resource::NftElement(_) | Resource::Passage(_) => false,
    }
}
