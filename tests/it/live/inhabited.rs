//! Namespaces that somebody lives in: whoever does is not cut off by a run that is undone.

use std::process::Child;

use super::failure::haunted;
use super::world::{World, eventually, live};

const BOTH: &str = "\
netform: 1
project: shop
networks: {front: {subnets: [172.25.0.0/16]}}
containers:
  web: {networks: {front: {address: 172.25.0.2}}}
  db: {networks: {front: {address: 172.25.0.3}}}
";
/// Without `web`, and with what makes the firewall be written twice.
const WITHOUT_WEB: &str = "\
netform: 1
project: shop
networks: {front: {subnets: [172.25.0.0/16]}, back: {subnets: [10.7.0.0/24]}}
containers:
  db: {networks: {front: {address: 172.25.0.3}, back: {}}, publish: ['8080:80']}
";

/// A process in a namespace, which ends with its value.
struct Inhabitant {
    child: Child,
    namespace: String,
}

impl Inhabitant {
    fn of(world: &World, ns: &str) -> Self {
        let child = world.beside(&format!("ip netns exec {ns} sleep 1000"));
        let pid = child.id();
        let name = world.sh(&format!("stat -Lc %i /run/netns/{ns}"));
        let inside = || world.try_sh(&format!("stat -Lc %i /proc/{pid}/ns/net")).stdout == name;
        eventually("the process is inside", inside);
        Self { child, namespace: name }
    }

    /// Asserts that the name stands for the namespace of the process, and that it reaches its peer from there.
    #[track_caller]
    fn assert_connected(&self, world: &World, ns: &str, peer: &str) {
        let name = world.sh(&format!("stat -Lc %i /run/netns/{ns}"));
        assert_eq!(name, self.namespace, "{ns} is the namespace that the process is in");
        let ping = format!("nsenter --net=/proc/{}/ns/net ping -n -c 1 -W 1 {peer}", self.child.id());
        assert_eq!(world.try_sh(&ping).code, 0, "the process reaches {peer}");
        world.assert_in_sync();
    }
}

impl Drop for Inhabitant {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

live! {
    fn a_plan_tells_that_processes_lose_their_network(world) {
        world.apply(BOTH);
        let web = Inhabitant::of(world, "web");
        world.file("netform.yaml", WITHOUT_WEB);

        let (plan, _) = world.plan();

        let line = plan.lines().find(|line| line.contains("# container.web will be destroyed")).unwrap();
        let told = format!("interrupts web (sleep, process {}, is in its namespace)", web.child.id());
        assert!(line.contains(&told), "{plan}");
        drop(web);
        let (plan, _) = world.plan();
        let line = plan.lines().find(|line| line.contains("# container.web will be destroyed")).unwrap();
        assert!(line.contains("no interruption"), "{plan}");
    }
}

/// Asserts that nothing is kept that nobody can come back to.
#[track_caller]
fn assert_nothing_is_kept(world: &World) {
    assert_eq!(
        world.try_sh("grep -c ' nsfs ' /proc/self/mountinfo | grep -v '^0$'; ls run/shop/netns").stdout,
        ""
    );
}

live! {
    fn a_process_is_connected_again_when_the_apply_that_removes_its_container_fails(world) {
        world.apply(BOTH);
        let web = Inhabitant::of(world, "web");
        let db = Inhabitant::of(world, "db");
        // What others have inside comes back with the namespace that it is in.
        world.sh("ip -n web link add their0 type bridge");
        world.file("netform.yaml", WITHOUT_WEB);

        haunted(world, 2, &["apply", "--yes"]).exits(4);

        world.file("netform.yaml", BOTH);
        web.assert_connected(world, "web", "172.25.0.3");
        db.assert_connected(world, "db", "172.25.0.2");
        world.sh("ip -n web link show their0");
        assert!(!world.dir().join("run/shop/netns").exists());
        world.run(&["destroy", "--yes"]).exits(0);
        assert_nothing_is_kept(world);
    }
}

live! {
    fn a_process_is_connected_again_when_a_try_is_not_confirmed_and_let_go_when_it_is(world) {
        world.apply(BOTH);
        let web = Inhabitant::of(world, "web");
        world.file("netform.yaml", WITHOUT_WEB);

        world.run(&["try", "--yes", "--confirm-timeout", "1s"]).exits(8);

        world.file("netform.yaml", BOTH);
        web.assert_connected(world, "web", "172.25.0.3");
        assert!(!world.dir().join("run/shop/netns").exists());

        world.file("netform.yaml", WITHOUT_WEB);
        world.run(&["apply", "--yes", "--confirm-timeout", "60s"]).exits(0);
        assert!(!world.sh("ip netns").contains("web"));
        assert!(world.dir().join("run/shop/netns/web").exists());
        world.run(&["confirm"]).exits(0);
        assert!(!world.dir().join("run/shop/netns").exists());
        world.assert_in_sync();
    }
}

live! {
    fn a_process_is_connected_again_when_a_generation_is_gone_back_to(world) {
        world.apply(BOTH);
        let web = Inhabitant::of(world, "web");
        world.apply(WITHOUT_WEB);

        world.run(&["rollback", "--yes"]).exits(0);

        world.file("netform.yaml", BOTH);
        web.assert_connected(world, "web", "172.25.0.3");

        // One that is tried may be gone back from, too.
        world.file("netform.yaml", WITHOUT_WEB);
        world.run(&["apply", "--yes", "--confirm-timeout", "60s"]).exits(0);
        world.run(&["rollback", "--yes"]).exits(0);
        world.file("netform.yaml", BOTH);
        web.assert_connected(world, "web", "172.25.0.3");
        assert!(!world.dir().join("run/shop/netns").exists());
    }
}

live! {
    fn a_process_is_connected_again_whenever_the_run_is_killed(world) {
        world.apply(BOTH);
        let web = Inhabitant::of(world, "web");
        for after_ms in (20..140).step_by(8) {
            world.file("netform.yaml", WITHOUT_WEB);
            let mut run = world.netform();
            run.args(["apply", "--yes", "--confirm-timeout", "60s"]);
            run.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
            let mut child = run.spawn().unwrap();
            std::thread::sleep(std::time::Duration::from_millis(after_ms));
            child.kill().unwrap();
            child.wait().unwrap();

            let done = world.run(&["rollback", "1", "--yes"]);
            assert_eq!(done.code, 0, "killed after {after_ms} ms:\n{}{}", done.stdout, done.stderr);

            world.file("netform.yaml", BOTH);
            web.assert_connected(world, "web", "172.25.0.3");
            assert!(!world.dir().join("run/shop/netns").exists(), "killed after {after_ms} ms");
        }
    }
}
