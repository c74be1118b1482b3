//! Which tables there are, asked of the kernel itself: to run `nft` only to hear that there is none costs as much as
//! reading all namespaces of a small host.
//!
//! Source: `struct nfgenmsg` in `include/uapi/linux/netfilter/nfnetlink.h`; `enum nf_tables_msg_types` and
//! `enum nft_table_attributes` in `include/uapi/linux/netfilter/nf_tables.h`.

use std::collections::BTreeSet;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP};

use crate::kernel::answer::{self, number_of};
use crate::kernel::netlink::{Blocking, Refusal, text};
use crate::resource::nft::{NftFamily, NftTableId};

/// `NFNL_SUBSYS_NFTABLES` with `NFT_MSG_NEWTABLE`, `NFT_MSG_GETTABLE`, `NFT_MSG_NEWGEN` and `NFT_MSG_GETGEN`.
const NEW_TABLE: u16 = 0x0a00;
const GET_TABLE: u16 = 0x0a01;
const NEW_GENERATION: u16 = 0x0a0f;
const GET_GENERATION: u16 = 0x0a10;

/// What tables there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct There {
    /// Those of the families that netform uses.
    pub(super) tables: BTreeSet<NftTableId>,
    /// Whether there are others that see packets of the IP layer.
    pub(super) has_strangers: bool,
}

/// Returns what tables there are.
pub(super) fn there() -> Result<There, Refusal> {
    let read = |kind: u16, body: &[u8]| Some((table(kind, body), is_of_ip(kind, body)));
    let mut there = There::default();
    for (table, is_of_ip) in Blocking::open_netfilter()?.netfilter((GET_TABLE, NLM_F_DUMP), &ANY, read)? {
        let is_ours = |id: &NftTableId| id.name.starts_with(super::PREFIX);
        there.has_strangers |= is_of_ip || table.as_ref().is_some_and(|id| !is_ours(id));
        there.tables.extend(table);
    }
    Ok(there)
}

/// Tells whether a table is of IPv4 or IPv6 alone.
fn is_of_ip(kind: u16, body: &[u8]) -> bool {
    // `NFPROTO_IPV4` and `NFPROTO_IPV6` in `include/uapi/linux/netfilter.h`.
    kind == NEW_TABLE && matches!(body.first(), Some(2 | 10))
}

/// Returns the number of the ruleset, which every transaction changes.
pub(super) fn generation(socket: &mut Blocking) -> Result<Option<u32>, Refusal> {
    const NFTA_GEN_ID: u16 = 1;
    let read =
        |kind: u16, body: &[u8]| number_of(body.get(4..).filter(|_| kind == NEW_GENERATION)?, NFTA_GEN_ID);
    let numbers = socket.netfilter((GET_GENERATION, NLM_F_ACK), &ANY, read)?;
    Ok(numbers.into_iter().next())
}

/// Any family, version 0, no resource id.
const ANY: [u8; 4] = [0; 4];

/// Returns the header of a request about a family.
pub(super) fn header(family: NftFamily) -> Vec<u8> {
    // `NFPROTO_INET` and `NFPROTO_BRIDGE` in `include/uapi/linux/netfilter.h`.
    let number = match family {
        NftFamily::Inet => 1,
        NftFamily::Bridge => 7,
    };
    vec![number, 0, 0, 0]
}

fn table(kind: u16, body: &[u8]) -> Option<NftTableId> {
    const NFTA_TABLE_NAME: u16 = 1;
    let (header, attributes) = body.split_at_checked(4).filter(|_| kind == NEW_TABLE)?;
    // `NFPROTO_INET` and `NFPROTO_BRIDGE` in `include/uapi/linux/netfilter.h`.
    let family = match header.first()? {
        1 => NftFamily::Inet,
        7 => NftFamily::Bridge,
        _ => return None,
    };
    let (_, name) = answer::attributes(attributes).find(|(kind, _)| *kind == NFTA_TABLE_NAME)?;
    Some(NftTableId { family, name: text(name) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_known_by_its_family_and_name() {
        let body = |family: u8| [&[family, 0, 0, 0, 9, 0, 1, 0][..], b"shop\0\0\0\0"].concat();

        let read = |family| table(NEW_TABLE, &body(family)).map(|id| (id.family, id.name.to_string()));

        assert_eq!(read(1), Some((NftFamily::Inet, "shop".to_owned())));
        assert_eq!(read(7), Some((NftFamily::Bridge, "shop".to_owned())));
        assert_eq!(read(2), None, "of IPv4 alone we have none");
    }
}
