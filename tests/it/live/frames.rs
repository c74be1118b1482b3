//! Frames that are no IP, between containers that a policy keeps apart.

use super::world::{World, eventually, live};

/// Sends frames of many kinds to a link-layer address, and to all.
const SEND: &str = r#"
import socket, struct, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("eth0", 0))
own = s.getsockname()[4]
ip = bytes.fromhex("450000200001000040110000ac190008ac19000708aa08aa000c0000") + b"ping"
for to in (bytes.fromhex(sys.argv[1].replace(":", "")), b"\xff" * 6):
    for kind in ("88a8", "8864", "8847", "88b5", "6000"):
        s.send(to + own + bytes.fromhex(kind) + b"secret " + kind.encode() + ip)
    snap = b"\xaa\xaa\x03\x00\x00\x00\x08\x00" + ip + b"secret snap"
    s.send(to + own + struct.pack("!H", len(snap)) + snap)
    s.send(to + own + bytes.fromhex("8100000a88b5") + b"secret 8100")
"#;

/// Prints what it hears within a second.
const HEAR: &str = r#"
import re, socket, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind(("eth0", 3))
print("ready", flush=True)
heard, end = set(), time.time() + 1.5
while (left := end - time.time()) > 0:
    s.settimeout(left)
    try: frame = s.recv(2000)
    except OSError: break
    heard.update(it.decode() for it in re.findall(rb"secret (\w{4})", frame))
print(*sorted(heard))
"#;

fn shop(policies: &str) -> String {
    format!(
        "netform: 1
project: shop
networks: {{front: {{subnets: [172.25.0.0/24]}}}}
containers:
  web: {{networks: {{front: {{address: 172.25.0.7}}}}}}
  spy: {{networks: {{front: {{address: 172.25.0.8}}}}}}
  job: {{networks: {{front: {{address: 172.25.0.9}}}}}}
policies: [{policies}]
"
    )
}

/// What kinds of frames get from `spy` to `web`.
fn heard(world: &World) -> String {
    world.file("hear.py", HEAR);
    world.file("send.py", SEND);
    let mac = world.sh("ip -n web -br link show eth0 | awk '{print $3}'");
    let script = format!(
        "ip netns exec web python3 hear.py > heard & while ! grep -q ready heard 2>/dev/null; do sleep 0.02; done
         ip netns exec spy python3 send.py {}; wait; tail -n 1 heard; rm heard",
        mac.trim()
    );
    world.sh(&script).trim().to_owned()
}

const ALL: &str = "6000 8100 8847 8864 88a8 88b5 snap";

live! {
    fn a_policy_about_everything_is_about_frames_that_are_no_ip_too(world) {
        world.apply(&shop("{allow: {from: container.web, to: container.spy, ports: [80]}}"));
        let free = heard(world);
        assert!(free.contains("88b5") && free.contains("snap") && ALL.contains("8864"), "nothing is denied: {free}");
        let rules = || world.sh("nft -j list ruleset | grep -o '\"rule\": {' | wc -l");
        let before = rules();

        for deny in ["container.spy, to: container.web", "container.web, to: container.spy", "network.front, to: network.front"] {
            world.apply(&shop(&format!("{{allow: {{from: container.web, to: container.spy, ports: [80]}}}}, {{deny: {{from: {deny}}}}}")));
            assert_eq!(heard(world), "", "{deny}");
            assert!(!world.pings("spy", "172.25.0.7"), "{deny}");
            assert_eq!(rules(), before, "{deny}");
            world.assert_in_sync();
        }
        world.apply(&shop("{deny: {from: container.spy, to: container.web}}"));
        assert!(world.pings("spy", "172.25.0.9") && world.pings("job", "172.25.0.7"), "others are found and reached");
        world.apply(&shop("{deny: {from: container.spy, to: container.web, ports: [22]}}"));
        eventually("a policy with ports is about these", || heard(world) == free);
    }
}
