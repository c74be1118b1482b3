//! What a plan says, in lines.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::HashMap;

use super::{Detail, Look, Operations, files};
use crate::kernel::Op;
use crate::plan::field::{brief, name};
use crate::plan::policy;
use crate::plan::target::Part;
use crate::plan::{Action, Cause, Change, Counts, Extra, Fate, Field, Interruption, Plan};
use crate::resource::ResourceId;
use crate::resource::file::MODE;
use crate::resource::owner::Owner;
use crate::resource::state::Entry;

/// A line with what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) sign: Sign,
    /// How deep it stands: 0 is the change itself.
    pub(super) depth: usize,
    pub(super) text: String,
}

/// What a line stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Add,
    Remove,
    Change,
    Replace,
    Note,
    Foreign,
}

impl Sign {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Remove => "-",
            Self::Change => "~",
            Self::Replace => "-/+",
            Self::Note => "#",
            Self::Foreign => "?",
        }
    }

    pub(super) fn of(action: Action) -> Self {
        match action {
            Action::Create => Self::Add,
            Action::Update => Self::Change,
            Action::Replace => Self::Replace,
            Action::Destroy => Self::Remove,
        }
    }
}

/// The objects that come and go, to say more of them than their ids.
pub(super) struct Entries<'a> {
    coming: HashMap<ResourceId, &'a Entry>,
    going: HashMap<ResourceId, &'a Entry>,
    extra: &'a Extra,
}

impl<'a> Entries<'a> {
    pub(super) fn new(plan: &'a Plan) -> Self {
        let mut entries = Self { coming: HashMap::default(), going: HashMap::default(), extra: &plan.extra };
        entries.going.extend(plan.lost.iter().map(|entry| (entry.resource.id(), entry)));
        for op in plan.waves.iter().flatten() {
            match op {
                Op::Create(entry) | Op::Update { from: _, to: entry } => {
                    entries.coming.insert(op.id(), entry)
                }
                Op::Delete(entry) => entries.going.insert(op.id(), entry),
            };
        }
        entries
    }
}

/// Returns what is done to a resource, as Terraform says it.
pub(super) fn headline(entries: &Entries<'_>, change: &Change) -> String {
    let Change { owner, action, reason, .. } = change;
    match (action, reason) {
        (Action::Create, _) => format!("{owner} will be created"),
        (Action::Update, _) => format!("{owner} will be updated in place"),
        (Action::Replace, Some(reason)) => format!("{owner} must be replaced ({reason})"),
        (Action::Replace, None) => format!("{owner} must be replaced"),
        (Action::Destroy, _) if entries.extra.lacks_its_container(owner) => {
            format!("{owner} will be destroyed (the container is not there)")
        }
        (Action::Destroy, _) if entries.extra.waits(owner) => {
            format!("{owner} will be destroyed (what it needs is not there)")
        }
        (Action::Destroy, _) => format!("{owner} will be destroyed (not in the manifest)"),
    }
}

/// Returns the causes, e.g. `[config, drift]`.
pub(super) fn causes(causes: &BTreeSet<Cause>) -> String {
    let words: Vec<&str> = causes.iter().map(|cause| cause_word(*cause)).collect();
    format!("[{}]", words.join(", "))
}

pub(super) fn cause_word(cause: Cause) -> &'static str {
    match cause {
        Cause::Config => "config",
        Cause::Drift => "drift",
    }
}

/// Returns whom a change costs packets.
pub(super) fn interruption(change: &Change) -> String {
    let mut told: Vec<(&str, BTreeSet<String>)> = vec![];
    for interruption in &change.interrupts {
        let (why, name) = (interruption.why.as_str(), sufferer(change, interruption));
        match told.iter_mut().find(|(other, _)| *other == why) {
            Some((_, names)) => names.extend(name),
            None => told.push((why, name.into_iter().collect())),
        }
    }
    let sentence = |(why, names): &(&str, BTreeSet<String>)| {
        if names.is_empty() {
            return (*why).to_owned();
        }
        let shown: Vec<&str> = names.iter().take(5).map(String::as_str).collect();
        let more = names.len() - shown.len();
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        format!("interrupts {}{more} ({why})", shown.join(", "))
    };
    let sentences: Vec<String> = told.iter().map(sentence).collect();
    if sentences.is_empty() { "no interruption".to_owned() } else { sentences.join("; ") }
}

/// Returns who loses packets; `None` where it is the firewall alone: connections end, whoever has them.
fn sufferer(change: &Change, interruption: &Interruption) -> Option<String> {
    let Interruption { attachment, why: _, project } = interruption;
    let name = match attachment {
        Owner::Attachment { container, network: _ } | Owner::Container(container) => container.to_string(),
        Owner::Project
        | Owner::Network(_)
        | Owner::Port(_)
        | Owner::Policy(_)
        | Owner::External(_)
        | Owner::Unmarked(_) => attachment.to_string(),
    };
    match project {
        Some(project) => Some(format!("{name} of project {project}")),
        None => (*attachment != change.owner || !has_no_link(attachment)).then_some(name),
    }
}

fn has_no_link(owner: &Owner) -> bool {
    match owner {
        Owner::Port(_) | Owner::Policy(_) | Owner::External(_) => true,
        Owner::Project
        | Owner::Network(_)
        | Owner::Container(_)
        | Owner::Attachment { .. }
        | Owner::Unmarked(_) => false,
    }
}

/// Returns a resource as a block's head: `network "front"`.
pub(super) fn block(owner: &Owner) -> String {
    let text = owner.to_string();
    text.split_once('.').map_or_else(|| text.clone(), |(kind, name)| format!("{kind} \"{name}\""))
}

/// Returns the lines under a change.
pub(super) fn body(change: &Change, entries: &Entries<'_>, look: &Look) -> Vec<Line> {
    let effect = policy::effect(change, entries.extra).map(|text| Line {
        sign: Sign::of(change.action),
        depth: 1,
        text,
    });
    let mut lines: Vec<Line> = effect.into_iter().collect();
    lines.extend(change.fields.iter().flat_map(|field| field_lines(field, change, look)));
    let mut rest = BTreeMap::<&'static str, usize>::new();
    let told: BTreeSet<&ResourceId> = change.fields.iter().map(|field| &field.object).collect();
    for object in &change.objects {
        let sign = match object.fate {
            Fate::Create => Sign::Add,
            Fate::Update => Sign::Change,
            Fate::Replace | Fate::Restored(_) => Sign::Replace,
            Fate::Destroy | Fate::GoesWith(_) => Sign::Remove,
        };
        let whole = matches!(change.action, Action::Create | Action::Destroy);
        let entry = entries.coming.get(&object.id).or_else(|| entries.going.get(&object.id));
        let named = || Line { sign, depth: 1, text: object_words(&object.id, &object.fate) };
        match (look.operations, look.detail, entry) {
            (Operations::Shown, ..) if object.fate == Fate::Update && told.contains(&object.id) => {}
            (Operations::Shown, ..) => lines.push(named()),
            (Operations::Hidden, _, Some(entry)) if whole && is_telling(&object.id) => {
                lines.extend(words(sign, entry))
            }
            (Operations::Hidden, ..) if told.contains(&object.id) => {}
            (Operations::Hidden, Detail::Full, _) => lines.push(named()),
            (Operations::Hidden, Detail::Summary | Detail::Changed, _) => {
                *rest.entry(kind(&object.id)).or_default() += 1
            }
        }
    }
    if !rest.is_empty() {
        let counts: Vec<String> = rest
            .iter()
            .map(|(kind, count)| format!("{count} {kind}{}", if *count == 1 { "" } else { "s" }))
            .collect();
        let text = format!("({} not shown)", counts.join(", "));
        lines.push(Line { sign: Sign::Note, depth: 1, text });
    }
    lines
}

fn object_words(id: &ResourceId, fate: &Fate) -> String {
    match fate {
        Fate::Create | Fate::Update | Fate::Replace | Fate::Destroy => id.to_string(),
        Fate::GoesWith(other) => format!("{id} (goes with {other})"),
        Fate::Restored(other) => format!("{id} (lost with {other}, made again)"),
    }
}

/// Tells whether an object says something that its resource's reader looks for.
fn is_telling(id: &ResourceId) -> bool {
    match id {
        ResourceId::Netns(_) | ResourceId::Link(..) | ResourceId::Address(..) | ResourceId::Route(..) => true,
        ResourceId::Sysctl(..) | ResourceId::Passage(..) | ResourceId::Qdisc(..) => true,
        ResourceId::Neighbour(..) => true,
        ResourceId::NftElement(_, set, _) => set.starts_with("external_to"),
        ResourceId::NftTable(_) | ResourceId::File(_) => false,
    }
}

/// The fields that users know a link by.
#[rustfmt::skip]
const KNOWN: [&str; 17] = [
    "interface", "kind", "datapath", "device", "parent", "vlan", "trunks", "mode", "flag", "peer", "mtu", "master", "hairpin",
    "isolated", "stp", "vlan_filtering",
    "prevent_destroy",
];

/// Returns an object that comes or goes as lines; a link with the fields that users know it by.
fn words(sign: Sign, entry: &Entry) -> Vec<Line> {
    let id = entry.resource.id();
    let line = |name: &str, value: &str| Line { sign, depth: 1, text: format!("{name}: {value}") };
    if entry.resource.link().is_none() {
        return vec![line(&name(&id), &brief(&entry.resource))];
    }
    let fields = entry.resource.fields();
    let told = fields.iter().filter(|(name, _)| KNOWN.contains(name));
    told.map(|(name, value)| line(name, value)).collect()
}

fn kind(id: &ResourceId) -> &'static str {
    match id {
        ResourceId::Netns(_) => "namespace",
        ResourceId::Link(..) => "link",
        ResourceId::Address(..) => "address object",
        ResourceId::Route(..) => "route",
        ResourceId::Neighbour(..) => "neighbour",
        ResourceId::Sysctl(..) => "kernel parameter",
        ResourceId::NftTable(_) => "nft table",
        ResourceId::NftElement(..) => "nft element",
        ResourceId::Passage(..) => "rule of Docker's chain",
        ResourceId::Qdisc(..) => "limit",
        ResourceId::File(_) => "file",
    }
}

fn field_lines(field: &Field, change: &Change, look: &Look) -> Vec<Line> {
    let Field { name, object, last_applied: _, live, desired, cause, origin } = field;
    let tag = if change.causes.len() > 1 { format!("  [{}]", cause_word(*cause)) } else { String::new() };
    let origin = origin.as_ref().filter(|_| *origin != change.origin);
    let place = origin.map_or(String::new(), |origin| format!("  {origin}"));
    let sign = match (live, desired) {
        (None, _) => Sign::Add,
        (Some(_), None) => Sign::Remove,
        (Some(_), Some(_)) => Sign::Change,
    };
    if let ResourceId::File(path) = object {
        let text = format!("file {}", path.display());
        if let (true, Some(live), Some(desired)) = (name == MODE.0, live, desired) {
            return vec![Line { sign, depth: 1, text: format!("{text} {name}: {live} -> {desired}{tag}") }];
        }
        return file_lines(Line { sign, depth: 1, text }, live.as_deref(), desired.as_deref(), look);
    }
    let value = match (live, desired) {
        (Some(live), Some(desired)) => format!("{live} -> {desired}"),
        (Some(only), None) | (None, Some(only)) => only.clone(),
        (None, None) => return vec![],
    };
    vec![Line { sign, depth: 1, text: format!("{name}: {value}{tag}{place}") }]
}

fn file_lines(mut head: Line, live: Option<&str>, desired: Option<&str>, look: &Look) -> Vec<Line> {
    let (before, after) = (live.unwrap_or_default(), desired.unwrap_or_default());
    if let Some(names) = files::changed_names(before, after) {
        head.text = format!("{}: names {names}", head.text);
    }
    let changed = files::changed_lines(before, after);
    let shown = match (look.detail, look.operations) {
        (Detail::Summary | Detail::Changed, Operations::Hidden) => files::SHOWN,
        (Detail::Full, _) | (_, Operations::Shown) => changed.len(),
    };
    let hidden = changed.len().saturating_sub(shown);
    let mut lines = vec![head];
    lines.extend(changed.into_iter().take(shown).map(|(sign, text)| {
        let sign = if sign == '+' { Sign::Add } else { Sign::Remove };
        Line { sign, depth: 2, text }
    }));
    if hidden > 0 {
        lines.push(Line {
            sign: Sign::Note,
            depth: 2,
            text: format!("({hidden} more changed lines not shown)"),
        });
    }
    lines
}

/// Returns what a plan for a part is about; `None` when it is about everything.
pub(super) fn part(plan: &Plan) -> Option<String> {
    let Part { targets, excludes, chosen, left_out } = plan.extra.part.as_ref()?;
    let mut text = "this plan is partial:".to_owned();
    if !targets.is_empty() {
        text.push_str(&format!(" only {}", listed(targets.iter())));
        let along = chosen.difference(targets);
        if along.clone().next().is_some() {
            text.push_str(&format!(", with what that needs: {}", listed(along)));
        }
    }
    if !excludes.is_empty() {
        let and = if targets.is_empty() { "" } else { ";" };
        text.push_str(&format!("{and} without {}", listed(excludes.iter())));
        let dragged = left_out.difference(excludes).filter(|_| targets.is_empty());
        if dragged.clone().next().is_some() {
            text.push_str(&format!(", and what cannot be without that: {}", listed(dragged)));
        }
    }
    let count = left_out.len();
    let left = if count == 1 { "1 resource is".to_owned() } else { format!("{count} resources are") };
    Some(format!("{text}. {left} left as they are, whatever the manifest says."))
}

/// Returns addresses as a sentence has them, not too many.
fn listed<'a>(owners: impl Iterator<Item = &'a Owner>) -> String {
    let owners: Vec<String> = owners.map(ToString::to_string).collect();
    let shown: Vec<&str> = owners.iter().take(8).map(String::as_str).collect();
    let more = owners.len() - shown.len();
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{more}", shown.join(", "))
}

/// Returns the line of a plan that does nothing.
pub(super) fn no_changes(plan: &Plan, source: &str) -> [String; 2] {
    let source = if source.is_empty() { "the manifest" } else { source };
    match plan.extra.part {
        None => ["No changes.".to_owned(), format!("The live state matches {source}")],
        Some(_) => ["No changes.".to_owned(), format!("What was asked for matches {source}")],
    }
}

/// Returns the last line.
pub(super) fn summary(plan: &Plan) -> String {
    let Counts { add, change, destroy, replace } = plan.counts();
    let replace = match replace {
        0 => String::new(),
        1 => " (1 is a replacement)".to_owned(),
        more => format!(" ({more} are replacements)"),
    };
    let repairs = plan.changes.iter().filter(|change| change.causes.contains(&Cause::Drift)).count();
    let repairs = match repairs {
        0 => String::new(),
        1 => " 1 repairs drift.".to_owned(),
        more => format!(" {more} repair drift."),
    };
    format!(
        "Plan: {add} to add, {change} to change, {destroy} to destroy{replace}.{repairs} {} unchanged.",
        plan.unchanged
    )
}
