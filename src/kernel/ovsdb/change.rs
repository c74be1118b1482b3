//! From what shall be to the operations of a transaction (RFC 7047 section 5.2). Nothing here asks the database.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::records::{Bridge, MARK, Port, Records};
use crate::names::IfName;
use crate::resource::link::Link;
use crate::resource::vlan::VlanId;
use crate::resource::vswitch::{SwitchPort, Vswitch};

/// The operations of a transaction.
#[derive(Default)]
pub(super) struct Changes {
    operations: Vec<Value>,
    /// The rows that are made in it: each has a name by which others refer to it.
    made: usize,
}

impl Changes {
    /// Tells whether there is nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Returns the operations, with one that tells `ovs-vswitchd` to do it and one that says when it has: it writes the
    /// number of the configuration that it has into `cur_cfg`.
    pub(super) fn finish(mut self) -> Vec<Value> {
        self.operations.push(
            json!({"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["next_cfg", "+=", 1]]}),
        );
        self.operations
            .push(json!({"op": "select", "table": "Open_vSwitch", "where": [], "columns": ["next_cfg"]}));
        self.operations
    }

    /// Makes a bridge, or has one that is there as it shall be.
    pub(super) fn put_bridge(
        &mut self,
        (link, switch): (&Link, &Vswitch),
        mark: &str,
        there: Option<&Bridge>,
    ) {
        let Vswitch { datapath, fail_mode, stp, mcast_snooping, intact: _ } = switch;
        let name = link.name.as_str();
        let mtu = json!({"mtu_request": link.mtu.bytes()});
        let mut row = json!({
            "datapath_type": datapath.to_string(),
            "fail_mode": fail_mode.to_string(),
            "stp_enable": stp,
            "mcast_snooping_enable": mcast_snooping,
        });
        let hwaddr = link.mac.map(|mac| mac.to_string());
        if let Some(there) = there {
            self.update("Bridge", &there.uuid, &row);
            self.put_key(("Bridge", &there.uuid), "external_ids", (MARK, mark));
            if let Some(hwaddr) = &hwaddr {
                self.put_key(("Bridge", &there.uuid), "other_config", ("hwaddr", hwaddr));
            }
            self.operations.push(
                json!({"op": "update", "table": "Interface", "where": [["name", "==", name]], "row": mtu}),
            );
            return;
        }
        let local = self
            .insert("Interface", json!({"name": name, "type": "internal", "mtu_request": link.mtu.bytes()}));
        let port = self.insert("Port", json!({"name": name, "interfaces": local}));
        if let Some(columns) = row.as_object_mut() {
            columns.insert("name".to_owned(), json!(name));
            columns.insert("ports".to_owned(), port);
            columns.insert("external_ids".to_owned(), map(&[(MARK, mark)]));
            let hwaddr: Vec<_> = hwaddr.iter().map(|hwaddr| ("hwaddr", hwaddr.as_str())).collect();
            columns.insert("other_config".to_owned(), map(&hwaddr));
        }
        let bridge = self.insert("Bridge", row);
        self.mutate("Open_vSwitch", None, json!(["bridges", "insert", bridge]));
    }

    /// Removes a bridge: a record that nothing refers to goes by itself.
    pub(super) fn drop_bridge(&mut self, there: &Bridge) {
        self.mutate("Open_vSwitch", None, json!(["bridges", "delete", there.uuid]));
    }

    /// Makes a link a port of a bridge, or has the port that it is as it shall be.
    pub(super) fn put_port(
        &mut self,
        (name, port, mark): (&IfName, &SwitchPort, &str),
        (bridge, to): (&str, &Bridge),
        records: &Records,
    ) {
        let SwitchPort { vlan, trunks, intact: _ } = port;
        let mut row = json!({
            "tag": vlan_set(vlan.as_slice()),
            "trunks": vlan_set(trunks),
            "vlan_mode": ["set", []],
        });
        if let Some(there) = records.ports.get(name.as_str()) {
            self.update("Port", &there.uuid, &row);
            self.put_key(("Port", &there.uuid), "external_ids", (MARK, mark));
            if there.bridge != bridge {
                self.drop_port(there, records);
                self.mutate("Bridge", Some(&to.uuid), json!(["ports", "insert", there.uuid]));
            }
            return;
        }
        let interface = self.insert("Interface", json!({"name": name.as_str()}));
        if let Some(columns) = row.as_object_mut() {
            columns.insert("name".to_owned(), json!(name.as_str()));
            columns.insert("interfaces".to_owned(), interface);
            columns.insert("external_ids".to_owned(), map(&[(MARK, mark)]));
        }
        let port = self.insert("Port", row);
        self.mutate("Bridge", Some(&to.uuid), json!(["ports", "insert", port]));
    }

    /// Takes a port off its bridge.
    pub(super) fn drop_port(&mut self, there: &Port, records: &Records) {
        if let Some(bridge) = records.bridges.get(&there.bridge) {
            self.mutate("Bridge", Some(&bridge.uuid), json!(["ports", "delete", there.uuid]));
        }
    }

    fn insert(&mut self, table: &str, row: Value) -> Value {
        self.made += 1;
        let name = format!("row{}", self.made);
        self.operations.push(json!({"op": "insert", "table": table, "row": row, "uuid-name": name}));
        json!(["named-uuid", name])
    }

    fn update(&mut self, table: &str, uuid: &Value, row: &Value) {
        self.operations
            .push(json!({"op": "update", "table": table, "where": [["_uuid", "==", uuid]], "row": row}));
    }

    fn mutate(&mut self, table: &str, uuid: Option<&Value>, mutation: Value) {
        let which: Vec<Value> = uuid.iter().map(|uuid| json!(["_uuid", "==", uuid])).collect();
        self.operations
            .push(json!({"op": "mutate", "table": table, "where": which, "mutations": [mutation]}));
    }

    /// Sets a key of a map, or takes it away when it is to say nothing. One that is there is not overwritten by `insert`.
    fn put_key(&mut self, (table, uuid): (&str, &Value), column: &str, (key, value): (&str, &str)) {
        self.mutate(table, Some(uuid), json!([column, "delete", ["set", [key]]]));
        if !value.is_empty() {
            self.mutate(table, Some(uuid), json!([column, "insert", map(&[(key, value)])]));
        }
    }
}

fn map(pairs: &[(&str, &str)]) -> Value {
    let pairs: BTreeMap<_, _> = pairs.iter().filter(|(_, value)| !value.is_empty()).copied().collect();
    let pairs: Vec<Value> = pairs.into_iter().map(|(key, value)| json!([key, value])).collect();
    json!(["map", pairs])
}

fn vlan_set(ids: &[VlanId]) -> Value {
    let ids: Vec<u16> = ids.iter().map(|id| id.number()).collect();
    json!(["set", ids])
}
