//! After few changes a glance at what they touched tells whether they are done; a look at everything would cost as much as
//! everything else.

use super::recover;
use crate::kernel::{Glance, Kernel, Scope};
use crate::names::IfName;
use crate::plan::Touched;
use crate::resource::netns::NsRef;
use crate::resource::qdisc::{Qdisc, QdiscKind};
use crate::resource::state::Entry;
use crate::resource::{Resource, ResourceId};

/// How many namespaces and links of the host are few.
const FEW: usize = 64;

/// Tells whether all that was touched is seen to be as it shall be. When it is not, or cannot be seen by a glance, a look
/// at everything has to say what is left.
pub(super) async fn is_done_at_a_glance<K: Kernel>(
    kernel: &mut K,
    scope: &Scope,
    touched: &[Touched],
) -> bool {
    let Some(glance) = glance(touched) else { return false };
    let scope = recover::widened(&Scope::new(scope.project.clone()), touched);
    kernel.glance(&scope, &glance).await.is_ok_and(|observed| recover::is_after(touched, &observed))
}

/// Returns where everything that was touched can be seen; `None` when that is nearly everywhere.
pub fn glance(touched: &[Touched]) -> Option<Glance> {
    let mut glance = Glance::default();
    for Touched { id, before, after } in touched {
        let peers = [before, after].into_iter().flatten().filter_map(recover::peer);
        glance.namespaces.extend(peers.chain([id.ns()]).filter(|ns| *ns != NsRef::Host));
        match id {
            ResourceId::Netns(name) => {
                glance.namespaces.insert(NsRef::Named(name.clone()));
            }
            // Routes of the host are read whole or not at all.
            ResourceId::Route(NsRef::Host, ..) => return None,
            ResourceId::Address(NsRef::Host, ..)
                if [before, after].into_iter().flatten().any(lacks_routes) =>
            {
                return None;
            }
            ResourceId::Link(NsRef::Host, link)
            | ResourceId::Address(NsRef::Host, link, _)
            | ResourceId::Neighbour(NsRef::Host, link, _) => {
                glance.links.insert(link.clone());
            }
            // Where a detour leads is seen with the link that it leads to.
            ResourceId::Qdisc(link, _) => {
                let detours = [before, after].into_iter().flatten().filter_map(led_to);
                glance.links.extend(detours.chain([link]).cloned());
            }
            ResourceId::NftTable(_) | ResourceId::NftElement(..) | ResourceId::Passage(..) => {
                glance.firewall = true
            }
            ResourceId::Link(..)
            | ResourceId::Address(..)
            | ResourceId::Route(..)
            | ResourceId::Neighbour(..)
            | ResourceId::Sysctl(..)
            | ResourceId::File(_) => {}
        }
        if glance.namespaces.len() > FEW || glance.links.len() > FEW {
            return None;
        }
    }
    Some(glance)
}

fn led_to(entry: &Entry) -> Option<&IfName> {
    match &entry.resource {
        Resource::Qdisc(Qdisc { kind: QdiscKind::Diversion(to), .. }) => to.as_ref(),
        Resource::Qdisc(Qdisc { kind: QdiscKind::Limit(..), .. })
        | Resource::Netns(_)
        | Resource::Link(_)
        | Resource::Address(_)
        | Resource::Route(_)
        | Resource::Neighbour(_)
        | Resource::Sysctl(_)
        | Resource::NftTable(_)
        | Resource::NftElement(_)
        | Resource::Passage(_)
        | Resource::File(_) => None,
    }
}

/// Tells whether routes are gone that came with an address.
fn lacks_routes(entry: &Entry) -> bool {
    matches!(&entry.resource, Resource::Address(address) if !address.lost.is_empty())
}
