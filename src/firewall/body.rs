//! A table's commands: sets, chains and rules, and the digest that they are recognised by.

use nftables::schema::{Chain, Map, NfCmd, NfListObject, Rule, Set, SetFlag, SetType, SetTypeValue, Table};
use nftables::types::{NfChainPolicy, NfChainType, NfFamily, NfHook};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::terms;
use crate::resource::hex::hex;
use crate::resource::nft::{NftFamily, NftTable, NftTableId};
use crate::resource::nft_set::{Field, Lookup, Part, SETS, SetSpec};

/// What a base chain does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Filter,
    Nat,
}

/// A table under construction.
#[derive(Debug)]
pub(super) struct Body {
    id: NftTableId,
    parts: Vec<Part>,
    chains: Vec<NfListObject<'static>>,
    rules: Vec<NfListObject<'static>>,
}

impl Body {
    pub(super) fn new(id: NftTableId, parts: Vec<Part>) -> Self {
        Self { id, parts, chains: vec![], rules: vec![] }
    }

    /// Tells whether a part of the firewall is asked for.
    pub(super) fn has(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    /// Declares a chain that packets come to from the kernel.
    pub(super) fn base(&mut self, name: &'static str, kind: Kind, hook: NfHook, priority: i32) {
        let kind = match kind {
            Kind::Filter => NfChainType::Filter,
            Kind::Nat => NfChainType::NAT,
        };
        self.chains.push(NfListObject::Chain(Chain {
            family: family(self.id.family),
            table: self.id.name.to_string().into(),
            name: name.into(),
            _type: Some(kind),
            hook: Some(hook),
            prio: Some(priority),
            policy: Some(NfChainPolicy::Accept),
            ..Chain::default()
        }));
    }

    /// Declares a chain that packets come to from another chain.
    pub(super) fn chain(&mut self, name: &str) {
        self.chains.push(NfListObject::Chain(Chain {
            family: family(self.id.family),
            table: self.id.name.to_string().into(),
            name: name.to_owned().into(),
            ..Chain::default()
        }));
    }

    /// Appends a rule; its comment is `netform:` and `key`, so that people and other programs can refer to it.
    pub(super) fn rule<const N: usize>(&mut self, chain: &'static str, key: &str, parts: [terms::Part; N]) {
        self.rules.push(NfListObject::Rule(Rule {
            family: family(self.id.family),
            table: self.id.name.to_string().into(),
            chain: chain.into(),
            expr: parts.to_vec().into(),
            comment: Some(format!("netform:{key}").into()),
            ..Rule::default()
        }));
    }

    /// Returns the finished table. Its digest is kept in the kernel as the name of an empty chain, since nft 1.0.6 does
    /// not tell the comments of tables and chains in JSON.
    pub(super) fn finish(mut self) -> NftTable {
        let mut objects = vec![NfListObject::Table(Table {
            family: family(self.id.family),
            name: self.id.name.to_string().into(),
            ..Table::default()
        })];
        let sets = SETS.iter().filter(|set| set.family == self.id.family && self.has(set.part));
        objects.extend(sets.map(|set| self.declare(set)));
        objects.append(&mut self.chains);
        objects.append(&mut self.rules);
        let mut body = commands(objects);
        let digest = digest(&body);
        self.chain(&format!("skeleton-{digest}"));
        body.append(&mut commands(self.chains));
        NftTable { id: self.id, digest, intact: true, body }
    }

    fn declare(&self, spec: &SetSpec) -> NfListObject<'static> {
        let &SetSpec { family: of, name, key, data, lookup, stance: _, part: _ } = spec;
        let table = self.id.name.to_string().into();
        let types: Vec<SetType> = key.iter().copied().map(set_type).collect();
        let set_type_value = match types.as_slice() {
            [only] => SetTypeValue::Single(*only),
            _ => SetTypeValue::Concatenated(types.into()),
        };
        let flags = match lookup {
            Lookup::Exact => None,
            Lookup::Interval => Some([SetFlag::Interval].into()),
        };
        match data {
            None => NfListObject::Set(Box::new(Set {
                family: family(of),
                table,
                name: name.into(),
                set_type: set_type_value,
                flags,
                ..Set::default()
            })),
            Some(data) => NfListObject::Map(Box::new(Map {
                family: family(of),
                table,
                name: name.into(),
                set_type: set_type_value,
                map: SetTypeValue::Single(set_type(data)),
                flags,
                ..Map::default()
            })),
        }
    }
}

fn set_type(field: Field) -> SetType {
    match field {
        Field::Link => SetType::Ifname,
        Field::Ipv4 => SetType::Ipv4Addr,
        Field::Ipv6 => SetType::Ipv6Addr,
        Field::Protocol => SetType::InetProto,
        Field::Port => SetType::InetService,
    }
}

fn family(family: NftFamily) -> NfFamily {
    match family {
        NftFamily::Inet => NfFamily::INet,
        NftFamily::Bridge => NfFamily::Bridge,
    }
}

fn commands(objects: Vec<NfListObject<'static>>) -> Vec<Value> {
    let command = |object| {
        #[expect(
            clippy::expect_used,
            reason = "the crate's types hold nothing that JSON cannot: their keys are texts"
        )]
        let mut command = serde_json::to_value(NfCmd::Add(object)).expect("a command is JSON");
        sort_flags(&mut command);
        command
    };
    objects.into_iter().map(command).collect()
}

/// Puts flags in order: the crate keeps them in a hash set, and equal tables must have equal bytes.
fn sort_flags(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::Array(flags)) = fields.get_mut("flags") {
                flags.sort_by_key(ToString::to_string);
            }
            fields.values_mut().for_each(sort_flags);
        }
        Value::Array(items) => items.iter_mut().for_each(sort_flags),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn digest(body: &[Value]) -> String {
    let mut hash = Sha256::new();
    for command in body {
        hash.update(command.to_string());
        hash.update("\n");
    }
    hex(hash.finalize().into_iter().take(8))
}
