//! Tables, chains, rules, sets and elements of the firewall.

use super::ruleset::{Chain, Element, Set, Table};
use super::{Finding, Kind, Scene, Whose, sentence};
use crate::names::ProjectName;
use crate::resource::owner::Owner;

/// The words with which an object of the firewall begins, as `nft` takes it.
const OBJECTS: [&str; 6] = ["table", "chain", "rule", "set", "map", "element"];

/// What `nft` does with objects, and may stand before one.
const VERBS: [&str; 5] = ["nft", "list", "add", "get", "delete"];

const FAMILIES: [&str; 6] = ["ip", "ip6", "inet", "arp", "bridge", "netdev"];

/// How chains of iptables are named that somebody made, and whose they are.
const CHAINS: [(&str, &str); 14] = [
    ("DOCKER", "Docker"),
    ("NETAVARK", "Podman"),
    ("LIBVIRT", "libvirt"),
    ("KUBE-", "kube-proxy"),
    ("CNI-", "CNI"),
    ("FLANNEL-", "flannel"),
    ("CILIUM_", "Cilium"),
    ("cali-", "Calico"),
    ("ufw-", "ufw"),
    ("ufw6-", "ufw"),
    ("f2b-", "fail2ban"),
    ("ts-", "Tailscale"),
    ("WEAVE", "Weave Net"),
    ("LXC", "LXC"),
];

/// Names of tables, and whose they are.
const TABLES: [(&str, &str); 8] = [
    ("docker-bridges", "Docker"),
    ("netavark", "Podman"),
    ("firewalld", "firewalld"),
    ("libvirt_network", "libvirt"),
    ("kube-proxy", "kube-proxy"),
    ("f2b-table", "fail2ban"),
    ("lxd", "LXD"),
    ("incus", "Incus"),
];

/// What the sets and maps of netform's tables are for, by their names without the family.
const SETS: [(&str, &str); 45] = [
    ("bridges", "the bridges of its networks"),
    ("internal", "the bridges of networks that nothing leaves or comes to"),
    ("open", "the bridges of networks that everybody may reach"),
    ("same_network", "bridges on which containers may talk to each other"),
    ("no_icc", "bridges on which containers may not talk to each other"),
    ("link", "what linked containers may all the same"),
    ("masquerade", "sources that are hidden behind the host's address on the way out"),
    ("snat", "sources that are hidden behind a given address on the way out"),
    ("hairpin", "subnets with their own bridges"),
    ("direct", "neighbours whom a container on several networks would answer directly"),
    ("any_addr", "to which container a port of every address of the host leads"),
    ("any_port", "to which of a container's ports a port of every address of the host leads"),
    ("any_range", "to which container a range of ports of every address of the host leads"),
    ("host_addr", "to which container a port of one address of the host leads"),
    ("host_port", "to which of a container's ports a port of one address of the host leads"),
    ("host_range", "to which container a range of ports of one address of the host leads"),
    ("target", "where published ports lead"),
    ("target_range", "where published ranges of ports lead"),
    ("guard_any", "published ports that only some sources may use"),
    ("guard_host", "published ports of one address of the host that only some sources may use"),
    ("allow_any", "the sources that may use these"),
    ("ports", "the host's ends of containers that may not talk to each other"),
    ("isolating", "bridges on which containers are isolated"),
    ("isolated", "the host's ends of containers that are isolated"),
    ("around", "what isolated containers do not reach by way of the host"),
    ("inside", "the subnets of its networks, whose addresses nobody outside has"),
    ("allow_flow", "from whom to whom and on which ports policies allow connections"),
    ("deny_flow", "from whom to whom and on which ports policies deny connections"),
    ("allow_pair", "from whom to whom policies allow everything else"),
    ("deny_pair", "from whom to whom policies deny everything else"),
    ("allow_to_host", "from whom and on which ports policies allow connections to the host"),
    ("deny_to_host", "from whom and on which ports policies deny connections to the host"),
    ("deny_all_to_host", "from whom policies deny everything else to the host"),
    ("allow_from_host", "to whom and on which ports policies allow connections of the host"),
    ("deny_from_host", "to whom and on which ports policies deny connections of the host"),
    ("deny_all_from_host", "to whom policies deny everything else of the host"),
    ("untagged", "the host's ends of containers in a VLAN, which send nothing with a tag"),
    ("trunked", "the host's ends of containers that send VLANs with their tags"),
    ("guarded", "the host's ends of containers that send with their own addresses only"),
    ("only_ip", "the host's ends of containers that send nothing but IP and ARP to each other"),
    ("held", "the addresses that may come from these"),
    ("near_allow_flow", "between which neighbours and on which ports policies allow connections"),
    ("near_deny_flow", "between which neighbours and on which ports policies deny connections"),
    ("near_allow_pair", "between which neighbours policies allow everything else"),
    ("near_deny_pair", "between which neighbours policies deny everything else"),
];

/// Tells whether words begin as an object of the firewall does.
pub(super) fn begins(words: &[String]) -> bool {
    let mut words = words.iter().map(String::as_str);
    words.next().is_some_and(|word| VERBS.contains(&word) || OBJECTS.contains(&word))
}

/// Tells whether a thing can only be an object of the firewall.
pub(super) fn is_of_it(thing: &str) -> bool {
    thing.contains(' ')
}

/// Returns the project of netform's whose firewall a table is.
pub(super) fn project(table: &Table) -> Option<ProjectName> {
    let ours = matches!(table.family.as_str(), "inet" | "bridge");
    ProjectName::try_from(table.name.strip_prefix("netform-").filter(|_| ours)?).ok()
}

/// Returns whose a table of others, or a chain in it, is by its name.
pub(super) fn maker(table: &Table, chain: Option<&str>) -> Option<&'static str> {
    let by_chain = |chain: &str| CHAINS.iter().find(|(prefix, _)| chain.starts_with(prefix));
    let by_table = TABLES.iter().find(|(name, _)| *name == table.name);
    chain.and_then(by_chain).or(by_table).map(|(_, maker)| *maker)
}

/// Returns all rules.
pub(super) fn rules(scene: &Scene) -> impl Iterator<Item = (&Table, &Chain, &(u64, String))> {
    let chains = scene.tables.iter().flat_map(|table| table.chains.iter().map(move |chain| (table, chain)));
    chains.flat_map(|(table, chain)| chain.rules.iter().map(move |rule| (table, chain, rule)))
}

/// What of the firewall is meant.
#[derive(Default)]
struct Meant<'t> {
    object: Option<&'t str>,
    /// Family and name of the table.
    table: Option<(&'t str, &'t str)>,
    /// What comes then.
    rest: Vec<&'t str>,
    /// The handle, and what stands before it.
    rule: Option<(u64, String)>,
}

fn meant(thing: &str) -> Meant<'_> {
    let (line, handle) = match thing.rsplit_once("handle ") {
        Some((line, handle)) => {
            (line.trim_end().trim_end_matches('#').trim_end(), handle.trim().parse().ok())
        }
        None => (thing, None),
    };
    let mut words: Vec<&str> = line.split_whitespace().filter(|word| !matches!(*word, "{" | "}")).collect();
    while words.len() > 1 && words.first().is_some_and(|word| VERBS.contains(word)) {
        words.remove(0);
    }
    let text = words.join(" ");
    let object = words.first().copied().filter(|word| OBJECTS.contains(word) && words.len() > 1);
    if object.is_some() {
        words.remove(0);
    }
    let table = match (object, words.as_slice()) {
        (Some(_), [family, name, ..]) if FAMILIES.contains(family) => Some((*family, *name)),
        // `nft` takes no family for IPv4's, but whoever asks may not know.
        (Some(_), _) | (None, _) => None,
    };
    let rest = words.into_iter().skip(if table.is_some() { 2 } else { 0 }).collect();
    // What is not said to be an object is the text of a rule.
    let rule = handle.map(|handle| (handle, if object.is_some() { String::new() } else { text }));
    Meant { object, table, rest, rule }
}

/// Returns the objects of the firewall that a thing may be.
pub(super) fn find(thing: &str, scene: &Scene) -> Vec<Finding> {
    let Meant { object, table, rest, rule } = meant(thing);
    let here = |it: &&Table| table.is_none_or(|(family, name)| it.family == family && it.name == name);
    let tables: Vec<&Table> = scene.tables.iter().filter(here).collect();
    if let Some((handle, text)) = rule {
        return by_handle((handle, &text), (&tables, rest.first().copied()), scene);
    }
    let is = |kind: &str| object.is_none_or(|object| object == kind);
    let mut found = vec![];
    for it in tables {
        let named = |name: &str| matches!(rest.as_slice(), [one] if *one == name);
        if (is("table") && (table.is_some() || named(&it.name))) && (object.is_some() || named(&it.name)) {
            found.push(finding_of_table(it, scene));
        }
        let chains = it.chains.iter().filter(|chain| is("chain") && named(&chain.name));
        found.extend(chains.map(|chain| finding_of_chain(it, chain, scene)));
        let sets = it.sets.iter().filter(|set| (is("set") || is("map")) && named(&set.name));
        found.extend(sets.map(|set| finding_of_set(it, set, scene)));
        if let (true, [set, key @ ..]) = (is("element"), rest.as_slice())
            && !key.is_empty()
        {
            let key = key.join(" ").replace('"', "");
            let key = key.split(" : ").next().unwrap_or_default().trim().to_owned();
            let sets = it.sets.iter().filter(|other| other.name == *set);
            let elements = sets.flat_map(|set| set.elements.iter().map(move |element| (set, element)));
            found.extend(
                elements
                    .filter(|(_, element)| element.key == key)
                    .map(|at| finding_of_element(it, at, scene)),
            );
        }
    }
    found
}

/// Returns the rules of a handle; those of the very text alone when there is one.
fn by_handle(
    (handle, text): (u64, &str),
    (tables, chain): (&[&Table], Option<&str>),
    scene: &Scene,
) -> Vec<Finding> {
    let all: Vec<_> = rules(scene)
        .filter(|(table, _, rule)| rule.0 == handle && tables.contains(table))
        .filter(|(_, of, _)| !text.is_empty() || chain.is_none_or(|chain| of.name == chain))
        .collect();
    let is_very = |rule: &str| !text.is_empty() && without_counts(rule) == without_counts(text);
    let very = all.iter().any(|(_, _, rule)| is_very(&rule.1));
    let meant = all.into_iter().filter(|(_, _, rule)| !very || is_very(&rule.1));
    meant.map(|(table, chain, rule)| finding_of_rule(table, chain, (rule.0, &rule.1), scene)).collect()
}

/// Returns a rule without what it has counted, which changes while one looks.
fn without_counts(rule: &str) -> String {
    let mut words = rule.split_whitespace();
    let mut kept = vec![];
    while let Some(word) = words.next() {
        kept.push(word);
        if matches!(word, "packets" | "bytes") {
            words.next();
        }
    }
    kept.join(" ")
}

/// Returns what a table is, in words, with whose it is.
fn table_in_words(table: &Table) -> (String, Whose) {
    let Table { family, name, .. } = table;
    if let Some(project) = project(table) {
        let layer = if family == "bridge" { " between ports of bridges" } else { "" };
        let words = format!("the firewall{layer} of netform's project {project}");
        return (words, Whose::of_project(&project, &Owner::Project));
    }
    let iptables = matches!(family.as_str(), "ip" | "ip6")
        && matches!(name.as_str(), "filter" | "nat" | "mangle" | "raw" | "security");
    let words = match maker(table, None) {
        Some(maker) => format!("by its name a table of {maker}"),
        None if iptables => {
            format!("what `{}tables -t {name}` shows", if family == "ip" { "ip" } else { "ip6" })
        }
        None => "a table that is not netform's".to_owned(),
    };
    (words, Whose { owner: maker(table, None).map(str::to_owned), ..Whose::default() })
}

fn finding_of_table(table: &Table, scene: &Scene) -> Finding {
    let (words, whose) = table_in_words(table);
    let mut makers: Vec<_> =
        table.chains.iter().filter_map(|chain| maker(table, Some(&chain.name))).collect();
    makers.sort_unstable();
    makers.dedup();
    let makers = Some(makers).filter(|all| !all.is_empty() && whose.owner.is_none());
    let rules: usize = table.chains.iter().map(|chain| chain.rules.len()).sum();
    let elements: usize = table.sets.iter().map(|set| set.elements.len()).sum();
    let name = format!("{} {}", table.family, table.name);
    let counts = format!("it has {} and {}", count(rules, "rule"), count(elements, "element"));
    let text = sentence(
        &format!("nft table {name} is {words}"),
        [
            makers.map(|makers| format!("in it are chains of {}", makers.join(", "))),
            Some(counts),
            scene.asked_at(&whose),
        ],
    );
    Finding::new(Kind::NftTable, name, text).of(&whose, scene)
}

fn count(number: usize, of: &str) -> String {
    format!("{number} {of}{}", if number == 1 { "" } else { "s" })
}

/// Returns the table that something is in, as a sentence goes on after "of".
fn in_table(table: &Table) -> String {
    format!("nft table {} {}, {}", table.family, table.name, table_in_words(table).0)
}

fn finding_of_chain(table: &Table, chain: &Chain, scene: &Scene) -> Finding {
    let (_, whose) = table_in_words(table);
    let maker = maker(table, Some(&chain.name)).filter(|_| whose.owner.is_none());
    let text = sentence(
        &format!("{} is a chain of {}", chain.name, in_table(table)),
        [
            maker.map(|maker| format!("by its name it is made by {maker}")),
            chain.hook.as_ref().map(|hook| format!("packets come to it by `{}`", hook.trim_end_matches(';'))),
            Some(format!("it has {}", count(chain.rules.len(), "rule"))),
        ],
    );
    let found = Finding::new(Kind::NftChain, chain.name.clone(), text).of(&whose, scene);
    Finding { owner: whose.owner.or_else(|| maker.map(str::to_owned)), ..found }
}

fn finding_of_rule(table: &Table, chain: &Chain, (handle, rule): (u64, &str), scene: &Scene) -> Finding {
    let (_, whose) = table_in_words(table);
    let maker = maker(table, Some(&chain.name)).filter(|_| whose.owner.is_none());
    let of = maker.map(|maker| format!(" (by its name made by {maker})")).unwrap_or_default();
    let constant = whose.project.is_some().then(|| "it is the same for all containers and ports".to_owned());
    let text = sentence(
        &format!("rule {handle} is a rule of chain {}{of} of {}", chain.name, in_table(table)),
        [Some(format!("`{rule}`")), constant],
    );
    let found = Finding::new(Kind::NftRule, format!("handle {handle}"), text).of(&whose, scene);
    Finding { owner: whose.owner.or_else(|| maker.map(str::to_owned)), ..found }
}

/// Returns what a set of netform's is for.
fn purpose(table: &Table, set: &Set) -> Option<&'static str> {
    project(table)?;
    let name = set.name.trim_end_matches(['4', '6']);
    let name = if name == "allow_host" { "allow_any" } else { name };
    SETS.iter().find(|(other, _)| *other == name).map(|(_, purpose)| *purpose)
}

fn finding_of_set(table: &Table, set: &Set, scene: &Scene) -> Finding {
    let (_, whose) = table_in_words(table);
    let kind = if set.is_map { "map" } else { "set" };
    let text = sentence(
        &format!("{} is a {kind} of {}", set.name, in_table(table)),
        [
            purpose(table, set).map(|purpose| format!("it says {purpose}")),
            Some(format!("it has {}", count(set.elements.len(), "element"))),
        ],
    );
    Finding::new(Kind::NftSet, set.name.clone(), text).of(&whose, scene)
}

fn finding_of_element(table: &Table, (set, element): (&Set, &Element), scene: &Scene) -> Finding {
    let Element { key, data, comment } = element;
    let owner = comment.as_ref().and_then(|comment| Owner::try_from(comment.as_str()).ok());
    let whose = match (project(table), &owner) {
        (Some(project), Some(owner)) => Whose::of_project(&project, owner),
        (_, _) => table_in_words(table).1,
    };
    let kind = if set.is_map { "map" } else { "set" };
    let text = sentence(
        &format!("{key} is an element of {kind} {} of {}", set.name, in_table(table)),
        [
            purpose(table, set).map(|purpose| format!("the {kind} says {purpose}")),
            data.as_ref().map(|data| format!("it leads to {data}")),
            owner.filter(|_| whose.project.is_some()).map(|owner| format!("it is there for {owner}")),
            scene.asked_at(&whose),
        ],
    );
    Finding::new(Kind::NftElement, format!("{} {key}", set.name), text).of(&whose, scene)
}
