//! Whether a packet gets from one place to another, and which object decides that.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`ends`] | whom the user means: containers, the host, addresses |
//! | [`walk`] | follows the packet through namespaces: where it is sent, routed and received |
//! | [`hooks`] | what the hooks of a namespace do with it on the way |
//! | [`wire`] | follows it from link to link: bridges, pairs, what is outside |
//! | [`judge`], [`term`], [`rules`] | what the rules of a namespace do with it |
//! | [`report`] | the answer, in words and for machines |
//!
//! Nothing here asks the kernel. What is not known yet is a [`Question`]; whoever has the answer begins anew, so that the
//! whole walk is a function of what was read. Routes are the kernel's own decision, and rules are those that were read; what
//! cannot be told from them is said to be unknown, and never guessed.

mod ends;
mod hooks;
mod judge;
mod lane;
mod packet;
mod report;
mod rules;
mod term;
mod walk;
mod wire;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::Scene;
use crate::kernel::inside::{Inside, Traveller, Way};
use crate::resource::owner::Owner;
pub use ends::{Ends, Unclear, ends};
pub use report::Path;
use rules::Rules;
use walk::{Halt, Walk};

/// What has to be known before a packet can be followed further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// What decides in the namespace at this place of the scene.
    Inside(usize),
    /// Which way a packet goes in it.
    Way(usize, Traveller),
}

/// What is known.
#[derive(Debug, Default)]
pub struct Answers {
    insides: BTreeMap<usize, Known>,
    ways: BTreeMap<(usize, Traveller), Way>,
}

/// What decides in a namespace.
#[derive(Debug)]
struct Known {
    inside: Inside,
    rules: Option<Rules>,
}

impl Answers {
    /// Takes in what decides in a namespace.
    pub fn inside(&mut self, namespace: usize, inside: Inside) {
        let rules = Rules::parse(&inside.rules, &inside.listing).filter(|_| inside.unread.is_none());
        self.insides.insert(namespace, Known { inside, rules });
    }

    /// Takes in which way a packet goes.
    pub fn way(&mut self, namespace: usize, traveller: Traveller, way: Way) {
        self.ways.insert((namespace, traveller), way);
    }

    /// Returns what decides in a namespace, when it is known.
    pub fn of(&self, namespace: usize) -> Option<&Inside> {
        self.insides.get(&namespace).map(|known| &known.inside)
    }
}

/// Whether a packet arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It arrives, and an answer comes back.
    Arrives,
    /// It arrives, and no answer comes back.
    NoAnswer,
    /// It does not arrive.
    Denied,
    /// That cannot be told from here.
    Unknown,
}

/// What decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DecidedBy {
    /// A route, or that there is none.
    Route,
    /// That a namespace does not forward packets.
    Forwarding,
    /// The check of the way back that a packet's source has: `rp_filter`.
    RpFilter,
    /// A bridge, or that nobody behind it has the address.
    Bridge,
    /// That nobody on a link has the address.
    Neighbour,
    /// An interface that is down.
    Interface,
    /// A rule of a firewall.
    Rule,
    /// The policy of a chain of a firewall.
    Policy,
    /// That a source is not hidden, so that nobody knows where to answer.
    Masquerade,
    /// That an answer comes from another address than the one that was asked.
    Answer,
    /// That a part of the way cannot be seen from here.
    Unseen,
}

/// What decides about a packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Decision {
    /// What kind of thing it is.
    pub kind: DecidedBy,
    /// Where: `the host`, `container web`.
    pub at: String,
    /// What it does, in a sentence.
    pub sentence: String,
    /// The rule, as `nft -a` prints it, with its table and chain; `null` for everything else.
    pub rule: Option<RuleName>,
    /// The kernel parameter, with the place of its namespace.
    #[serde(skip)]
    pub parameter: Option<(usize, String)>,
}

/// A rule, or a chain's policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RuleName {
    /// The table's family.
    pub family: String,
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
    /// The number of the rule; `null` for the policy.
    pub handle: Option<u64>,
    /// The rule's text, or `policy drop`.
    pub text: String,
    /// The policy of a manifest for which the rule found an element.
    #[serde(skip)]
    pub policy: Option<Box<Owner>>,
    /// The place of the namespace whose rule it is.
    #[serde(skip)]
    pub ns: usize,
}

/// A step of the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Step {
    /// Where: `the host`, `container web`.
    pub at: String,
    /// What happens there.
    pub what: String,
}

/// Follows a packet there, and its answer back.
///
/// # Errors
///
/// The question that has to be answered before it can be followed further.
pub fn follow(scene: &Scene, answers: &Answers, ends: &Ends) -> Result<Path, Question> {
    let mut walk = Walk::new(scene, answers);
    match report::there_and_back(&mut walk, ends) {
        Ok(path) => Ok(path),
        Err(Halt::Ask(question)) => Err(question),
        Err(Halt::Denied(decision)) => Ok(report::broken(&walk, ends, (Verdict::Denied, decision))),
        Err(Halt::Unknown(decision)) => Ok(report::broken(&walk, ends, (Verdict::Unknown, decision))),
    }
}
