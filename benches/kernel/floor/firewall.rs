//! The least of a firewall: its table, its hooks, a set of networks and a map of published ports. The rules, whose
//! number does not grow, are left out.

use std::net::Ipv4Addr;

use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_NETFILTER;

use super::wire::{Batch, DUMP, NESTED, NEW, attributes};
use crate::manifest::{Size, within};

/// `NFNL_SUBSYS_NFTABLES` in `include/uapi/linux/netfilter/nfnetlink.h`.
const NFTABLES: u16 = 10 << 8;
/// `NFNL_MSG_BATCH_BEGIN` and `_END`.
const BEGIN: u16 = 0x10;
const END: u16 = 0x11;
/// `NFT_MSG_*` in `include/uapi/linux/netfilter/nf_tables.h`.
const NEW_TABLE: u16 = NFTABLES;
const GET_TABLE: u16 = NFTABLES | 1;
const DEL_TABLE: u16 = NFTABLES | 2;
const NEW_CHAIN: u16 = NFTABLES | 3;
const GET_CHAIN: u16 = NFTABLES | 4;
const GET_RULE: u16 = NFTABLES | 7;
const NEW_SET: u16 = NFTABLES | 9;
const GET_SET: u16 = NFTABLES | 10;
const NEW_ELEMENT: u16 = NFTABLES | 12;
const GET_ELEMENT: u16 = NFTABLES | 13;
const DEL_ELEMENT: u16 = NFTABLES | 14;

/// `NFPROTO_IPV4`, and the types of keys as nft numbers them.
const IPV4: u8 = 2;
const ADDRESS: u32 = 7;
const SERVICE: u32 = 13;
/// `NFT_SET_MAP`.
const MAP: u32 = 8;

/// A key with what a map holds under it.
type Element = (Vec<u8>, Vec<u8>);

/// Makes the table.
pub fn make(size: Size) {
    let mut batch = begin();
    batch.message(NEW_TABLE, NEW, &[IPV4, 0, 0, 0], |m| m.put_text(1, "bench"));
    set(&mut batch, ("nets", 1), (ADDRESS, 4), None);
    set(&mut batch, ("ports", 2), (SERVICE, 2), Some((ADDRESS << 6 | SERVICE, 8)));
    let nets: Vec<Element> =
        (0..size.networks).map(|network| (within(network, 0).octets().to_vec(), vec![])).collect();
    elements(&mut batch, NEW_ELEMENT, "nets", &nets);
    let ports: Vec<Element> = size.ports().map(|(container, at)| port(at, size.address(container))).collect();
    elements(&mut batch, NEW_ELEMENT, "ports", &ports);
    for (name, hook, priority) in [("pre", 0, -100_i32), ("out", 3, -100), ("post", 4, 100)] {
        batch.message(NEW_CHAIN, NEW, &[IPV4, 0, 0, 0], |m| {
            m.put_text(1, "bench");
            m.put_text(3, name);
            m.nest(4 | NESTED, |m| {
                m.put_be32(1, hook);
                m.put_be32(2, priority.cast_unsigned());
            });
            m.put_text(7, "nat");
        });
    }
    commit(batch);
}

/// Replaces one published port by another.
pub fn move_port(from: u16, to: u16, target: Ipv4Addr) {
    let mut batch = begin();
    elements(&mut batch, DEL_ELEMENT, "ports", &[(from.to_be_bytes().to_vec(), vec![])]);
    elements(&mut batch, NEW_ELEMENT, "ports", &[port(to, target)]);
    commit(batch);
}

/// Removes the table.
pub fn remove() {
    let mut batch = begin();
    batch.message(DEL_TABLE, 0, &[IPV4, 0, 0, 0], |m| m.put_text(1, "bench"));
    commit(batch);
}

/// Reads all tables with all that is in them.
pub fn read() {
    let socket = Socket::new(NETLINK_NETFILTER).unwrap();
    let (mut batch, mut buffer) = (Batch::default(), Vec::with_capacity(1 << 16));
    let mut sets = vec![];
    for kind in [GET_TABLE, GET_CHAIN, GET_RULE, GET_SET] {
        batch.message(kind, DUMP, &[0; 4], |_| {});
        batch.dump(&socket, &mut buffer, |body| {
            let (mut table, mut name) = (vec![], vec![]);
            attributes(&body[4..], |kind, value| match kind {
                1 => table = value.to_vec(),
                2 => name = value.to_vec(),
                _ => {}
            });
            if kind == GET_SET {
                sets.push((body[0], table, name));
            }
        });
    }
    for (family, table, name) in sets {
        batch.message(GET_ELEMENT, DUMP, &[family, 0, 0, 0], |m| {
            m.put(1, &table);
            m.put(2, &name);
        });
        batch.dump(&socket, &mut buffer, |_| {});
    }
}

fn begin() -> Batch {
    let mut batch = Batch::default();
    batch.message(BEGIN, 0, &[0, 0, 0, 10], |_| {});
    batch
}

fn commit(mut batch: Batch) {
    // The end of a transaction is not acknowledged, what stands before it is.
    let last = batch.acknowledge();
    batch.message(END, 0, &[0, 0, 0, 10], |_| {});
    batch.send_until(&Socket::new(NETLINK_NETFILTER).unwrap(), last);
}

fn set(batch: &mut Batch, (name, id): (&str, u32), key: (u32, u32), data: Option<(u32, u32)>) {
    batch.message(NEW_SET, NEW, &[IPV4, 0, 0, 0], |m| {
        m.put_text(1, "bench");
        m.put_text(2, name);
        m.put_be32(3, if data.is_some() { MAP } else { 0 });
        m.put_be32(4, key.0);
        m.put_be32(5, key.1);
        if let Some((kind, length)) = data {
            m.put_be32(6, kind);
            m.put_be32(7, length);
        }
        m.put_be32(10, id);
    });
}

fn port(port: u16, target: Ipv4Addr) -> Element {
    (port.to_be_bytes().to_vec(), [target.octets(), [0, 80, 0, 0]].concat())
}

fn elements(batch: &mut Batch, kind: u16, set: &str, elements: &[Element]) {
    let flags = if kind == NEW_ELEMENT { NEW } else { 0 };
    for some in elements.chunks(500) {
        batch.message(kind, flags, &[IPV4, 0, 0, 0], |m| {
            m.put_text(1, "bench");
            m.put_text(2, set);
            m.nest(3 | NESTED, |m| {
                for (key, data) in some {
                    m.nest(1 | NESTED, |m| {
                        m.nest(1 | NESTED, |m| m.put(1, key));
                        if !data.is_empty() {
                            m.nest(2 | NESTED, |m| m.put(1, data));
                        }
                    });
                }
            });
        });
    }
}
