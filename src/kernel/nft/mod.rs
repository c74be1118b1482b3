//! The firewall's tables: changed through the `nft` program, read from the kernel itself.
//!
//! - [`program`]: runs it, and says in the user's terms why it refused;
//! - [`transaction`]: operations become its commands;
//! - [`tables`]: which tables there are;
//! - [`rules`]: what a table is made of, and whether it is what it was when it was made;
//! - [`barrier`]: chains of others that are in the way;
//! - [`passages`]: our rules in the chain that Docker leaves to users;
//! - [`elements`]: the elements of sets and maps;
//! - [`wire`]: an element's key as text, and as nft writes it.
//!
//! Only the project's own two tables are ever changed, and our own rules in Docker's chain; those of other projects are read for what they publish. A table is
//! recognised by two empty chains, since nft 1.0.6 keeps comments of tables and chains from its JSON: `skeleton-DIGEST`
//! says which rules were asked for, and `seal-DIGEST` what the kernel made of them, so that an edit by hand shows.

mod barrier;
mod elements;
pub(crate) mod passages;
mod program;
mod rules;
mod tables;
mod transaction;
mod wire;

use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use smol_str::format_smolstr;

use super::netlink::Blocking;
use super::{FailureKind, ObserveError, Op, OpError, count, netlink, netns};
use crate::names::ProjectName;
use crate::resource::ResourceId;
use crate::resource::nft::{NftFamily, NftTableId};
use crate::resource::nft_set::{Part, SetSpec};
use crate::resource::state::Entry;
use crate::resource::sysctl::Family;
use crate::topology::facts::Barrier;
pub use barrier::judged;
use passages::Passages;
use program::Refusal;
use rules::Rules;
use tables::There;
use transaction::Transaction;

/// Elements in a piece of a transaction that is too large for the kernel in whole. A user that is root in a namespace of
/// its own only has a send buffer of twice `net.core.wmem_max`, about 4,000 elements; others' is made as large as needed
/// (`SO_SNDBUFFORCE`, socket(7)).
const PIECE: usize = 1000;

/// For how long a table is read anew because somebody changes the ruleset meanwhile, and how long they are let go on.
const LIST_PATIENCE: Duration = Duration::from_secs(10);
const LIST_PAUSE: Duration = Duration::from_millis(10);

/// The sets that hold external addresses, and the maps that lead them to containers.
const EXTERNAL: [&str; 4] = ["external4", "external6", "external_to4", "external_to6"];

/// How the names of netform's tables begin; the project's name follows.
const PREFIX: &str = "netform-";

/// Carries out operations on tables and elements as one transaction: all of them, or none.
///
/// Deletions come first, then tables, then additions. What is gone already counts as deleted.
pub async fn execute(ops: &[&Op]) -> Vec<Result<(), OpError>> {
    let outcome = match Transaction::of(ops) {
        Ok(transaction) => carry_out(transaction).await,
        Err(error) => Err(error),
    };
    ops.iter().map(|_| outcome.clone()).collect()
}

/// Returns the commands for operations on tables and elements, in the order in which they have to be carried out.
///
/// # Errors
///
/// When a table shall be made whose rules are not known.
pub fn commands(ops: &[&Op]) -> Result<Vec<Value>, OpError> {
    Ok(Transaction::of(ops)?.commands())
}

/// What there is of firewalls of netform's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tables {
    /// The project's tables and elements, and its rules in Docker's chain.
    pub own: Vec<Entry>,
    /// The other projects that have a table.
    pub others: BTreeSet<ProjectName>,
    /// Chains of others that drop what the host forwards.
    pub barriers: BTreeSet<Barrier>,
    /// In which of its tables Docker has left a chain to the rules of users.
    pub docker_user: BTreeSet<Family>,
}

/// Returns the project's tables and elements, as far as they are there, and whose there are besides.
///
/// # Errors
///
/// When `nft` is missing or refuses, or prints what is no JSON.
pub async fn read(project: &ProjectName) -> Result<Tables, ObserveError> {
    if !program::is_installed() {
        return Err(unreadable("the firewall's tables".to_owned(), Refusal::NotInstalled));
    }
    // Whatever is wrong with the kernel's answer, `nft` says it in words.
    let there = netns::on_thread(tables::there).await.ok().and_then(Result::ok);
    let list = async |family| match &there {
        Some(there) if !there.tables.contains(&table_id(project, family)) => Ok(None),
        Some(_) | None => list(&table_id(project, family)).await,
    };
    let (inet, bridge) = tokio::try_join!(list(NftFamily::Inet), list(NftFamily::Bridge))?;
    let own = [inet, bridge].into_iter().flatten().flatten();
    let (barriers, passages) = match &there {
        Some(there) if there.has_strangers => (barrier::barriers().await, passages::read(project).await?),
        Some(_) | None => (BTreeSet::new(), Passages::default()),
    };
    let own = own.chain(passages.own).collect();
    let others = there.iter().flat_map(projects_of).filter(|other| other != project).collect();
    Ok(Tables { own, others, barriers, docker_user: passages.chains })
}

/// Returns the other projects that have a table; none when the kernel does not tell.
pub async fn others(project: &ProjectName) -> BTreeSet<ProjectName> {
    projects().await.into_iter().filter(|other| other != project).collect()
}

/// Returns the projects that have a table; none when the kernel does not tell.
pub async fn projects() -> BTreeSet<ProjectName> {
    let there = netns::on_thread(tables::there).await.ok().and_then(Result::ok);
    there.map(|there| projects_of(&there).collect()).unwrap_or_default()
}

fn projects_of(there: &There) -> impl Iterator<Item = ProjectName> {
    let inet = there.tables.iter().filter(|id| id.family == NftFamily::Inet);
    inet.filter_map(|id| ProjectName::try_from(id.name.strip_prefix(PREFIX)?).ok())
}

/// Returns the elements of the IP layer's tables of these projects, which hold what they publish.
///
/// # Errors
///
/// As [`read`].
pub async fn published(
    projects: &BTreeSet<ProjectName>,
) -> Result<Vec<(ProjectName, Vec<Entry>)>, ObserveError> {
    of_projects(projects, |set| set.part == Part::Core || EXTERNAL.contains(&set.name)).await
}

/// Returns the elements of the IP layer's tables of these projects that say which bridges are theirs, what is kept from
/// them, and what is allowed all the same.
///
/// # Errors
///
/// As [`read`].
pub async fn bridges(
    projects: &BTreeSet<ProjectName>,
) -> Result<Vec<(ProjectName, Vec<Entry>)>, ObserveError> {
    let is_asked = |set: &SetSpec| {
        let is_policy = ["allow_flow", "allow_pair"].iter().any(|kind| set.name.starts_with(kind));
        is_policy || ["bridges", "internal", "open", "no_icc"].contains(&set.name)
    };
    of_projects(projects, is_asked).await
}

async fn of_projects(
    projects: &BTreeSet<ProjectName>,
    is_asked: fn(&SetSpec) -> bool,
) -> Result<Vec<(ProjectName, Vec<Entry>)>, ObserveError> {
    let projects = projects.clone();
    let read = netns::on_thread(move || {
        let mut socket = Blocking::open_netfilter()?;
        let read = projects.into_iter().map(|project| {
            let id = table_id(&project, NftFamily::Inet);
            let elements = elements::read(&mut socket, &id, is_asked)?;
            Ok((project, elements::entries(&id, elements).collect()))
        });
        read.collect()
    });
    settled(read.await, || "the firewalls of other projects".to_owned())
}

/// Returns the elements of those sets of a table that are asked for by name, on the calling thread.
pub(super) fn elements_here(
    socket: &mut Blocking,
    table: &NftTableId,
    is_asked: fn(&str) -> bool,
) -> Result<Vec<Entry>, netlink::Refusal> {
    let elements = elements::read(socket, table, |set| is_asked(set.name))?;
    Ok(elements::entries(table, elements).collect())
}

/// Returns the whole ruleset of this namespace as `nft -a list ruleset` prints it, with handles.
///
/// # Errors
///
/// When `nft` is missing or refuses.
pub async fn ruleset() -> Result<String, ObserveError> {
    let listed = program::nft(&["-a", "list", "ruleset"], "").await;
    listed.map_err(|refusal| unreadable("the firewall".to_owned(), refusal))
}

/// Returns the whole ruleset of the calling thread's namespace, as JSON and as `nft -a` prints it; or why it cannot be read.
pub(super) fn ruleset_here() -> Result<(String, String), String> {
    let listed = |flag| program::here(&[flag, "list", "ruleset"]);
    let read = listed("-j").and_then(|rules| Ok((rules, listed("-a")?)));
    read.map_err(|refusal| OpError::from(refusal).message)
}

pub(super) fn table_id(project: &ProjectName, family: NftFamily) -> NftTableId {
    NftTableId { family, name: format_smolstr!("{PREFIX}{project}") }
}

fn unreadable(what: String, refusal: Refusal) -> ObserveError {
    let OpError { kind, message } = refusal.into();
    ObserveError { what, kind, source: message.into() }
}

/// Carries out commands as `{"nftables": [...]}`, in one transaction.
///
/// # Errors
///
/// When `nft` is missing or refuses; then nothing has changed.
pub async fn run(commands: &[Value]) -> Result<(), OpError> {
    Ok(submit(commands).await?)
}

async fn carry_out(mut transaction: Transaction) -> Result<(), OpError> {
    if transaction.makes_tables()
        && let Ok(Ok(There { tables, has_strangers: _ })) = netns::on_thread(tables::there).await
    {
        transaction.know(&tables);
    }
    let mut outcome = submit(&transaction.commands()).await;
    if outcome.as_ref().is_err_and(Refusal::is_gone) && transaction.deletes_elements() {
        let left = elements_of(transaction.tables_with_deletions()).await?;
        transaction.keep_deletions(&left);
        outcome = submit(&transaction.commands()).await;
    }
    if outcome.as_ref().is_err_and(Refusal::is_too_large) {
        outcome = Ok(());
        for piece in transaction.pieces(PIECE) {
            submit(&piece).await?;
        }
    }
    if let Err(refusal) = outcome {
        return Err(if transaction.makes_tables() { refusal.for_new_table() } else { refusal.into() });
    }
    for id in transaction.made() {
        seal(id).await?;
    }
    Ok(())
}

/// Remembers in the table what the kernel has made of it.
async fn seal(id: &NftTableId) -> Result<(), OpError> {
    count::transaction();
    let table = id.clone();
    let sealed = netns::on_thread(move || {
        let mut socket = Blocking::open_netfilter()?;
        let Some(rules) = Rules::read(&mut socket, &table)? else { return Ok(false) };
        rules.seal(&mut socket).map(|()| true)
    });
    if settled(sealed.await, || named(id)).map_err(|error| unread(&error))? {
        return Ok(());
    }
    let message = format!("{} is gone right after it was made", named(id));
    Err(OpError { kind: FailureKind::Other, message })
}

/// Returns the ids of the elements that are there.
async fn elements_of(tables: BTreeSet<NftTableId>) -> Result<BTreeSet<ResourceId>, OpError> {
    let mut ids = BTreeSet::new();
    for table in tables {
        let entries = list(&table).await.map_err(|error| unread(&error))?.into_iter().flatten();
        ids.extend(
            entries.filter(|entry| entry.resource.element().is_some()).map(|entry| entry.resource.id()),
        );
    }
    Ok(ids)
}

async fn submit(commands: &[Value]) -> Result<(), Refusal> {
    if commands.is_empty() {
        return Ok(());
    }
    count::transaction();
    let input = json!({"nftables": commands}).to_string();
    program::nft(&["-j", "-f", "-"], &input).await.map(drop)
}

fn unread(error: &ObserveError) -> OpError {
    let ObserveError { what, kind, source } = error;
    OpError { kind: *kind, message: format!("cannot read {what}: {source}") }
}

/// Returns a table with its elements, as they are at one moment; `None` when there is none.
async fn list(id: &NftTableId) -> Result<Option<Vec<Entry>>, ObserveError> {
    count::listing();
    let table = id.clone();
    settled(netns::on_thread(move || at_one_moment(&table)).await, || named(id))
}

fn at_one_moment(id: &NftTableId) -> Result<Option<Vec<Entry>>, netlink::Refusal> {
    let mut socket = Blocking::open_netfilter()?;
    let began = Instant::now();
    while began.elapsed() < LIST_PATIENCE {
        let before = tables::generation(&mut socket)?;
        let Some(rules) = Rules::read(&mut socket, id)? else { return Ok(None) };
        let elements = elements::read(&mut socket, id, |set| rules.has_set(set.name))?;
        if tables::generation(&mut socket)? == before {
            return Ok(Some(rules.entries(elements)));
        }
        std::thread::sleep(LIST_PAUSE);
    }
    Err(netlink::Refusal::Interrupted)
}

fn named(id: &NftTableId) -> String {
    format!("nft table {} {}", id.family.as_str(), id.name)
}

/// Says what was being read when the kernel refused.
fn settled<T>(
    answer: io::Result<Result<T, netlink::Refusal>>,
    what: impl Fn() -> String,
) -> Result<T, ObserveError> {
    answer.map_err(netlink::Refusal::Socket).flatten().map_err(|refusal| ObserveError {
        what: what(),
        kind: refusal.kind(),
        source: refusal.into(),
    })
}
