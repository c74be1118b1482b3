//! A rule of `DOCKER-USER` as messages have it.
//!
//! Source: `enum nft_rule_attributes`, `nft_meta_attributes`, `nft_cmp_attributes`, `nft_immediate_attributes`,
//! `nft_verdict_attributes` and `nft_match_attributes` in `include/uapi/linux/netfilter/nf_tables.h` and
//! `nf_tables_compat.h`; `enum nftnl_udata_types` in `libnftnl/udata.h`; `add_iniface()` in iptables `nft-shared.c`.

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP};
use rustix::io::Errno;

use super::Way;
use crate::kernel::answer::{each, number_of, value_of};
use crate::kernel::attribute::{attr, plain, terminated};
use crate::kernel::netlink::{Blocking, Refusal, text};
use crate::names::IfName;
use crate::resource::owner::Mark;
use crate::resource::sysctl::Family;

pub(crate) const TABLE: &str = "filter";
pub(crate) const CHAIN: &str = "DOCKER-USER";

/// `NFNL_SUBSYS_NFTABLES` with `NFT_MSG_GETCHAIN`, `_NEWRULE`, `_GETRULE` and `_DELRULE`.
const GET_CHAIN: u16 = 0x0a04;
pub(super) const NEW_RULE: u16 = 0x0a06;
const GET_RULE: u16 = 0x0a07;
pub(super) const DELETE_RULE: u16 = 0x0a08;

/// The attributes of a rule: `NFTA_RULE_TABLE` and so on.
const IN_TABLE: u16 = 1;
const IN_CHAIN: u16 = 2;
pub(super) const HANDLE: u16 = 3;
const EXPRESSIONS: u16 = 4;
pub(super) const POSITION: u16 = 6;
const USERDATA: u16 = 7;

/// `NFT_META_IIFNAME` and `NFT_META_OIFNAME`.
const IIFNAME: u32 = 6;
const OIFNAME: u32 = 7;
/// `NF_ACCEPT` and `NFT_RETURN`.
const ACCEPT: u32 = 1;
const RETURN: u32 = -5_i32 as u32;
/// `NFTNL_UDATA_RULE_COMMENT`.
const COMMENT: u8 = 0;

/// Returns the header of a message about the chain: `struct nfgenmsg`, table and chain.
pub(super) fn addressed(family: Family) -> Vec<u8> {
    // `NFPROTO_IPV4` and `NFPROTO_IPV6` in `include/uapi/linux/netfilter.h`.
    let number = match family {
        Family::Ipv4 => 2,
        Family::Ipv6 => 10,
    };
    let mut body = vec![number, 0, 0, 0];
    attr(&mut body, IN_TABLE, &terminated(TABLE));
    attr(&mut body, IN_CHAIN, &terminated(CHAIN));
    body
}

pub(super) fn placed(family: Family, kind: u16, handle: &[u8]) -> Vec<u8> {
    let mut body = addressed(family);
    attr(&mut body, kind, handle);
    body
}

/// Adds what a rule says, and whose it is.
pub(super) fn describe(body: &mut Vec<u8>, (from, to): &Way, mark: &Mark) {
    plain(body, EXPRESSIONS, |body| {
        for (key, link) in [(IIFNAME, from), (OIFNAME, to)] {
            let Some(link) = link else { continue };
            expression(body, "meta", |body| {
                attr(body, 2, &key.to_be_bytes());
                attr(body, 1, &1_u32.to_be_bytes());
            });
            expression(body, "cmp", |body| {
                attr(body, 1, &1_u32.to_be_bytes());
                attr(body, 2, &0_u32.to_be_bytes());
                plain(body, 3, |body| attr(body, 1, &terminated(link.as_str())));
            });
        }
        expression(body, "counter", |_| {});
        expression(body, "immediate", |body| {
            attr(body, 1, &0_u32.to_be_bytes());
            plain(body, 2, |body| plain(body, 2, |body| attr(body, 1, &ACCEPT.to_be_bytes())));
        });
    });
    let comment = terminated(&mark.to_string());
    let length = u8::try_from(comment.len()).unwrap_or(u8::MAX);
    attr(body, USERDATA, &[&[COMMENT, length], comment.as_slice()].concat());
}

fn expression(body: &mut Vec<u8>, name: &str, data: impl FnOnce(&mut Vec<u8>)) {
    plain(body, 1, |body| {
        attr(body, 1, &terminated(name));
        plain(body, 2, data);
    });
}

/// A rule of the chain, whosever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) handle: Vec<u8>,
    pub(super) mark: Option<Mark>,
    pub(super) way: Way,
    /// Whether it accepts what comes and goes by these links, and does nothing else.
    pub(super) accepts: bool,
    /// Whether it ends the chain for everything.
    pub(super) returns: bool,
}

/// Returns the rules of the chain in their order; `None` when there is no chain.
pub(super) fn rules(socket: &mut Blocking, family: Family) -> Result<Option<Vec<Rule>>, Refusal> {
    const CHAIN_NAME: u16 = 3;
    let mut body = addressed(family);
    // The header's last attribute is the chain in a message about rules.
    body.truncate(4);
    attr(&mut body, IN_TABLE, &terminated(TABLE));
    attr(&mut body, CHAIN_NAME, &terminated(CHAIN));
    match socket.netfilter((GET_CHAIN, NLM_F_ACK), &body, |_, _| None::<()>) {
        Err(refusal) if refusal.errno() == Some(Errno::NOENT) => return Ok(None),
        there => there?,
    };
    let read = |kind: u16, body: &[u8]| (kind == NEW_RULE).then(|| rule(body)).flatten();
    socket.netfilter((GET_RULE, NLM_F_DUMP), &addressed(family), read).map(Some)
}

pub(super) fn rule(body: &[u8]) -> Option<Rule> {
    let mut rule = Rule { handle: vec![], mark: None, way: (None, None), accepts: false, returns: false };
    let (mut table, mut chain, mut said, mut expressions) =
        (String::new(), String::new(), Said::default(), false);
    each(body.get(4..)?, |kind, value| match kind {
        IN_TABLE => table = text(value).to_string(),
        IN_CHAIN => chain = text(value).to_string(),
        HANDLE => rule.handle = value.to_vec(),
        EXPRESSIONS => {
            expressions = true;
            each(value, |_, value| said.hear(value));
        }
        USERDATA => said.comment = said.comment.take().or_else(|| comment(value)),
        _ => {}
    });
    // Some kernels list the rules of all tables.
    if table != TABLE || chain != CHAIN || !expressions {
        return None;
    }
    let Said { from, to, pending: _, verdict, comment, strange } = said;
    rule.mark = comment.as_deref().and_then(Mark::parse);
    rule.accepts = verdict == Some(ACCEPT) && !strange;
    rule.returns = verdict == Some(RETURN) && !strange && from.is_none() && to.is_none();
    rule.way = (from, to);
    Some(rule)
}

/// What the expressions of a rule say, as far as they are like ours.
#[derive(Default)]
struct Said {
    from: Option<IfName>,
    to: Option<IfName>,
    /// What was loaded last, to be compared.
    pending: Option<u32>,
    verdict: Option<u32>,
    comment: Option<String>,
    /// Whether they say anything else.
    strange: bool,
}

impl Said {
    fn hear(&mut self, expression: &[u8]) {
        let (mut name, mut data) = (String::new(), &[][..]);
        let mut all = vec![];
        each(expression, |kind, value| all.push((kind, value.to_vec())));
        for (kind, value) in &all {
            match kind {
                1 => name = text(value).to_string(),
                2 => data = value,
                _ => {}
            }
        }
        match name.as_str() {
            "meta" => self.pending = number_of(data, 2),
            "cmp" => self.compared(data),
            "counter" => {}
            "immediate" => {
                self.verdict =
                    value_of(data, 2).and_then(|it| value_of(&it, 2)).and_then(|it| number_of(&it, 1))
            }
            "match" if value_of(data, 1).is_some_and(|name| text(&name) == "comment") => {
                self.comment = value_of(data, 3).map(|info| until_zero(&info));
            }
            _ => self.strange = true,
        }
    }

    fn compared(&mut self, data: &[u8]) {
        let name = value_of(data, 3).and_then(|it| value_of(&it, 1)).filter(|it| it.last() == Some(&0));
        let name = name.and_then(|it| IfName::try_from(until_zero(&it)).ok());
        let is_equal = number_of(data, 2) == Some(0);
        match (self.pending.take(), name) {
            (Some(IIFNAME), Some(name)) if is_equal && self.from.is_none() => self.from = Some(name),
            (Some(OIFNAME), Some(name)) if is_equal && self.to.is_none() => self.to = Some(name),
            _ => self.strange = true,
        }
    }
}

/// Returns the comment among what programs keep with a rule: a kind, a length, and the bytes.
pub(super) fn comment(mut userdata: &[u8]) -> Option<String> {
    while let [kind, length, rest @ ..] = userdata {
        let (value, rest) = rest.split_at_checked(usize::from(*length))?;
        if *kind == COMMENT {
            return Some(until_zero(value));
        }
        userdata = rest;
    }
    None
}

fn until_zero(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}
