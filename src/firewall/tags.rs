//! Tags of VLANs that nobody may send: a bridge takes from a port whatever has the tag of a VLAN that the port is in, also
//! where it gives it without.
//!
//! - Who is in one VLAN, without tags, has no business with tags. With two of them he would get into another VLAN where his
//!   own is carried without a tag and the other one with: the bridge takes off the first, and whoever is next sees the second.
//! - Who carries several VLANs has one tag on each frame. A second one would get by by the same way, and past all that
//!   judges by what is in the frame.

use nftables::expr::MetaKey;
use nftables::types::NfHook;

use super::Elements;
use super::body::{Body, Kind};
use super::elements::{attachments, by_attachment, by_name};
use super::terms::{drop, field, iif, is, meta, one_of, within};
use crate::resource::nft_set::Part;
use crate::topology::{Attachment, Container, Driver, Network, Topology};

/// The types of frames that have a tag.
const TAGGED: [&str; 2] = ["8021q", "8021ad"];

/// Returns the attachments whose port of a bridge of the kernel's is one that VLANs are said of. On a bridge of ours that is
/// every one of its network; on somebody else's, those are left alone of which the manifest says nothing.
fn meant(topology: &Topology) -> impl Iterator<Item = (&Container, &Attachment)> {
    let filters = |network: &Network| network.driver == Driver::Bridge && network.filtering.is_some();
    let networks = by_name(topology, filters);
    attachments(topology).filter(move |(_, at)| {
        networks.get(&at.network).is_some_and(|network| !network.external || at.vlans.is_some())
    })
}

/// Tells whether there is such a port.
pub(super) fn are_asked(topology: &Topology) -> bool {
    meant(topology).next().is_some()
}

/// Puts the ports into the sets.
pub(super) fn add(topology: &Topology, out: &mut Elements) {
    for (container, attachment) in meant(topology) {
        let Some(port) = &attachment.port else { continue };
        let carries = attachment.vlans.as_ref().is_some_and(|vlans| !vlans.trunks.is_empty());
        let set = if carries { "trunked" } else { "untagged" };
        out.put(set, vec![port.to_string()], None, &by_attachment(container, attachment));
    }
}

/// Writes the rules of the `bridge` table. They stand before those about senders' addresses, which look behind one tag.
pub(super) fn bridge(body: &mut Body) {
    if !body.has(Part::Vlans) {
        return;
    }
    body.base("tags", Kind::Filter, NfHook::Prerouting, -310);
    let type_ = is(field("ether", "type"), one_of(&TAGGED));
    body.rule("tags", "tagged", [within(iif(), "@untagged"), type_, drop()]);
    // The kernel has taken off the first tag and keeps it beside the frame (`skb_vlan_untag()`), whose protocol is what is
    // behind it.
    let behind = is(meta(MetaKey::Protocol), one_of(&TAGGED));
    body.rule("tags", "tagged-twice", [within(iif(), "@trunked"), behind, drop()]);
}
