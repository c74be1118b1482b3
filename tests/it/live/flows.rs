//! Flows that are going on when the manifest changes: those that it no longer allows end, all others go on.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::daemon::Daemon;
use super::world::{Listen, World, live};

/// A client that stays connected, and says something whenever it is told to.
pub(super) struct Flow {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

const TALK: &str = r#"
import socket, sys
protocol, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
s.settimeout(1)
s.connect((address, port))
if protocol == "tcp": s.recv(100)
print("ready", flush=True)
for line in sys.stdin:
    try:
        if line == "say\n": s.send(b"?")
        if line == "drain\n":
            s.settimeout(0)
            try:
                while s.recv(100): pass
            except BlockingIOError: pass
            s.settimeout(1)
        print(s.recv(100).decode().split()[0], flush=True)
    except (OSError, IndexError) as error: print("nothing", flush=True)
"#;

/// Whoever says something by UDP or connects by TCP is told something again and again, without being asked.
const PUSH: &str = r#"
import socket, threading, time
def push(send):
    while True:
        try: send(b"push ")
        except OSError: pass
        time.sleep(0.05)
def begin(*args): threading.Thread(target=args[0], args=args[1:], daemon=True).start()
def accept(s):
    while True: begin(push, s.accept()[0].send)
t = socket.create_server(("::", 98), family=socket.AF_INET6, dualstack_ipv6=True)
begin(accept, t)
u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
u.bind(("::", 99))
while True:
    _, peer = u.recvfrom(100)
    begin(push, lambda data, peer=peer: u.sendto(data, peer))
"#;

impl Flow {
    #[track_caller]
    pub(super) fn start(ns: &str, protocol: &str, address: &str, port: u16) -> Self {
        let inside = if ns == "host" { String::new() } else { format!("ip netns exec {ns} ") };
        let script = format!("exec {inside}python3 -u -c '{TALK}' {protocol} {address} {port}");
        let mut child = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut flow = Self { child, input, output };
        assert_eq!(flow.line(), "ready", "{protocol} {address} {port} from {ns}");
        flow
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// Sends something on the same socket, and returns the answer's first word; `nothing` when there is none.
    pub(super) fn says(&mut self) -> String {
        self.input.write_all(b"say\n").unwrap();
        self.line()
    }

    /// Throws away what has come, and returns what comes next without being asked for.
    fn hears(&mut self) -> String {
        self.input.write_all(b"drain\n").unwrap();
        self.line()
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A server that pushes, until the value ends.
struct Pusher(Child);

impl Pusher {
    #[track_caller]
    fn start(world: &World, ns: &str) -> Self {
        let script = format!("exec ip netns exec {ns} python3 -u -c '{PUSH}'");
        let pusher = Self(Command::new("sh").args(["-c", &script]).stdout(Stdio::null()).spawn().unwrap());
        super::world::eventually("the pusher listens", || {
            world.try_sh(&format!("ip netns exec {ns} ss -lun | grep -q :99")).code == 0
        });
        pusher
    }
}

impl Drop for Pusher {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A host beside ours, with an address of each family.
fn neighbour(world: &World) {
    world.sh("ip netns add remote && ip link add uplink type veth peer name eth0 netns remote &&
        ip addr add 192.0.2.1/24 dev uplink && ip addr add 2001:db8::1/64 dev uplink nodad && ip link set uplink up &&
        ip -n remote addr add 192.0.2.2/24 dev eth0 && ip -n remote addr add 2001:db8::2/64 dev eth0 nodad &&
        ip -n remote link set eth0 up");
}

/// Waits until containers answer over IPv6: what the host asks a link that has just come up may get lost, and it asks again
/// after a second (RFC 4861 section 10, `RETRANS_TIMER`).
#[track_caller]
fn settled(world: &World, addresses: &[&str]) {
    for address in addresses {
        super::world::eventually("the container answers", || world.pings("host", address));
    }
}

/// A manifest in which `publish` stands for what `web` publishes; `more` declares further containers.
fn shop(address: &str, publish: &str, more: &str) -> String {
    format!(
        "netform: 1\nproject: shop\nnetworks: {{front: {{subnets: [172.25.0.0/16, 'fd00:25::/64']}}}}\ncontainers:\n  \
         web: {{networks: {{front: {{address: [{address}]}}}}, publish: [{publish}]}}\n{more}"
    )
}

const WEB: &str = "172.25.3.3, 'fd00:25::33'";

live! {
    fn a_flow_goes_on_while_others_change_and_ends_when_its_port_is_unpublished(world) {
        neighbour(world);
        let all = "'8080:80', '5353:53/udp', '5399:99/udp'";
        world.apply(&shop(WEB, all, ""));
        settled(world, &["fd00:25::33"]);
        let _web = world.serve("web", &Listen::tcp(80), "web");
        let _dns = world.serve("web", &Listen::udp(53), "dns");
        let _pusher = Pusher::start(world, "web");
        let mut flows: Vec<(&str, Flow)> = [
            ("remote tcp", "remote", "tcp", "192.0.2.1", 8080), ("remote tcp6", "remote", "tcp", "2001:db8::1", 8080),
            ("remote udp", "remote", "udp", "192.0.2.1", 5353), ("remote udp6", "remote", "udp", "2001:db8::1", 5353),
            ("host tcp", "host", "tcp", "127.0.0.1", 8080), ("host udp", "host", "udp", "127.0.0.1", 5353),
        ].map(|(name, ns, protocol, to, port)| (name, Flow::start(ns, protocol, to, port))).into();
        let mut pushed = Flow::start("remote", "udp", "192.0.2.1", 5399);
        pushed.says();
        assert_eq!(pushed.hears(), "push");
        let answers = |flows: &mut Vec<(&str, Flow)>| -> Vec<String> {
            flows.iter_mut().map(|(name, flow)| format!("{name}: {}", flow.says())).collect()
        };
        let alive = ["remote tcp: ?", "remote tcp6: ?", "remote udp: dns", "remote udp6: dns", "host tcp: ?", "host udp: dns"];
        assert_eq!(answers(&mut flows), alive);

        world.apply(&shop(WEB, &format!("{all}, '9000:90', '9001:91/udp'"), "  app: {networks: [front], publish: ['9002:92']}\n"));
        assert_eq!(answers(&mut flows), alive, "something else was added");
        world.apply(&shop(WEB, all, ""));
        assert_eq!(answers(&mut flows), alive, "something else was taken away");
        assert_eq!(pushed.hears(), "push");

        world.apply(&shop(WEB, "'9000:90'", ""));
        let dead = alive.map(|answer| format!("{}: nothing", answer.split(':').next().unwrap()));
        assert_eq!(answers(&mut flows), dead, "the ports are unpublished");
        assert_eq!(pushed.hears(), "nothing", "nor does the container reach out by the old flow");
    }
}

live! {
    fn flows_end_with_their_ports_when_other_rules_come_at_the_same_time(world) {
        neighbour(world);
        let kept = "'5397:99/udp', '8080:80'";
        let isolated = "  app: {networks: {front: {isolated: true}}}\n";
        let deny = "  app: {networks: [front]}\npolicies:\n  - deny: {from: container.app, to: world}\n";
        let app = "  app: {networks: [front]}\n";
        let publish = format!("{kept}, '5398:98', '5399:99/udp'");
        world.apply(&shop(WEB, &publish, app));
        settled(world, &["fd00:25::33"]);
        let _web = world.serve("web", &Listen::tcp(80), "web");
        let _pusher = Pusher::start(world, "web");
        for (more, name) in [(isolated, "isolated"), (deny, "policies")] {
            world.apply(&shop(WEB, &publish, app));
            let [mut tcp, mut udp, mut other] = [("tcp", 5398), ("udp", 5399), ("udp", 5397)]
                .map(|(protocol, port)| Flow::start("remote", protocol, "192.0.2.1", port));
            [&mut tcp, &mut udp, &mut other].into_iter().for_each(|flow| drop(flow.says()));
            let mut talk = Flow::start("remote", "tcp", "192.0.2.1", 8080);
            assert_eq!([&mut tcp, &mut udp, &mut other].map(Flow::hears), ["push"; 3], "{name}");

            world.apply(&shop(WEB, kept, more));
            assert_eq!([&mut tcp, &mut udp, &mut other].map(Flow::hears), ["nothing", "nothing", "push"], "{name}");
            assert_eq!(talk.says(), "?", "{name}");
            let tracked = world.sh("cat /proc/net/nf_conntrack");
            assert!(tracked.contains("dport=5397 ") && !tracked.contains("dport=5399 "), "{name}: {tracked}");
        }
    }
}

live! {
    fn a_datagram_goes_to_the_new_target_at_once(world) {
        neighbour(world);
        world.apply(&shop(WEB, "'5353:53/udp'", "  app: {networks: {front: {address: [172.25.4.4, 'fd00:25::44']}}}\n"));
        settled(world, &["fd00:25::33", "fd00:25::44"]);
        let old = world.serve("web", &Listen::udp(53), "old");
        let _app = world.serve("app", &Listen::udp(53), "app");
        let mut flows = [("remote", "192.0.2.1"), ("remote", "2001:db8::1"), ("host", "127.0.0.1")]
            .map(|(ns, to)| Flow::start(ns, "udp", to, 5353));
        assert_eq!(flows.each_mut().map(Flow::says), ["old"; 3]);

        // The address moves; the server is started anew, since it may have been bound.
        world.apply(&shop("172.25.5.5, 'fd00:25::55'", "'5353:53/udp'", "  app: {networks: {front: {address: [172.25.4.4, 'fd00:25::44']}}}\n"));
        drop(old);
        settled(world, &["fd00:25::55"]);
        let _new = world.serve("web", &Listen::udp(53), "new");
        assert_eq!(flows.each_mut().map(Flow::says), ["new"; 3], "the container's address has changed");

        world.apply(&shop("172.25.5.5, 'fd00:25::55'", "", "  app: {networks: {front: {address: [172.25.4.4, 'fd00:25::44']}}, publish: ['5353:53/udp']}\n"));
        assert_eq!(flows.each_mut().map(Flow::says), ["app"; 3], "the port leads to another container");
    }
}

live! {
    fn a_datagram_that_was_refused_before_arrives_once_its_port_is_published(world) {
        neighbour(world);
        world.apply(&shop(WEB, "", ""));
        settled(world, &["fd00:25::33"]);
        let _dns = world.serve("web", &Listen::udp(53), "dns");
        let _host = world.serve("host", &Listen { protocol: "udp", address: "::", port: 5353 }, "host");
        let mut flows = [("remote", "192.0.2.1"), ("remote", "2001:db8::1")].map(|(ns, to)| Flow::start(ns, "udp", to, 5353));
        assert_eq!(flows.each_mut().map(Flow::says), ["host"; 2]);

        world.apply(&shop(WEB, "'5353:53/udp'", ""));
        assert_eq!(flows.each_mut().map(Flow::says), ["dns"; 2]);
    }
}

live! {
    fn a_flow_ends_in_both_directions_when_its_source_is_no_longer_allowed(world) {
        neighbour(world);
        let allow = |sources: &str| {
            let port = |host: u16, target: u16, protocol: &str| {
                format!("{{host_port: {host}, target_port: {target}, protocol: {protocol}, allow_from: [{sources}]}}")
            };
            let bound = port(5397, 99, "udp").replacen('{', "{host_address: 192.0.2.1, ", 1);
            [port(5398, 98, "tcp"), port(5399, 99, "udp"), bound].join(", ")
        };
        let app = "  app: {networks: {front: {address: [172.25.4.4, 'fd00:25::44']}}}\n";
        world.apply(&shop(WEB, &allow("192.0.2.0/24, 172.25.0.0/16, '2001:db8::/64'"), app));
        settled(world, &["fd00:25::33"]);
        let _pusher = Pusher::start(world, "web");
        let mut flows: Vec<(&str, Flow)> = [
            ("tcp", "remote", "tcp", "192.0.2.1", 5398), ("udp", "remote", "udp", "192.0.2.1", 5399),
            ("tcp6", "remote", "tcp", "2001:db8::1", 5398), ("udp6", "remote", "udp", "2001:db8::1", 5399),
            ("bound", "remote", "udp", "192.0.2.1", 5397), ("app", "app", "udp", "172.25.0.1", 5399),
            ("host", "host", "tcp", "127.0.0.1", 5398),
        ].map(|(name, ns, protocol, to, port)| (name, Flow::start(ns, protocol, to, port))).into();
        flows.iter_mut().for_each(|(_, flow)| drop(flow.says()));
        let mut heard = || flows.iter_mut().map(|(name, flow)| format!("{name}: {}", flow.hears())).collect::<Vec<_>>().join(", ");
        assert_eq!(heard(), "tcp: push, udp: push, tcp6: push, udp6: push, bound: push, app: push, host: push");

        world.apply(&shop(WEB, &allow("192.0.2.2/32"), &format!("{app}  db: {{networks: [front]}}\n")));
        assert_eq!(heard(), "tcp: push, udp: push, tcp6: nothing, udp6: nothing, bound: push, app: nothing, host: push");

        world.apply(&shop(WEB, &allow("192.0.2.3/32"), app));
        assert_eq!(heard(), "tcp: nothing, udp: nothing, tcp6: nothing, udp6: nothing, bound: nothing, app: nothing, host: push");
    }
}

live! {
    fn what_a_permission_allowed_ends_though_who_took_it_away_was_killed_before_he_looked(world) {
        let (job, tap) = ("{allow: {from: container.job, to: container.db}}", "{allow: {from: container.tap, to: container.db}}");
        world.apply(&allowed("", "", &format!("{job}, {tap}")));
        let _pusher = Pusher::start(world, "db");
        let [mut job, mut tap_flow] = ["job", "tap"].map(|ns| Flow::start(ns, "tcp", "172.26.0.6", 98));
        world.file("netform.yaml", &allowed("", "", tap));

        super::failure::killed(world, 1, &["apply", "--yes"]);
        assert!(world.try_sh("nft list ruleset | grep -q '172.25.0.6 . 172.26'").code != 0, "it is gone");
        assert_eq!(job.hears(), "push", "and is not ended yet");
        let next = world.run(&["apply", "--yes"]).exits(0);

        assert!(next.stderr.contains("killed after it had done everything"), "{}", next.stderr);
        assert_eq!((job.hears().as_str(), tap_flow.hears().as_str()), ("nothing", "push"));
        world.assert_in_sync();
    }
}

/// Two networks and who is there; `back` and `more` stand for settings of one and for further containers.
fn allowed(back: &str, more: &str, policies: &str) -> String {
    let policies = if policies.is_empty() { String::new() } else { format!("policies: [{policies}]\n") };
    format!(
        "netform: 1\nproject: shop\nnetworks:\n  front: {{subnets: [172.25.0.0/16, 'fd00:25::/64']}}\n  \
         back: {{subnets: [172.26.0.0/16, 'fd00:26::/64']{back}}}\ncontainers:\n  \
         job: {{networks: {{front: {{address: [172.25.0.6, 'fd00:25::6']}}}}}}\n  \
         tap: {{networks: {{front: {{address: [172.25.0.7, 'fd00:25::7']}}}}}}\n  \
         db: {{networks: {{back: {{address: [172.26.0.6, 'fd00:26::6']}}}}, publish: ['5399:99/udp']}}\n{more}{policies}"
    )
}

/// An endless ping, whose answers are counted.
struct Ping(Child, std::path::PathBuf);

impl Ping {
    fn start(world: &World, ns: &str, to: &str) -> Self {
        let file = world.dir().join(format!("ping.{ns}"));
        let command = format!("exec ip netns exec {ns} ping -n -i 0.05 {to} >{}", file.display());
        let ping = Self(Command::new("sh").args(["-c", &command]).spawn().unwrap(), file);
        super::world::eventually("the ping is answered", || ping.is_answered());
        ping
    }

    /// Tells whether answers come still.
    fn is_answered(&self) -> bool {
        let count = || std::fs::read(&self.1).map_or(0, |said| said.len());
        let before = count();
        std::thread::sleep(std::time::Duration::from_millis(400));
        count() > before
    }
}

impl Drop for Ping {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

live! {
    fn what_a_permission_allowed_ends_with_it_and_nothing_else_does(world) {
        neighbour(world);
        let (job, tap) = ("{allow: {from: container.job, to: container.db}}", "{allow: {from: container.tap, to: container.db}}");
        let narrow = "{allow: {from: container.job, to: container.db, ports: [98]}}";
        let open = ", ingress: open";
        world.apply(&allowed(open, "", &format!("{job}, {tap}")));
        world.sh("ip -n remote route add 172.26.0.0/16 via 192.0.2.1");
        settled(world, &["fd00:25::6", "fd00:25::7", "fd00:26::6"]);
        let _pushers = ["db", "job", "remote"].map(|ns| Pusher::start(world, ns));
        // They say something once: afterwards only the server does, so that nothing begins them anew.
        let mut flows: Vec<(&str, Flow)> = [
            ("job tcp", "job", "tcp", "172.26.0.6", 98), ("job tcp6", "job", "tcp", "fd00:26::6", 98),
            ("job udp", "job", "udp", "172.26.0.6", 99), ("job udp6", "job", "udp", "fd00:26::6", 99),
            ("tap tcp", "tap", "tcp", "172.26.0.6", 98), ("tap udp6", "tap", "udp", "fd00:26::6", 99),
            ("near", "tap", "udp", "172.25.0.6", 99), ("out", "db", "tcp", "192.0.2.2", 98),
            ("host", "host", "udp", "172.26.0.6", 99), ("port", "remote", "udp", "192.0.2.1", 5399),
            ("in", "remote", "tcp", "172.26.0.6", 98),
        ].map(|(name, ns, protocol, to, port)| (name, Flow::start(ns, protocol, to, port))).into();
        flows.iter_mut().for_each(|(_, flow)| drop(flow.says()));
        let ping = Ping::start(world, "job", "172.26.0.6");
        let mut ended = || -> String {
            let ended = flows.iter_mut().filter_map(|(name, flow)| (flow.hears() == "nothing").then_some(*name));
            ended.collect::<Vec<_>>().join(", ")
        };
        assert_eq!(ended(), "");

        // The new permission comes when the container is there, the old one goes before.
        let more = "  new: {networks: [back]}\n";
        world.apply(&allowed(open, more, &format!("{narrow}, {tap}")));
        assert_eq!((ended().as_str(), ping.is_answered()), ("job udp, job udp6", false));

        world.apply(&allowed("", more, &format!("{narrow}, {tap}")));
        assert_eq!(ended(), "job udp, job udp6, in");

        world.apply(&allowed("", more, tap));
        assert_eq!(ended(), "job tcp, job tcp6, job udp, job udp6, in");

        world.apply(&allowed("", more, ""));
        assert_eq!(ended(), "job tcp, job tcp6, job udp, job udp6, tap tcp, tap udp6, in", "the table is another");
        assert!(!ping.is_answered());
    }
}

live! {
    fn a_permission_that_an_undone_apply_takes_away_ends_nothing_and_one_that_watch_does_ends(world) {
        let (job, tap) = ("{allow: {from: container.job, to: container.db}}", "{allow: {from: container.tap, to: container.db}}");
        world.apply(&allowed("", "", &format!("{job}, {tap}")));
        let _pusher = Pusher::start(world, "db");
        let mut talk = Flow::start("job", "tcp", "172.26.0.6", 98);
        assert_eq!(talk.hears(), "push");

        world.sh("mkdir -p /run/netns && touch /run/netns/broken");
        world.file("netform.yaml", &allowed("", "  broken: {networks: [front]}\n", tap));
        assert_ne!(world.run(&["apply", "--yes"]).code, 0);
        assert_eq!(talk.hears(), "push");

        world.apply(&allowed("", "", tap));
        assert_eq!(talk.hears(), "nothing");
        world.sh("nft add element inet netform-shop allow_pair4 '{ 172.25.0.6 . 172.26.0.6 }'");
        let mut talk = Flow::start("job", "tcp", "172.26.0.6", 98);
        let _daemon = Daemon::start(world, &[]);
        super::world::eventually("nothing allows it", || world.try_sh("nft list ruleset | grep -q '172.25.0.6 . 172.26'").code != 0);
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert_eq!(talk.hears(), "nothing");
    }
}
