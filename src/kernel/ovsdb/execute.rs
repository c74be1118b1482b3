//! Carrying out what of a wave is done by records: one transaction before the links of the wave, one behind them.
//!
//! Before come bridges, whose links others stand on, and what goes: a link that is a port is nobody else's port. Behind come
//! ports, whose links have to be there. Each transaction is done or not done as a whole, and waits for `ovs-vswitchd`.

use std::collections::BTreeMap;
use std::time::Duration;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkAttribute;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::change::Changes;
use super::records::{Records, set};
use super::seen::{LOST_PORT, ODD_BRIDGE};
use super::{Connection, Refusal, generic};
use crate::kernel::links::{self, Outcome};
use crate::kernel::live::Live;
use crate::kernel::netlink::Channel;
use crate::kernel::{FailureKind, Op, OpError, message};
use crate::names::IfName;
use crate::resource::link::{Link, LinkKind};
use crate::resource::netns::NsRef;
use crate::resource::owner::{Mark, Owner};
use crate::resource::state::Entry;
use crate::resource::vswitch::Datapath;

/// The lock that `ovs-vswitchd` has while it runs: `bridge_init()` in OVS `vswitchd/bridge.c`.
const LOCK: &str = "ovs_vswitchd";

/// How long `ovs-vswitchd` may take, and how often it is asked.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSES: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(50)];

/// What a host lacks that has no datapath in the kernel.
const NO_MODULE: &str = "this kernel has no module openvswitch, or it is not loaded (`modprobe openvswitch`); \
                         `options: {datapath: netdev}` does without";

/// What became of some operations of a wave, by their places.
pub(in crate::kernel) type Places = BTreeMap<usize, Outcome>;

/// What records are asked for by an operation.
enum Before<'o> {
    PutBridge(&'o Link, &'o Owner),
    DropBridge(&'o IfName),
    DropPort(&'o IfName),
}

/// Checks that somebody does what the database says, when one of these operations needs it.
///
/// # Errors
///
/// When the database does not answer, or `ovs-vswitchd` is not running.
pub async fn check<'o>(ops: impl IntoIterator<Item = &'o Op>) -> Result<(), OpError> {
    let (mut is_asked, mut needs_module) = (false, None);
    for op in ops {
        let before = asked_before(op);
        is_asked |= before.is_some() || asked_after(op).is_some();
        if let Some(Before::PutBridge(link, _)) = before {
            needs_module = needs_module.or_else(|| datapath(link).filter(|it| *it == Datapath::System));
        }
    }
    if is_asked {
        served().await?;
    }
    // `OVS_DATAPATH_FAMILY`, `include/uapi/linux/openvswitch.h`.
    if needs_module.is_some() && !generic::has_family("ovs_datapath").await {
        return Err(Refusal::Switch(NO_MODULE.to_owned()).into());
    }
    Ok(())
}

fn datapath(link: &Link) -> Option<Datapath> {
    link.kind.switch().map(|switch| switch.datapath)
}

/// Makes bridges, and takes away what goes. Returns what there is nothing more to do about: what failed, and what consists
/// of nothing but its record.
pub(in crate::kernel) async fn before(live: &Live, wave: &[Op]) -> Places {
    let asked: Vec<(usize, Before<'_>)> =
        wave.iter().enumerate().filter_map(|(place, op)| Some((place, asked_before(op)?))).collect();
    if asked.is_empty() {
        return Places::new();
    }
    let done = carry_out(live, wave, &asked).await;
    live.forget_indexes();
    match done {
        Err(refusal) => {
            let error = OpError::from(refusal);
            asked.iter().map(|(place, _)| (*place, Err(error.clone()))).collect()
        }
        Ok(()) => {
            let is_over = |place: &usize| wave.get(*place).is_some_and(is_record_alone);
            asked.iter().map(|(place, _)| *place).filter(is_over).map(|place| (place, Ok(()))).collect()
        }
    }
}

fn asked_before(op: &Op) -> Option<Before<'_>> {
    match op {
        Op::Create(entry) | Op::Update { from: _, to: entry }
            if entry.resource.link()?.kind.switch().is_some() =>
        {
            Some(Before::PutBridge(entry.resource.link()?, &entry.owner))
        }
        Op::Create(_) => None,
        Op::Update { from, to } => {
            let (from, to) = (from.resource.link()?, to.resource.link()?);
            (from.port.is_some() && to.port.is_none()).then_some(Before::DropPort(&from.name))
        }
        Op::Delete(entry) => {
            let link = entry.resource.link()?;
            let is_odd = matches!(&link.kind, LinkKind::Other(kind) if kind == ODD_BRIDGE);
            if is_odd || link.kind.switch().is_some() {
                return Some(Before::DropBridge(&link.name));
            }
            link.port.as_ref().map(|_| Before::DropPort(&link.name))
        }
    }
}

/// Tells whether an operation is done with its record: the link goes with it, or is gone already.
fn is_record_alone(op: &Op) -> bool {
    let Op::Delete(entry) = op else { return false };
    entry.resource.link().is_some_and(|link| {
        let is_odd = matches!(&link.kind, LinkKind::Other(kind) if kind == ODD_BRIDGE || kind == LOST_PORT);
        is_odd || link.kind.switch().is_some()
    })
}

async fn carry_out(live: &Live, wave: &[Op], asked: &[(usize, Before<'_>)]) -> Result<(), Refusal> {
    let mut connection = served().await?;
    let records = Records::read(&mut connection).await?;
    let is_ours = |mark: &str| Mark::parse(mark).is_some_and(|mark| mark.project == *live.project());
    let mut changes = Changes::default();
    for (place, what) in asked {
        match what {
            Before::PutBridge(link, owner) => {
                let Some(switch) = link.kind.switch() else { continue };
                let there = records.bridges.get(link.name.as_str());
                let is_new = matches!(wave.get(*place), Some(Op::Create(_)));
                if is_new && there.is_some_and(|there| !is_ours(&there.mark)) {
                    return Err(Refusal::Refused(format!("there is a bridge {} already", link.name)));
                }
                let mark = Mark { protected: link.protected, ..live.mark(owner) }.to_string();
                changes.put_bridge((link, switch), &mark, there);
            }
            Before::DropBridge(name) => {
                let there = records.bridges.get(name.as_str()).filter(|there| is_ours(&there.mark));
                there.into_iter().for_each(|there| changes.drop_bridge(there));
            }
            Before::DropPort(name) => {
                let there = records.ports.get(name.as_str());
                there.into_iter().for_each(|there| changes.drop_port(there, &records));
            }
        }
    }
    commit(&mut connection, changes).await
}

/// Makes the links of a wave ports that were made or changed so far without a failure; returns what failed.
pub(in crate::kernel) async fn after(live: &Live, wave: &[Op], failed: &[usize]) -> Places {
    let asked: Vec<(usize, &Entry, &Link)> = wave
        .iter()
        .enumerate()
        .filter(|(place, _)| !failed.contains(place))
        .filter_map(|(place, op)| {
            let (entry, link) = asked_after(op)?;
            Some((place, entry, link))
        })
        .collect();
    if asked.is_empty() {
        return Places::new();
    }
    match put_ports(live, &asked).await {
        Ok(places) => places,
        Err(refusal) => {
            let error = OpError::from(refusal);
            asked.iter().map(|(place, ..)| (*place, Err(error.clone()))).collect()
        }
    }
}

fn asked_after(op: &Op) -> Option<(&Entry, &Link)> {
    let (before, entry) = match op {
        Op::Create(entry) => (None, entry),
        Op::Update { from, to } => (Some(from), to),
        Op::Delete(_) => return None,
    };
    let link = entry.resource.link().filter(|link| link.port.is_some())?;
    let same = before.is_some_and(|from| {
        let old = from.resource.link();
        from.owner == entry.owner
            && old.is_some_and(|old| (&old.port, &old.master) == (&link.port, &link.master))
    });
    (!same).then_some((entry, link))
}

async fn put_ports(live: &Live, asked: &[(usize, &Entry, &Link)]) -> Result<Places, Refusal> {
    let mut connection = served().await?;
    let records = Records::read(&mut connection).await?;
    let (mut places, mut changes, mut unsummed) = (Places::new(), Changes::default(), vec![]);
    for (place, entry, link) in asked {
        let (Some(port), Some(bridge)) = (&link.port, &link.master) else { continue };
        let Some(to) = records.bridges.get(bridge.as_str()) else {
            let message = format!("there is no bridge of Open vSwitch named {bridge}");
            places.insert(*place, Err(OpError { kind: FailureKind::Other, message }));
            continue;
        };
        let mark = Mark { protected: link.protected, ..live.mark(&entry.owner) }.to_string();
        changes.put_port((&link.name, port, &mark), (bridge.as_str(), to), &records);
        let inside = link.kind.peer().filter(|_| to.datapath == Some(Datapath::Netdev));
        unsummed.extend(inside.map(|peer| (peer.ns.clone(), peer.name.clone())));
    }
    commit(&mut connection, changes).await?;
    let errors = json!({"op": "select", "table": "Interface", "where": [], "columns": ["name", "error"]});
    let results = connection.transact(vec![errors]).await?;
    for (place, _, link) in asked {
        if let Some(error) = error_of(&results, link.name.as_str()) {
            places.insert(*place, Err(Refusal::Switch(format!("ovs-vswitchd: {error}")).into()));
        }
    }
    if !unsummed.is_empty()
        && let Err(refusal) = generic::write_checksums(unsummed).await
    {
        let OpError { kind, message } = refusal.into();
        let message = format!("the container's link cannot be told to write checksums: {message}");
        let error = OpError { kind, message };
        asked.iter().for_each(|(place, ..)| drop(places.insert(*place, Err(error.clone()))));
    }
    Ok(places)
}

/// Returns what `ovs-vswitchd` says is wrong with a port.
fn error_of(results: &[Value], name: &str) -> Option<String> {
    let rows = results.first()?.get("rows")?.as_array()?;
    let row = rows.iter().find(|row| row.get("name").is_some_and(|it| it == name))?;
    set(row.get("error")).first()?.as_str().map(str::to_owned)
}

/// Connects to the database, when somebody does what it says.
async fn served() -> Result<Connection, Refusal> {
    let mut connection = Connection::open().await?;
    let got = connection.call("lock", json!([LOCK])).await?;
    connection.call("unlock", json!([LOCK])).await?;
    if got.get("locked") == Some(&Value::Bool(true)) {
        let message = "ovs-vswitchd is not running: nobody would do what Open vSwitch's database says";
        return Err(Refusal::Switch(message.to_owned()));
    }
    Ok(connection)
}

/// Carries out changes, and waits until `ovs-vswitchd` has done what they say.
async fn commit(connection: &mut Connection, changes: Changes) -> Result<(), Refusal> {
    if changes.is_empty() {
        return Ok(());
    }
    let results = connection.transact(changes.finish()).await?;
    let wanted = number(results.last(), "next_cfg");
    let (began, [mut pause, longest]) = (Instant::now(), PAUSES);
    loop {
        let now = json!({"op": "select", "table": "Open_vSwitch", "where": [], "columns": ["cur_cfg"]});
        if number(connection.transact(vec![now]).await?.first(), "cur_cfg") >= wanted {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            let seconds = PATIENCE.as_secs();
            let message =
                format!("ovs-vswitchd has not done within {seconds} s what it was told; its log may say why");
            return Err(Refusal::Switch(message));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}

fn number(result: Option<&Value>, column: &str) -> Option<i64> {
    result?.get("rows")?.get(0)?.get(column)?.as_i64()
}

/// Makes the link that `ovs-vswitchd` has made for a bridge as it shall be.
pub(in crate::kernel) async fn settle(live: &Live, link: &Link, mark: &Mark) -> Outcome {
    let here: &Channel = links::channel(live, &NsRef::Host)?;
    if here.index(&link.name).is_err() {
        let Some(datapath) = datapath(link) else { return Ok(()) };
        let message = match datapath {
            Datapath::System => format!("ovs-vswitchd did not make {}: {NO_MODULE}", link.name),
            Datapath::Netdev => format!("ovs-vswitchd did not make {}: its log says why", link.name),
        };
        return Err(OpError { kind: FailureKind::Switch, message });
    }
    let mut settled = message::named(&link.name);
    settled.attributes.extend([message::alias(mark), LinkAttribute::Mtu(link.mtu.bytes())]);
    links::send(here, RouteNetlinkMessage::NewLink(settled), 0).await?;
    if let Some(altname) = &link.altname {
        links::send_unless(here, message::add_altname(&link.name, altname), &[rustix::io::Errno::EXIST])
            .await?;
    }
    if link.up {
        links::send(here, message::bring_up(&link.name), 0).await?;
    }
    Ok(())
}
