//! A container's link on a bridge whose packets `ovs-vswitchd` forwards itself has to write its checksums: a veth pair leaves
//! that to whoever takes the packets out, who never does (`netdev_linux_batch_rxq_recv_sock()` in OVS `lib/netdev-linux.c`
//! takes what a packet socket gives). Without it, containers ping each other and no TCP connection comes about.
//!
//! It is what `ethtool -K eth0 tx off` does: `include/uapi/linux/{genetlink,ethtool_netlink}.h`.

use std::os::fd::AsFd;

use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST};

use crate::kernel::answer::value_of;
use crate::kernel::attribute::{attr, nest, terminated};
use crate::kernel::netlink::{Blocking, Refusal};
use crate::kernel::netns;
use crate::names::IfName;
use crate::resource::netns::NsRef;

/// `GENL_ID_CTRL`, `CTRL_CMD_GETFAMILY`, `CTRL_ATTR_FAMILY_ID`, `CTRL_ATTR_FAMILY_NAME`.
const CONTROL: u16 = 0x10;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;

/// `ETHTOOL_MSG_FEATURES_SET`.
const SET_FEATURES: u8 = 12;

/// Has links write the checksums of what they send.
pub(super) async fn write_checksums(links: Vec<(NsRef, IfName)>) -> Result<(), Refusal> {
    let work = move || links.iter().try_for_each(|(ns, link)| write_here(ns, link));
    netns::on_thread(work).await?
}

/// Tells whether the kernel has a family of messages; to ask for one may load its module.
pub(super) async fn has_family(name: &'static str) -> bool {
    let work = move || family(&mut Blocking::open_generic()?, name);
    netns::on_thread(work).await.is_ok_and(|found: Result<u16, Refusal>| found.is_ok())
}

fn family(socket: &mut Blocking, name: &str) -> Result<u16, Refusal> {
    let mut asked = message(GET_FAMILY);
    attr(&mut asked, FAMILY_NAME, &terminated(name));
    let found = socket.netfilter((CONTROL, NLM_F_REQUEST | NLM_F_ACK), &asked, |_, body| {
        value_of(body.get(4..)?, FAMILY_ID)?.first_chunk().map(|id| u16::from_ne_bytes(*id))
    })?;
    let none = || std::io::Error::other("this kernel has no ethtool over netlink, which Linux 5.7 brought");
    Ok(found.into_iter().next().ok_or_else(none)?)
}

fn write_here(ns: &NsRef, link: &IfName) -> Result<(), Refusal> {
    netns::join(netns::open(ns)?.as_fd())?;
    let mut socket = Blocking::open_generic()?;
    let family = family(&mut socket, "ethtool")?;
    let mut body = message(SET_FEATURES);
    // `ETHTOOL_A_FEATURES_HEADER`: `ETHTOOL_A_HEADER_DEV_NAME`, `_FLAGS` with `ETHTOOL_FLAG_OMIT_REPLY`.
    nest(&mut body, 1, |out| {
        attr(out, 2, &terminated(link.as_str()));
        attr(out, 3, &2_u32.to_ne_bytes());
    });
    // `ETHTOOL_A_FEATURES_WANTED`: one bit, by its name (`ETHTOOL_A_BITSET_BIT_NAME`), that is to be 0: without
    // `ETHTOOL_A_BITSET_BIT_VALUE`.
    nest(&mut body, 3, |out| {
        nest(out, 3, |out| nest(out, 1, |out| attr(out, 2, b"tx-checksum-ip-generic\0")));
    });
    socket.netfilter((family, NLM_F_REQUEST | NLM_F_ACK), &body, |_, _| None::<()>)?;
    Ok(())
}

/// Returns the beginning of a message: its `struct genlmsghdr`.
fn message(command: u8) -> Vec<u8> {
    vec![command, 1, 0, 0]
}
