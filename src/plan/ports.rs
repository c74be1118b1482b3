//! Ports of the host that a state publishes, or external addresses whose all they are, and others have.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use foldhash::HashMap;

use super::Plan;
use crate::kernel::Op;
use crate::names::{ProjectName, Protocol};
use crate::resource::host_ports::{self, HostPorts};
use crate::resource::owner::Owner;
use crate::resource::state::{Desired, Entry, Foreign, Observed};
use crate::resource::sysctl::Family;
use crate::resource::{ResourceId, Slot};

/// Ports of the host with those who have them, found by a port: there may be thousands.
#[derive(Debug, Clone)]
pub struct Register<T> {
    held: Vec<(HostPorts, T)>,
    single: HashMap<(Family, Protocol, u16), Vec<usize>>,
    ranges: Vec<usize>,
    addresses: BTreeMap<IpAddr, T>,
    /// The addresses that the host has by somebody else's will.
    hosts: BTreeSet<IpAddr>,
}

/// What a project has of the host, or wants.
enum Claim {
    Ports(HostPorts),
    /// All of an address.
    Address(IpAddr),
}

impl Claim {
    fn of(entry: &Entry) -> Option<Self> {
        let element = entry.resource.element()?;
        let whole = || host_ports::external(element).map(Self::Address);
        HostPorts::of(element).map(Self::Ports).or_else(whole)
    }
}

/// What another project publishes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Published {
    /// The project.
    pub project: ProjectName,
    /// Its name there, e.g. `port.0.0.0.0:8080/tcp`.
    pub what: String,
}

impl<T> Register<T> {
    /// Returns a register of `held`.
    pub fn new(held: Vec<(HostPorts, T)>) -> Self {
        let mut register = Self {
            held: vec![],
            single: HashMap::default(),
            ranges: vec![],
            addresses: BTreeMap::new(),
            hosts: BTreeSet::new(),
        };
        for (place, (ports, _)) in held.iter().enumerate() {
            let HostPorts { family, address: _, protocol, ports } = ports;
            if ports.start() == ports.end() {
                register.single.entry((*family, *protocol, *ports.start())).or_default().push(place);
            } else {
                register.ranges.push(place);
            }
        }
        Self { held, ..register }
    }

    /// Returns the register with those who have whole addresses.
    #[must_use]
    pub fn with_addresses(self, addresses: BTreeMap<IpAddr, T>) -> Self {
        Self { addresses, ..self }
    }

    /// Returns the register of a host that has these addresses by somebody else's will.
    #[must_use]
    pub fn on_host(self, hosts: BTreeSet<IpAddr>) -> Self {
        Self { hosts, ..self }
    }

    /// Tells whether somebody has a whole address.
    pub fn has_addresses(&self) -> bool {
        !self.addresses.is_empty()
    }

    /// Returns those for whom a packet for `wanted` could be, too. A port of any address is one of an external address where
    /// the host has that without us: else nothing of it was ever for the host.
    fn meeting(&self, wanted: &Claim) -> Vec<&T> {
        match wanted {
            Claim::Ports(wanted) => {
                let is_meant = |whole: &IpAddr| match wanted.address {
                    Some(address) => address == *whole,
                    None => Family::of(*whole) == wanted.family && self.hosts.contains(whole),
                };
                let whole = self.addresses.iter().filter(|(whole, _)| is_meant(whole));
                self.ports(wanted).into_iter().chain(whole.map(|(_, holder)| holder)).collect()
            }
            Claim::Address(address) => {
                let is_hosts = self.hosts.contains(address);
                let is_there = |ports: &HostPorts| match ports.address {
                    Some(one) => one == *address,
                    None => is_hosts && ports.family == Family::of(*address),
                };
                let on = self.held.iter().filter(|(ports, _)| is_there(ports));
                on.map(|(_, holder)| holder).chain(self.addresses.get(address)).collect()
            }
        }
    }

    fn ports(&self, wanted: &HostPorts) -> Vec<&T> {
        let HostPorts { family, address: _, protocol, ports } = wanted;
        let keys = ports.clone().map(|port| (*family, *protocol, port));
        let single = keys.filter_map(|key| self.single.get(&key)).flatten();
        let near = single.chain(&self.ranges).filter_map(|place| self.held.get(*place));
        near.filter(|(ports, _)| ports.meets(wanted)).map(|(_, holder)| holder).collect()
    }
}

impl Published {
    /// Returns what a project has by these objects of its firewall.
    pub fn all(projects: &[(ProjectName, Vec<Entry>)]) -> Register<Self> {
        let ports = projects.iter().flat_map(|(project, entries)| Self::of(project, entries)).collect();
        let addresses = projects.iter().flat_map(|(project, entries)| {
            entries.iter().filter_map(move |entry| {
                let address = entry.resource.element().and_then(host_ports::external)?;
                Some((address, Self { project: project.clone(), what: entry.owner.to_string() }))
            })
        });
        Register::new(ports).with_addresses(addresses.collect())
    }

    /// Returns what a project publishes by these objects of its firewall, once for each place.
    fn of(project: &ProjectName, entries: &[Entry]) -> Vec<(HostPorts, Self)> {
        let mut seen = BTreeSet::new();
        let published = entries.iter().filter_map(|entry| {
            let ports = ports(entry)?;
            let what = match &entry.owner {
                owner @ Owner::Port(_) => owner.to_string(),
                Owner::Project
                | Owner::Network(_)
                | Owner::Container(_)
                | Owner::Attachment { .. }
                | Owner::Policy(_)
                | Owner::External(_)
                | Owner::Unmarked(_) => format!("port {ports}"),
            };
            seen.insert(ports.to_string()).then(|| (ports, Self { project: project.clone(), what }))
        });
        published.collect()
    }
}

/// Returns the places that new ports cannot have, since another project publishes there.
///
/// Of such a port nothing is made that judges packets: what guards it would guard the other one.
pub fn taken(
    desired: &Desired,
    observed: &Observed,
    others: &Register<Published>,
) -> BTreeMap<Slot, Foreign> {
    let blocked: BTreeMap<&Owner, &Published> =
        opened(desired, observed, others).into_iter().rev().map(|(entry, by)| (&entry.owner, by)).collect();
    if blocked.is_empty() {
        return BTreeMap::new();
    }
    let taken = desired.0.iter().filter_map(|(id, entry)| {
        let Published { project, what } = blocked.get(&entry.owner)?;
        let judges = matches!(id, ResourceId::NftElement(_, set, _) if !set.starts_with("target"));
        let (what, owner) = (what.clone(), Some(format!("project {project}")));
        (judges && is_new(entry, observed))
            .then(|| (Slot::Object(id.clone()), Foreign { what, owner, on: None, bears: None }))
    });
    taken.collect()
}

/// Returns a sentence for each port that is published, and by another project as well.
pub fn shared(desired: &Desired, observed: &Observed, others: &Register<Published>) -> Vec<String> {
    let live = published(desired).filter(|(entry, _)| !is_new(entry, observed));
    let sentence = |(entry, Published { project, what }): (&Entry, &Published)| {
        let is_whole = |what: &str| what.starts_with("external.");
        if is_whole(what) != matches!(entry.owner, Owner::External(_)) {
            return format!(
                "{} meets {what} of project {project}: connections go to the external address; publish the port on \
                 another address of the host",
                named(entry)
            );
        }
        format!(
            "{} is published by project {project}, too, as {what}: connections go to one of them, and which one is \
             chance; publish one on another port or another address of the host",
            named(entry)
        )
    };
    met(live, others).into_iter().map(sentence).collect()
}

/// Returns the new ports that somebody has, each once with each of them.
pub fn opened<'a, T: Ord>(
    desired: &'a Desired,
    observed: &Observed,
    held: &'a Register<T>,
) -> Vec<(&'a Entry, &'a T)> {
    met(published(desired).filter(|(entry, _)| is_new(entry, observed)), held)
}

/// Returns the protocols of new ports.
pub fn opened_protocols(desired: &Desired, observed: &Observed) -> BTreeSet<Protocol> {
    let new = published(desired).filter(|(entry, _)| is_new(entry, observed));
    new.flat_map(|(_, wanted)| match wanted {
        Claim::Ports(ports) => vec![ports.protocol],
        Claim::Address(_) => vec![Protocol::Tcp, Protocol::Udp, Protocol::Sctp],
    })
    .collect()
}

/// Returns what is published with those who have it, too: a port that is several elements is one.
fn met<'a, T: Ord>(
    published: impl Iterator<Item = (&'a Entry, Claim)>,
    held: &'a Register<T>,
) -> Vec<(&'a Entry, &'a T)> {
    let mut told = BTreeSet::new();
    let met = published
        .flat_map(|(entry, wanted)| held.meeting(&wanted).into_iter().map(move |holder| (entry, holder)));
    met.filter(|(entry, holder)| told.insert((&entry.owner, *holder))).collect()
}

/// Tells whether a plan has the host's ports lead to where they have not led so far.
pub fn opens(plan: &Plan) -> bool {
    plan.waves.iter().flatten().any(|op| match op {
        Op::Create(entry) => Claim::of(entry).is_some(),
        Op::Update { .. } | Op::Delete(_) => false,
    })
}

/// Tells whether a state has whole addresses lead to containers.
pub fn takes_addresses(desired: &Desired) -> bool {
    published(desired).any(|(_, claim)| matches!(claim, Claim::Address(_)))
}

/// Tells whether a state publishes anything.
pub fn publishes(desired: &Desired) -> bool {
    published(desired).next().is_some()
}

/// Returns a resource with its place in the manifest before it.
pub fn named(entry: &Entry) -> String {
    let Entry { owner, origin, .. } = entry;
    origin.as_ref().map_or_else(|| owner.to_string(), |origin| format!("{origin}: {owner}"))
}

fn is_new(entry: &Entry, observed: &Observed) -> bool {
    observed.own.get(&entry.resource.id()).is_none()
}

/// Returns the elements that lead ports or addresses to containers, with these.
fn published(desired: &Desired) -> impl Iterator<Item = (&Entry, Claim)> {
    desired.0.iter().filter_map(|(_, entry)| Some((entry, Claim::of(entry)?)))
}

fn ports(entry: &Entry) -> Option<HostPorts> {
    entry.resource.element().and_then(HostPorts::of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::Resource;
    use crate::resource::nft::{NftElement, NftFamily, NftTableId, Stance};
    use crate::resource::owner::Origin;

    fn state(project: &str, owner: &str, elements: &[&str]) -> Vec<Entry> {
        let entry = |text: &&str| {
            let (set, key) = text.split_once(' ').unwrap();
            let element = NftElement {
                table: NftTableId { family: NftFamily::Inet, name: format!("netform-{project}").into() },
                set: set.into(),
                key: key.split(" . ").map(Into::into).collect(),
                data: None,
                stance: Stance::Allows,
            };
            Entry {
                resource: Resource::NftElement(element),
                owner: Owner::try_from(owner).unwrap(),
                origin: Some(Origin { file: "shop.yaml".into(), line: 4, column: 9 }),
                ignore: vec![],
            }
        };
        elements.iter().map(entry).collect()
    }

    fn blog(elements: &[&str]) -> Register<Published> {
        let project = ProjectName::try_from("blog").unwrap();
        Published::all(&[(project, state("blog", "port.0.0.0.0:80/tcp", elements))])
    }

    #[test]
    fn nothing_that_judges_packets_is_made_for_a_port_that_is_taken() {
        let published =
            ["any_addr4 tcp . 80", "any_port4 tcp . 80", "guard_any tcp . 80", "target4 10.0.0.2 . tcp . 80"];
        let mut wanted = state("shop", "port.0.0.0.0:80/tcp", &published);
        wanted.extend(state("shop", "port.0.0.0.0:81/tcp", &["any_addr4 tcp . 81", "guard_any tcp . 81"]));
        let desired = Desired(wanted.into());

        let taken = taken(&desired, &Observed::default(), &blog(&["any_range4 tcp . 70-80"]));

        let sets = taken.iter().map(|(slot, foreign)| {
            let Slot::Object(ResourceId::NftElement(_, set, key)) = slot else { panic!("{slot:?}") };
            format!("{set} {}: {} of {}", key.join(" . "), foreign.what, foreign.owner.clone().unwrap())
        });
        let by = "port.0.0.0.0:80/tcp of project blog";
        assert_eq!(
            sets.collect::<Vec<_>>(),
            ["any_addr4", "any_port4", "guard_any"].map(|set| format!("{set} tcp . 80: {by}"))
        );
    }

    #[test]
    fn an_external_address_leaves_no_port_of_it_to_others() {
        let external = ["external4 192.0.2.9", "external_to4 192.0.2.9"];
        let wanted = Desired(state("shop", "external.192.0.2.9", &external).into());
        let told = |wanted: &Desired, others: &Register<Published>| {
            let taken = taken(wanted, &Observed::default(), others);
            taken
                .into_values()
                .map(|foreign| foreign.what)
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect::<String>()
        };

        assert_eq!(told(&wanted, &blog(&["host_addr4 192.0.2.9 . tcp . 80"])), "port.0.0.0.0:80/tcp");
        assert_eq!(told(&wanted, &blog(&["external4 192.0.2.9"])), "port.0.0.0.0:80/tcp");
        assert_eq!(told(&wanted, &blog(&["any_addr4 tcp . 80", "host_addr4 192.0.2.8 . tcp . 80"])), "");
        let port = |key: &str| Desired(state("shop", "port.192.0.2.9:80/tcp", &[key]).into());
        let others = blog(&["external4 192.0.2.9"]);
        assert_eq!(told(&port("host_addr4 192.0.2.9 . tcp . 80"), &others), "port.0.0.0.0:80/tcp");
        assert_eq!(told(&port("any_addr4 tcp . 80"), &others), "");

        let on_host = |others: Register<Published>| {
            others.on_host(["192.0.2.9".parse().unwrap(), "192.0.2.1".parse().unwrap()].into())
        };
        let others = on_host(others);
        assert_eq!(told(&port("any_addr4 tcp . 80"), &others), "port.0.0.0.0:80/tcp");
        assert_eq!(told(&port("any_addr6 tcp . 80"), &others), "");
        assert_eq!(told(&port("host_addr4 192.0.2.1 . tcp . 80"), &others), "");
        assert_eq!(told(&wanted, &on_host(blog(&["any_range4 tcp . 80-90"]))), "port.0.0.0.0:80/tcp");
        assert_eq!(told(&wanted, &on_host(blog(&["any_addr6 tcp . 80"]))), "");
    }

    #[test]
    fn what_two_projects_publish_already_is_said_once_and_in_nobodys_way() {
        let entries = || state("shop", "port.0.0.0.0:80/tcp", &["any_addr4 tcp . 80", "any_port4 tcp . 80"]);
        let observed = Observed { own: entries().into(), ..Observed::default() };
        let (desired, others) =
            (Desired(entries().into()), blog(&["any_addr4 tcp . 80", "any_port4 tcp . 80"]));

        assert_eq!(taken(&desired, &observed, &others), BTreeMap::new());
        let told = shared(&desired, &observed, &others);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("shop.yaml:4:9: port.0.0.0.0:80/tcp is published by project blog, too"));
    }
}
