//! The next hops of a route that has several.

use super::u32_at;

/// Returns the indexes of the links that they are on: `RTA_MULTIPATH` holds one `struct rtnexthop` after the other
/// (`include/uapi/linux/rtnetlink.h`).
pub(super) fn links(mut hops: &[u8]) -> Vec<u32> {
    let mut links = vec![];
    while let Some(length) = hops.first_chunk().map(|it| usize::from(u16::from_ne_bytes(*it))) {
        links.extend(u32_at(hops, 4));
        hops = hops.get(length.next_multiple_of(4).max(8)..).unwrap_or_default();
    }
    links
}
