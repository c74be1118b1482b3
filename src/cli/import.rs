//! `netform import ADDRESS OBJECT`: an object that is there already becomes the project's.
//!
//! What is adopted is observed as nobody's ([`Owner::Unmarked`]) and planned to carry our mark; that plan is carried out
//! like any other, with its journal, verified and undone. What the next apply would do then is another plan, and shown.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::args::{Common, Import};
use super::consent::{may_ask, take_turn};
use super::declared::{declares, owner_of};
use super::failure::{self, Code, Failure, chain, unreadable};
use super::session::{Aim, Prepared, Session, Target};
use super::show::{self, Style};
use super::{discover, run, scope, translate};
use crate::kernel::Scope;
use crate::kernel::facts::Survey;
use crate::manifest::{Home, Manifest};
use crate::names::{IfName, NetnsName};
use crate::plan::{Action, Conflict, Extra, Plan, plan, plan_around, render};
use crate::resource::link::LinkKind;
use crate::resource::netns::NsRef;
use crate::resource::owner::Owner;
use crate::resource::state::{Desired, Entry, Observed, State};
use crate::resource::{Resource, ResourceId, Slot};

/// What shall become whose.
struct Claim {
    owner: Owner,
    id: ResourceId,
    /// The namespace of the container that is attached.
    inside: Option<NsRef>,
}

/// An adoption, and what comes after it.
struct Adoption {
    ids: BTreeSet<ResourceId>,
    prepared: Prepared,
    next: Plan,
    in_the_way: Vec<Conflict>,
    /// Where the manifest leads, to compare names.
    wanted: Desired,
}

/// Adopts an object, or shows what could be adopted.
pub(super) async fn run(common: &Common, wish: &Import) -> Result<(), Failure> {
    let Import { from, address, object, manifest, consent, discover: _, project: _ } = wish;
    if let Some(from) = from {
        return translate::run(common, from).await;
    }
    if wish.discover {
        return discover::run(&wish.project).await;
    }
    let (Some(address), Some(object)) = (address, object) else {
        return Err(Failure::new(Code::Usage, "ADDRESS and OBJECT are missing"));
    };
    may_ask("import", consent)?;
    let mut session = Session::open(common, manifest)?;
    let claim = claim(&session, address, object)?;
    let _lock = take_turn(&mut session, "import", consent).await?;
    let first = look(&mut session, &claim, [claim.id.clone()].into()).await?;
    if !is_free(&claim, &first.observed)? {
        return show::out(&format!("`{object}` is {} already.\n", claim.owner));
    }
    let adoption = adoption(&mut session, &claim, &first).await?;
    let style = Style::of_stdout(common);
    show::out(&description(&session, &claim, &adoption, style))?;
    if consent.dry_run {
        return Ok(());
    }
    if !consent.yes && !run::agreed("import").await? {
        return show::out("Nothing was changed.\n");
    }
    run::carry_out(&mut session, &adoption.prepared, run::How::or_undone(style)).await?;
    show::out(&format!("Adopted: `{object}` is {}. `netform plan` shows what still differs.\n", claim.owner))
}

/// Returns what is asked for, as far as the manifest alone can tell whether it makes sense.
fn claim(session: &Session, address: &str, object: &str) -> Result<Claim, Failure> {
    let owner = owner_of(address)?;
    let manifest =
        &session.loaded.as_ref().ok_or_else(|| Failure::new(Code::Usage, "this needs a manifest"))?.manifest;
    declares(manifest, &owner)?;
    let link = || {
        let name = IfName::try_from(object);
        name.map(|name| ResourceId::Link(NsRef::Host, name)).map_err(|error| Failure::of(Code::Usage, &error))
    };
    let (id, inside) = match &owner {
        Owner::Network(name) => {
            let external = manifest.networks.get(name).and_then(|network| network.value.external.as_ref());
            if let Some(bridge) = external {
                let message =
                    format!("network `{name}` is external: it is attached to, and never netform's own");
                let help =
                    format!("write `interface: {}` in place of `external`, to have it managed", bridge.value);
                return Err(Failure::new(Code::Usage, message).help(help));
            }
            (link()?, None)
        }
        Owner::Container(name) => (ResourceId::Netns(namespace(manifest, name, object)?), None),
        Owner::Attachment { container, network: _ } => {
            let home = manifest.containers.get(container).and_then(|container| container.value.home.as_ref());
            let inside = match home.map(|home| &home.value) {
                None => NsRef::Named(NetnsName::from(container)),
                Some(Home::Netns(ns)) => ns.clone(),
                Some(home @ (Home::Docker(_) | Home::Podman(_) | Home::Process(_))) => {
                    let message =
                        format!("container `{container}` is somebody else's, as its `{}` says", home.key());
                    let help = "only what is in a namespace with a name or a path can be adopted";
                    return Err(Failure::new(Code::Usage, message).help(help));
                }
            };
            (link()?, Some(inside))
        }
        Owner::Project | Owner::Port(_) | Owner::Policy(_) | Owner::External(_) | Owner::Unmarked(_) => {
            return Err(super::declared::not_an_object(address));
        }
    };
    if matches!(&id, ResourceId::Link(_, name) if name.as_str() == "lo") {
        let message = "lo is the host's own loopback interface, which nothing is attached to";
        return Err(Failure::new(Code::Usage, message)
            .help("`netform import --discover` shows what could be adopted"));
    }
    Ok(Claim { owner, id, inside })
}

/// Returns the namespace that a container may adopt: the one of its name.
fn namespace(
    manifest: &Manifest,
    container: &crate::names::ContainerName,
    object: &str,
) -> Result<NetnsName, Failure> {
    if manifest.containers.get(container).is_some_and(|container| container.value.home.is_some()) {
        let message =
            format!("container `{container}` lives in a namespace of somebody else, as the manifest says");
        return Err(Failure::new(Code::Usage, message)
            .help("take `netns` (or `docker`, `podman`, `pid`) off it, to have the namespace managed"));
    }
    let name = NetnsName::from(container);
    if name.as_str() == object {
        return Ok(name);
    }
    let message =
        format!("container `{container}` has the namespace `{name}`, and `{object}` is another one");
    Err(Failure::new(Code::Usage, message)
        .help(format!("call the container `{object}`, or let it live there as it is with `netns: {object}`")))
}

/// Looks at the kernel as if some objects were ours.
async fn look(session: &mut Session, claim: &Claim, ids: BTreeSet<ResourceId>) -> Result<Survey, Failure> {
    session.look_who_runs().await;
    let scope = scope(session, claim, ids);
    session.kernel.survey(&scope).await.map_err(unreadable)
}

fn scope(session: &Session, claim: &Claim, unmarked: BTreeSet<ResourceId>) -> Scope {
    let mut scope = session.scope();
    scope.namespaces.extend(claim.inside.clone());
    scope.unmarked = unmarked;
    scope
}

/// Tells whether the object can be adopted; `false` when it has been.
fn is_free(claim: &Claim, observed: &Observed) -> Result<bool, Failure> {
    let Claim { owner, id, inside } = claim;
    let Some(entry) = observed.own.get(id) else { return Err(not_to_be_had(id, observed)) };
    if entry.owner == *owner {
        return Ok(false);
    }
    if !entry.owner.is_unmarked() {
        return Err(Failure::new(Code::Foreign, format!("{id} belongs to {} of this project", entry.owner)));
    }
    let has_another = |(other, entry): &(&ResourceId, &Entry)| {
        entry.owner == *owner && matches!(other, ResourceId::Link(..) | ResourceId::Netns(_))
    };
    if let Some((other, _)) = observed.own.iter().find(has_another) {
        let help = format!("`netform forget {owner}` gives that up, `netform destroy` removes it");
        return Err(Failure::new(Code::Usage, format!("{owner} has {other} already")).help(help));
    }
    let wrong = match (&entry.resource, owner) {
        (Resource::Link(link), Owner::Network(_)) => match &link.kind {
            LinkKind::Bridge | LinkKind::OpenVswitch(_) => None,
            LinkKind::Veth(_) => Some("a veth pair".to_owned()),
            LinkKind::Macvlan(_) => Some("a macvlan link".to_owned()),
            LinkKind::Ipvlan(_) => Some("an ipvlan link".to_owned()),
            LinkKind::Vlan(_) => Some("a VLAN".to_owned()),
            LinkKind::Device(_) => Some("a link of the host that a container has".to_owned()),
            LinkKind::Ifb => Some("an ifb link".to_owned()),
            LinkKind::Other(kind) => Some(format!("a {kind} link")),
        }
        .map(|what| format!("{id} is {what}, and a network is a bridge")),
        (Resource::Link(link), _) => {
            let is_inside = link.kind.peer().is_some_and(|peer| inside.as_ref() == Some(&peer.ns));
            let ns = inside.as_ref().map_or_else(String::new, |ns| format!(" in namespace {ns}"));
            (!is_inside).then(|| format!("{id} is no veth pair with its other end{ns}"))
        }
        (
            Resource::Netns(_)
            | Resource::Address(_)
            | Resource::Route(_)
            | Resource::Sysctl(_)
            | Resource::NftTable(_)
            | Resource::NftElement(_)
            | Resource::Passage(_)
            | Resource::Neighbour(_)
            | Resource::Qdisc(_)
            | Resource::File(_),
            _,
        ) => None,
    };
    wrong.map_or(Ok(true), |message| Err(Failure::new(Code::Usage, message)))
}

/// Says whose an object is, or that there is none.
fn not_to_be_had(id: &ResourceId, observed: &Observed) -> Failure {
    let slot = match id {
        ResourceId::Netns(name) => Slot::Ns(NsRef::Named(name.clone())),
        ResourceId::Link(ns, name) => Slot::Ifname(ns.clone(), name.clone()),
        ResourceId::Address(..)
        | ResourceId::Route(..)
        | ResourceId::Sysctl(..)
        | ResourceId::NftTable(_)
        | ResourceId::NftElement(..)
        | ResourceId::Passage(..)
        | ResourceId::Neighbour(..)
        | ResourceId::Qdisc(..)
        | ResourceId::File(_) => Slot::Object(id.clone()),
    };
    match observed.foreign.get(&slot) {
        Some(foreign) => {
            let whose = foreign.owner.as_ref().map_or_else(String::new, |owner| format!(" of {owner}"));
            Failure::new(Code::Foreign, format!("{}{whose} cannot be adopted", foreign.what))
        }
        None => Failure::new(Code::NoInput, format!("there is no {id}"))
            .help("`netform import --discover` shows what could be adopted"),
    }
}

/// Plans the adoption of the object with all on it that the manifest asks for, and the apply after it.
async fn adoption(session: &mut Session, claim: &Claim, first: &Survey) -> Result<Adoption, Failure> {
    // First as if all that is on it were ours, to know what the manifest makes of it.
    let mut ids: BTreeSet<ResourceId> = on_it(&first.observed).collect();
    ids.insert(claim.id.clone());
    let facts = look(session, claim, ids.clone()).await?.adopted(&claim.owner).facts;
    let mut facts = session.acquainted(session.completed(facts)).await?;
    // What is adopted later is in nobody's way now.
    let later: BTreeSet<_> =
        facts.bridges.values().flat_map(|bridge| &bridge.addresses).map(IpNet::trunc).collect();
    facts.routes.retain(|route| !later.contains(route));
    let Target { desired: wanted, .. } = session.target(Aim::Manifest, &facts).await?;
    ids.retain(|id| *id == claim.id || wanted.0.get(id).is_some());

    let mut scope = scope(session, claim, ids.clone());
    scope::widen(&mut scope, &wanted.0);
    let survey = session.kernel.survey(&scope).await.map_err(unreadable)?;
    let marked = marked(&survey.observed.own, &claim.owner, &wanted);
    let applied = session.past.state();
    let mut kept = applied.clone();
    for entry in ids.iter().filter_map(|id| marked.get(id)) {
        kept.insert(entry.clone());
    }
    let marked = Desired(marked);
    let adopting = plan(&marked, &survey.observed, &applied, Extra::default());
    let adopting = adopting.map_err(|conflicts| failure::in_the_way(&conflicts))?;

    let adopted = survey.clone().adopted(&claim.owner).observed;
    let (next, in_the_way) = match plan(&wanted, &adopted, &kept, Extra::default()) {
        Ok(next) => (next, vec![]),
        Err(conflicts) => (plan_around(&wanted, &adopted, &kept), conflicts),
    };
    let prepared = Prepared {
        topology: None,
        desired: marked,
        kept: Some(kept),
        scope,
        observed: survey.observed,
        applied,
        leases: session.past.leases.clone(),
        manifest: session.past.manifest(),
        plan: adopting,
    };
    Ok(Adoption { ids, prepared, next, in_the_way, wanted })
}

/// Returns what others put on what counts as ours.
fn on_it(observed: &Observed) -> impl Iterator<Item = ResourceId> {
    let on_it =
        observed.foreign.iter().filter(|(_, foreign)| foreign.on.as_ref().is_some_and(Owner::is_unmarked));
    on_it.filter_map(|(slot, _)| match slot {
        Slot::Object(id @ (ResourceId::Address(..) | ResourceId::Route(..))) => Some(id.clone()),
        Slot::Object(_)
        | Slot::Ns(_)
        | Slot::Ifname(..)
        | Slot::Addressed(..)
        | Slot::Shared(_)
        | Slot::Altname(..)
        | Slot::Device(_)
        | Slot::Filtered(_) => None,
    })
}

/// Returns all that is ours, with our mark on what has none yet: a link's further name and protection are part of it.
fn marked(own: &State, owner: &Owner, wanted: &Desired) -> State {
    let mut asked = wanted.0.iter().filter(|(_, entry)| entry.owner == *owner);
    let like =
        asked.find_map(|(_, entry)| entry.resource.link().filter(|link| link.kind != LinkKind::Ifb).cloned());
    let mark = |entry: &Entry| {
        let mut entry = entry.clone();
        if entry.owner.is_unmarked() {
            entry.owner = owner.clone();
            if let (Resource::Link(link), Some(like)) = (&mut entry.resource, &like) {
                link.altname = like.altname.clone();
                link.protected = like.protected;
            }
        }
        entry
    };
    own.iter().map(|(_, entry)| mark(entry)).collect()
}

/// Says what is adopted, and what the next apply would do.
fn description(session: &Session, claim: &Claim, adoption: &Adoption, style: Style) -> String {
    let Claim { owner, id, inside: _ } = claim;
    let Adoption { ids, prepared: _, next, in_the_way, wanted } = adoption;
    let mut text = format!(
        "These become {owner} of project {}; they get its mark, and nothing else changes:\n",
        session.project
    );
    ids.iter().for_each(|id| text.push_str(&format!("  {id}\n")));
    if next.is_empty() && in_the_way.is_empty() {
        text.push_str("\nThen nothing is left to do: they are as the manifest says.\n");
        return text;
    }
    let colour = match style {
        Style::Terminal => render::Colour::Always,
        Style::Plain => render::Colour::Never,
    };
    text.push_str("\nWhat the next apply would do then:\n\n");
    text.push_str(&render::text(next, &render::Look { colour, ..render::Look::default() }));
    if !in_the_way.is_empty() {
        text.push_str("\nStill in its way:\n");
        for conflict in in_the_way {
            text.push_str(&format!("  {}\n      help: {}\n", chain(conflict), conflict.help));
        }
    }
    let link =
        wanted.0.iter().find(|(id, entry)| entry.owner == *owner && matches!(id, ResourceId::Link(..)));
    match link {
        Some((ResourceId::Link(_, name), entry)) if wanted.0.get(id).is_none() => {
            let at = entry.origin.as_ref().map_or_else(String::new, |origin| format!(" at {origin}"));
            text.push_str(&format!(
                "\nWarning: the manifest calls it `{name}`, so the next apply makes that anew and removes {id}; to keep \
                 it, write `interface: {}` in {owner}{at}\n",
                id_name(id)
            ));
        }
        Some(_) | None => {
            let replaced =
                next.changes.iter().find(|change| change.owner == *owner && change.action == Action::Replace);
            if let Some(reason) = replaced.and_then(|change| change.reason.as_ref()) {
                text.push_str(&format!("\nWarning: the next apply makes it anew: {reason}\n"));
            }
        }
    }
    text
}

fn id_name(id: &ResourceId) -> String {
    match id {
        ResourceId::Link(_, name) => name.to_string(),
        ResourceId::Netns(_)
        | ResourceId::Address(..)
        | ResourceId::Route(..)
        | ResourceId::Sysctl(..)
        | ResourceId::NftTable(_)
        | ResourceId::NftElement(..)
        | ResourceId::Passage(..)
        | ResourceId::Neighbour(..)
        | ResourceId::Qdisc(..)
        | ResourceId::File(_) => id.to_string(),
    }
}
