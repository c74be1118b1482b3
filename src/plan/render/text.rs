//! A plan for people, in Terraform's grammar.

use std::collections::HashMap;
use std::fmt::Write as _;

use similar::{ChangeTag, TextDiff};

use super::{Colour, Detail, Style, causes, done, interruption, sign, summary};
use crate::kernel::Op;
use crate::plan::{Action, Change, Drift, Fate, Field, Moved, Plan, Winner, equivalent};
use crate::resource::file::TextFile;
use crate::resource::link::LinkKind;
use crate::resource::owner::Owner;
use crate::resource::state::Entry;
use crate::resource::{Resource, ResourceId};

/// How many changed lines of a file are shown unless operations are, too.
const FILE_LINES: usize = 12;

/// Returns a plan as text; the last line says how many resources change.
pub fn text(plan: &Plan, style: Style) -> String {
    let mut page = Page { text: String::new(), style };
    page.warnings(plan);
    page.drift(plan);
    if plan.is_empty() {
        let objects = plan.objects;
        page.line("", &format!("No changes. The live state matches the manifest ({objects} kernel objects)."));
        return page.text;
    }
    let entries = by_id(plan);
    for change in &plan.changes {
        page.change(change, &entries);
    }
    page.operations(plan);
    page.goes(plan);
    page.line("", &summary(plan));
    page.text
}

/// What an operation finds and leaves.
#[derive(Default, Clone, Copy)]
struct Sides<'a> {
    before: Option<&'a Entry>,
    after: Option<&'a Entry>,
}

fn by_id(plan: &Plan) -> HashMap<ResourceId, Sides<'_>> {
    let mut entries = HashMap::<_, Sides<'_>>::new();
    for entry in &plan.lost {
        entries.entry(entry.resource.id()).or_default().before = Some(entry);
    }
    for op in plan.waves.iter().flatten() {
        let sides = entries.entry(op.id()).or_default();
        match op {
            Op::Create(entry) => sides.after = Some(entry),
            Op::Update { from, to } => *sides = Sides { before: Some(from), after: Some(to) },
            Op::Delete(entry) => sides.before = Some(entry),
        }
    }
    entries
}

struct Page {
    text: String,
    style: Style,
}

impl Page {
    /// Writes a line, in the colour of the sign that it begins with.
    fn line(&mut self, sign: &str, line: &str) {
        let colour = match (self.style.colour, sign) {
            (Colour::None, _) => "",
            (Colour::Ansi, "+") => "\x1b[32m",
            (Colour::Ansi, "-") => "\x1b[31m",
            (Colour::Ansi, "~" | "-/+" | "!") => "\x1b[33m",
            (Colour::Ansi, "?" | "#") => "\x1b[2m",
            (Colour::Ansi, _) => "",
        };
        let end = if colour.is_empty() { "" } else { "\x1b[0m" };
        let _ = writeln!(self.text, "{colour}{}{end}", line.trim_end());
    }

    fn blank(&mut self) {
        self.text.push('\n');
    }

    fn warnings(&mut self, plan: &Plan) {
        for warning in &plan.extra.warnings {
            self.line("!", &format!("warning: {warning}"));
        }
        for (container, origin) in &plan.extra.waiting {
            let at = origin.as_ref().map_or_else(String::new, |origin| format!("  {}:{}", origin.file, origin.line));
            self.line("!", &format!("waiting: container {container} has no namespace yet{at}"));
        }
        if !(plan.extra.warnings.is_empty() && plan.extra.waiting.is_empty()) {
            self.blank();
        }
    }

    fn drift(&mut self, plan: &Plan) {
        if plan.drift.is_empty() && plan.foreign.is_empty() {
            return;
        }
        self.line("", "Drift since the last apply");
        for Drift { owner, object, moved, winner } in &plan.drift {
            let wins = match winner {
                Winner::Manifest => "will be set back",
                Winner::Ignored => "ignored, left alone",
                Winner::Agreed => "as the manifest says now",
                Winner::Removed => "no longer declared, goes",
            };
            match moved {
                Moved::Changed { field, last_applied, live } => {
                    let value = format!("{field} {} -> {}", short(last_applied.as_deref()), short(live.as_deref()));
                    self.line("~", &format!("  ~ {owner}  {object}: {value}  changed live, {wins}"));
                }
                Moved::Deleted => {
                    let wins = if *winner == Winner::Manifest { "will be made again" } else { wins };
                    self.line("-", &format!("  - {owner}  {object}  deleted live, {wins}"));
                }
            }
        }
        for note in &plan.foreign {
            let by = note.by.as_ref().map_or_else(String::new, |by| format!(" of {by}"));
            self.line("?", &format!("  ? {}  {}{by}  not ours, left alone", note.owner, note.what));
        }
        self.blank();
    }

    fn change(&mut self, change: &Change, entries: &HashMap<ResourceId, Sides<'_>>) {
        let (sign, done) = (sign(change.action), done(change.action));
        let reason = change.reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
        let reason = if change.action == Action::Destroy && change.origin.is_none() && reason.is_empty() {
            " (not in the manifest)".to_owned()
        } else {
            reason
        };
        let head = format!("  # {} {done}{reason}  {}  {}", change.owner, causes(change), interruption(change));
        self.line("#", &head);
        let at = change.origin.as_ref().map_or_else(String::new, |origin| format!("  {}:{}", origin.file, origin.line));
        self.line(sign, &format!("{sign:>3} {}{at}", title(&change.owner)));
        match change.action {
            Action::Create | Action::Destroy => self.objects(change, entries),
            Action::Update | Action::Replace => self.fields(change, entries),
        }
        self.blank();
    }

    /// Lists what a resource is made of.
    fn objects(&mut self, change: &Change, entries: &HashMap<ResourceId, Sides<'_>>) {
        let sign = sign(change.action);
        let mut elements = 0;
        for object in &change.objects {
            let Some(sides) = entries.get(&object.id) else { continue };
            let Some(entry) = sides.after.or(sides.before) else { continue };
            let with = match &object.fate {
                Fate::GoesWith(other) => format!("  (goes with {other})"),
                Fate::Create | Fate::Update | Fate::Replace | Fate::Destroy | Fate::Restored(_) => String::new(),
            };
            match described(&entry.resource) {
                Some(line) => self.line(sign, &format!("      {sign} {line}{with}")),
                None if self.style.detail == Detail::Operations => {
                    self.line(sign, &format!("      {sign} {}{with}", object.id));
                }
                None => elements += 1,
            }
        }
        if elements > 0 {
            let noun = if elements == 1 { "element" } else { "elements" };
            self.line("", &format!("      # ({elements} firewall {noun})"));
        }
    }

    /// Lists what is different of a resource.
    fn fields(&mut self, change: &Change, entries: &HashMap<ResourceId, Sides<'_>>) {
        for field in &change.fields {
            match &field.object {
                ResourceId::File(_) => self.file(entries.get(&field.object).copied().unwrap_or_default()),
                ResourceId::Netns(_)
                | ResourceId::Link(..)
                | ResourceId::Address(..)
                | ResourceId::Route(..)
                | ResourceId::Sysctl(..)
                | ResourceId::NftTable(_)
                | ResourceId::NftElement(..) => self.field(field),
            }
        }
        let restored = change.objects.iter().filter(|object| matches!(object.fate, Fate::Restored(_))).count();
        if restored > 0 {
            self.line("", &format!("      # ({restored} kernel objects that stand on it are made again)"));
        }
    }

    fn field(&mut self, field: &Field) {
        let Field { name, live, desired, origin, .. } = field;
        let at = origin.as_ref().map_or_else(String::new, |origin| format!("  {}:{}", origin.file, origin.line));
        let (sign, value) = match (live, desired) {
            (None, desired) => ("+", short(desired.as_deref())),
            (live, None) => ("-", short(live.as_deref())),
            (live, desired) => ("~", format!("{} -> {}", short(live.as_deref()), short(desired.as_deref()))),
        };
        self.line(sign, &format!("      {sign} {name}: {value}{at}"));
    }

    /// Shows a file's lines that differ.
    fn file(&mut self, sides: Sides<'_>) {
        let content = |entry: Option<&Entry>| match entry.map(|entry| &entry.resource) {
            Some(Resource::File(TextFile { content, .. })) => content.clone(),
            Some(_) | None => String::new(),
        };
        let (before, after) = (content(sides.before), content(sides.after));
        let diff = TextDiff::from_lines(&before, &after);
        let changed = diff.iter_all_changes().filter(|change| change.tag() != ChangeTag::Equal);
        let lines: Vec<_> = changed.map(|change| (change.tag(), change.value().trim_end().to_owned())).collect();
        let shown = if self.style.detail == Detail::Operations { lines.len() } else { FILE_LINES };
        let path = sides.after.or(sides.before).map_or_else(String::new, |entry| entry.resource.id().to_string());
        self.line("~", &format!("      ~ {path}"));
        for (tag, line) in lines.iter().take(shown) {
            let sign = if *tag == ChangeTag::Insert { "+" } else { "-" };
            self.line(sign, &format!("          {sign} {line}"));
        }
        if lines.len() > shown {
            self.line("", &format!("          # ({} more lines differ)", lines.len() - shown));
        }
    }

    fn operations(&mut self, plan: &Plan) {
        if self.style.detail == Detail::Changes {
            return;
        }
        self.line("", "Kernel operations, in this order (waves are separated by blank lines)");
        for wave in &plan.waves {
            for command in wave.iter().flat_map(equivalent) {
                self.line("", &format!("  {command}"));
            }
            self.blank();
        }
    }

    /// Repeats what goes, where nobody overlooks it.
    fn goes(&mut self, plan: &Plan) {
        let goes = |change: &&Change| matches!(change.action, Action::Destroy | Action::Replace);
        let mut going = plan.changes.iter().filter(goes).peekable();
        if going.peek().is_none() {
            return;
        }
        self.line("", "Destroys and replacements");
        for change in going {
            let sign = sign(change.action);
            let protected = if change.protected { "  protected by prevent_destroy" } else { "" };
            self.line(sign, &format!("{sign:>5} {}{protected}", change.owner));
        }
        self.blank();
    }
}

/// Returns a resource as a block's head: `network "front"`.
fn title(owner: &Owner) -> String {
    match owner {
        Owner::Project => "project".to_owned(),
        Owner::Network(name) => format!("network \"{name}\""),
        Owner::Container(name) => format!("container \"{name}\""),
        Owner::Attachment { container, network } => format!("attachment \"{container}@{network}\""),
        Owner::Port(port) => format!("port \"{port}\""),
    }
}

/// Returns a kernel object in a line; `None` for those that are only counted.
fn described(resource: &Resource) -> Option<String> {
    match resource {
        Resource::Netns(netns) => Some(format!("netns: {}", netns.name)),
        Resource::Link(link) => Some(match &link.kind {
            LinkKind::Bridge => format!("interface: {} (bridge, mtu {})", link.name, link.mtu),
            LinkKind::Veth(peer) => {
                format!("interface: {} (veth to {} on the host, mac {}, mtu {})", peer.name, link.name, peer.mac, peer.mtu)
            }
            LinkKind::Other(kind) => format!("interface: {} ({kind})", link.name),
        }),
        Resource::Address(address) => Some(format!("address: {}", address.addr)),
        Resource::Route(route) => {
            let via = route.via.map_or_else(String::new, |via| format!(" via {via}"));
            Some(format!("route: {}{via}", if route.dest.prefix_len() == 0 { "default".to_owned() } else { route.dest.to_string() }))
        }
        Resource::Sysctl(sysctl) => Some(format!("sysctl: {} = {}", sysctl.key, sysctl.value)),
        Resource::NftTable(table) => Some(format!("nft table: {} {}", table.id.family.as_str(), table.id.name)),
        Resource::NftElement(_) => None,
        Resource::File(file) => Some(format!("names: {}", file.path.display())),
    }
}

/// Returns a value that fits on a line.
fn short(value: Option<&str>) -> String {
    let value = value.unwrap_or("none");
    let first = value.lines().next().unwrap_or_default();
    if first.len() == value.len() { value.to_owned() } else { format!("{first} ...") }
}
