//! What limits how fast a container receives and sends: qdiscs on the host, and a link through which what it sends is led.

use super::{AltNames, entry};
use crate::names::IfName;
use crate::resource::Resource;
use crate::resource::link::{Link, LinkKind};
use crate::resource::netns::NsRef;
use crate::resource::owner::Owner;
use crate::resource::qdisc::{Direction, Qdisc, QdiscKind};
use crate::resource::state::Entry;
use crate::topology::{Attachment, Bandwidth, Container};

/// Returns the limits of an attachment, which has a link of its own on the host.
pub(super) fn of_attachment(
    container: &Container,
    attachment: &Attachment,
    names: &mut AltNames<'_>,
) -> Vec<Entry> {
    let Attachment { network, mtu, port, bandwidth, .. } = attachment;
    let (Some(Bandwidth { origin, ingress, egress }), Some(port)) = (bandwidth, port) else { return vec![] };
    let owner = Owner::Attachment { container: container.name.clone(), network: network.clone() };
    let on = |link: &IfName, kind| Resource::Qdisc(Qdisc { link: link.clone(), kind });
    let mut all = vec![];
    all.extend(ingress.map(|bucket| on(port, QdiscKind::Limit(Direction::Ingress, bucket))));
    if let Some((bucket, detour)) = egress {
        all.extend([
            Resource::from(Link {
                altname: names.give(&[container.name.as_str(), network.as_str(), "egress"]),
                ..Link::alone(NsRef::Host, detour.clone(), *mtu, LinkKind::Ifb)
            }),
            on(detour, QdiscKind::Limit(Direction::Egress, *bucket)),
            on(port, QdiscKind::Diversion(Some(detour.clone()))),
        ]);
    }
    all.into_iter().map(|resource| entry(resource, &owner, origin)).collect()
}
