//! Who is on what: the references of the manifest, bound.

use std::collections::BTreeMap;
use std::ops::Range;

use foldhash::HashMap;
use indexmap::IndexMap;

use super::facts::{Facts, Running};
use super::text::{SHOWN, did_you_mean, list};
use super::{existing, modes};
use crate::manifest::problem::Problem;
use crate::manifest::{self, At, Home, Manifest, Mode, Place};
use crate::names::{ContainerName, NetName, NetnsName};
use crate::resource::netns::{NsRef, Process};
use crate::resource::sysctl::Family;

/// What is meant when the manifest says nothing.
pub(super) struct Silence {
    /// The name of the network that a container joins without naming one (S8); nobody has to declare it.
    pub(super) name: NetName,
    network: manifest::Network,
    attachment: manifest::Attachment,
}

impl Silence {
    /// Returns the defaults.
    pub(super) fn new() -> Self {
        #[expect(clippy::expect_used, reason = "`default` obeys the rule of network names")]
        let name = NetName::try_from("default").expect("`default` is a network name");
        Self { name, network: manifest::Network::default(), attachment: manifest::Attachment::default() }
    }
}

/// The manifest, with every reference bound.
pub(super) struct Scene<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) facts: &'a Facts,
    /// The networks in the order of the manifest, an implicit `default` last.
    pub(super) nets: Vec<Net<'a>>,
    /// The containers in the order of the manifest.
    pub(super) containers: Vec<Party<'a>>,
    /// The attachments, container by container.
    pub(super) members: Vec<Member<'a>>,
}

/// A network.
pub(super) struct Net<'a> {
    pub(super) name: &'a NetName,
    pub(super) place: Place,
    pub(super) spec: &'a manifest::Network,
    /// Whether it is the one without names (S20).
    pub(super) is_default: bool,
    /// Its attachments, by index into [`Scene::members`], in the order of the manifest.
    pub(super) members: Vec<usize>,
}

/// A container.
pub(super) struct Party<'a> {
    pub(super) name: &'a ContainerName,
    pub(super) place: Place,
    pub(super) spec: &'a manifest::Container,
    pub(super) ns: NsRef,
    /// What is known of it, when somebody else runs it.
    pub(super) run: Option<&'a Running>,
    /// Its attachments, by index into [`Scene::members`].
    pub(super) members: Range<usize>,
}

/// A container on a network.
pub(super) struct Member<'a> {
    pub(super) container: &'a ContainerName,
    /// The network, by index into [`Scene::nets`].
    pub(super) net: usize,
    pub(super) place: Place,
    pub(super) spec: &'a manifest::Attachment,
}

impl<'a> Scene<'a> {
    /// Returns the attachments of a network, with their indices.
    pub(super) fn on<'s>(&'s self, net: &'s Net<'a>) -> impl Iterator<Item = (usize, &'s Member<'a>)> {
        net.members.iter().filter_map(|index| self.members.get(*index).map(|member| (*index, member)))
    }

    /// Returns the attachments of a container.
    pub(super) fn of(&self, party: &Party<'_>) -> &[Member<'a>] {
        self.members.get(party.members.clone()).unwrap_or_default()
    }

    /// Returns the network of an attachment.
    pub(super) fn net(&self, member: &Member<'_>) -> Option<&Net<'a>> {
        self.nets.get(member.net)
    }

    /// Tells whether only the host could say what the subnets of a network are, of a family or at all, and was not asked; or
    /// does not say: the bridge of somebody else's is not there, or has no such address.
    pub(super) fn is_unknown(&self, net: &Net<'_>, family: Option<Family>) -> bool {
        if net.spec.external.is_none() {
            return false;
        }
        let is_silent = || self.facts.is_assumed || existing::is_bare(self, net, family);
        net.spec.subnets.is_empty() && is_silent() || existing::waits(self, net)
    }
}

/// Binds every reference of the manifest; those that lead nowhere become problems.
pub(super) fn bind<'a>(
    manifest: &'a Manifest,
    facts: &'a Facts,
    silence: &'a Silence,
    problems: &mut Vec<Problem>,
) -> Scene<'a> {
    let mut scene =
        Scene { manifest, facts, nets: networks(manifest, silence), containers: vec![], members: vec![] };
    let index: HashMap<&NetName, usize> =
        scene.nets.iter().enumerate().map(|(index, net)| (net.name, index)).collect();
    let mut lost: IndexMap<&NetName, Vec<(&ContainerName, Place)>> = IndexMap::new();

    for (name, At { value: spec, place }) in &manifest.containers {
        let first = scene.members.len();
        for (network, place, attachment) in wanted(spec, *place, silence) {
            match index.get(network) {
                Some(net) => {
                    let member = Member { container: name, net: *net, place, spec: attachment };
                    scene.members.push(member);
                }
                None => lost.entry(network).or_default().push((name, place)),
            }
        }
        let members = first..scene.members.len();
        let run = run(name, spec, facts);
        let ns = namespace(manifest, name, spec, facts);
        scene.containers.push(Party { name, place: *place, spec, ns, run, members });
    }
    for (index, member) in scene.members.iter().enumerate() {
        if let Some(net) = scene.nets.get_mut(member.net) {
            net.members.push(index);
        }
    }
    problems.extend(lost.iter().map(|(name, users)| unknown_network(&scene, name, users)));
    modes::check(&scene, problems);
    check_namespaces(&scene, problems);
    check_legacy_links(&scene, problems);
    check_size(&scene, problems);
    scene
}

fn networks<'a>(manifest: &'a Manifest, silence: &'a Silence) -> Vec<Net<'a>> {
    let is_default = |name: &NetName| name == &silence.name;
    let net = |(name, At { value: spec, place }): (&'a NetName, &'a At<manifest::Network>)| Net {
        name,
        place: *place,
        spec,
        is_default: is_default(name),
        members: vec![],
    };
    let mut nets: Vec<_> = manifest.networks.iter().map(net).collect();
    let asked = manifest.containers.values().find_map(|at| {
        let mut networks = wanted(&at.value, at.place, silence).into_iter();
        networks.find_map(|(name, place, _)| is_default(name).then_some(place))
    });
    if let (Some(place), false) = (asked, manifest.networks.contains_key(&silence.name)) {
        nets.push(Net {
            name: &silence.name,
            place,
            spec: &silence.network,
            is_default: true,
            members: vec![],
        });
    }
    nets
}

/// Returns the networks that a container wants to be on, in order.
fn wanted<'a>(
    spec: &'a manifest::Container,
    place: Place,
    silence: &'a Silence,
) -> Vec<(&'a NetName, Place, &'a manifest::Attachment)> {
    match (&spec.networks, &spec.mode) {
        (_, Some(_)) => vec![],
        (None, None) => vec![(&silence.name, place, &silence.attachment)],
        (Some(networks), None) => networks.iter().map(|(name, at)| (name, at.place, &at.value)).collect(),
    }
}

/// Returns what is known of a container that somebody else runs. A process that has ended is still known, so that another
/// one of its number is not taken for it.
fn run<'a>(name: &ContainerName, spec: &manifest::Container, facts: &'a Facts) -> Option<&'a Running> {
    let home = &spec.home.as_ref()?.value;
    let ended = || match home {
        Home::Process(_) => facts.leases.runs.get(name).filter(|run| run.home == home.to_string()),
        Home::Netns(_) | Home::Docker(_) | Home::Podman(_) => None,
    };
    facts.runs.get(name).or_else(ended)
}

/// Returns the namespace of a container.
fn namespace(manifest: &Manifest, name: &ContainerName, spec: &manifest::Container, facts: &Facts) -> NsRef {
    let own = |name: &ContainerName, spec: &manifest::Container| match spec.home.as_ref().map(|at| &at.value)
    {
        Some(Home::Netns(ns)) => ns.clone(),
        Some(Home::Docker(_) | Home::Podman(_) | Home::Process(_)) => {
            NsRef::Process(run(name, spec, facts).map_or(Process::NOBODY, |run| run.process))
        }
        None => NsRef::Named(NetnsName::from(name)),
    };
    match spec.mode.as_ref().map(|at| &at.value) {
        Some(Mode::Host) => NsRef::Host,
        Some(Mode::Container(owner)) => match manifest.containers.get(owner) {
            Some(at) => own(owner, &at.value),
            None => own(name, spec),
        },
        Some(Mode::None) | None => own(name, spec),
    }
}

fn unknown_network(scene: &Scene<'_>, name: &NetName, users: &[(&ContainerName, Place)]) -> Problem {
    let Facts { interfaces, live, leases, .. } = scene.facts;
    let was_there =
        interfaces.contains_key(name) || live.subnets.contains_key(name) || leases.subnets.contains_key(name);
    let names: Vec<_> = users.iter().take(SHOWN).map(|(name, _)| *name).collect();
    let more = users.len().saturating_sub(SHOWN);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let who = list(&names);
    let verb = if users.len() == 1 { "uses" } else { "use" };
    let labels = users.iter().take(SHOWN).map(|(user, place)| {
        let word = if was_there { "still on" } else { "wants to be on" };
        (*place, format!("`{user}` {word} `{name}`"))
    });
    let candidates = scene.nets.iter().map(|net| net.name.as_str());
    if was_there {
        Problem {
            message: format!("network `{name}` is no longer declared, but {who}{more} still {verb} it"),
            code: "topology::network_in_use",
            labels: labels.collect(),
            help: Some(format!("take {who}{more} off `{name}`, or declare `{name}` again under `networks`")),
        }
    } else {
        let declare = || format!("declare `{name}` under `networks`");
        Problem {
            message: format!("network `{name}` is not declared"),
            code: "topology::unknown_network",
            labels: labels.collect(),
            help: Some(did_you_mean(name.as_str(), candidates, declare)),
        }
    }
}

/// Returns a namespace by its name where a path says that: `ip-netns(8)`.
fn by_name(ns: &NsRef) -> NsRef {
    let name = match ns {
        NsRef::Path(path) => {
            ["/run/netns", "/var/run/netns"].iter().find_map(|dir| path.strip_prefix(dir).ok())
        }
        NsRef::Named(_) | NsRef::Process(_) | NsRef::Host => None,
    };
    let name = name.and_then(|name| NetnsName::try_from(name.to_str()?).ok());
    name.map_or_else(|| ns.clone(), NsRef::Named)
}

fn check_namespaces(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    let mut held: HashMap<NsRef, &Party<'_>> = HashMap::default();
    let place = |party: &Party<'_>| party.spec.home.as_ref().map_or(party.place, |at| at.place);
    for party in scene.containers.iter().filter(|party| modes::has_its_own(party)) {
        if scene.facts.wrong_namespaces.contains(&party.ns) {
            problems.push(Problem {
                message: format!("`{}` lives in `{}`, which is no network namespace", party.name, party.ns),
                code: "topology::wrong_namespace",
                labels: vec![(place(party), "no namespace of networks".to_owned())],
                help: Some("name that of networks, e.g. `/proc/PID/ns/net`".to_owned()),
            });
        }
        if scene.facts.own_namespaces.contains(&party.ns) {
            problems.push(Problem {
                message: format!(
                    "`{}` lives in `{}`, which is the host's own namespace",
                    party.name, party.ns
                ),
                code: "topology::host_namespace",
                labels: vec![(place(party), "the namespace that netform runs in".to_owned())],
                help: Some(format!("write `mode: host` for `{}`, or name another namespace", party.name)),
            });
        }
        let ns = scene.facts.same_namespaces.get(&party.ns).unwrap_or(&party.ns);
        match held.get(&by_name(ns)) {
            None => drop(held.insert(by_name(ns), party)),
            Some(other) => problems.push(Problem {
                message: format!(
                    "`{}` and `{}` have the same namespace `{}`",
                    other.name, party.name, party.ns
                ),
                code: "topology::shared_namespace",
                labels: vec![
                    (place(party), format!("`{}` lives here, too", party.name)),
                    (place(other), format!("`{}` lives here", other.name)),
                ],
                help: Some(format!(
                    "give each container a namespace of its own, or write `mode: container:{}` for `{}`",
                    other.name, party.name
                )),
            }),
        }
    }
}

/// Links on the network without names are the only names there, so their targets have to be there, too (S22).
fn check_legacy_links(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    for net in scene.nets.iter().filter(|net| net.is_default) {
        let there: BTreeMap<&ContainerName, ()> =
            scene.on(net).map(|(_, member)| (member.container, ())).collect();
        for (_, member) in scene.on(net) {
            for (alias, target) in &member.spec.links {
                if there.contains_key(&target.value) {
                    continue;
                }
                let declared = scene.manifest.containers.get(&target.value);
                let mut labels = vec![(target.place, format!("`{}` is its target", alias.value))];
                labels.extend(declared.map(|at| (at.place, format!("not on network `{}`", net.name))));
                let others = there.keys().map(|name| name.as_str());
                let (message, help) = if declared.is_some() {
                    let message = format!("link target `{}` is not on network `{}`", target.value, net.name);
                    (message, format!("put `{}` on `{}`", target.value, net.name))
                } else {
                    let message = format!("link target `{}` is not declared", target.value);
                    let help = || {
                        "on the default network a link's target must be declared; on others it may come later"
                            .to_owned()
                    };
                    (message, did_you_mean(target.value.as_str(), others, help))
                };
                problems.push(Problem {
                    message,
                    code: "topology::unknown_link_target",
                    labels,
                    help: Some(help),
                });
            }
        }
    }
}

/// A bridge has ports 1 to 1,023: `BR_MAX_PORTS` in Linux `net/bridge/br_private.h`, of which 0 is none.
const MAX_PORTS: usize = 1_023;

fn check_size(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    for net in scene.nets.iter().filter(|net| net.spec.driver == manifest::Driver::Bridge) {
        if let Some((_, over)) = scene.on(net).nth(MAX_PORTS) {
            problems.push(Problem {
                message: format!(
                    "network `{}` has {} containers, a Linux bridge has at most {MAX_PORTS} ports",
                    net.name,
                    net.members.len()
                ),
                code: "topology::bridge_full",
                labels: vec![
                    (over.place, format!("`{}` is number {}", over.container, MAX_PORTS + 1)),
                    (net.place, "this network".to_owned()),
                ],
                help: Some("spread the containers over several networks".to_owned()),
            });
        }
    }
}
