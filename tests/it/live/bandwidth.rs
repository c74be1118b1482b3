//! How fast containers receive and send.

use std::process::Stdio;

use super::daemon::{Daemon, patiently};
use super::world::{World, live};

/// Receives for as long as somebody sends, and prints how many megabits came in a second, from the first to the last of them.
const SINK: &str = r#"
import socket, sys, time
kind, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
if kind == "tcp":
    server = socket.create_server((address, port), family=family)
    print("ready", flush=True)
    source = server.accept()[0]
else:
    source = socket.socket(family, socket.SOCK_DGRAM)
    source.bind((address, port))
    source.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    print("ready", flush=True)
count, first = 0, None
while True:
    data = source.recv(1 << 16)
    now = time.time()
    # What the bucket held at first says nothing of how fast it fills.
    if first is None or now < first + 0.5:
        first, last = first or now, now
        continue
    if len(data) < 2:
        break
    count, last = count + len(data), now
print(count * 8 / max(last - first - 0.5, 0.01) / 1e6, flush=True)
"#;

/// Sends for some seconds, as fast as it may.
const SOURCE: &str = r#"
import socket, sys, time
kind, address, port, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
sink = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
sink.connect((address, port))
sink.settimeout(0.2)
data, end = b"x" * (1 << 16 if kind == "tcp" else 1200), time.time() + seconds
while time.time() < end:
    try:
        sink.send(data)
    except OSError:
        pass
    if kind == "udp":
        time.sleep(0.0002)
if kind == "udp":
    for _ in range(50):
        time.sleep(0.02)
        try:
            sink.send(b"!")
        except OSError:
            break
"#;

/// Returns how many megabits come through in a second.
fn measured(world: &World, kind: &str, from: &str, (to, address): (&str, &str)) -> f64 {
    let (sink, source) = (world.file("sink.py", SINK), world.file("source.py", SOURCE));
    let inside = |ns: &str| if ns == "host" { String::new() } else { format!("ip netns exec {ns} ") };
    let command = format!("exec {}python3 -u {} {kind} {address} 99", inside(to), sink.display());
    let mut child =
        std::process::Command::new("sh").args(["-c", &command]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    assert_eq!(line, "ready\n");
    world.sh(&format!("{}python3 {} {kind} {address} 99 3", inside(from), source.display()));
    line.clear();
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    child.wait().unwrap();
    line.trim().parse().unwrap()
}

/// Measures until a limit is met within 15 per cent; on a busy machine that may take some tries.
#[track_caller]
fn assert_limited(world: &World, kind: &str, from: &str, to: (&str, &str), mbit: f64) {
    let mut tries = vec![];
    for _ in 0..3 {
        let rate = measured(world, kind, from, to);
        if (mbit * 0.85..mbit * 1.15).contains(&rate) {
            return;
        }
        tries.push(rate);
    }
    panic!("{kind} from {from} to {to:?}: {tries:?}, not {mbit} Mbit/s");
}

fn shop(web: &str) -> String {
    format!(
        "netform: 1
project: shop
networks: {{front: {{subnets: [10.7.0.0/24, 'fd00:7::/64']}}, wire: {{driver: veth, options: {{host: true}}, subnets: [10.9.0.0/31]}}}}
containers:
  web: {{networks: {{front: {{address: [10.7.0.2, 'fd00:7::2']{web}}}}}}}
  db: {{networks: {{front: {{address: [10.7.0.3, 'fd00:7::3'], bandwidth: {{egress: 20mbit}}}}}}}}
  job: {{networks: {{front: {{address: [10.7.0.4, 'fd00:7::4']}}, wire: {{bandwidth: {{ingress: 8mbit}}}}}}}}
"
    )
}

const LIMITED: &str = ", bandwidth: {ingress: 10mbit, egress: 5mbit}";

/// What limits anything.
fn limits(world: &World) -> String {
    let all = world.sh("tc qdisc show | grep -v noqueue || true; ip -o link show type ifb | cut -d: -f2");
    let port = host_end(world, "web.front");
    all + &world.sh(&format!("tc filter show dev {port} ingress"))
}

/// The end on the host of an attachment: tc knows no further names of links.
fn host_end(world: &World, name: &str) -> String {
    world
        .sh(&format!("ip -o link show netform.shop.{name} | sed 's/^[0-9]*: //; s/[:@].*//'"))
        .trim()
        .to_owned()
}

live! {
    fn containers_receive_and_send_as_fast_as_they_may(world) {
        world.apply(&shop(LIMITED));
        world.assert_in_sync();

        assert_limited(world, "tcp", "job", ("web", "10.7.0.2"), 10.0);
        assert_limited(world, "tcp", "web", ("job", "fd00:7::4"), 5.0);
        assert_limited(world, "tcp", "db", ("job", "10.7.0.4"), 20.0);
        assert_limited(world, "udp", "job", ("web", "10.7.0.2"), 10.0);
        assert_limited(world, "udp", "web", ("job", "10.7.0.4"), 5.0);
        assert_limited(world, "tcp", "host", ("job", "10.9.0.0"), 8.0);
        assert!(measured(world, "tcp", "job", ("db", "10.7.0.3")) > 60.0, "nothing limits what it receives");
        assert!(world.pings("web", "db") && world.pings("job", "fd00:7::2"));
        let inside = world.sh("ip netns exec web tc qdisc show dev eth0; ip netns exec db tc qdisc show dev eth0");
        assert!(!inside.contains("tbf"), "the limit is out of the container's reach: {inside}");
        let said = world.run(&["explain", &format!("nf-{}", world.sh("ip -o link show netform.shop.web.front.egress").split_once("nf-").unwrap().1.split_once(':').unwrap().0)]).exits(0).stdout;
        assert!(said.contains("limits what container web sends on network front"), "{said}");
        let said = world.run(&["explain", "container.web"]).exits(0).stdout;
        assert!(said.contains("eth0 with 10.7.0.2/24"), "{said}");
    }
}

live! {
    fn a_slow_limit_lets_through_what_is_larger_than_its_burst(world) {
        world.apply(&shop(", bandwidth: {ingress: 512kbit, egress: 64kbit, burst: 1518b}"));

        assert_limited(world, "tcp", "job", ("web", "10.7.0.2"), 0.512);
        let rate = measured(world, "tcp", "web", ("job", "10.7.0.4"));
        assert!((0.03..0.08).contains(&rate), "{rate}");
    }
}

live! {
    fn a_limit_comes_changes_and_goes_in_place(world) {
        world.apply(&shop(""));
        let (bare, index) = (limits(world), || world.sh("ip -o link show netform.shop.web.front | cut -d: -f1"));
        let before = index();
        for (limit, mbit) in [(LIMITED, Some(10.0)), (", bandwidth: {ingress: 20mbit}", Some(20.0)), ("", None), (LIMITED, Some(10.0))] {
            world.file("netform.yaml", &shop(limit));
            let (plan, changes) = world.plan();
            assert!(changes && plan.contains("no interruption") && !plan.contains("replace"), "{plan}");
            world.run(&["apply", "--yes"]).exits(0);
            world.assert_in_sync();
            match mbit {
                Some(mbit) => assert_limited(world, "tcp", "job", ("web", "10.7.0.2"), mbit),
                None => assert_eq!(limits(world), bare),
            }
        }
        assert_eq!(index(), before, "the link is the same");
        world.run(&["rollback", "--yes"]).exits(0);
        assert_eq!(limits(world), bare);
        world.run(&["rollback", "--yes"]).exits(0);
        assert!(limits(world).contains("rate 20Mbit"), "{}", limits(world));
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(world.sh("tc qdisc show | grep -v noqueue || true; ip -o link show | grep -v lo || true"), "");
    }
}

/// What somebody may do to the limits of `web`, whose end on the host is `$p` and whose other link is `$e`.
const DRIFTS: [&str; 10] = [
    "tc qdisc del dev $p root",
    "tc qdisc change dev $p root tbf rate 100mbit burst 100kb latency 10ms",
    "tc qdisc change dev $p root tbf rate 10mbit burst 12500 limit 75000 peakrate 11mbit mtu 2000",
    "tc qdisc del dev $e root",
    "tc qdisc change dev $e root tbf rate 100mbit burst 100kb latency 10ms",
    "tc qdisc del dev $p ingress",
    "tc filter del dev $p ingress",
    "ip link del $e",
    "ip link set $e down",
    "ip link del $p",
];

live! {
    fn what_somebody_does_to_a_limit_is_shown_and_set_back(world) {
        world.apply(&shop(LIMITED));
        let whole = limits(world);
        let names = "p=$(ip -o link show netform.shop.web.front | sed 's/^[0-9]*: //; s/@.*//'); e=$(ip -o link show netform.shop.web.front.egress | sed 's/^[0-9]*: //; s/: .*//'); ";
        for drift in DRIFTS {
            world.sh(&format!("{names}{drift}"));
            let (plan, changes) = world.plan();
            assert!(changes && plan.contains("drift"), "{drift}: {plan}");
            world.run(&["apply", "--yes"]).exits(0);
            world.assert_in_sync();
            assert_eq!(sorted(&limits(world)), sorted(&whole), "{drift}");
        }
        let daemon = Daemon::start(world, &["--resync", "1h"]);
        for drift in DRIFTS {
            world.sh(&format!("{names}{drift}"));
            patiently(&|| format!("{drift}:\n{}\n{}", limits(world), daemon.log()), || {
                world.try_sh("ip link show netform.shop.web.front").code == 0 && sorted(&limits(world)) == sorted(&whole)
            });
        }
        daemon.brings_it_in_sync("all of that");
    }
}

/// Whoever is limited in what it sends alone has no limit at its end on the host that says so.
const SENDS: &str = ", bandwidth: {egress: 5mbit}";

live! {
    fn a_detour_is_led_anew_when_what_it_leads_to_is_made_anew(world) {
        world.apply(&shop(SENDS));
        let whole = sorted(&limits(world));
        let daemon = Daemon::start(world, &["--resync", "1h"]);
        for drift in ["ip link del $e", "ip link del $e; ip link add other0 index $i type ifb; sleep 1; ip link del other0", "tc filter del dev $p ingress"] {
            let count = daemon.log().matches("set back").count();
            world.sh(&format!("p={}; e={}; i=$(ip -o link show $e | cut -d: -f1); {drift}", host_end(world, "web.front"), host_end(world, "web.front.egress")));
            patiently(&|| format!("{drift}:\n{}\n{}", limits(world), daemon.log()), || {
                daemon.log().matches("set back").count() > count && sorted(&limits(world)) == whole
            });
            assert!(world.pings("web", "job"), "{drift}: {}", daemon.log());
        }
        daemon.brings_it_in_sync("all of that");
    }
}

live! {
    fn a_detour_is_no_drift_while_it_leads_where_it_shall(world) {
        let daemon = {
            world.file("netform.yaml", &shop(SENDS));
            Daemon::start(world, &["--resync", "1h"])
        };
        let (port, detour) = (host_end(world, "web.front"), host_end(world, "web.front.egress"));
        for harmless in [
            "ip -n web link set eth0 mtu 1400".to_owned(),
            "ip -n web addr add 10.99.0.1/32 dev eth0".to_owned(),
            format!("ip link set {port} mtu 1400"),
            format!("ip link set {detour} mtu 1400"),
            "ip -n web link set eth0 mtu 1300".to_owned(),
            format!("tc filter del dev {port} ingress"),
        ] {
            world.sh(&harmless);
            std::thread::sleep(std::time::Duration::from_millis(900));
        }
        daemon.brings_it_in_sync("all of that");
        let log = daemon.log();
        assert_eq!(log.matches("detour of").count(), 1, "what was taken away, and no more:\n{log}");
        assert!(!log.contains("contested"), "{log}");
    }
}

/// The lines without numbers that the kernel gives, in order.
fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<_> = text.lines().filter(|line| !line.contains("index")).map(str::to_owned).collect();
    lines.sort();
    lines
}

live! {
    fn what_others_have_on_a_link_is_left_alone_and_told_when_it_is_in_the_way(world) {
        world.apply(&shop(""));
        let port = host_end(world, "web.front");
        world.sh(&format!("tc qdisc add dev {port} root handle 7: pfifo limit 10; tc qdisc add dev {port} clsact; tc filter add dev {port} ingress pref 5 protocol ip u32 match ip protocol 253 0xff flowid 1:1"));
        world.assert_in_sync();
        world.file("netform.yaml", &shop(LIMITED));
        let refused = world.run(&["apply", "--yes"]).exits(9);
        assert!(refused.stderr.contains(&format!("attachment.web@front needs limit of {port}, but qdisc pfifo on {port} is in the way")), "{}", refused.stderr);

        let told = world.apply(&shop(", bandwidth: {egress: 5mbit}"));
        let warning = format!("somebody's filter (pref 5) on {port} comes before the limit of what attachment.web@front sends: what it takes is not limited");
        assert!(told.contains(&warning), "{told}");
        world.assert_in_sync();
        assert!(world.plan().0.contains(&warning), "as long as it is there");
        let theirs = world.sh(&format!("tc filter show dev {port} ingress; tc qdisc show dev {port}"));
        for line in ["pref 5 ", "clsact", "pref 28262", "pfifo 7:"] {
            assert!(theirs.contains(line), "{line}: {theirs}");
        }
        world.apply(&shop(""));
        let theirs = world.sh(&format!("tc filter show dev {port} ingress; tc qdisc show dev {port}"));
        assert!(theirs.contains("pref 5 ") && theirs.contains("pfifo 7:") && !theirs.contains("28262"), "{theirs}");
        world.run(&["destroy", "--yes"]).exits(0);
    }
}

live! {
    fn lost_state_loses_no_limit_and_leaves_none_behind(world) {
        world.apply(&shop(LIMITED));
        world.sh("rm -rf state");
        world.assert_in_sync();
        world.sh("rm -rf state");
        world.apply(&shop(""));
        let left = limits(world);
        assert_eq!(left.matches("tbf").count(), 2, "those of others: {left}");
        assert!(!left.contains("28262"), "{left}");
    }
}

live! {
    fn a_link_that_was_renamed_is_made_anew_and_one_that_came_in_the_way_undoes_all(world) {
        let manifest = |limit: &str| {
            format!("netform: 1\nproject: shop\nnetworks: {{front: {{subnets: [10.9.0.0/24]}}}}\ncontainers: {{web: {{networks: {{front: {{{limit}}}}}}}}}\n")
        };
        let limited = manifest("bandwidth: {egress: 5mbit}");
        world.apply(&limited);
        world.sh("ip link set $(ip -o link show type ifb | grep -o 'nf-[0-9a-f]*' | head -1) name foo0");
        world.apply(&limited);
        world.assert_in_sync();
        assert_eq!(world.try_sh("ip link show foo0").code, 1);
        world.sh("ip link set br-front down; ip link set br-front name oldbr; ip link set oldbr up");
        world.apply(&limited);
        world.assert_in_sync();
        assert_eq!(world.try_sh("ip link show oldbr").code, 1);
        assert!(world.pings("web", "10.9.0.1"));

        // A run that takes the limit away, and then fails.
        let broken = manifest("sysctls: {net.ipv4.conf.IFNAME.forwarding: nonsense}");
        world.file("netform.yaml", &broken);
        let said = world.run(&["apply", "--yes"]).exits(4).stderr;
        assert!(!said.contains("undoing failed"), "{said}");
        world.file("netform.yaml", &limited);
        world.assert_in_sync();
        world.run(&["destroy", "--yes"]).exits(0);
    }
}
