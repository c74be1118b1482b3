//! Other projects on the links of the host that this one is on, too: nobody gets the address of another, and whose bridge it is
//! is told what his plan takes from others.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::failure::{Code, Failure, unreadable};
use super::loaded::Loaded;
use super::session::{Aim, Prepared, Session};
use crate::apply::Dirs;
use crate::kernel::{Op, nft, strangers};
use crate::manifest::Manifest;
use crate::names::{IfName, NetName, ProjectName};
use crate::plan::{self, Plan};
use crate::resource::owner::Owner;
use crate::resource::state::{Desired, Observed};
use crate::topology;
use crate::topology::facts::{Facts, Joined, Leases, Segment};
use crate::topology::strangers::GivenAway;

impl Session {
    /// Adds who else is on the networks that this project shares with others: mostly it shares none, and nobody is asked.
    pub(super) async fn acquainted(&self, facts: Facts) -> Result<Facts, Failure> {
        let Some(Loaded { manifest, .. }) = &self.loaded else { return Ok(facts) };
        let mut shared = topology::strangers::shared(manifest);
        let own = topology::strangers::own(manifest, &facts);
        if !own.is_empty() {
            let guests = self.dirs.guests();
            shared.extend(own.into_iter().filter(|link| guests.contains_key(link)));
        }
        if shared.is_empty() {
            return Ok(facts);
        }
        let facts = Facts { joined: self.joined(manifest).await?, ..facts };
        let others = self.dirs.leases_of_others();
        let taken = topology::strangers::taken(&others, &shared);
        let links = topology::strangers::asked(manifest, &facts);
        if links.is_empty() {
            return Ok(Facts { taken, ..facts });
        }
        let mut neighbours = strangers::known(links.clone()).await.map_err(unreadable)?;
        let all = others.iter().flat_map(|(_, leases)| leases.addresses.values());
        let leased = all.flat_map(|networks| networks.values());
        let leased: BTreeSet<_> = leased.flatten().copied().collect();
        for link in links {
            neighbours.entry(link).or_default().extend(&leased);
        }
        Ok(Facts { neighbours, taken, ..facts })
    }

    /// Returns the bridges of other projects that a manifest has networks on.
    async fn joined(&self, manifest: &Manifest) -> Result<BTreeMap<IfName, Joined>, Failure> {
        let links = topology::closed::asked(manifest);
        if links.is_empty() {
            return Ok(BTreeMap::new());
        }
        let others = nft::bridges(&nft::others(&self.project).await).await.map_err(unreadable)?;
        Ok(topology::closed::joined(&others, &links, &nft::judged()))
    }

    /// Tells of what a plan takes from containers of other projects that are on bridges of this one.
    pub(super) fn tell_guests(&self, plan: &mut Plan, desired: &Desired, observed: &Observed) {
        if plan.is_empty() {
            return;
        }
        let lodged = plan::lodged(observed);
        if lodged.is_empty() {
            return;
        }
        let guests = self.dirs.guests();
        let projects: BTreeSet<&ProjectName> =
            lodged.values().filter_map(|bridge| guests.get(*bridge)).flatten().collect();
        let state = |project: &ProjectName| Some((project.clone(), self.dirs.state_of(project)?));
        let states = projects.into_iter().filter_map(state).collect();
        plan::tell_guests(plan, (&states, &lodged), (observed, &desired.0), &nft::judged());
    }

    /// Returns the addresses of an earlier apply that other projects have by now.
    pub(super) fn given_away(&self, leases: &Leases) -> Vec<GivenAway> {
        topology::strangers::given_away(leases, &self.dirs.leases_of_others())
    }

    /// Refuses to go back to where a container gets an address that another project has by now. What undoes itself does so all
    /// the same, with a warning: it was not asked for by anybody who could do something else.
    pub(super) fn check_given_away(&self, aim: Aim, prepared: &Prepared) -> Result<(), Failure> {
        let Aim::Generation(_) = aim else { return Ok(()) };
        let mut lines = vec![];
        for it in self.given_away(&prepared.leases) {
            let owner = it.owner();
            // What is live is there already.
            if given(&prepared.plan).any(|given| given == (&owner, it.addr)) {
                let (addr, link) = (it.addr, it.link);
                let taken = Taken { owner: &owner, addr, link: &link, project: it.project };
                lines.push(taken.told(&self.dirs, prepared, " back"));
            }
        }
        if lines.is_empty() {
            return Ok(());
        }
        let message =
            format!("addresses are other projects' by now; nothing was changed\n{}", lines.join("\n"));
        Err(Failure::new(Code::Foreign, message).help(
            "`netform apply` of the earlier manifest chooses other addresses, unless it names these; or have the other project \
             give them up first",
        ))
    }

    /// Says which addresses that a plan gives are other projects' by now, or may be: a run of theirs was killed. The caller has
    /// what keeps others from giving any meanwhile.
    pub(super) fn given_meanwhile(&self, prepared: &Prepared) -> Vec<String> {
        if !gives_beside_others(prepared, &self.dirs) {
            return vec![];
        }
        let Prepared { plan, leases, observed, .. } = prepared;
        let (others, joined) = (self.dirs.leases_of_others(), leases.joined());
        let held = topology::strangers::taken(&others, &links(prepared).into_iter().cloned().collect());
        let taken = given(plan).filter_map(|(owner, addr)| {
            let Segment { link, host: _, vlans } = leases.segments.get(owner.network()?)?;
            let vlan = owner.attached().and_then(|container| vlans.get(container).copied());
            // On a link of its own the host has the address that the manifest says.
            let may_yield = owner.attached().is_some() || joined.contains(link);
            let project = held.get(&Segment::name(link, vlan))?.get(&addr).filter(|_| may_yield)?;
            Some(Taken { owner, addr, link, project: project.clone() })
        });
        let is_there = |taken: &Taken<'_>| {
            let mut addresses = observed.own.iter().filter(|(_, entry)| entry.owner == *taken.owner);
            addresses.any(|(_, it)| it.resource.address().is_some_and(|it| it.addr.addr() == taken.addr))
        };
        let taken = taken.filter(|taken| !is_there(taken));
        taken.map(|taken| taken.told(&self.dirs, prepared, "")).collect()
    }
}

/// An address that somebody is to get and another project has.
struct Taken<'a> {
    owner: &'a Owner,
    addr: IpAddr,
    link: &'a IfName,
    project: ProjectName,
}

impl Taken<'_> {
    fn told(&self, dirs: &Dirs, prepared: &Prepared, back: &str) -> String {
        let Self { owner, addr, link, project } = self;
        let own = prepared.desired.0.iter().map(|(_, entry)| entry).find(|entry| entry.owner == **owner);
        let own = own.and_then(|entry| entry.origin.as_ref());
        let own = own.map_or_else(String::new, |origin| format!("{origin}: "));
        let (holder, origin) = dirs.holder_of(project, *addr).unzip();
        let holder = holder.map_or_else(String::new, |holder| format!("container {holder} of "));
        let theirs = origin.flatten().map_or_else(String::new, |origin| format!(": {origin}"));
        format!(
            "  {own}{owner} would get {addr}{back}, but {holder}project {project} has it on {link}{theirs}"
        )
    }
}

/// Returns the addresses that a plan gives, with their owners.
fn given(plan: &Plan) -> impl Iterator<Item = (&Owner, IpAddr)> {
    plan.waves.iter().flatten().filter_map(|op| match op {
        Op::Create(entry) => Some((&entry.owner, entry.resource.address()?.addr.addr())),
        // It is another of the same address at most.
        Op::Update { .. } | Op::Delete(_) => None,
    })
}

/// Returns the links of the host on which a plan gives addresses.
fn links(Prepared { plan, leases, .. }: &Prepared) -> BTreeSet<&IfName> {
    let networks: BTreeSet<&NetName> = given(plan).filter_map(|(owner, _)| owner.network()).collect();
    networks.into_iter().filter_map(|network| Some(&leases.segments.get(network)?.link)).collect()
}

/// Tells whether a plan gives somebody an address on a link of the host where others may come to be.
pub(super) fn gives(prepared: &Prepared) -> bool {
    !links(prepared).is_empty()
}

/// Tells whether a plan gives somebody an address on a link of the host where other projects may give the same one.
pub(super) fn gives_beside_others(prepared: &Prepared, dirs: &Dirs) -> bool {
    let links = links(prepared);
    if links.is_empty() {
        return false;
    }
    let joined = prepared.leases.joined();
    links.iter().any(|link| joined.contains(*link)) || {
        let guests = dirs.guests();
        links.iter().any(|link| guests.contains_key(*link))
    }
}
