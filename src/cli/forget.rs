//! `netform forget ADDRESS`: what a resource has in the kernel stays there, and is the project's no longer.

use std::collections::BTreeSet;

use super::args::{Common, Forget};
use super::consent::{may_ask, take_turn};
use super::declared::{declares, owner_of};
use super::failure::{self, Code, Failure, unreadable};
use super::run;
use super::session::{Prepared, Session};
use super::show::{self, Style};
use crate::kernel::Kernel as _;
use crate::names::NetnsName;
use crate::plan::release::unmarked;
use crate::plan::{Extra, plan};
use crate::resource::netns::NsRef;
use crate::resource::owner::Owner;
use crate::resource::state::{Desired, Entry, Observed, State};
use crate::resource::sysctl::Sysctl;
use crate::resource::{Resource, ResourceId};

/// Gives up a resource.
pub(super) async fn run(common: &Common, wish: &Forget) -> Result<(), Failure> {
    let Forget { address, which, consent, force } = wish;
    may_ask("forget", consent)?;
    let owner = owner_of(address)?;
    let mut session = Session::of_project(common, which)?;
    if let (Some(loaded), false) = (&session.loaded, force)
        && declares(&loaded.manifest, &owner).is_ok()
    {
        let message = format!("the manifest declares {owner}: the next apply would find it in the way");
        return Err(Failure::new(Code::Guarded, message)
            .help("take it out of the manifest first; --force gives it up all the same"));
    }
    let _lock = take_turn(&mut session, "forget", consent).await?;
    let (prepared, ids) = release(&mut session, &owner).await?;
    show::out(&description(&session, &owner, &prepared, &ids))?;
    if consent.dry_run {
        return Ok(());
    }
    if !consent.yes && !run::agreed("forget").await? {
        return show::out("Nothing was changed.\n");
    }
    let how = run::How::or_undone(Style::of_stdout(common));
    run::carry_out(&mut session, &prepared, how).await?;
    show::out(&format!("Forgotten: {owner} is nobody's now, and works as before.\n"))
}

/// Plans to take the marks off all that belongs to a resource.
async fn release(session: &mut Session, owner: &Owner) -> Result<(Prepared, BTreeSet<ResourceId>), Failure> {
    session.look_who_runs().await;
    let mut scope = session.scope();
    if let Owner::Container(container) | Owner::Attachment { container, network: _ } = owner {
        scope.namespaces.insert(NsRef::Named(NetnsName::from(container)));
    }
    let observed = session.kernel.observe(&scope).await.map_err(unreadable)?;
    let mut desired = State::default();
    for (id, entry) in observed.own.iter() {
        let released = if belongs(&entry.owner, owner) { unmarked(entry) } else { None };
        if released.is_some() {
            scope.unmarked.insert(id.clone());
        }
        desired.insert(released.unwrap_or_else(|| entry.clone()));
    }
    let ids = scope.unmarked.clone();
    if ids.is_empty() {
        let message = format!("project {} has nothing of {owner}", session.project);
        return Err(Failure::new(Code::NoInput, message).help("`netform status` shows what it has"));
    }
    let released: Vec<&Entry> =
        desired.iter().map(|(_, entry)| entry).filter(|it| it.owner.is_unmarked()).collect();
    let back = session.past.adopted.parameters_of(released.into_iter());
    let back: Vec<Entry> =
        back.into_iter().filter(|it| observed.own.get(&it.resource.id()).is_some()).cloned().collect();
    let set_back: BTreeSet<ResourceId> = back.iter().map(|entry| entry.resource.id()).collect();
    desired.extend(back);
    let (applied, desired) = (session.past.state(), Desired(desired));
    let plan = plan(&desired, &observed, &applied, Extra::default());
    let plan = plan.map_err(|conflicts| failure::in_the_way(&conflicts))?;
    let mut kept = applied.clone();
    kept.retain(|id| !ids.contains(id) && !set_back.contains(id));
    let (leases, manifest) = (session.past.leases.clone(), session.past.manifest());
    let kept = Some(kept);
    let prepared =
        Prepared { topology: None, desired, kept, scope, observed, applied, leases, manifest, plan };
    Ok((prepared, ids))
}

/// Tells whether what `owner` has goes with `whole`: attachments go with their network and their container.
fn belongs(owner: &Owner, whole: &Owner) -> bool {
    owner == whole
        || match (owner, whole) {
            (Owner::Attachment { container: _, network }, Owner::Network(name)) => network == name,
            (Owner::Attachment { container, network: _ }, Owner::Container(name)) => container == name,
            (
                Owner::Project
                | Owner::Network(_)
                | Owner::Container(_)
                | Owner::Attachment { .. }
                | Owner::Port(_)
                | Owner::Policy(_)
                | Owner::External(_)
                | Owner::Unmarked(_),
                _,
            ) => false,
        }
}

/// Says what is given up, and what remains of it.
fn description(session: &Session, owner: &Owner, prepared: &Prepared, ids: &BTreeSet<ResourceId>) -> String {
    let mut text = format!(
        "These are given up by project {}; they lose its mark, and nothing else changes:\n",
        session.project
    );
    ids.iter().for_each(|id| text.push_str(&format!("  {id}\n")));
    let stays = |(id, entry): &(&ResourceId, &Entry)| {
        belongs(&entry.owner, owner) && matches!(id, ResourceId::NftElement(..) | ResourceId::Sysctl(..))
    };
    let elements = prepared.desired.0.iter().filter(stays).count();
    let back: String = prepared.desired.0.iter().filter_map(|it| set_back(it, &prepared.observed)).collect();
    if !back.is_empty() {
        text.push_str(&format!(
            "These are set back to what they were before their link was adopted:\n{back}"
        ));
    }
    if elements > 0 {
        text.push_str(&format!(
            "The firewall goes on as it is, with {elements} elements for them, until the next apply or destroy of project \
             {}: then masquerading, isolation and published ports of {owner} end, and are yours to replace.\n",
            session.project
        ));
    }
    text
}

/// Says what a kernel parameter is set back to.
fn set_back((id, entry): (&ResourceId, &Entry), observed: &Observed) -> Option<String> {
    let Resource::Sysctl(Sysctl { ns: _, key, value }) = &entry.resource else { return None };
    let is_changed = observed.own.get(id).is_some_and(|now| now.resource != entry.resource);
    is_changed.then(|| format!("  {key} = {value}\n"))
}
