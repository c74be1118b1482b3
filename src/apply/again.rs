//! What a run that was killed may have done by half: one operation on a link is several requests, and not all that it
//! changes is looked at.

use crate::kernel::Op;
use crate::names::Mac;
use crate::plan::Touched;
use crate::resource::Resource;
use crate::resource::link::LinkKind;
use crate::resource::state::{Entry, Observed};

/// Tells whether a link was to get another link-layer address: the kernel has made an IPv6 address of the former one.
pub(super) fn concerns(touched: &[Touched]) -> bool {
    touched.iter().any(|it| {
        let links = it.before.as_ref().zip(it.after.as_ref());
        let macs = links.and_then(|(before, after)| Some((macs(before)?, macs(after)?)));
        macs.is_some_and(|(before, after)| before != after)
    })
}

/// Returns the operations that give links the link-layer addresses that they have, in place of those that the run began with
/// or was to lead to. Twice is as good as once.
pub(super) fn repeated(touched: &[Touched], observed: &Observed) -> Vec<Op> {
    let repeated = |Touched { id, before, after }: &Touched| {
        let now = observed.own.get(id)?;
        let [before, after] = [macs(before.as_ref()?)?, macs(after.as_ref()?)?];
        let mut link = now.resource.link()?.clone();
        link.mac = other(link.mac, [before[0], after[0]]);
        if let LinkKind::Veth(peer) = &mut link.kind {
            peer.mac = other(Some(peer.mac), [before[1], after[1]]).unwrap_or(peer.mac);
        }
        let from = Entry { resource: Resource::Link(link.into()), ..now.clone() };
        (from != *now).then(|| Op::Update { from, to: now.clone() })
    };
    touched.iter().filter_map(repeated).collect()
}

/// Returns the link-layer addresses of a link and of the other end of a pair.
fn macs(entry: &Entry) -> Option<[Option<Mac>; 2]> {
    let link = entry.resource.link()?;
    Some([link.mac, link.kind.peer().map(|peer| peer.mac)])
}

/// Returns the one of the two that is not there now.
fn other(now: Option<Mac>, [before, after]: [Option<Mac>; 2]) -> Option<Mac> {
    match (before, after) {
        (Some(before), Some(after)) if now == Some(before) => Some(after),
        (Some(before), Some(after)) if now == Some(after) => Some(before),
        (Some(_) | None, Some(_) | None) => now,
    }
}
