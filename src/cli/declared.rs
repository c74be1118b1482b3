//! Resource addresses that a user types, and whether the manifest declares them.

use std::iter;

use super::failure::{Code, Failure};
use crate::manifest::Manifest;
use crate::resource::owner::Owner;
use crate::topology::nearest;

/// What a container is on that names no network.
const DEFAULT: &str = "default";

/// Reads the address of a resource that has objects of its own in the kernel.
pub(super) fn owner_of(address: &str) -> Result<Owner, Failure> {
    match Owner::try_from(address) {
        Ok(owner @ (Owner::Network(_) | Owner::Container(_) | Owner::Attachment { .. })) => Ok(owner),
        Ok(Owner::Project | Owner::Port(_) | Owner::Policy(_) | Owner::External(_) | Owner::Unmarked(_))
        | Err(_) => Err(not_an_object(address)),
    }
}

/// Returns the failure of an address that stands for nothing that could be adopted or given up.
pub(super) fn not_an_object(address: &str) -> Failure {
    Failure::new(Code::Usage, format!("`{address}` is no network, container or attachment"))
        .help("write it like network.front, container.web or attachment.web@front")
}

/// Checks that the manifest declares a resource.
pub(super) fn declares(manifest: &Manifest, owner: &Owner) -> Result<(), Failure> {
    let declared: Vec<String> = addresses(manifest).collect();
    let address = owner.to_string();
    if declared.contains(&address) {
        return Ok(());
    }
    let help = match nearest(&address, declared.iter().map(String::as_str)) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("it declares: {}", declared.join(", ")),
    };
    Err(Failure::new(Code::Usage, format!("the manifest declares no `{address}`")).help(help))
}

/// Returns the addresses of all networks, containers and attachments.
fn addresses(manifest: &Manifest) -> impl Iterator<Item = String> {
    let implicit = manifest
        .containers
        .values()
        .any(|container| container.value.networks.is_none() && container.value.mode.is_none());
    let networks = manifest.networks.keys().map(|name| name.as_str());
    let networks = networks.chain(iter::once(DEFAULT).filter(move |_| implicit));
    let containers = manifest.containers.iter().flat_map(|(name, container)| {
        let networks: Vec<&str> = match (&container.value.networks, &container.value.mode) {
            (_, Some(_)) => vec![],
            (None, None) => vec![DEFAULT],
            (Some(networks), None) => networks.keys().map(|network| network.as_str()).collect(),
        };
        let attachments = networks.into_iter().map(move |network| format!("attachment.{name}@{network}"));
        iter::once(format!("container.{name}")).chain(attachments)
    });
    networks.map(|name| format!("network.{name}")).chain(containers)
}
