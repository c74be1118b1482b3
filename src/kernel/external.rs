//! Addresses of ours on links of others: which of them are this project's.

use smol_str::{SmolStr, ToSmolStr};

use super::answer::{AddressAnswer, LinkAnswer};
use super::reading::NsReading;
use super::sight::Sight;
use super::{Scope, nft};
use crate::resource::address::Address;
use crate::resource::netns::NsRef;
use crate::resource::nft::NftFamily;
use crate::resource::owner::Owner;
use crate::resource::route::PROTOCOL;
use crate::resource::{Resource, ResourceId};

/// Sees an address on a link that is not ours. The number says that it is netform's; whose, says the firewall that leads it,
/// or the last apply.
pub(super) fn see(observed: &mut Sight, address: &AddressAnswer, ns: &NsReading, scope: &Scope) {
    let AddressAnswer { index, addr, protocol, routed: _, young: _ } = address;
    let is_alone = addr.prefix_len() == addr.max_prefix_len();
    if ns.ns != NsRef::Host || *protocol != PROTOCOL || !is_alone {
        return;
    }
    let Some(link) = ns.links.iter().find(|link| link.index == *index).and_then(LinkAnswer::ifname) else {
        return;
    };
    let resource = Resource::Address(Address::new(NsRef::Host, link, *addr));
    let set = SmolStr::new_static(if addr.addr().is_ipv4() { "external4" } else { "external6" });
    let table = nft::table_id(&scope.project, NftFamily::Inet);
    let led = ResourceId::NftElement(table, set, vec![addr.addr().to_smolstr()]);
    if scope.addresses.contains(&resource.id()) || observed.has_element(&led) {
        observed.insert(resource, Owner::External(addr.addr()));
    }
}
