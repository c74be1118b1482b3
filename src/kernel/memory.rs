//! What was read of the kernel is remembered, and only what may have changed since is read again: a daemon pays for one
//! attachment where one moves, not for all of them.

use std::collections::{BTreeMap, BTreeSet};

use super::ends::{self, Ends};
use super::moved::{Moved, Parts, Whole};
use super::reading::{self, NsReading, Reading};
use super::slice::is_parameter_in;
use super::{Glance, ObserveError, Op, Scope, nft, numbers, ovsdb, silence, sysctl};
use crate::names::IfName;
use crate::resource::netns::NsRef;
use crate::resource::sysctl::SysctlKey;

/// What was read, and what may have changed since.
pub(super) struct Memory {
    pub(super) reading: Reading,
    pub(super) tables: nft::Tables,
    /// What was asked for.
    scope: Scope,
    /// The namespaces in `reading`, by the numbers that the host has for them.
    numbers: BTreeMap<i32, BTreeSet<NsRef>>,
    /// Where something may have changed.
    stale: Parts,
    /// What we ourselves have touched since the last run began: some of it changes later than it is asked to.
    touched: Parts,
    /// What was read since the last run began.
    fresh: Moved,
    /// What was read that was something else before, and that nobody has [looked through](Self::slice) since.
    pub(super) unchecked: Moved,
    /// Another one whenever something else was read than before.
    pub(super) version: Version,
}

/// Tells what was read from what was read before: how often everything was, and how often something else since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version(u64, u64);

impl Memory {
    /// Reads everything that a scope asks for, for the so-manieth time.
    pub(super) async fn of(scope: &Scope, time: u64) -> Result<Self, ObserveError> {
        let (reading, tables) = tokio::try_join!(reading::read(scope, None), nft::read(&scope.project))?;
        let mut numbers: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (number, ns) in numbered(&reading) {
            numbers.entry(number).or_default().insert(ns);
        }
        let (stale, touched, fresh) = (Parts::default(), Parts::default(), Moved::Everywhere);
        let (version, unchecked, scope) = (Version(time, 0), Moved::Everywhere, scope.clone());
        Ok(Self { reading, tables, scope, numbers, stale, touched, fresh, unchecked, version })
    }

    /// Notes where something may have changed.
    pub(super) fn note(&mut self, parts: Parts) {
        self.stale.extend(parts);
    }

    /// Notes what operations change.
    pub(super) fn touch<'o>(&mut self, ops: impl IntoIterator<Item = &'o Op>) {
        for op in ops {
            let (from, to) = match op {
                Op::Create(entry) | Op::Delete(entry) => (None, entry),
                Op::Update { from, to } => (Some(from), to),
            };
            from.into_iter().chain([to]).for_each(|entry| self.touched.extend(Parts::of(entry)));
        }
    }

    /// Begins a run: what was touched in the last one counts like what others touch.
    pub(super) fn begin(&mut self) {
        self.stale.extend(std::mem::take(&mut self.touched));
        self.fresh = Moved::default();
    }

    /// Reads what may have changed, and what a scope asks for that was not asked for before.
    pub(super) async fn catch_up(&mut self, scope: &Scope) -> Result<(), ObserveError> {
        let mut parts = std::mem::take(&mut self.stale);
        parts.extend(self.touched.clone());
        self.take_on(scope, &mut parts);
        self.look(parts).await.map(drop)
    }

    /// Reads what lies within a glance, and returns it.
    pub(super) async fn glance(&mut self, scope: &Scope, at: &Glance) -> Result<Reading, ObserveError> {
        let mut parts = Parts::default();
        parts.extend_with(at);
        parts.files.extend(scope.files.iter().map(|path| path.to_path_buf()));
        for (ns, key) in &scope.sysctls {
            match ns {
                NsRef::Host => drop(parts.files.insert(sysctl::path(key))),
                NsRef::Named(_) | NsRef::Path(_) | NsRef::Process(_) => {
                    parts.namespaces.insert(ns.clone());
                }
            }
        }
        let mut wide = self.scope.clone();
        wide.extend(scope);
        self.take_on(&wide, &mut parts);
        self.look(parts).await
    }

    /// Takes out of a glance what was read since the run began; `None` when that is everything.
    pub(super) fn unread(&self, mut at: Glance) -> Option<Glance> {
        match &self.fresh {
            Moved::Everywhere => None,
            Moved::Here(fresh) => {
                at.namespaces.retain(|ns| !fresh.namespaces.contains(ns));
                at.links.retain(|link| !fresh.links.contains(link));
                at.firewall &= !fresh.whole.contains(&Whole::Firewall);
                Some(at).filter(|at| *at != Glance::default())
            }
        }
    }

    /// Tells whether everything was read since the run began.
    pub(super) fn is_fresh(&self) -> bool {
        self.fresh == Moved::Everywhere
    }

    /// Takes on another scope; adds what has to be read because of it, or is not asked for any more.
    fn take_on(&mut self, scope: &Scope, parts: &mut Parts) {
        let before = &self.scope;
        parts.namespaces.extend(before.namespaces.symmetric_difference(&scope.namespaces).cloned());
        let unmarked = before.unmarked.symmetric_difference(&scope.unmarked);
        let ways = [(before, scope), (scope, before)].into_iter();
        let strays =
            ways.flat_map(|(one, other)| one.strays.keys().filter(|id| !other.strays.contains_key(id)));
        parts.files.extend(strays.clone().filter_map(|id| Some(id.file()?.to_path_buf())));
        let routes = before.routes.symmetric_difference(&scope.routes);
        parts.namespaces.extend(unmarked.chain(routes).chain(strays).map(reading::home));
        parts.links.extend(before.proxies.links.symmetric_difference(&scope.proxies.links).cloned());
        parts.whole.extend((before.proxies.uplink != scope.proxies.uplink).then_some(Whole::Host));
        parts.links.extend(before.limited.symmetric_difference(&scope.limited).cloned());
        parts.files.extend(before.files.symmetric_difference(&scope.files).map(|path| path.to_path_buf()));
        for (ns, key) in before.sysctls.symmetric_difference(&scope.sysctls) {
            match ns {
                NsRef::Host => drop(parts.files.insert(sysctl::path(key))),
                NsRef::Named(_) | NsRef::Path(_) | NsRef::Process(_) => {
                    parts.namespaces.insert(ns.clone());
                }
            }
        }
        let is_other = (before.switch, before.vlans) != (scope.switch, scope.vlans);
        parts.whole.extend(is_other.then_some(Whole::Host));
        if self.scope != *scope {
            self.scope = scope.clone();
        }
    }

    /// Reads parts, puts them in the place of what was read before, and returns them.
    async fn look(&mut self, mut parts: Parts) -> Result<Reading, ObserveError> {
        self.name(&mut parts)?;
        let narrow = self.narrowed(&parts);
        let tables = async {
            match parts.whole.contains(&Whole::Firewall) {
                true => nft::read(&narrow.project).await.map(Some),
                false => Ok(None),
            }
        };
        let (slice, tables) = tokio::try_join!(reading::read(&narrow, Some(&parts)), tables)?;
        let mut changed = tables.as_ref().is_some_and(|tables| *tables != self.tables);
        self.tables = tables.unwrap_or_else(|| std::mem::take(&mut self.tables));
        changed |= self.merge(&parts, &narrow, &slice);
        self.version.1 += u64::from(changed);
        if changed {
            self.unchecked.extend(parts.clone().into());
        }
        self.fresh.extend(parts.into());
        Ok(slice)
    }

    /// Adds what parts mean: namespaces that came and went, those that have the numbers, links at the other ends of pairs
    /// that were known, and routes and parameters that come and go with links.
    fn name(&self, parts: &mut Parts) -> Result<(), ObserveError> {
        let names = reading::names()?;
        let there: BTreeSet<_> = names.iter().collect();
        let read = self.reading.namespaces.iter().filter_map(|ns| match &ns.ns {
            NsRef::Named(name) => Some(name),
            NsRef::Host | NsRef::Path(_) | NsRef::Process(_) => None,
        });
        let known: BTreeSet<_> = read.chain(self.reading.others.keys()).collect();
        let moved = known.symmetric_difference(&there);
        parts.namespaces.extend(moved.map(|name| NsRef::Named((**name).clone())));

        for number in std::mem::take(&mut parts.numbers) {
            match self.numbers.get(&number) {
                Some(namespaces) => parts.namespaces.extend(namespaces.iter().cloned()),
                None => parts.namespaces.extend(self.unnumbered()),
            }
        }
        for index in std::mem::take(&mut parts.ends) {
            parts.namespaces.extend(self.reading.end(index).map(|(ns, _)| ns.ns.clone()));
        }
        if !parts.links.is_empty() || !parts.indexes.is_empty() {
            self.name_links(parts);
        }
        let across = parts.namespaces.iter().flat_map(|ns| self.reading.ends.from(ns));
        let across = across.filter_map(|place| self.reading.namespaces.get(place)).map(|ns| ns.ns.clone());
        parts.namespaces.extend(across.collect::<Vec<_>>());
        for (index, (place, _)) in &self.reading.ends.of_host {
            let ns = self.reading.namespaces.get(*place);
            if ns.is_some_and(|ns| parts.namespaces.contains(&ns.ns)) {
                parts.indexes.insert(*index);
            }
        }
        self.add_detours(parts);
        Ok(())
    }

    /// Adds what may have come or gone with links: of a pair that leads into a container, nothing in the host.
    fn name_links(&self, parts: &mut Parts) {
        let is_meant = |index: u32, name: &str| {
            let named = || IfName::try_from(name).is_ok_and(|name| parts.links.contains(&name));
            parts.indexes.contains(&index) || named()
        };
        let host = &self.reading.host;
        let known: Vec<_> = host.links.iter().filter(|link| is_meant(link.index, &link.name)).collect();
        let strange = |index: &u32| !known.iter().any(|link| link.index == *index);
        let is_new = parts.indexes.iter().any(strange);
        let names: BTreeSet<_> = known.iter().filter_map(|link| link.ifname()).collect();
        if is_new || parts.links.difference(&names).next().is_some() {
            parts.whole.extend([Whole::Parameters, Whole::Routes]);
        } else if known.iter().any(|link| self.reading.end(link.index).is_none()) {
            parts.whole.insert(Whole::Routes);
        }
        parts.links.extend(names);
    }

    /// Returns the namespaces that the host has no number for, as far as is known.
    fn unnumbered(&self) -> BTreeSet<NsRef> {
        let numbered: BTreeSet<_> = self.numbers.values().flatten().collect();
        let read = self.reading.namespaces.iter().map(|ns| &ns.ns);
        let all = read.chain(&self.scope.namespaces);
        all.filter(|ns| !numbered.contains(ns)).cloned().collect()
    }

    /// Returns what of the scope lies within parts.
    fn narrowed(&self, parts: &Parts) -> Scope {
        let Scope {
            project,
            namespaces,
            sysctls,
            routes,
            addresses,
            ipv6,
            proxies,
            limited,
            files,
            unmarked,
            strays,
            renamed,
            disowned,
            begun,
            devices,
            switch,
            vlans,
            seals,
        } = &self.scope;
        let is_meant = |(ns, key): &&(NsRef, SysctlKey)| match ns {
            NsRef::Host => is_parameter_in(parts, key),
            NsRef::Named(_) | NsRef::Path(_) | NsRef::Process(_) => parts.namespaces.contains(ns),
        };
        Scope {
            project: project.clone(),
            namespaces: namespaces.clone(),
            sysctls: sysctls.iter().filter(is_meant).cloned().collect(),
            routes: routes.clone(),
            addresses: addresses.clone(),
            ipv6: parts
                .namespaces
                .iter()
                .filter_map(|ns| Some((ns.clone(), ipv6.get(ns)?.clone())))
                .collect(),
            proxies: proxies.clone(),
            limited: limited.clone(),
            files: files.iter().filter(|path| parts.has_file(path)).cloned().collect(),
            unmarked: unmarked.clone(),
            strays: strays.clone(),
            renamed: renamed.clone(),
            disowned: disowned.clone(),
            begun: begun.clone(),
            switch: *switch,
            vlans: *vlans,
            devices: devices.clone(),
            seals: seals.clone(),
        }
    }

    /// Puts what was read in the place of what was known of the same parts; tells whether it is something else.
    fn merge(&mut self, parts: &Parts, narrow: &Scope, slice: &Reading) -> bool {
        let mut changed = self.merge_namespaces(parts, slice);
        changed |= self.merge_host(parts, &slice.host);
        changed |= ovsdb::merge(&mut self.reading.absent, parts, slice);
        let files = self.reading.files.iter().filter(|(path, _)| parts.has_file(path));
        changed |= !files.eq(&slice.files);
        self.reading.files.retain(|path, _| !parts.has_file(path));
        self.reading.files.extend(slice.files.clone());
        debug_assert!(slice.files.keys().all(|path| narrow.files.contains(path)));
        self.reading.ends = Ends::of(&self.reading.namespaces);
        for (number, ns) in numbered(slice) {
            self.numbers.entry(number).or_default().insert(ns);
        }
        changed
    }

    fn merge_namespaces(&mut self, parts: &Parts, slice: &Reading) -> bool {
        let Self { reading, numbers, .. } = self;
        let is_meant = |ns: &NsRef| parts.namespaces.contains(ns);
        let before = reading.namespaces.iter().filter(|ns| is_meant(&ns.ns)).count();
        let same = |new: &NsReading| reading.namespaces.iter().any(|old| old == new);
        let mut changed = before != slice.namespaces.len() || !slice.namespaces.iter().all(same);
        reading.namespaces.retain(|ns| !is_meant(&ns.ns));
        reading.namespaces.extend(slice.namespaces.iter().cloned());
        for ns in &parts.namespaces {
            let wrong = slice.wrong.get(ns).copied();
            changed |= reading.wrong.get(ns).copied() != wrong;
            reading.wrong.remove(ns);
            reading.wrong.extend(wrong.map(|why| (ns.clone(), why)));
            if let NsRef::Named(name) = ns {
                let other = slice.others.get(name);
                changed |= reading.others.get(name) != other;
                match other {
                    Some(other) => drop(reading.others.insert(name.clone(), other.clone())),
                    None => drop(reading.others.remove(name)),
                }
            }
        }
        if !parts.namespaces.is_empty() {
            numbers.retain(|_, namespaces| {
                namespaces.retain(|ns| !is_meant(ns));
                !namespaces.is_empty()
            });
        }
        changed
    }

    fn merge_host(&mut self, parts: &Parts, new: &NsReading) -> bool {
        let host = &mut self.reading.host;
        let whole = parts.whole.contains(&Whole::Host);
        let (indexes, names): (BTreeSet<u32>, BTreeSet<&str>) =
            new.links.iter().map(|link| (link.index, link.name.as_str())).unzip();
        let names: BTreeSet<&str> = names.into_iter().chain(parts.links.iter().map(IfName::as_str)).collect();
        let is_meant = |index: u32| whole || parts.indexes.contains(&index) || indexes.contains(&index);
        let (known, mut kept) = std::mem::take(&mut host.links)
            .into_iter()
            .partition::<Vec<_>, _>(|link| is_meant(link.index) || names.contains(link.name.as_str()));
        let mut changed = !same_in_any_order(&known, &new.links);
        kept.extend(new.links.iter().cloned());
        host.links = kept;
        let gone: BTreeSet<u32> = known.iter().map(|link| link.index).collect();
        let (known, mut kept) = std::mem::take(&mut host.addresses)
            .into_iter()
            .partition::<Vec<_>, _>(|address| is_meant(address.index) || gone.contains(&address.index));
        changed |= !same_in_any_order(&known, &new.addresses);
        kept.extend(new.addresses.iter().cloned());
        host.addresses = kept;
        let (known, mut kept) = std::mem::take(&mut host.qdiscs)
            .into_iter()
            .partition::<Vec<_>, _>(|qdisc| is_meant(qdisc.index) || gone.contains(&qdisc.index));
        changed |= !same_in_any_order(&known, &new.qdiscs);
        kept.extend(new.qdiscs.iter().cloned());
        host.qdiscs = kept;
        let (known, mut kept) = std::mem::take(&mut host.proxied)
            .into_iter()
            .partition::<Vec<_>, _>(|proxied| is_meant(proxied.index) || gone.contains(&proxied.index));
        changed |= !same_in_any_order(&known, &new.proxied);
        kept.extend(new.proxied.iter().cloned());
        host.proxied = kept;
        if whole || parts.whole.contains(&Whole::Routes) {
            changed |= !same_in_any_order(&host.routes, &new.routes);
            host.routes.clone_from(&new.routes);
        }
        let (known, mut kept) = std::mem::take(&mut host.sysctls)
            .into_iter()
            .partition::<Vec<_>, _>(|(key, _)| is_parameter_in(parts, key));
        changed |= !same_in_any_order(&known, &new.sysctls);
        kept.extend(new.sysctls.iter().cloned());
        host.sysctls = kept;
        silence::follow(host, &known, &indexes);
        changed
    }
}

/// Returns the namespaces of a reading with the numbers that the host has for them: those by which pairs lead there, and
/// others where there are none.
fn numbered(reading: &Reading) -> Vec<(i32, NsRef)> {
    let known = ends::numbers(reading).map(|(ns, number)| (ns, number.or_else(|| numbers::give(&ns.ns))));
    known.filter_map(|(ns, number)| Some((number?, ns.ns.clone()))).collect()
}

/// The kernel may list the same things in another order, and there are few.
fn same_in_any_order<T: PartialEq>(before: &[T], after: &[T]) -> bool {
    before == after || (before.len() == after.len() && after.iter().all(|new| before.contains(new)))
}
