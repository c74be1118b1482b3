//! Routes of containers, beside those to their networks and the default route.

use super::entry;
use crate::resource::Resource;
use crate::resource::owner::Owner;
use crate::resource::route::{Route, Way};
use crate::resource::state::Entry;
use crate::topology::{Attachment, Container, Hop, StaticRoute};

/// Returns the routes that leave by an attachment, or are written there.
pub(super) fn of_attachment(container: &Container, attachment: &Attachment) -> Vec<Entry> {
    let Attachment { network, link, routes, .. } = attachment;
    let owner = Owner::Attachment { container: container.name.clone(), network: network.clone() };
    let lowered = |route: &StaticRoute| {
        let way = match route.hop {
            Hop::By { via, onlink } => Way::By { link: link.clone(), via, onlink },
            Hop::Refused(refusal) => Way::Refused(refusal),
        };
        lowered(container, route, way, &owner)
    };
    routes.iter().map(lowered).collect()
}

/// Returns the routes of a container that lead nowhere.
pub(super) fn of_container(container: &Container) -> Vec<Entry> {
    let owner = Owner::Container(container.name.clone());
    let refused = container.routes.iter().filter_map(|route| match route.hop {
        Hop::By { .. } => None,
        Hop::Refused(refusal) => Some(lowered(container, route, Way::Refused(refusal), &owner)),
    });
    refused.collect()
}

fn lowered(container: &Container, route: &StaticRoute, way: Way, owner: &Owner) -> Entry {
    let StaticRoute { origin, to, hop: _, rank } = route;
    let resource = Route { ns: container.ns.clone(), dest: *to, way, rank: *rank, stray: None };
    entry(Resource::Route(resource), owner, origin)
}
