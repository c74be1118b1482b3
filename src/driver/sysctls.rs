//! Kernel parameters of containers' interfaces that the manifest asks for.

use super::entry;
use crate::resource::Resource;
use crate::resource::owner::Owner;
use crate::resource::state::Entry;
use crate::resource::sysctl::Sysctl;
use crate::topology::{Attachment, Container};

/// Returns the parameters of an attachment's link in the container.
pub(super) fn of_attachment(container: &Container, attachment: &Attachment) -> Vec<Entry> {
    let Attachment { network, sysctls, .. } = attachment;
    let owner = Owner::Attachment { container: container.name.clone(), network: network.clone() };
    let lowered = sysctls.iter().map(|(key, value, origin)| {
        let sysctl = Sysctl { ns: container.ns.clone(), key: key.clone(), value: value.clone() };
        entry(Resource::Sysctl(sysctl), &owner, origin)
    });
    lowered.collect()
}
