//! The resolver in every namespace, asked from inside.

use std::collections::BTreeSet;
use std::path::PathBuf;

use netform::dns::server::{Options, Server};
use netform::dns::zone::Zones;
use netform::names::ContainerName;
use netform::resource::owner::Origin;
use netform::topology::{Topology, facts::Facts, resolve};

use super::world::{World, live};

/// The seed's walk: a shared alias, a link in each direction, a network in common or none.
const WALK: &str = r#"
netform: 1
project: shop
networks:
  front: {subnets: [10.1.0.0/24, "fd00:1::/64"]}
  back: {subnets: [10.2.0.0/24], internal: true}
containers:
  web: {networks: {front: {address: [10.1.0.2, "fd00:1::2"], aliases: [app]}}}
  two: {networks: {front: {address: [10.1.0.3], aliases: [app], links: {w: web}}}}
  db: {networks: {back: {address: 10.2.0.3}}}
"#;

fn topology(manifest: &str) -> Topology {
    let loaded = netform::manifest::parse([("netform.yaml".to_owned(), manifest.into())]).unwrap();
    let origin = |_| Origin { file: "netform.yaml".into(), line: 1, column: 1 };
    resolve(&loaded.manifest, &Facts::default(), &origin).unwrap()
}

/// Makes a namespace as an apply does, its `lo` aside.
fn made(world: &World, name: &str) {
    world.sh(&format!("ip netns add {name}; ip -n {name} link set lo alias netform:shop:container.{name}"));
}

/// A server with its namespaces.
struct Story<'w> {
    world: &'w World,
    runtime: tokio::runtime::Runtime,
    server: Server,
    topology: Topology,
}

impl<'w> Story<'w> {
    /// Starts a server for the containers of a manifest, in namespaces of their names.
    fn new(world: &'w World, manifest: &str) -> Self {
        let topology = topology(manifest);
        for container in &topology.containers {
            let name = &container.name;
            made(world, name.as_str());
            world.sh(&format!("ip -n {name} link set lo up"));
        }
        world.file("ask.py", include_str!("ask.py"));
        let resolv_conf = world.file("resolv.conf", "nameserver 127.0.0.1\n");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let server = Server::new(Options { resolv_conf }).unwrap();
        let mut story = Self { world, runtime, server, topology };
        story.run_all_but(&[]);
        story
    }

    /// Makes the server serve, as if these containers were stopped.
    #[track_caller]
    fn run_all_but(&mut self, stopped: &[&str]) {
        let running = self.topology.containers.iter().map(|container| container.name.clone());
        let running: BTreeSet<ContainerName> =
            running.filter(|name| !stopped.contains(&name.as_str())).collect();
        let zones = Zones::new(&self.topology, &running);
        let failures = self.runtime.block_on(self.server.set(&zones));
        assert!(failures.is_empty(), "{failures:?}");
    }

    /// Asks from a container; returns the code and the answers.
    fn ask(&self, from: &str, question: &str) -> String {
        self.python(from, &format!("ask.py {question}"))
    }

    fn python(&self, from: &str, script: &str) -> String {
        self.world.sh(&format!("ip netns exec {from} python3 {script}")).trim().to_owned()
    }

    /// Runs Python with the words of `ask.py` in a container.
    fn told(&self, from: &str, script: &str) -> String {
        self.world.file("story.py", &format!("from ask import *\n{script}"));
        self.python(from, "story.py")
    }

    /// Starts a resolver of elsewhere on the host; returns what it has been asked.
    fn upstream(&self, address: &str) -> Upstream {
        let (script, log) =
            (self.world.file("upstream.py", include_str!("upstream.py")), self.world.file("log", ""));
        let mut command = std::process::Command::new("python3");
        command.arg(script).arg(address).arg(&log).stdout(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut out, &mut line).unwrap();
        assert_eq!(line, "ready\n");
        Upstream { child, log }
    }
}

struct Upstream {
    child: std::process::Child,
    log: PathBuf,
}

impl Upstream {
    /// Returns how often it was asked for a name.
    fn asked(&self, name: &str) -> usize {
        std::fs::read_to_string(&self.log).unwrap().lines().filter(|line| *line == name).count()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

live! {
    fn names_follow_the_containers(world) {
        let mut story = Story::new(world, WALK);
        for how in ["udp", "tcp"] {
            let ask = |from, question: &str| story.ask(from, &format!("{how} {question}"));
            assert_eq!(ask("two", "web"), "NOERROR 10.1.0.2");
            assert_eq!(ask("two", "WEB.front AAAA 1232"), "NOERROR fd00:1::2");
            assert_eq!(ask("web", "two.front TXT"), "NOERROR");
            assert_eq!(ask("two", "w"), "NOERROR 10.1.0.2", "a link");
            assert_eq!(ask("two", "2.0.1.10.in-addr.arpa PTR"), "NOERROR web.front");
            assert_eq!(ask("db", "web"), "NXDOMAIN", "names do not cross networks, and `back` has no way out");
            assert_eq!(ask("db", "host.netform.internal"), "NOERROR 10.2.0.1");
            assert_eq!(ask("two", "app"), "NOERROR 10.1.0.2");
        }

        story.run_all_but(&["web"]);
        assert_eq!(story.ask("two", "udp app"), "NOERROR 10.1.0.3", "the next who declares the alias has it");
        assert_eq!(story.ask("two", "udp w"), "NXDOMAIN");
        assert_eq!(world.sh("ip netns exec web nft list tables"), "", "nothing is left behind");

        story.run_all_but(&[]);
        assert_eq!(story.ask("two", "udp app"), "NOERROR 10.1.0.2", "and gives it back");
        assert_eq!(story.ask("two", "udp w"), "NOERROR 10.1.0.2");
        assert_eq!(story.ask("web", "udp two"), "NOERROR 10.1.0.3");
    }
}

live! {
    fn a_container_that_serves_port_53_on_all_addresses_starts_and_still_resolves(world) {
        let mut story = Story::new(world, WALK);
        let serve = "import sys, time\n\
            for family, address in ((socket.AF_INET, '0.0.0.0'), (socket.AF_INET6, '::')):\n    \
                s = [socket.socket(family, kind) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)]\n    \
                [each.bind((address, 53)) for each in s]\n    s[1].listen()\n    \
                [each.close() for each in s]\n\
            print('all four')";
        assert_eq!(story.told("web", serve), "all four");

        let all = "import sys\n\
            servers = [socket.socket(socket.AF_INET6, kind) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)]\n\
            [each.bind(('::', 53)) for each in servers]\nservers[1].listen()\n\
            main('udp', 'two'); main('tcp', 'two')\n\
            c = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); c.connect(('127.0.0.1', 53)); c.send(b'mine')\n\
            print(servers[0].recv(100).decode())";
        assert_eq!(story.told("web", all), "NOERROR 10.1.0.3\nNOERROR 10.1.0.3\nmine");

        world.sh("ip netns exec web nft flush ruleset");
        assert_eq!(story.ask("web", "udp two"), "ConnectionRefusedError");
        let web = BTreeSet::from([story.topology.containers[0].ns.clone()]);
        let failures = story.runtime.block_on(story.server.mend(&web));
        assert!(failures.is_empty(), "{failures:?}");
        assert_eq!(story.ask("web", "udp two"), "NOERROR 10.1.0.3");
    }
}

live! {
    fn a_server_takes_over_from_one_that_died_and_follows_namespaces_that_are_made_anew(world) {
        let mut story = Story::new(world, WALK);
        let rules = world.sh("ip netns exec web nft list ruleset");

        // Dropped without taking anything back, as if killed.
        story.server = Server::new(Options::default()).unwrap();
        story.run_all_but(&[]);
        assert_eq!(story.ask("web", "udp two"), "NOERROR 10.1.0.3");
        assert_eq!(world.sh("ip netns exec web nft list ruleset"), rules, "nothing had to be written");

        world.sh("ip netns del web");
        made(world, "web");
        world.sh("ip -n web link set lo up");
        assert_eq!(story.ask("web", "udp two"), "ConnectionRefusedError");
        story.run_all_but(&[]);
        assert_eq!(story.ask("web", "udp two"), "NOERROR 10.1.0.3");

        world.sh("ip netns del web");
        let running = story.topology.containers.iter().map(|container| container.name.clone()).collect();
        let zones = Zones::new(&story.topology, &running);
        let failures = story.runtime.block_on(story.server.set(&zones));
        assert_eq!(failures.iter().map(|failure| failure.ns.to_string()).collect::<Vec<_>>(), ["web"]);
        assert_eq!(story.ask("two", "udp two"), "NOERROR 10.1.0.3", "the others are served");
    }
}

live! {
    fn a_namespace_whose_lo_was_never_up_is_not_served_yet(world) {
        let mut story = Story::new(world, WALK);
        world.sh("ip netns del web");
        made(world, "web");
        let running = story.topology.containers.iter().map(|container| container.name.clone()).collect();
        let zones = Zones::new(&story.topology, &running);

        // The kernel binds to any address where there is no table of local ones, and answers as from another.
        let failures = story.runtime.block_on(story.server.set(&zones));
        let kinds: Vec<_> = failures.iter().map(|failure| failure.source.kind()).collect();
        assert_eq!(kinds, [std::io::ErrorKind::AddrNotAvailable]);
        assert_eq!(world.sh("ip netns exec web nft list tables"), "", "nothing is left behind");

        world.sh("ip -n web link set lo up");
        story.run_all_but(&[]);
        assert_eq!(story.ask("web", "udp two"), "NOERROR 10.1.0.3");
        assert_eq!(story.ask("web", "tcp two"), "NOERROR 10.1.0.3");
    }
}

live! {
    fn no_query_is_lost_while_everything_changes(world) {
        let mut story = Story::new(world, WALK);
        let script = world.file("flood.py", "from ask import *\nimport sys\ns = udp()\nwhile True:\n    \
            s.send(query(1, 'two'))\n    said = read(s.recv(512))[1]\n    \
            assert said in ('NOERROR 10.1.0.3', 'NXDOMAIN'), said\n    print(said, flush=True)\n");
        let mut command = std::process::Command::new("ip");
        command.args(["netns", "exec", "web", "python3"]).arg(script).stdout(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));

        let mut seen = BTreeSet::new();
        for round in 0..30 {
            story.run_all_but(if round % 2 == 0 { &["two", "db"] } else { &[] });
            // The asker goes on meanwhile.
            seen.extend(lines.by_ref().take(2).map(Result::unwrap));
        }

        assert!(child.try_wait().unwrap().is_none(), "the asker still asks");
        child.kill().unwrap();
        child.wait().unwrap();
        seen.extend(lines.map_while(Result::ok));
        assert_eq!(seen.len(), 2, "both states were seen: {seen:?}");
    }
}

live! {
    fn other_names_are_asked_for_elsewhere_and_kept_for_as_long_as_they_may_be(world) {
        let story = Story::new(world, WALK);
        let upstream = story.upstream("127.0.0.1");
        let first = story.ask("web", "udp example.org");

        assert!(first.starts_with("NOERROR 203.0.113."), "{first}");
        assert_eq!(story.ask("two", "tcp EXAMPLE.org A 1232"), first, "it is kept");
        assert_eq!(upstream.asked("example"), 1);
        for _ in 0..2 {
            assert_eq!(story.ask("web", "udp gone.example"), "NXDOMAIN");
        }
        assert_eq!(upstream.asked("gone"), 1, "that there is nothing is kept, too");
        assert_eq!(story.ask("web", "udp broken.example"), "SERVFAIL");
        assert_eq!(story.ask("web", "udp big.example"), "NOERROR TC", "100 addresses do not fit");
        assert_eq!(story.ask("web", "tcp big.example").split(' ').count(), 101);
        assert_eq!(story.ask("web", "udp big.example A 4096").split(' ').count(), 101);
        assert_eq!(story.ask("db", "udp example.org"), "NXDOMAIN", "who has no way out asks nobody");
        assert_eq!(upstream.asked("web") + upstream.asked("w"), 0, "names of ours stay here");
    }
}

live! {
    fn a_resolver_that_is_silent_or_replaced_is_not_the_end(world) {
        let story = Story::new(world, WALK);
        // Nobody listens at the first, and nobody answers at the second.
        world.sh("ip addr add 192.0.2.1/32 dev lo");
        let _silent = std::net::UdpSocket::bind("192.0.2.1:53").unwrap();
        world.file("new", "nameserver 127.0.0.9\nnameserver 192.0.2.1\nnameserver 127.0.0.7\n");
        world.sh("mv new resolv.conf");
        let upstream = story.upstream("127.0.0.7");

        let said = story.told("web", "s = udp(5)\ns.send(query(1, 'example.org'))\nprint(read(s.recv(512))[1])");

        assert!(said.starts_with("NOERROR 203.0.113."), "{said}");
        assert_eq!(upstream.asked("example"), 1);
        assert!(story.ask("web", "udp example.com").starts_with("NOERROR"), "the next question goes to who answered");
    }
}

live! {
    fn a_thousand_slow_answers_delay_no_local_one_and_all_come(world) {
        let story = Story::new(world, WALK);
        let upstream = story.upstream("127.0.0.1");

        let said = story.told("web", "
import time
s, missing = udp(2), {number: query(number, f'slow{number}.example') for number in range(1000)}
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
for number, packet in list(missing.items()):
    s.send(packet)
    if number % 100 == 99: time.sleep(0.005)
s.send(query(5000, 'two'))
print(read(s.recv(512)))
u = udp(2)
for _ in range(10):
    try:
        u.send(query(1, 'release.example')); u.recv(512); break
    except OSError: pass
for _ in range(10):
    try:
        while missing: missing.pop(read(s.recv(512))[0], None)
    except OSError:
        [s.send(packet) for packet in missing.values()]
print(len(missing))");

        assert_eq!(said, "(5000, 'NOERROR 10.1.0.3')\n0", "the local answer is the first, and none is missing");
        assert!(upstream.asked("slow999") > 0);
    }
}

live! {
    fn streams_take_several_questions_and_slow_ones_keep_nobody_else_waiting(world) {
        let story = Story::new(world, WALK);
        let _upstream = story.upstream("127.0.0.1");

        let said = story.told("web", "
s = tcp()
s.sendall(b''.join(frame(query(number, name)) for number, name in enumerate(['slow.example', 'two', 'web', 'two'])))
print([read(receive(s)) for _ in range(3)])
u = udp(); u.send(query(1, 'release.example')); u.recv(512)
print(receive(s)[1])");
        assert_eq!(said, "[(1, 'NOERROR 10.1.0.3'), (2, 'NOERROR 10.1.0.2'), (3, 'NOERROR 10.1.0.3')]\n0");

        let said = story.told("web", "
idle = [tcp() for _ in range(100)]
[s.send(b'\\0') for s in idle[:20]]
main('udp', 'two')
import subprocess
print(subprocess.run(['ip', 'netns', 'exec', 'two', 'python3', 'ask.py', 'tcp', 'web'], capture_output=True, text=True).stdout.strip())");
        assert_eq!(said, "NOERROR 10.1.0.3\nNOERROR 10.1.0.2");

        let said = story.told("web", "
for garbage in (b'', b'x', b'\\xff' * 600, b'\\0' * 12, query(1, 'two')[:-1]):
    u = udp(); u.send(garbage)
    t = tcp(); t.sendall(frame(garbage)); t.close()
main('udp', 'two'); main('tcp', 'two')");
        assert_eq!(said, "NOERROR 10.1.0.3\nNOERROR 10.1.0.3");
    }
}

live! {
    fn a_question_that_comes_back_in_a_circle_ends(world) {
        let story = Story::new(world, WALK);
        world.sh("ip link add way type veth peer name way netns web; ip addr add 10.9.0.1/24 dev way; ip link set way up
            ip -n web addr add 10.9.0.2/24 dev way; ip -n web link set way up");
        // Whom the host asks is a container, which asks its own resolver.
        world.file("resolv.conf", "nameserver 10.9.0.2\n");
        let forwarder = world.file("forwarder.py", "from ask import *\nimport threading
s, count = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0
s.bind(('10.9.0.2', 53))
def ask_on(packet, peer):
    u = udp(20); u.send(packet); s.sendto(u.recv(65535), peer)
print('ready', flush=True)
while True:
    packet, peer = s.recvfrom(65535)
    print('asked', flush=True)
    threading.Thread(target=ask_on, args=(packet, peer), daemon=True).start()
");
        let log = std::fs::File::create(world.dir().join("circle")).unwrap();
        let mut command = std::process::Command::new("ip");
        let mut child = command.args(["netns", "exec", "web", "python3"]).arg(forwarder).stdout(log).spawn().unwrap();
        super::world::eventually("the container serves", || world.sh("cat circle").contains("ready"));

        let said = story.told("two", "s = udp(20)\ns.send(query(1, 'example.org'))\nprint(read(s.recv(512))[1])");

        assert_eq!(said, "SERVFAIL");
        let asked = world.sh("cat circle").matches("asked").count();
        assert!((1..=3).contains(&asked), "once for each try: {asked}");
        assert_eq!(story.ask("web", "udp two"), "NOERROR 10.1.0.3");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
