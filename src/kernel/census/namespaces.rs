//! Where namespaces are found: names, files, processes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Namespace;
use crate::kernel::listeners::Process;
use crate::kernel::netns::{self, Identity, identity_at};
use crate::names::NetnsName;
use crate::resource::netns::NsRef;

/// Where Docker keeps the namespaces of its containers.
const DOCKER: [&str; 2] = ["/run/docker/netns", "/var/run/docker/netns"];

/// A container, as a control group is named after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Who runs it: `Docker`, `Podman`; of others no more than that it is a container is known.
    pub runtime: Option<&'static str>,
    /// The first 12 digits of its id.
    pub id: String,
}

/// Returns the namespaces, each with a file that stands for it; the one that netform runs in comes first.
pub(super) fn found() -> io::Result<Vec<(Namespace, PathBuf)>> {
    let own = PathBuf::from("/proc/self/ns/net");
    let home = identity_at(&own)?;
    let mut all: BTreeMap<Identity, (Namespace, PathBuf)> = BTreeMap::new();
    let mut at = |id, path: PathBuf, note: &dyn Fn(&mut Namespace)| {
        let found = all.entry(id).or_insert_with(|| (Namespace { id, ..Namespace::default() }, path));
        note(&mut found.0);
    };
    at(home, own, &|namespace| namespace.home = true);
    for (name, path) in files(Path::new(netns::DIR)) {
        if let Some(id) = namespace(&path) {
            at(id, path, &|namespace| namespace.names.push(name.clone()));
        }
    }
    for (_, path) in DOCKER.iter().flat_map(|dir| files(Path::new(dir))) {
        if let Some(id) = namespace(&path) {
            at(id, path.clone(), &|namespace| {
                if !namespace.files.iter().any(|other| other.file_name() == path.file_name()) {
                    namespace.files.push(path.clone());
                }
            });
        }
    }
    for pid in pids() {
        let path = PathBuf::from(format!("/proc/{pid}/ns/net"));
        // One that is not ours to look at, or has ended.
        let Ok(id) = identity_at(&path) else { continue };
        at(id, path, &|namespace| {
            if namespace.process.is_none() && !namespace.home {
                namespace.process = Some(process(pid));
                namespace.group = group(pid);
            }
        });
    }
    let mut all: Vec<_> = all.into_values().collect();
    all.sort_by_key(|(namespace, _)| !namespace.home);
    Ok(all)
}

/// Returns the processes that are in named namespaces.
pub fn inhabitants(names: BTreeSet<NetnsName>) -> BTreeMap<NetnsName, Vec<Process>> {
    let path = |name: &NetnsName| netns::path(&NsRef::Named(name.clone()));
    let ids: HashMap<_, _> =
        names.into_iter().filter_map(|name| Some((namespace(&path(&name))?, name))).collect();
    let mut inhabitants = BTreeMap::<NetnsName, Vec<Process>>::new();
    for pid in if ids.is_empty() { vec![] } else { pids() } {
        let name =
            identity_at(&PathBuf::from(format!("/proc/{pid}/ns/net"))).ok().and_then(|id| ids.get(&id));
        if let Some(name) = name {
            inhabitants.entry(name.clone()).or_default().push(process(pid));
        }
    }
    inhabitants
}

/// Returns which of these namespaces are others of them by another name, each with the first that is it. What is not there is
/// none.
pub fn same<'n>(all: impl IntoIterator<Item = &'n NsRef>) -> BTreeMap<NsRef, NsRef> {
    let (mut first, mut same) = (HashMap::new(), BTreeMap::new());
    for ns in all {
        let Some(id) = namespace(&netns::path(ns)) else { continue };
        let known = first.entry(id).or_insert(ns);
        if *known != ns {
            same.insert(ns.clone(), (*known).clone());
        }
    }
    same
}

/// Returns the numbers of all processes, in their order.
fn pids() -> Vec<u32> {
    let mut pids: Vec<u32> =
        files(Path::new("/proc")).into_iter().filter_map(|(pid, _)| pid.parse().ok()).collect();
    pids.sort_unstable();
    pids
}

fn files(dir: &Path) -> Vec<(String, PathBuf)> {
    // A directory that is not there holds nothing.
    let entries = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    let mut files: Vec<_> =
        entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path()))).collect();
    files.sort();
    files
}

/// Returns what tells the namespace behind a file from others; `None` when it stands for none.
fn namespace(path: &Path) -> Option<Identity> {
    netns::has_namespace(path).ok().filter(|is| *is)?;
    identity_at(path).ok()
}

fn process(pid: u32) -> Process {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Process { pid, name: name.trim_end().to_owned() }
}

fn group(pid: u32) -> Option<Group> {
    container(&fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?)
}

/// Returns the container that a process's control groups are named after: runtimes put its id there.
fn container(groups: &str) -> Option<Group> {
    let is_id = |word: &&str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    groups.lines().find_map(|line| {
        let id = line.split(|c: char| !c.is_ascii_alphanumeric()).find(is_id)?;
        let runtime = if line.contains("docker") {
            Some("Docker")
        } else if line.contains("libpod") {
            Some("Podman")
        } else {
            None
        };
        Some(Group { runtime, id: id.get(..12)?.to_owned() })
    })
}

/// Returns the driver of an interface in the namespace that sysfs shows.
pub(super) fn driver(interface: &str) -> Option<String> {
    let link = fs::read_link(format!("/sys/class/net/{interface}/device/driver")).ok()?;
    Some(link.file_name()?.to_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(groups: &str, want: Option<(Option<&str>, &str)>) {
        let group = container(groups);
        assert_eq!(group.as_ref().map(|group| (group.runtime, group.id.as_str())), want, "{groups}");
    }

    #[test]
    fn a_control_group_tells_which_container_a_process_is_in() {
        let id = "dbe5810b1a3db040c4ba7f356371ce6c65fba00fe9b94ad0676f8825d721d614";
        let short = "dbe5810b1a3d";
        check(&format!("0::/system.slice/docker-{id}.scope\n"), Some((Some("Docker"), short)));
        check(&format!("3:cpu:/x\n2:pids:/docker/{id}\n"), Some((Some("Docker"), short)));
        check(&format!("0::/machine.slice/libpod-{id}.scope/container\n"), Some((Some("Podman"), short)));
        check(&format!("0::/kubepods.slice/cri-containerd-{id}.scope\n"), Some((None, short)));
        check("0::/user.slice/session-3.scope\n", None);
    }
}
