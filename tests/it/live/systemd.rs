//! The unit that is shipped, under a systemd that runs: it gets ready, is hardened, and does not lose what it needs by that.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::daemon::patiently;
use super::world::{Done, World, live, skip};

const SHOP: &str = "\
netform: 1
project: shop
networks: {front: {subnets: [172.25.0.0/16, 'fd00:25::/64']}}
containers:
  web: {networks: [front], publish: ['8080:80']}
  db: {networks: [front]}
  legacy: {netns: legacy, networks: [front]}
";

const SYSTEMD: &str = "/lib/systemd/systemd";
const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/netform-watch.service");

/// A systemd of one test, killed when that ends.
struct Systemd {
    child: Child,
    /// The control group that it may do with as it likes.
    group: PathBuf,
    init: String,
}

impl Systemd {
    /// Boots; says so and returns nothing where that cannot be.
    fn boot(world: &World) -> Option<Self> {
        if !Path::new(SYSTEMD).exists() {
            skip("systemd", "it is not installed");
            return None;
        }
        let groups = world
            .try_sh("echo $(findmnt -n -t cgroup2 -o TARGET | head -1)$(sed -n s/^0:://p /proc/self/cgroup)");
        let group = Path::new(groups.stdout.trim()).join(format!("netform-test-{}", std::process::id()));
        if groups.code != 0 || std::fs::create_dir(&group).is_err() {
            skip("systemd", "no control group can be made here");
            return None;
        }
        let manifest = world.file("shop.yaml", SHOP);
        let script = world.file("systemd.sh", include_str!("systemd.sh"));
        let enter = "echo $$ > \"$0/cgroup.procs\"; exec unshare -pmuiC --fork --kill-child sh \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-ec", enter]).arg(&group).arg(script);
        command.arg(env!("CARGO_BIN_EXE_netform")).args([UNIT]).arg(manifest);
        let child = command.stdin(Stdio::null()).spawn().unwrap();
        let init =
            || world.try_sh(&format!("cat /proc/{0}/task/{0}/children", child.id())).stdout.trim().to_owned();
        patiently(&|| "an init".to_owned(), || {
            let comm = std::fs::read_to_string(format!("/proc/{}/comm", init()));
            comm.is_ok_and(|comm| comm == "systemd\n")
        });
        Some(Self { init: init(), child, group })
    }

    /// Runs a shell command beside it.
    fn try_sh(&self, script: &str) -> Done {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.init, "-m", "-p", "-C", "sh", "-ec", script]);
        Done::of(command.stdin(Stdio::null()).output().unwrap())
    }

    /// Runs a shell command that must succeed, and returns what it printed.
    #[track_caller]
    fn sh(&self, script: &str) -> String {
        self.try_sh(script).exits(0).stdout
    }

    /// Waits until a shell command succeeds.
    #[track_caller]
    fn comes_to(&self, script: &str) {
        let told = || {
            let done = self.try_sh(script);
            format!("`{script}`:\n{}{}\n{}", done.stdout, done.stderr, self.log())
        };
        patiently(&told, || self.try_sh(script).code == 0);
    }

    fn log(&self) -> String {
        self.try_sh(
            "systemctl --no-pager --lines 0 status netform-watch; journalctl --no-pager -u netform-watch",
        )
        .stdout
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        let empty = format!("find {} -depth -type d -exec rmdir {{}} +", self.group.display());
        // What was killed is in its group for a moment.
        for _ in 0..50 {
            if Command::new("sh")
                .args(["-c", &empty])
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|done| done.success())
            {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
}

const READY: &str =
    "systemctl is-active netform-watch && systemctl show -p StatusText netform-watch | grep 'in sync'";
const NAMES: &str = "ip netns exec web dig +short +tries=1 +time=1 db | grep 172.25 && ip netns exec web dig +short +tcp +time=1 db";

live! {
    fn the_unit_that_is_shipped_does_its_work_under_systemd(world) {
        let Some(host) = Systemd::boot(world) else { return };
        host.comes_to(READY);
        host.comes_to(NAMES);
        let status = host.sh("cat /proc/$(systemctl show -p MainPID --value netform-watch)/status");
        assert!(status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2"), "{status}");

        for drift in [
            "ip link del netform.shop.web.front; ip -n db addr flush dev eth0",
            "nft flush ruleset",
            "rm -r /etc/netns/db",
            "sysctl -q -w net.ipv4.ip_forward=0",
            "ip netns del web",
            "ip netns add legacy; ip -n legacy link set lo up",
        ] {
            host.sh(drift);
            host.comes_to("netform plan --detailed-exitcode /etc/netform");
            host.comes_to(NAMES);
        }
        host.comes_to("ip netns exec legacy dig +short +time=1 web | grep 172.25");
        host.sh("sed -i s/8080/9090/ /etc/netform/shop.yaml; systemctl reload netform-watch");
        host.comes_to("nft list table inet netform-shop | grep 9090");

        let pings = world.beside(&format!("nsenter -t {} -m -p -C ip netns exec web ping -n -i 0.02 -c 400 -W 5 db", host.init));
        host.sh("kill -9 $(systemctl show -p MainPID --value netform-watch)");
        host.comes_to("systemctl show -p NRestarts netform-watch | grep =1");
        host.comes_to(READY);
        host.comes_to(NAMES);
        let pings = String::from_utf8(pings.wait_with_output().unwrap().stdout).unwrap();
        assert!(pings.contains(" 0% packet loss"), "{pings}");

        host.sh("systemctl stop netform-watch");
        assert_eq!(host.sh("systemctl show -p Result -p ActiveState netform-watch"), "Result=success\nActiveState=inactive\n");
        host.sh("ip netns exec web ping -n -c 1 -W 5 db; nft list table inet netform-shop");
        assert!(!host.log().contains("ot permitted"), "{}", host.log());
    }
}

live! {
    fn beside_a_wrong_manifest_the_daemon_keeps_up_what_is_in_force_or_is_tried_again_by_systemd(world) {
        let Some(host) = Systemd::boot(world) else { return };
        host.comes_to(READY);
        host.sh("systemctl stop netform-watch; echo nonsense >> /etc/netform/shop.yaml; nft flush ruleset");

        host.sh("systemctl start netform-watch");
        host.comes_to("nft list table inet netform-shop");

        host.sh("systemctl stop netform-watch; netform destroy --yes --project shop");
        host.try_sh("systemctl start netform-watch").exits(1);
        let failed = host.sh("systemctl show -p ExecMainStatus -p SubState netform-watch");
        assert_eq!(failed, "ExecMainStatus=65\nSubState=auto-restart\n");
        host.sh("sed -i '$ d' /etc/netform/shop.yaml");
        host.comes_to(READY);
        host.comes_to("nft list table inet netform-shop");
    }
}
