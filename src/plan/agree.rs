//! Whether what is there is what is wanted, where some values are left to the kernel, or to whoever changed them.

use std::borrow::Cow;

use crate::resource::Resource;
use crate::resource::link::{Link, LinkKind};
use crate::resource::state::Entry;

/// Returns what is wanted, with the values that are left to the kernel (`lifecycle.ignore`, no MAC) filled in from what
/// is there.
pub(super) fn settled<'a>(wanted: &'a Entry, seen: &Resource) -> Cow<'a, Entry> {
    let (Resource::Link(to), Resource::Link(from)) = (&wanted.resource, seen) else {
        return Cow::Borrowed(wanted);
    };
    let ignores = |field: &str| wanted.ignore.iter().any(|name| name == field);
    if to.mac.is_some() && wanted.ignore.is_empty() {
        return Cow::Borrowed(wanted);
    }
    let mut link = Link::clone(to);
    if to.mac.is_none() || ignores("mac") {
        link.mac = from.mac;
    }
    if ignores("mtu") {
        link.mtu = from.mtu;
    }
    if let (LinkKind::Veth(to), LinkKind::Veth(from)) = (&mut link.kind, &from.kind) {
        if ignores("mtu") || ignores("peer mtu") {
            to.mtu = from.mtu;
        }
        if ignores("mac") || ignores("peer mac") {
            to.mac = from.mac;
        }
    }
    let Entry { resource: _, owner, origin, ignore } = wanted.clone();
    Cow::Owned(Entry { resource: Resource::from(link), owner, origin, ignore })
}

/// Tells whether what is there is what is wanted, values that are left to the kernel aside.
pub(super) fn agrees(wanted: &Entry, seen: &Resource) -> bool {
    match (&wanted.resource, seen) {
        (Resource::Link(to), Resource::Link(from)) if wanted.ignore.is_empty() => {
            let Link {
                ns,
                name,
                mac,
                mtu,
                up,
                master,
                hairpin,
                isolated,
                stp,
                filtering,
                vlans,
                port,
                altname,
                protected,
                amiss,
                kind,
            } = to.as_ref();
            (mac.is_none() || *mac == from.mac)
                && (mtu, up, hairpin, isolated, stp, protected)
                    == (&from.mtu, &from.up, &from.hairpin, &from.isolated, &from.stp, &from.protected)
                && (filtering, vlans, amiss) == (&from.filtering, &from.vlans, &from.amiss)
                && (name, master, port, altname, ns, kind)
                    == (&from.name, &from.master, &from.port, &from.altname, &from.ns, &from.kind)
        }
        (Resource::Link(_), Resource::Link(_)) => settled(wanted, seen).resource == *seen,
        (wanted, seen) => wanted == seen,
    }
}
