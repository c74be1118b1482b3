//! Kernel parameters of containers and their interfaces that the manifest asks for.

use smol_str::SmolStr;

use super::entry;
use crate::resource::Resource;
use crate::resource::owner::{Origin, Owner};
use crate::resource::state::Entry;
use crate::resource::sysctl::{Sysctl, SysctlKey};
use crate::topology::{Attachment, Container};

/// Returns the parameters of a container's namespace.
pub(super) fn of_container(container: &Container) -> Vec<Entry> {
    lowered(container, &container.sysctls, &Owner::Container(container.name.clone()))
}

/// Returns the parameters of an attachment's link in the container.
pub(super) fn of_attachment(container: &Container, attachment: &Attachment) -> Vec<Entry> {
    let Attachment { network, sysctls, .. } = attachment;
    let owner = Owner::Attachment { container: container.name.clone(), network: network.clone() };
    lowered(container, sysctls, &owner)
}

fn lowered(container: &Container, sysctls: &[(SysctlKey, SmolStr, Origin)], owner: &Owner) -> Vec<Entry> {
    let lowered = sysctls.iter().map(|(key, value, origin)| {
        let sysctl = Sysctl { ns: container.ns.clone(), key: key.clone(), value: value.clone() };
        entry(Resource::Sysctl(sysctl), owner, origin)
    });
    lowered.collect()
}
