//! A private world for a story, and what a story does in it.

use std::collections::BTreeMap;
use std::process::Command;

use netform::kernel::live::Live;
use netform::kernel::{Kernel, Op, OpError, Scope};
use netform::names::{IfName, Mac, Mtu, NetnsName, ProjectName};
use netform::resource::Resource;
use netform::resource::address::Address;
use netform::resource::link::{Link, LinkKind, Peer};
use netform::resource::netns::{Netns, NsRef};
use netform::resource::owner::Owner;
use netform::resource::route::{MAIN_TABLE, Rank, Route, Way};
use netform::resource::state::{Entry, Foreign, Observed, State};

/// Says that the process is inside already.
const INSIDE: &str = "NETFORM_TEST_INSIDE";

/// Runs a test in namespaces of its own: the test binary runs itself again in there, with this test alone.
#[track_caller]
pub(crate) fn in_private_network<F: FnOnce()>(story: F) {
    within(&[], story);
}

/// The same, with root's name but none of root's capabilities.
#[track_caller]
pub(crate) fn in_private_network_without_privileges<F: FnOnce()>(story: F) {
    within(&["setpriv", "--bounding-set=-all", "--inh-caps=-all"], story);
}

#[track_caller]
fn within<F: FnOnce()>(prefix: &[&str], story: F) {
    if std::env::var_os(INSIDE).is_some() {
        story();
        return;
    }
    // The closure's type is named after the test that it is in: `it::live::kernel::NAME::{{closure}}`.
    let name = std::any::type_name::<F>().trim_end_matches("::{{closure}}");
    let name = name.split_once("::").map_or(name, |(_, name)| name);
    let script = "mount -t tmpfs none /run && mkdir /run/netns && ip link set lo up && exec \"$@\"";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--mount", "sh", "-c", script, "sh"])
        .args(prefix)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}, inside:\n{out}{err}");
    assert!(out.contains("1 passed"), "{name} is not the name of a test:\n{out}{err}");
}

/// The live kernel, for one story.
pub(crate) struct World {
    runtime: tokio::runtime::Runtime,
    pub(crate) live: Live,
    pub(crate) scope: Scope,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::of_project("shop")
    }

    pub(crate) fn of_project(project: &str) -> Self {
        let project = ProjectName::try_from(project).unwrap();
        Self {
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
            live: Live::new(project.clone()),
            scope: Scope::new(project),
        }
    }

    /// Carries out operations as one wave.
    pub(crate) fn execute(&mut self, wave: &[Op]) -> Vec<Result<(), OpError>> {
        self.runtime.block_on(self.live.execute(wave))
    }

    /// Creates objects wave by wave; each must succeed.
    #[track_caller]
    pub(crate) fn create(&mut self, waves: &[Vec<Entry>]) {
        for wave in waves {
            self.succeed(&wave.iter().cloned().map(Op::Create).collect::<Vec<_>>());
        }
    }

    /// Carries out operations, all of which must succeed.
    #[track_caller]
    pub(crate) fn succeed(&mut self, wave: &[Op]) {
        for (op, outcome) in wave.iter().zip(self.execute(wave)) {
            outcome.unwrap_or_else(|error| panic!("{}: {error}", op.id()));
        }
    }

    /// Carries out one operation, and returns the error's words.
    #[track_caller]
    pub(crate) fn fail(&mut self, op: Op) -> OpError {
        self.execute(std::slice::from_ref(&op)).remove(0).expect_err("it fails")
    }

    pub(crate) fn observe(&mut self) -> Observed {
        self.runtime.block_on(self.live.observe(&self.scope)).unwrap()
    }

    pub(crate) fn own(&mut self) -> State {
        self.observe().own
    }

    /// Returns what is foreign, by its own words: owner, and what it stands on.
    pub(crate) fn foreign(&mut self) -> BTreeMap<String, String> {
        let text = |Foreign { what, owner, on, bears: _ }: Foreign| {
            let on = on.map_or_else(String::new, |on| format!(" on {on}"));
            (what, format!("{}{on}", owner.unwrap_or_else(|| "?".to_owned())))
        };
        self.observe().foreign.into_values().map(text).collect()
    }

    pub(crate) fn facts(&mut self) -> netform::topology::facts::Facts {
        self.runtime.block_on(self.live.survey(&self.scope)).unwrap().facts
    }
}

/// Runs a command, which must succeed, and returns what it says.
#[track_caller]
pub(crate) fn sh(script: &str) -> String {
    let output = Command::new("sh").args(["-ec", script]).output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {err}");
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn ifname(name: &str) -> IfName {
    IfName::try_from(name).unwrap()
}

pub(crate) fn named(name: &str) -> NsRef {
    NsRef::Named(NetnsName::try_from(name).unwrap())
}

fn entry(resource: Resource, owner: &str) -> Entry {
    let owner = Owner::try_from(owner).unwrap();
    Entry { resource, owner, origin: None, ignore: vec![] }
}

pub(crate) fn other(resource: Resource) -> Entry {
    entry(resource, "project")
}

pub(crate) fn netns(name: &str) -> Entry {
    let resource = Resource::Netns(Netns::new(NetnsName::try_from(name).unwrap()));
    entry(resource, &format!("container.{name}"))
}

/// A bridge `br-NETWORK`.
pub(crate) fn bridge(network: &str) -> Entry {
    let link = Link {
        ns: NsRef::Host,
        name: ifname(&format!("br-{network}")),
        mac: Some(Mac([2, 0x42, 0, 0, 0, network.len() as u8])),
        mtu: Mtu::try_from(1400).unwrap(),
        up: true,
        master: None,
        hairpin: false,
        port: None,
        isolated: false,
        stp: false,
        filtering: None,
        vlans: None,
        altname: Some(format!("netform.shop.{network}").into()),
        protected: false,
        amiss: Default::default(),
        kind: LinkKind::Bridge,
    };
    entry(Resource::from(link), &format!("network.{network}"))
}

/// A veth pair `vNUMBER` on `br-NETWORK`, in hairpin mode, with the peer `eth0` in the container.
pub(crate) fn veth(number: u8, container: &str, network: &str) -> Entry {
    let mtu = Mtu::try_from(1400).unwrap();
    let peer = Peer {
        ns: named(container),
        name: ifname("eth0"),
        mac: Mac([2, 0x42, 10, 7, 0, number]),
        mtu,
        up: true,
        tag: None,
    };
    let link = Link {
        ns: NsRef::Host,
        name: ifname(&format!("v{number}")),
        mac: None,
        mtu,
        up: true,
        master: Some(ifname(&format!("br-{network}"))),
        hairpin: true,
        port: None,
        isolated: false,
        stp: false,
        filtering: None,
        vlans: None,
        altname: Some(format!("netform.shop.{container}.{network}").into()),
        protected: false,
        amiss: Default::default(),
        kind: LinkKind::Veth(peer),
    };
    entry(Resource::from(link), &format!("attachment.{container}@{network}"))
}

pub(crate) fn address(ns: NsRef, link: &str, addr: &str, owner: &str) -> Entry {
    let address = Address::new(ns, ifname(link), addr.parse().unwrap());
    entry(Resource::Address(address), owner)
}

pub(crate) fn route(ns: NsRef, dest: &str, via: &str, metric: u32, owner: &str) -> Entry {
    let (dest, via) = (dest.parse().unwrap(), Some(via.parse().unwrap()));
    entry(
        Resource::Route(Route {
            ns,
            dest,
            way: Way::By { link: ifname("eth0"), via, onlink: false },
            rank: Rank { table: MAIN_TABLE, metric },
            stray: None,
        }),
        owner,
    )
}

/// Returns the link of an entry, to be changed.
pub(crate) fn link_of(entry: &mut Entry) -> &mut Link {
    let Resource::Link(link) = &mut entry.resource else { panic!("it is a link") };
    link
}
