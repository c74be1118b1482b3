//! Namespaces, and where somebody is.

use super::{Finding, Kind, Scene, Whose, interface, listed, sentence};
use crate::kernel::census::Namespace;
use crate::kernel::listeners::Process;
use crate::resource::owner::Owner;
use crate::runtime::list::Runs;

/// Returns where somebody is, as a sentence goes on after "in".
pub(super) fn place(scene: &Scene, ns: &Namespace) -> String {
    if ns.home {
        return "the host".to_owned();
    }
    // A name that a runtime gave says less than its container's.
    let runs = runs(scene, ns).filter(|_| ns.mark.is_none());
    if let (None, Some(name)) = (runs, ns.names.first()) {
        return format!("namespace {name}");
    }
    if let Some(container) = container(scene, ns) {
        return format!("the namespace of {container}");
    }
    match (&ns.process, ns.files.first()) {
        (Some(Process { pid, name }), _) => format!("the namespace of process {pid} ({name})"),
        (None, Some(file)) => format!("namespace {}", file.display()),
        (None, None) => "a namespace without a name".to_owned(),
    }
}

/// Returns what a namespace is called for machines; `None` for that of the host.
pub(super) fn name(ns: &Namespace) -> Option<String> {
    if ns.home {
        return None;
    }
    let file = || ns.files.first().map(|file| file.display().to_string());
    let process = || ns.process.as_ref().map(|process| format!("/proc/{}/ns/net", process.pid));
    Some(
        ns.names
            .first()
            .cloned()
            .or_else(file)
            .or_else(process)
            .unwrap_or_else(|| format!("net:[{}]", ns.id.inode)),
    )
}

/// Returns the container that has a namespace and that a runtime runs.
pub(super) fn runs<'s>(scene: &'s Scene, ns: &Namespace) -> Option<&'s Runs> {
    let is_in =
        |ns: &Namespace, runs: &Runs| ns.process.as_ref().is_some_and(|process| process.pid == runs.pid);
    // A container may have made further namespaces, so that its group says less than its first process.
    let by_group = |runs: &&Runs| {
        let same = ns.group.as_ref().is_some_and(|group| runs.id.starts_with(&group.id));
        same && !scene.namespaces.iter().any(|other| is_in(other, runs))
    };
    let all = || scene.listing.containers.iter().filter(|_| !ns.home);
    all().find(|runs| is_in(ns, runs)).or_else(|| all().find(by_group))
}

/// Returns the container of a runtime's that has a namespace, in words.
fn container(scene: &Scene, ns: &Namespace) -> Option<String> {
    let group = || {
        let group = ns.group.as_ref().filter(|_| !ns.home)?;
        let runtime = group.runtime.map(|runtime| format!("{runtime}'s ")).unwrap_or_default();
        Some(format!("{runtime}container {}", group.id))
    };
    runs(scene, ns).map(|runs| format!("{}'s container {}", runs.runtime, runs.name)).or_else(group)
}

/// Returns whose a namespace is.
pub(super) fn whose(scene: &Scene, ns: &Namespace) -> Whose {
    if let Some(mark) = &ns.mark {
        return Whose::of_project(&mark.project, &mark.owner);
    }
    let runs = runs(scene, ns);
    let group = ns.group.as_ref();
    let runtime = || group.and_then(|group| group.runtime).map(str::to_owned);
    let attached = attached(scene, ns).pop();
    Whose {
        owner: runs.map(|runs| runs.runtime.clone()).or_else(runtime),
        container: runs
            .map(|runs| runs.name.clone())
            .or_else(|| group.map(|group| group.id.clone()))
            .or(attached),
        ..Whose::default()
    }
}

/// Returns the containers of netform's projects whose interfaces are in a namespace.
fn attached(scene: &Scene, ns: &Namespace) -> Vec<String> {
    let place = scene.namespaces.iter().position(|other| other.id == ns.id);
    let owners = ns.interfaces.iter().filter_map(|link| interface::whose(scene, place?, link).container);
    let mut all: Vec<_> = owners.collect();
    all.dedup();
    all
}

/// Returns the namespaces that a thing may be.
pub(super) fn find(thing: &str, scene: &Scene) -> Vec<Finding> {
    let is_meant = |ns: &&Namespace| {
        let process = ns.process.as_ref().is_some_and(|it| thing == format!("/proc/{}/ns/net", it.pid));
        let inode = thing == format!("net:[{}]", ns.id.inode);
        let named = thing.rsplit_once('/').is_some_and(|(dir, name)| {
            matches!(dir, "/run/netns" | "/var/run/netns") && ns.names.iter().any(|other| other == name)
        });
        let file = ns.files.iter().any(|file| {
            let path = file.to_string_lossy();
            thing == path || thing.strip_prefix("/var").is_some_and(|rest| rest == path)
        });
        process || inode || named || file || ns.names.iter().any(|name| name == thing)
    };
    scene.namespaces.iter().filter(is_meant).map(|ns| finding(scene, ns)).collect()
}

/// Returns what a namespace is.
pub(super) fn finding(scene: &Scene, ns: &Namespace) -> Finding {
    let whose = whose(scene, ns);
    let called = match place(scene, ns) {
        place if ns.home => place,
        place => place.strip_prefix("namespace ").map(str::to_owned).unwrap_or(place),
    };
    let what = match (&whose.resource, &whose.project) {
        (Some(Owner::Container(container)), Some(project)) => {
            format!("the network namespace that netform made for container {container} of project {project}")
        }
        (Some(owner), Some(project)) => {
            format!("a network namespace of netform's, for {owner} of project {project}")
        }
        (_, _) if ns.home => "the network namespace that netform runs in".to_owned(),
        (_, _) => match container(scene, ns) {
            Some(container) => format!("the network namespace of {container}"),
            None if ns.read => "a network namespace that is not netform's".to_owned(),
            // What says whose it is is inside.
            None => "a network namespace of which cannot be told whose it is".to_owned(),
        },
    };
    let process = ns.process.as_ref().map(|it| format!("process {} ({}) is in it", it.pid, it.name));
    let attached = Some(attached(scene, ns)).filter(|all| ns.mark.is_none() && !ns.home && !all.is_empty());
    let attached = attached.map(|all| format!("netform attaches it as container {}", listed(&all)));
    let interfaces: Vec<_> =
        ns.interfaces.iter().filter(|link| link.index != 1).map(|link| link.name.clone()).collect();
    let interfaces = match (ns.read, interfaces.as_slice()) {
        (false, _) => "it may not be looked into from here".to_owned(),
        (true, []) => "it has no interface but lo".to_owned(),
        (true, interfaces) => format!("it has {}", listed(interfaces)),
    };
    let manifest = scene.asked_at(&whose);
    let text = sentence(&format!("{called} is {what}"), [attached, Some(interfaces), process, manifest]);
    let name = name(ns).unwrap_or_else(|| "host".to_owned());
    Finding { namespace: self::name(ns), ..Finding::new(Kind::Namespace, name, text).of(&whose, scene) }
}
