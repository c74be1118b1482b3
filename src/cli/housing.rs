//! The manifest may call a namespace of somebody else otherwise than the last apply did: by a name, a path or a process. It is
//! the same all the same, and what is in it stays.

use std::collections::{BTreeMap, BTreeSet};

use super::failure::{Code, Failure};
use super::loaded::Loaded;
use super::runtimes::rehoused;
use super::scope::given_namespaces;
use super::session::{Aim, Session};
use crate::kernel::census;
use crate::manifest::Home;
use crate::names::ContainerName;
use crate::plan::release::{self, Adopted};
use crate::resource::ResourceId;
use crate::resource::link::Link;
use crate::resource::netns::{NsRef, Process};
use crate::resource::state::{Desired, Observed, State};

impl Session {
    /// Has the past call namespaces as the manifest does now. What the manifest must not call somebody else's matters only to
    /// who carries it out: whoever destroys, or goes back, gets rid of that line.
    pub(super) fn call_namespaces_as_now(&mut self, aim: Aim) -> Result<(), Failure> {
        let (Some(loaded), Some(generation)) = (&self.loaded, &self.past.generation) else { return Ok(()) };
        let runs = self.runtimes.look.runs.values().map(|run| NsRef::Process(run.process));
        let mut now = given_namespaces(&loaded.manifest);
        now.extend(runs.filter(|ns| *ns != NsRef::Process(Process::NOBODY)));
        if now.is_empty() {
            return Ok(());
        }
        let (ours, theirs) = called_before(&generation.state, loaded, &now);
        if ours.is_empty() && theirs.is_empty() {
            return Ok(());
        }
        let mut same: BTreeMap<NsRef, NsRef> = census::same(now.iter().chain(&ours).chain(&theirs));
        let mut taken = ours.iter().filter_map(|ours| Some((ours, same.get(ours)?)));
        if let Some((ours, called)) = taken.next().filter(|_| aim == Aim::Manifest) {
            return Err(self.is_ours(loaded, ours, called));
        }
        same.retain(|before, _| theirs.contains(before));
        if !same.is_empty() {
            let to = |ns: NsRef| Some(same.get(&ns).cloned().unwrap_or(ns));
            self.past.generation.iter_mut().for_each(|generation| {
                generation.state = rehoused(std::mem::take(&mut generation.state), &|ns, _| to(ns));
            });
            // It was not written like that.
            self.past.written = None;
        }
        Ok(())
    }

    /// Has what is not this project's to remove given up: what was adopted after an earlier generation, and namespaces that
    /// the manifest calls somebody else's now. Returns that, and what the new generation shall say it led to then.
    pub(super) fn give_up(
        &self,
        aim: Aim,
        desired: &mut Desired,
        observed: &Observed,
    ) -> (BTreeSet<ResourceId>, Option<State>) {
        let given_up = match aim {
            Aim::Nothing => BTreeSet::new(),
            Aim::Manifest => {
                let homes = self.loaded.as_ref().map(|loaded| given_namespaces(&loaded.manifest));
                release::give_up_homes(desired, observed, &homes.unwrap_or_default())
            }
            Aim::Generation(_) => release::give_up(desired, observed, &self.past.adopted),
        };
        let without = || {
            let mut kept = desired.0.clone();
            kept.retain(|id| !given_up.contains(id));
            kept
        };
        let kept = (!given_up.is_empty()).then(without);
        (given_up, kept)
    }

    /// Refuses to take a namespace for somebody else's that the project has made, and would remove.
    fn is_ours(&self, loaded: &Loaded, ours: &NsRef, called: &NsRef) -> Failure {
        let is_called = |name: &ContainerName, home: &Home| match home {
            Home::Netns(ns) => ns == called,
            Home::Docker(_) | Home::Podman(_) | Home::Process(_) => {
                let run = self.runtimes.look.runs.get(name);
                run.is_some_and(|run| NsRef::Process(run.process) == *called)
            }
        };
        let containers = loaded.manifest.containers.iter();
        let mut homes = containers.filter_map(|(name, at)| Some((name, at.value.home.as_ref()?)));
        let found = homes.find(|(name, home)| is_called(name, &home.value));
        let whose = found.map_or_else(String::new, |(name, home)| {
            format!("{}: container.{name}: ", loaded.origin(home.place))
        });
        let message = format!(
            "{whose}{called} is the namespace {ours}, which project {} has made, and would remove",
            self.project
        );
        Failure::new(Code::Manifest, message)
            .help(format!("write `netns: {ours}`: then it is given up, and stays with all that is in it"))
    }
}

/// Returns the namespaces that the last apply led to and that the manifest does not name: those of the project's own, and those
/// of others.
fn called_before(
    state: &State,
    loaded: &Loaded,
    now: &BTreeSet<NsRef>,
) -> (BTreeSet<NsRef>, BTreeSet<NsRef>) {
    let containers = &loaded.manifest.containers;
    let is_declared = |name: &str| {
        let mut own = containers.iter().filter(|(_, at)| at.value.home.is_none());
        own.any(|(container, _)| container.as_str() == name)
    };
    let all_own: BTreeSet<NsRef> =
        state.iter().filter_map(|(id, _)| id.netns().cloned().map(NsRef::Named)).collect();
    let homes = state.iter().filter_map(|(_, entry)| entry.resource.link()).flat_map(Link::namespaces);
    let theirs = homes.filter(|ns| **ns != NsRef::Host && !now.contains(*ns) && !all_own.contains(*ns));
    let theirs = theirs.cloned().collect();
    let is_gone = |ns: &NsRef| match ns {
        NsRef::Named(name) => !now.contains(ns) && !is_declared(name.as_str()),
        NsRef::Host | NsRef::Path(_) | NsRef::Process(_) => false,
    };
    (all_own.into_iter().filter(is_gone).collect(), theirs)
}

/// Says what is given up, and why.
pub(super) fn tell_given_up(
    aim: Aim,
    given_up: &BTreeSet<ResourceId>,
    adopted: &Adopted,
) -> impl Iterator<Item = String> {
    let why = move |id: &ResourceId| match aim {
        Aim::Manifest => {
            "is somebody else's by the manifest: it is given up, and stays with all that is in it"
        }
        Aim::Nothing | Aim::Generation(_) if adopted.before.get(id).is_some() => {
            "was there before netform, was adopted and has been changed or removed since: it is given back as it was"
        }
        Aim::Nothing | Aim::Generation(_) => {
            "was there before netform and was adopted since: it is given up, and stays as it is"
        }
    };
    // A kernel parameter is the plan's to show.
    let given_up = given_up.iter().filter(|id| !matches!(id, ResourceId::Sysctl(..)));
    given_up.map(move |id| format!("{id} {}", why(id)))
}
