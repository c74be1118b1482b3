//! A bridge that somebody has turned into a hub: whoever is on it hears what is for others.

use super::daemon::{Daemon, patiently};
use super::failure::{haunted, killed};
use super::world::{World, live};

const SHOP: &str = "\
netform: 1
project: shop
networks: {front: {subnets: [10.1.0.0/24]}}
containers:
  a: {networks: {front: {address: 10.1.0.2}}}
  b: {networks: {front: {address: 10.1.0.3}}}
  spy: {networks: {front: {address: 10.1.0.4}}}
";

/// Says whether it hears a ping between others.
const SPY: &str = r#"
import socket, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x800))
s.bind(("eth0", 0x800))
print("ready", flush=True)
end, heard = time.time() + 1, False
while (left := end - time.time()) > 0:
    s.settimeout(left)
    try: frame = s.recv(2000)
    except OSError: break
    heard |= frame[23] == 1
print("hears" if heard else "deaf")
"#;

fn spies(world: &World) -> bool {
    world.file("spy.py", SPY);
    let said = world.sh(
        "ip netns exec a ping -qc1 -W1 10.1.0.3 > ping
         ip netns exec spy python3 spy.py > heard & while ! grep -q ready heard 2>/dev/null; do sleep 0.02; done
         ip netns exec a ping -qc3 -i0.1 -W1 10.1.0.3 > ping; wait; tail -n 1 heard; rm heard",
    );
    assert!(world.sh("cat ping").contains(" 0% packet loss"), "{said}");
    said.trim() == "hears"
}

/// What the bridge remembers, and of whom.
fn bridge(world: &World) -> String {
    world.sh("ip -d link show br-front | grep -o 'ageing_time [0-9]*\\|mcast_snooping [01]'")
}

const DEEDS: [(&str, &str); 3] = [
    ("ageing_time 0", "ageing_time 30000 -> 0"),
    ("ageing_time 50", "ageing_time 30000 -> 50"),
    ("mcast_snooping 0", "mcast_snooping on -> off"),
];

live! {
    fn a_bridge_that_is_a_hub_is_made_a_bridge_again(world) {
        world.apply(SHOP);
        assert!(!spies(world));
        let before = bridge(world);
        for (deed, said) in DEEDS {
            world.sh(&format!("ip link set br-front type bridge {deed}"));
            let scribbled = bridge(world);
            assert_ne!(scribbled, before, "{deed}");
            assert_eq!(spies(world), deed == "ageing_time 0", "{deed}");

            let (plan, changes) = world.plan();
            assert!(changes && plan.contains("[drift]") && plan.contains(said), "{said} in:\n{plan}");
            let verbose = world.run(&["plan", "-v"]).exits(0).stdout;
            let commands: Vec<_> = verbose.lines().filter_map(|line| line.trim().strip_prefix("$ ")).collect();
            world.sh(&commands.join("\n"));
            assert_eq!(bridge(world), before, "{commands:?} after {deed}");

            world.sh(&format!("ip link set br-front type bridge {deed}"));
            world.file("netform.yaml", &SHOP.replace("a: {", "a: {publish: ['8080:80'], "));
            haunted(world, 1, &["apply", "--yes"]).exits(4);
            assert_eq!(bridge(world), scribbled, "undone: {deed}");
            killed(world, 1, &["apply", "--yes"]);
            world.file("netform.yaml", SHOP);
            world.run(&["apply", "--yes"]).exits(0);
            assert_eq!(bridge(world), before, "{deed}");
            world.assert_in_sync();
        }
        assert!(!spies(world));
        // How long it remembers, as long as it does, is for whoever is in charge of the host to say.
        world.sh("ip link set br-front type bridge ageing_time 1000");
        world.assert_in_sync();
        world.run(&["destroy", "--yes"]).exits(0);
    }
}

live! {
    fn the_daemon_makes_a_bridge_of_a_hub(world) {
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &["--resync", "1h", "--contested-after", "0"]);
        let before = bridge(world);
        for (deed, said) in DEEDS {
            world.sh(&format!("ip link set br-front type bridge {deed}"));
            patiently(&|| format!("`{deed}`: {}", daemon.log()), || bridge(world) == before);
            daemon.says(said);
        }
    }
}
