//! What a table is besides elements, asked of the kernel itself: its chains, rules and sets, and the digest by which an
//! edit by hand shows. To run `nft` for it costs more than all else that is read of a small host, and what it prints
//! changes with its version.
//!
//! Of each object only what an administrator can ask for counts: neither numbers that the kernel gives out nor counts, so
//! that a table that was loaded again is the same. Source: `enum nft_table_attributes`, `nft_chain_attributes`,
//! `nft_rule_attributes` and `nft_set_attributes` in `include/uapi/linux/netfilter/nf_tables.h`.

use std::collections::BTreeSet;

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use smol_str::SmolStr;

use super::elements::{self, Elements};
use super::tables;
use crate::kernel::answer::each;
use crate::kernel::attribute::{attr, terminated};
use crate::kernel::netlink::{Blocking, Refusal, text};
use crate::resource::Resource;
use crate::resource::hex::hex;
use crate::resource::nft::{NftTable, NftTableId};
use crate::resource::owner::Owner;
use crate::resource::state::Entry;

/// How the name of the chain begins that says which rules were asked for.
const SKELETON: &str = "skeleton-";
/// How the name of the chain begins that holds the digest of the table when it was made.
const SEAL: &str = "seal-";

/// `NFT_SET_ANONYMOUS`: what a rule compares with, written down in the rule itself.
const ANONYMOUS: u32 = 1;

/// The attribute with the table's name: `NFTA_TABLE_NAME`, `NFTA_CHAIN_TABLE` and the like are all the same.
const IN_TABLE: u16 = 1;

/// A kind of object in a table.
struct Kind {
    /// `NFNL_SUBSYS_NFTABLES` with the message that asks for all of them; the answers have the number before.
    get: u16,
    /// The attribute by which they are put in order; rules of one chain stay in theirs.
    by: u16,
    /// What can be asked for of it.
    counted: &'static [u16],
}

const TABLE: Kind = Kind { get: 0x0a01, by: 1, counted: &[2, 6] };
const CHAINS: Kind = Kind { get: 0x0a04, by: 3, counted: &[3, 4, 5, 7, 10, 12] };
const RULES: Kind = Kind { get: 0x0a07, by: 2, counted: &[2, 4, 7] };
const SETS: Kind = Kind { get: 0x0a0a, by: 2, counted: &[2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 15, 17, 18] };
/// Ours has none of these, so that one of them is there is enough to know.
const OBJECTS: Kind = Kind { get: 0x0a13, by: 2, counted: &[2, 3] };
const FLOWTABLES: Kind = Kind { get: 0x0a17, by: 2, counted: &[2] };

/// An object: what it is put in order by, and what counts of it.
pub(super) type Object = (Vec<u8>, Vec<(u16, Vec<u8>)>);

/// A table without its elements.
#[derive(Debug)]
pub(super) struct Rules {
    id: NftTableId,
    skeleton: Option<String>,
    seal: Option<String>,
    digest: String,
    sets: BTreeSet<SmolStr>,
}

impl Rules {
    /// Reads a table; `None` when there is none.
    pub(super) fn read(socket: &mut Blocking, id: &NftTableId) -> Result<Option<Self>, Refusal> {
        let table = match objects(socket, id, &TABLE) {
            Err(refusal) if refusal.errno() == Some(Errno::NOENT) => return Ok(None),
            table => table?,
        };
        let digest = String::new();
        let mut rules = Self { id: id.clone(), skeleton: None, seal: None, digest, sets: BTreeSet::new() };
        let mut chains = objects(socket, id, &CHAINS)?;
        chains.retain(|(name, _)| !rules.is_seal(name));
        let sets = objects(socket, id, &SETS)?;
        rules.sets = sets.iter().map(|(name, _)| text(name)).collect();
        let mut hash = Sha256::new();
        for all in [&table, &chains, &objects(socket, id, &RULES)?, &sets] {
            note(&mut hash, all);
        }
        for (name, _) in sets.iter().filter(|(_, counted)| is_anonymous(counted)) {
            note(&mut hash, &elements::anonymous(socket, id, &text(name))?);
        }
        for kind in [&OBJECTS, &FLOWTABLES] {
            note(&mut hash, &objects(socket, id, kind)?);
        }
        rules.digest = hex(hash.finalize().into_iter().take(8));
        Ok(Some(rules))
    }

    /// Tells whether there is a set or a map of this name.
    pub(super) fn has_set(&self, name: &str) -> bool {
        self.sets.contains(name)
    }

    /// Remembers in the table what it is.
    pub(super) fn seal(&self, socket: &mut Blocking) -> Result<(), Refusal> {
        const NEW_CHAIN: u16 = 0x0a03;
        let mut body = tables::header(self.id.family);
        attr(&mut body, IN_TABLE, &terminated(&self.id.name));
        attr(&mut body, CHAINS.by, &terminated(&format!("{SEAL}{}", self.digest)));
        socket.transaction(&[((NEW_CHAIN, NLM_F_CREATE), body)])
    }

    /// Returns the table and its elements.
    pub(super) fn entries(self, elements: Vec<Elements>) -> Vec<Entry> {
        let Self { id, skeleton, seal, digest, sets: _ } = self;
        let strange = elements.iter().any(|(_, all)| all.iter().any(Option::is_none));
        let intact = seal.is_some_and(|seal| seal == digest) && !strange;
        let body = vec![];
        let table = NftTable { id: id.clone(), digest: skeleton.unwrap_or_default(), intact, body };
        let table = Entry {
            resource: Resource::NftTable(table),
            owner: Owner::Project,
            origin: None,
            ignore: vec![],
        };
        [table].into_iter().chain(elements::entries(&id, elements)).collect()
    }

    /// Notes what a chain of ours remembers; tells whether it is the one that is not part of what it remembers.
    fn is_seal(&mut self, name: &[u8]) -> bool {
        let name = text(name);
        if let Some(digest) = name.strip_prefix(SKELETON) {
            self.skeleton = Some(digest.to_owned());
        }
        let seal = name.strip_prefix(SEAL);
        self.seal = seal.map(str::to_owned).or(self.seal.take());
        seal.is_some()
    }
}

/// Returns the objects of a kind in a table, in order.
fn objects(socket: &mut Blocking, id: &NftTableId, kind: &Kind) -> Result<Vec<Object>, Refusal> {
    let mut body = tables::header(id.family);
    let name = terminated(&id.name);
    attr(&mut body, IN_TABLE, &name);
    // A table is asked for by name, the others are listed.
    let flags = if kind.get == TABLE.get { NLM_F_ACK } else { NLM_F_DUMP };
    let read = |got: u16, body: &[u8]| (got + 1 == kind.get).then(|| object(body, kind, &name)).flatten();
    let mut objects = socket.netfilter((kind.get, flags), &body, read)?;
    objects.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(objects)
}

/// Reads an object, unless it is in another table: some kernels list those of all.
fn object(body: &[u8], kind: &Kind, table: &[u8]) -> Option<Object> {
    let (mut ours, mut by, mut counted) = (false, vec![], vec![]);
    each(body.get(4..)?, |number, value| {
        ours |= number == IN_TABLE && value == table;
        if number == kind.by {
            by = value.to_vec();
        }
        if kind.counted.contains(&number) {
            counted.push((number, value.to_vec()));
        }
    });
    ours.then_some((by, counted))
}

/// Tells whether a set is one by its `NFTA_SET_FLAGS`.
fn is_anonymous(counted: &[(u16, Vec<u8>)]) -> bool {
    let flags = counted.iter().find(|(number, _)| *number == 3).and_then(|(_, flags)| flags.first_chunk());
    flags.is_some_and(|flags| u32::from_be_bytes(*flags) & ANONYMOUS != 0)
}

/// Adds objects to a digest, each with its length, so that no two lists look the same.
fn note(hash: &mut Sha256, objects: &[Object]) {
    hash.update(objects.len().to_be_bytes());
    for (_, counted) in objects {
        hash.update(counted.len().to_be_bytes());
        for (number, value) in counted {
            hash.update(number.to_be_bytes());
            hash.update(value.len().to_be_bytes());
            hash.update(value);
        }
    }
}
