//! `netform network ls` and `inspect`: the networks of a manifest, and what is live of them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use smol_str::SmolStr;

use super::super::super::args::{Common, Inspect, List, Look, TextOrJson};
use super::super::super::failure::{Code, Failure, chain};
use super::super::super::session::{Aim, Session};
use super::super::super::show;
use super::super::super::status::{Health, health};
use super::text::{details, table};
use crate::kernel::counters::{Counters, counters};
use crate::names::IfName;
use crate::plan::target::Selection;
use crate::plan::{Conflict, Plan};
use crate::resource::netns::NsRef;
use crate::resource::owner::Owner;
use crate::resource::vlan::VlanId;
use crate::topology::{
    Attachment, Container, Driver, External, Network, Proxy, Runtime, Seat, Topology, nearest,
};

/// Networks, and what is live of them.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Report {
    /// The version of this document, `MAJOR.MINOR`.
    pub(super) format_version: &'static str,
    pub(super) project: String,
    pub(super) networks: Vec<Shown>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Shown {
    pub(super) name: String,
    /// What nothing else on the host is called: the further name of its bridge.
    pub(super) id: String,
    pub(super) driver: &'static str,
    /// The bridge; with macvlan, the parent; with veth, the host's end, or `none` between two containers.
    pub(super) interface: String,
    /// Whether what is live is what is declared.
    pub(super) state: Health,
    pub(super) subnets: Vec<Range>,
    pub(super) internal: bool,
    /// Whether the bridge is somebody else's.
    pub(super) external: bool,
    pub(super) mtu: u32,
    /// The link that answers for its containers when neighbours ask for them; `null` while there is none.
    pub(super) ndp_proxy: Option<String>,
    /// The line of the manifest that declares it; for `default`, the one that asks for it.
    pub(super) declared: String,
    /// By what the host is beside containers that are behind one of its links; `null` when it is not.
    pub(super) host: Option<Beside>,
    /// What went over the interface; `null` while it is not there.
    pub(super) counters: Option<Counters>,
    pub(super) containers: Vec<Member>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Beside {
    pub(super) interface: String,
    pub(super) addresses: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Range {
    pub(super) cidr: String,
    pub(super) gateway: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) state: Health,
    /// The link in the container.
    pub(super) interface: String,
    /// The other end, on the host.
    pub(super) host_interface: Option<String>,
    pub(super) mac: String,
    pub(super) addresses: Vec<String>,
    pub(super) aliases: Vec<String>,
    /// The link of the host that it has for itself.
    pub(super) device: Option<String>,
    /// The addresses of the outside that lead to it.
    pub(super) external_addresses: Vec<Outside>,
    /// How fast it receives and sends, at most.
    pub(super) bandwidth: Limits,
    /// Whether it and others of the network that are isolated, too, are kept apart.
    pub(super) isolated: bool,
    /// The VLAN of the bridge that it is in, without tags, where the manifest says so.
    pub(super) vlan: Option<u16>,
    /// The VLANs of the bridge that it takes and gives with their tags.
    pub(super) trunks: Vec<u16>,
    /// What went over the link, as the container sees it; `null` while it is not there.
    pub(super) counters: Option<Counters>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Outside {
    pub(super) address: String,
    /// The link of the host that netform has given it to.
    pub(super) interface: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Limits {
    pub(super) ingress: Option<String>,
    pub(super) egress: Option<String>,
}

/// Returns the schema of the document, as `schemas/network.v1.json` holds it.
pub(in crate::cli) fn schema() -> schemars::Schema {
    schemars::schema_for!(Report)
}

/// What is so of a network that is listed.
enum Filter {
    Name(String),
    Driver(String),
    Internal(bool),
}

impl TryFrom<&str> for Filter {
    type Error = Failure;

    fn try_from(text: &str) -> Result<Self, Failure> {
        match text.split_once('=') {
            Some(("name", part)) => Ok(Self::Name(part.to_owned())),
            Some(("driver", driver)) => Ok(Self::Driver(driver.to_owned())),
            Some(("internal", "true")) => Ok(Self::Internal(true)),
            Some(("internal", "false")) => Ok(Self::Internal(false)),
            Some(_) | None => Err(Failure::new(Code::Usage, format!("there is no filter `{text}`"))
                .help("write name=PART, driver=DRIVER, internal=true or internal=false")),
        }
    }
}

impl Filter {
    fn takes(&self, network: &Network) -> bool {
        match self {
            Self::Name(part) => network.name.as_str().contains(part.as_str()),
            Self::Driver(driver) => driver_of(network.driver) == driver,
            Self::Internal(internal) => network.internal == *internal,
        }
    }
}

/// Lists networks.
pub(super) async fn list(common: &Common, wish: &List) -> Result<(), Failure> {
    let List { filters, quiet, look } = wish;
    let filters =
        filters.iter().map(|text| Filter::try_from(text.as_str())).collect::<Result<Vec<_>, _>>()?;
    let report = report(common, look, |network| filters.iter().all(|filter| filter.takes(network))).await?;
    if *quiet {
        return show::out(
            &report.networks.iter().map(|network| format!("{}\n", network.name)).collect::<String>(),
        );
    }
    print(&report, look.output, table)
}

/// Shows networks with everything that is known of them.
pub(super) async fn inspect(common: &Common, wish: &Inspect) -> Result<(), Failure> {
    let Inspect { networks, look } = wish;
    let report = report(common, look, |_| true).await?;
    let mut chosen = vec![];
    let Report { format_version, project, networks: mut all } = report;
    for name in networks {
        let at = all.iter().position(|network| network.name == *name);
        let asked_before = chosen.iter().any(|network: &Shown| network.name == *name);
        match at {
            Some(at) => chosen.push(all.remove(at)),
            None if asked_before => {}
            None => {
                let failure = Failure::new(Code::NoInput, format!("the manifest has no network {name}"));
                return Err(match nearest(name, all.iter().map(|network| network.name.as_str())) {
                    Some(near) => failure.help(format!("did you mean `{near}`?")),
                    None => failure.help("`netform network ls` lists them"),
                });
            }
        }
    }
    print(&Report { format_version, project, networks: chosen }, look.output, details)
}

fn print(report: &Report, output: TextOrJson, text: fn(&Report) -> String) -> Result<(), Failure> {
    match output {
        TextOrJson::Text => show::out(&text(report)),
        TextOrJson::Json => {
            let json =
                serde_json::to_string_pretty(report).map_err(|error| Failure::of(Code::Failed, &error))?;
            show::out(&format!("{json}\n"))
        }
    }
}

/// Reads the manifest, the kernel, and the counters of the networks that are wanted.
async fn report(common: &Common, look: &Look, wanted: impl Fn(&Network) -> bool) -> Result<Report, Failure> {
    let mut session = Session::open(common, &look.manifest)?;
    session.tell_of_unfinished();
    let (prepared, conflicts) = session.prepare_around(Aim::Manifest, &Selection::default()).await?;
    let Some(topology) = &prepared.topology else {
        return Err(Failure::new(Code::Usage, "this needs a manifest"));
    };
    let networks: Vec<_> = topology.networks.iter().filter(|network| wanted(network)).collect();
    let mut counted = BTreeMap::new();
    count(&mut counted, NsRef::Host).await;
    for container in &topology.containers {
        if container.attachments.iter().any(|at| networks.iter().any(|network| network.name == at.network)) {
            count(&mut counted, container.ns.clone()).await;
        }
    }
    let view = View { topology, plan: &prepared.plan, conflicts: &conflicts, counted };
    Ok(Report {
        format_version: "1.1",
        project: topology.project.to_string(),
        networks: networks.into_iter().map(|network| view.network(network)).collect(),
    })
}

type Counted = BTreeMap<NsRef, BTreeMap<SmolStr, Counters>>;

/// Adds the counters of a namespace; what may not be looked into has none, and is told.
async fn count(counted: &mut Counted, ns: NsRef) {
    match counters(ns.clone()).await {
        Ok(links) => drop(counted.insert(ns, links)),
        Err(error) => show::err(&format!("warning: {}\n", chain(&error))),
    }
}

/// All that was read.
struct View<'a> {
    topology: &'a Topology,
    plan: &'a Plan,
    conflicts: &'a [Conflict],
    counted: Counted,
}

impl View<'_> {
    fn network(&self, network: &Network) -> Shown {
        let Network { name, origin, driver, external, subnets, internal, mtu, proxy, .. } = network;
        let interface = network.on_host().map_or("none", IfName::as_str);
        let members = self.topology.containers.iter().flat_map(|container| {
            let mine = container.attachments.iter().filter(|at| at.network == *name);
            mine.map(move |attachment| self.member(container, attachment))
        });
        let mut members: Vec<Member> = members.collect();
        if self.topology.lacks_an_end(network) {
            members.iter_mut().for_each(|member| member.state = Health::Waiting);
        }
        let project = &self.topology.project;
        Shown {
            name: name.to_string(),
            id: format!("netform.{project}.{name}"),
            driver: driver_of(*driver),
            interface: interface.to_string(),
            state: match network.waits {
                true => Health::Waiting,
                false => health(&Owner::Network(name.clone()), self.plan, self.conflicts),
            },
            subnets: subnets
                .iter()
                .map(|subnet| Range {
                    cidr: subnet.cidr.to_string(),
                    gateway: subnet.gateway.map(|gateway| gateway.to_string()),
                })
                .collect(),
            internal: *internal,
            external: *external,
            mtu: mtu.bytes(),
            ndp_proxy: match proxy {
                Proxy::By { link, heeds: _ } => Some(link.to_string()),
                Proxy::Nobody | Proxy::Mute(_) | Proxy::Waits(_) => None,
            },
            declared: origin.to_string(),
            host: network.shim.as_ref().map(|shim| Beside {
                interface: shim.link.to_string(),
                addresses: shim.addresses.iter().map(ToString::to_string).collect(),
            }),
            counters: self.counters(&NsRef::Host, interface),
            containers: members,
        }
    }

    fn member(&self, container: &Container, attachment: &Attachment) -> Member {
        let Attachment { network, port, link, mac, addresses, aliases, isolated, .. } = attachment;
        let limits = attachment.bandwidth.as_ref();
        let (vlan, trunks) = attachment.carries();
        let owner = Owner::Attachment { container: container.name.clone(), network: network.clone() };
        Member {
            name: container.name.to_string(),
            state: match container.runtime {
                _ if attachment.waits() => Health::Waiting,
                Runtime::Waiting => Health::Waiting,
                Runtime::Netform | Runtime::Given | Runtime::Shared => {
                    health(&owner, self.plan, self.conflicts)
                }
            },
            interface: link.to_string(),
            host_interface: port.as_ref().map(ToString::to_string),
            mac: mac.to_string(),
            addresses: addresses.iter().map(ToString::to_string).collect(),
            aliases: aliases.iter().map(ToString::to_string).collect(),
            device: attachment.device.as_ref().map(|device| device.name.to_string()),
            external_addresses: attachment.external.iter().map(outside).collect(),
            bandwidth: Limits {
                ingress: limits.and_then(|it| it.ingress.as_ref()).map(|bucket| bucket.rate.to_string()),
                egress: limits.and_then(|it| it.egress.as_ref()).map(|(bucket, _)| bucket.rate.to_string()),
            },
            isolated: *isolated,
            vlan: vlan.map(VlanId::number),
            trunks: trunks.iter().map(|id| id.number()).collect(),
            counters: self.counters(&container.ns, link.as_str()),
        }
    }

    fn counters(&self, ns: &NsRef, link: &str) -> Option<Counters> {
        self.counted.get(ns)?.get(link).copied()
    }
}

fn outside(external: &External) -> Outside {
    let interface = match &external.seat {
        Seat::On(link) => Some(link.to_string()),
        Seat::Others | Seat::Waits(_) => None,
    };
    Outside { address: external.address.to_string(), interface }
}

fn driver_of(driver: Driver) -> &'static str {
    match driver {
        Driver::Bridge => "bridge",
        Driver::Macvlan(_) => "macvlan",
        Driver::Ipvlan(..) => "ipvlan",
        Driver::Physical => "physical",
        Driver::Veth(_) => "veth",
        Driver::OpenVswitch(_) => "openvswitch",
    }
}
