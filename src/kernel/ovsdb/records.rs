//! What the database holds: bridges and ports. Nothing here asks it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use smol_str::SmolStr;

use super::{Connection, Refusal};
use crate::resource::vlan::VlanId;
use crate::resource::vswitch::{Datapath, FailMode};

/// Under which key of `external_ids` a record carries our mark.
pub(super) const MARK: &str = "netform";

/// All bridges, and all ports, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Records {
    pub(super) bridges: BTreeMap<SmolStr, Bridge>,
    pub(super) ports: BTreeMap<SmolStr, Port>,
}

/// A bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bridge {
    pub(super) uuid: Value,
    /// `None` is one that netform asks for nowhere.
    pub(super) datapath: Option<Datapath>,
    pub(super) fail_mode: FailMode,
    pub(super) stp: bool,
    pub(super) mcast_snooping: bool,
    /// The mark, or nothing.
    pub(super) mark: SmolStr,
}

/// A port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Port {
    pub(super) uuid: Value,
    /// The bridge that it is of.
    pub(super) bridge: SmolStr,
    pub(super) vlan: Option<VlanId>,
    pub(super) trunks: Vec<VlanId>,
    /// Whether something says how it treats VLANs beside these.
    pub(super) is_odd: bool,
    /// The mark, or nothing.
    pub(super) mark: SmolStr,
}

impl Records {
    /// Reads them, and whether that was the whole truth a moment ago.
    pub(super) async fn read(connection: &mut Connection) -> Result<Self, Refusal> {
        let all = |table: &str, columns: &[&str]| json!({"op": "select", "table": table, "where": [], "columns": columns});
        let bridges = [
            "_uuid",
            "name",
            "ports",
            "datapath_type",
            "fail_mode",
            "stp_enable",
            "mcast_snooping_enable",
            "external_ids",
        ];
        let ports = ["_uuid", "name", "tag", "trunks", "vlan_mode", "external_ids"];
        let results = connection.transact(vec![all("Bridge", &bridges), all("Port", &ports)]).await?;
        Ok(Self::of(results.first(), results.get(1)))
    }

    fn of(bridges: Option<&Value>, ports: Option<&Value>) -> Self {
        let mut records = Self::default();
        let mut homes: BTreeMap<String, SmolStr> = BTreeMap::new();
        for row in rows(bridges) {
            let Some(name) = text(row, "name") else { continue };
            homes.extend(set(row.get("ports")).iter().map(|port| (port.to_string(), name.clone())));
            let bridge = Bridge {
                uuid: row.get("_uuid").cloned().unwrap_or_default(),
                datapath: match row.get("datapath_type").and_then(Value::as_str) {
                    Some("" | "system") => Some(Datapath::System),
                    Some("netdev") => Some(Datapath::Netdev),
                    Some(_) | None => None,
                },
                fail_mode: match set(row.get("fail_mode")).first().and_then(Value::as_str) {
                    Some("secure") => FailMode::Secure,
                    Some(_) | None => FailMode::Standalone,
                },
                stp: is_true(row, "stp_enable"),
                mcast_snooping: is_true(row, "mcast_snooping_enable"),
                mark: mark(row),
            };
            records.bridges.insert(name, bridge);
        }
        for row in rows(ports) {
            let uuid = row.get("_uuid").cloned().unwrap_or_default();
            let (Some(name), Some(bridge)) = (text(row, "name"), homes.remove(&uuid.to_string())) else {
                continue;
            };
            let mut trunks = vlans(row, "trunks");
            trunks.sort_unstable();
            let vlan = vlans(row, "tag").first().copied();
            let is_odd = !set(row.get("vlan_mode")).is_empty();
            records.ports.insert(name, Port { uuid, bridge, vlan, trunks, is_odd, mark: mark(row) });
        }
        records
    }
}

fn rows(result: Option<&Value>) -> impl Iterator<Item = &Value> {
    result.and_then(|result| result.get("rows")).and_then(Value::as_array).into_iter().flatten()
}

fn text(row: &Value, column: &str) -> Option<SmolStr> {
    row.get(column).and_then(Value::as_str).map(SmolStr::from)
}

fn is_true(row: &Value, column: &str) -> bool {
    row.get(column) == Some(&Value::Bool(true))
}

fn vlans(row: &Value, column: &str) -> Vec<VlanId> {
    let numbers = set(row.get(column)).iter().filter_map(Value::as_u64);
    numbers.filter_map(|number| VlanId::try_from(u16::try_from(number).ok()?).ok()).collect()
}

/// Returns the elements of a set, of which one alone stands for itself (RFC 7047 section 5.1, `<set>`).
pub(super) fn set(value: Option<&Value>) -> &[Value] {
    match value {
        None => &[],
        Some(Value::Array(pair)) if pair.first().is_some_and(|word| word == "set") => {
            pair.get(1).and_then(Value::as_array).map_or(&[], Vec::as_slice)
        }
        Some(one) => std::slice::from_ref(one),
    }
}

/// Returns the mark of a record: `["map", [["netform", "..."], ...]]`.
fn mark(row: &Value) -> SmolStr {
    let pairs = row.get("external_ids").and_then(|map| map.get(1)).and_then(Value::as_array);
    let mut marks = pairs.into_iter().flatten().filter(|pair| pair.get(0).is_some_and(|key| key == MARK));
    marks.next().and_then(|pair| pair.get(1)).and_then(Value::as_str).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_the_database_prints_them() {
        let bridges = json!({"rows": [{
            "_uuid": ["uuid", "b"], "name": "br0", "ports": ["set", [["uuid", "p0"], ["uuid", "p1"]]],
            "datapath_type": "netdev", "fail_mode": ["set", []], "stp_enable": false,
            "mcast_snooping_enable": true, "external_ids": ["map", [["netform", "netform:shop:network.a"], ["x", "y"]]],
        }, {
            "_uuid": ["uuid", "c"], "name": "br1", "ports": ["uuid", "p2"], "datapath_type": "", "fail_mode": "secure",
            "stp_enable": true, "mcast_snooping_enable": false, "external_ids": ["map", []],
        }]});
        let port = |uuid: &str, name: &str, tag: Value, trunks: Value| {
            json!({"_uuid": ["uuid", uuid], "name": name, "tag": tag, "trunks": trunks, "vlan_mode": ["set", []],
                   "external_ids": ["map", []]})
        };
        let none = || json!(["set", []]);
        let ports = json!({"rows": [port("p0", "br0", none(), none()), port("p1", "va", json!(10), none()),
                                    port("p2", "vb", none(), json!(["set", [20, 10]]))]});

        let records = Records::of(Some(&bridges), Some(&ports));

        let bridge = |name: &str| records.bridges.get(name).unwrap();
        assert_eq!(
            (bridge("br0").datapath, bridge("br0").fail_mode),
            (Some(Datapath::Netdev), FailMode::Standalone)
        );
        assert_eq!(bridge("br0").mark, "netform:shop:network.a");
        assert_eq!(
            (bridge("br1").datapath, bridge("br1").fail_mode),
            (Some(Datapath::System), FailMode::Secure)
        );
        assert!(bridge("br1").stp && !bridge("br0").stp && bridge("br0").mcast_snooping);
        let port = |name: &str| {
            let port = records.ports.get(name).unwrap();
            let trunks: Vec<u16> = port.trunks.iter().map(|id| id.number()).collect();
            (port.bridge.as_str(), port.vlan.map(VlanId::number), trunks)
        };
        assert_eq!(port("br0"), ("br0", None, vec![]));
        assert_eq!(port("va"), ("br0", Some(10), vec![]));
        assert_eq!(port("vb"), ("br1", None, vec![10, 20]));
    }
}
