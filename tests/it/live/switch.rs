//! An Open vSwitch of one test: its daemons run in the test's own namespaces, and forward packets themselves.

use std::cell::RefCell;
use std::process::{Child, Command, Stdio};

use super::world::{World, eventually, skip};

/// The daemons of Open vSwitch, ended when the test ends.
pub struct Switch<'w> {
    world: &'w World,
    database: RefCell<Option<Child>>,
    daemon: RefCell<Option<Child>>,
}

impl<'w> Switch<'w> {
    /// Starts both daemons; `None`, said aloud, where they are not installed.
    pub fn start(world: &'w World) -> Option<Self> {
        if Command::new("ovs-vswitchd").arg("--version").output().is_err() {
            skip("ovs", "ovs-vswitchd is not installed");
            return None;
        }
        world.sh("mkdir -p /run/openvswitch && ovsdb-tool create /run/openvswitch/conf.db /usr/share/openvswitch/vswitch.ovsschema");
        let switch = Self { world, database: RefCell::default(), daemon: RefCell::default() };
        switch.start_database();
        world.sh("ovs-vsctl --no-wait init");
        switch.start_daemon();
        Some(switch)
    }

    /// Starts `ovsdb-server`.
    pub fn start_database(&self) {
        let args = ["/run/openvswitch/conf.db", "--remote=punix:/run/openvswitch/db.sock"];
        self.database.replace(Some(beside("ovsdb-server", &args)));
        eventually("the database answers", || self.world.try_sh("ovs-vsctl --no-wait show").code == 0);
    }

    /// Starts `ovs-vswitchd`, and waits until it has done what the database says.
    pub fn start_daemon(&self) {
        self.daemon.replace(Some(beside("ovs-vswitchd", &["unix:/run/openvswitch/db.sock"])));
        self.world.sh("ovs-vsctl --timeout=20 -- set open_vswitch . external_ids:started=$$");
    }

    /// Ends `ovs-vswitchd` as a crash does.
    pub fn stop_daemon(&self) {
        stop(&self.daemon);
    }

    /// Ends `ovsdb-server` as a crash does.
    pub fn stop_database(&self) {
        stop(&self.database);
        self.world.sh("rm -f /run/openvswitch/db.sock");
    }

    /// What the database holds: bridges, ports and interfaces, without what changes by itself.
    pub fn records(&self) -> String {
        self.world.sh(
            "ovs-vsctl --no-wait --columns=name,datapath_type,fail_mode,stp_enable,external_ids list bridge | sort; \
             ovs-vsctl --no-wait --columns=name,tag,trunks,external_ids list port | sort; \
             ovs-vsctl --no-wait --columns=name,type,mtu_request list interface | sort",
        )
    }
}

impl Drop for Switch<'_> {
    fn drop(&mut self) {
        stop(&self.daemon);
        stop(&self.database);
    }
}

fn beside(program: &str, args: &[&str]) -> Child {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // What the user of the tests has set is not for them.
    for variable in ["OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR"] {
        command.env(variable, "/run/openvswitch");
    }
    command.spawn().unwrap()
}

fn stop(child: &RefCell<Option<Child>>) {
    if let Some(mut child) = child.take() {
        child.kill().ok();
        child.wait().ok();
    }
}
