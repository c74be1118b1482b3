//! Who is known to be on links of the host: its neighbours, as far as they have been heard of.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::io::Errno;

use super::answer::{self, LinkAnswer, each, ip, u32_at};
use super::netlink::{Blocking, Refusal};
use super::reading::failed;
use super::{ObserveError, message, netns};
use crate::names::IfName;

const RTM_NEWNEIGH: u16 = 28;

/// States in which nobody is known to be there: `NUD_INCOMPLETE`, `NUD_FAILED`, `NUD_NOARP` in
/// `include/uapi/linux/neighbour.h`, and `NUD_NONE`.
const NOBODY: u16 = 0x01 | 0x20 | 0x40;

/// Returns the addresses of those who are known to be behind each of these links; one that is not there has none.
///
/// # Errors
///
/// When the kernel cannot be asked.
pub async fn known(links: BTreeSet<IfName>) -> Result<BTreeMap<IfName, BTreeSet<IpAddr>>, ObserveError> {
    let told = |error| failed("the host's neighbours".to_owned(), error);
    let read = netns::on_thread(move || {
        let mut socket = Blocking::open()?;
        let mut known = BTreeMap::new();
        for link in links {
            let addresses = behind(&mut socket, &link)?;
            known.insert(link, addresses);
        }
        Ok::<_, Refusal>(known)
    });
    read.await.map_err(|error| told(Refusal::Socket(error)))?.map_err(told)
}

fn behind(socket: &mut Blocking, link: &IfName) -> Result<BTreeSet<IpAddr>, Refusal> {
    let index = match socket.ask(message::find_link(link), answer::link) {
        Ok(found) => found.as_ref().map(|link: &LinkAnswer| link.index),
        Err(Refusal::Kernel { errno: Errno::NODEV, said: _ }) => None,
        Err(refusal) => return Err(refusal),
    };
    let Some(index) = index else { return Ok(BTreeSet::new()) };
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Unspec;
    // `neigh_valid_dump_req()` in Linux `net/core/neighbour.c`.
    message.attributes.push(NeighbourAttribute::IfIndex(index));
    let all = socket.dump(RouteNetlinkMessage::GetNeighbour(message), neighbour)?;
    Ok(all.into_iter().filter(|(of, _)| *of == index).map(|(_, address)| address).collect())
}

/// Reads a neighbour who is there, with the index of the link. `struct ndmsg`, `NDA_DST`.
fn neighbour(kind: u16, body: &[u8]) -> Option<(u32, IpAddr)> {
    let (header, attributes) = body.split_at_checked(12).filter(|_| kind == RTM_NEWNEIGH)?;
    let state = u16::from_ne_bytes(*header.get(8..)?.first_chunk()?);
    let mut address = None;
    each(attributes, |kind, value| {
        if kind == 1 {
            address = ip(value);
        }
    });
    Some((u32_at(header, 4)?, address.filter(|_| state & !NOBODY != 0)?))
}
