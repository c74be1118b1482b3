//! What the hosts files of a network have in common.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};

use super::super::Container;
use super::super::called::lower;
use crate::names::{ContainerName, NetName};
use crate::resource::sysctl::Family;

pub(super) type Names = Arc<[Arc<str>]>;

/// Who is on a network, with all names there.
pub(super) struct Entry {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) names: Names,
}

/// Lines of hosts files, written once for all the files that they are in.
#[derive(Default)]
pub(super) struct Lines {
    pub(super) text: Arc<str>,
    pub(super) all: Vec<Line>,
}

impl Lines {
    pub(super) fn of(lines: Vec<(IpAddr, Names)>) -> Self {
        let mut text = String::new();
        let line = |(addr, names): (IpAddr, Names)| {
            let start = text.len();
            write(&mut text, addr, &names);
            Line { addr, names, stretch: start..text.len() }
        };
        let all = lines.into_iter().map(line).collect();
        Self { text: text.into(), all }
    }
}

/// A line of a hosts file.
pub(super) struct Line {
    pub(super) addr: IpAddr,
    pub(super) names: Names,
    /// Where it stands in the text.
    pub(super) stretch: Range<usize>,
}

/// The lines that say a name, at most one of each family.
#[derive(Default)]
pub(super) struct Said {
    ipv4: Option<usize>,
    ipv6: Option<usize>,
}

impl Said {
    fn of(&self, family: Family) -> Option<usize> {
        match family {
            Family::Ipv4 => self.ipv4,
            Family::Ipv6 => self.ipv6,
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = usize> {
        self.ipv4.into_iter().chain(self.ipv6)
    }
}

/// The containers of a network with their names, in order; no name is there twice in a family.
///
/// Nearly every line of a network is in the file of each of its containers, so the names are looked up here, once, and
/// not by every file.
pub(super) struct Roll {
    pub(super) lines: Lines,
    /// Which of the lines say a name, which is in lower case here.
    pub(super) index: HashMap<Arc<str>, Said>,
    /// The addresses of each, for links.
    pub(super) addresses: HashMap<ContainerName, Vec<IpAddr>>,
}

impl Roll {
    pub(super) fn of(entries: &[Entry], addresses: HashMap<ContainerName, Vec<IpAddr>>) -> Self {
        let mut lines = Vec::with_capacity(entries.len());
        let mut index: HashMap<Arc<str>, Said> = HashMap::with_capacity(2 * entries.len());
        for entry in entries {
            for addr in &entry.addresses {
                let family = Family::of(*addr);
                let is_said =
                    |name: &Arc<str>| index.get(&*lower(name)).is_some_and(|it| it.of(family).is_some());
                let Some(names) = fresh(&entry.names, is_said) else { continue };
                for name in names.iter() {
                    let said = index.entry(key(name)).or_default();
                    match family {
                        Family::Ipv4 => said.ipv4 = Some(lines.len()),
                        Family::Ipv6 => said.ipv6 = Some(lines.len()),
                    }
                }
                lines.push((*addr, names));
            }
        }
        Self { lines: Lines::of(lines), index, addresses }
    }

    /// Returns the line of a container's address, when it says the container's own names and nothing else.
    pub(super) fn own(&self, container: &Container, network: &NetName, addr: IpAddr) -> Option<&Line> {
        let number = self.index.get(&*lower(container.name.as_str()))?.of(Family::of(addr))?;
        let line = self.lines.all.get(number).filter(|line| line.addr == addr)?;
        let is_own = |(name, both): (&ContainerName, &[Arc<str>])| {
            let [short, long] = both else { return false };
            let behind = long.strip_prefix(name.as_str()).and_then(|rest| rest.strip_prefix('.'));
            **short == *name.as_str() && behind == Some(network.as_str())
        };
        let has_no_more = line.names.len() == 2 * container.names().count();
        (has_no_more && container.names().zip(line.names.chunks(2)).all(is_own)).then_some(line)
    }

    pub(super) fn says(&self, family: Family, name: &str) -> bool {
        self.index.get(&*lower(name)).is_some_and(|said| said.of(family).is_some())
    }
}

fn key(name: &Arc<str>) -> Arc<str> {
    match lower(name) {
        Cow::Borrowed(_) => Arc::clone(name),
        Cow::Owned(lower) => lower.into(),
    }
}

/// Writes a line of a hosts file.
pub(super) fn write(text: &mut String, addr: IpAddr, names: &[Arc<str>]) {
    // To write to a text never fails.
    let _ = write!(text, "{addr}");
    for (number, name) in names.iter().enumerate() {
        text.push(if number == 0 { '\t' } else { ' ' });
        text.push_str(name);
    }
    text.push('\n');
}

/// Returns those of the names that are not said yet.
pub(super) fn fresh(names: &Names, is_said: impl Fn(&Arc<str>) -> bool) -> Option<Names> {
    let fresh = names.iter().filter(|name| !is_said(name)).count();
    if fresh == 0 {
        None
    } else if fresh == names.len() {
        Some(Arc::clone(names))
    } else {
        Some(names.iter().filter(|name| !is_said(name)).cloned().collect())
    }
}
