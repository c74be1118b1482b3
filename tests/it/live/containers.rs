//! Containers that somebody else runs: a real Docker, a real Podman, mere processes.

use std::time::{Duration, Instant};

use super::daemon::{Daemon, patiently};
use super::engine::Engine;
use super::world::{World, contained};

/// Two containers of a runtime on one network; `db` has an alias.
fn two(runtime: &str) -> String {
    format!(
        "netform: 1\nproject: shop\nnetworks: {{front: {{subnets: [172.25.0.0/16]}}}}\ncontainers:\n  web: {{{runtime}: shop-web, networks: [front]}}\n  db: {{{runtime}: shop-db, networks: {{front: {{address: 172.25.0.9, aliases: [database]}}}}}}\n"
    )
}

contained! {
    fn containers_of_docker_are_attached_and_what_is_ours_goes_with_them(world, "dockerd") {
        let docker = Engine::docker(world);
        docker.run("shop-web", "none");
        docker.create("shop-db", "none");
        let (hosts, resolv) = files(&docker, "shop-web");
        let before = (std::fs::read_to_string(&hosts).unwrap(), std::fs::read_to_string(&resolv).unwrap());
        world.apply(&two("docker"));

        let status = world.run(&["status"]).exits(0).stdout;
        assert!(status.contains("db                waiting  front"), "{status}");
        assert!(docker.inside("shop-web", "ip -o -4 addr show dev eth0").stdout.contains("172.25.0."));

        docker.does("start", "shop-db");
        world.run(&["apply", "--yes"]).exits(0);
        for name in ["db", "database", "db.front", "172.25.0.9", "host.netform.internal"] {
            assert!(docker.reaches("shop-web", name), "{name}: {}", std::fs::read_to_string(&hosts).unwrap());
        }
        assert_eq!(world.run(&["exec", "--manifest", "netform.yaml", "web", "--", "ping", "-c", "1", "-W", "1", "database"]).code, 0);
        world.assert_in_sync();

        docker.does("stop", "shop-db");
        let (plan, changes) = world.plan();
        assert!(changes && plan.contains("Waiting\n  container.db"), "{plan}");
        world.run(&["apply", "--yes"]).exits(0);
        assert_eq!(ports(world), 1);
        assert!(!std::fs::read_to_string(&hosts).unwrap().contains("database"));

        world.run(&["destroy", "--yes"]).exits(0);
        let after = (std::fs::read_to_string(&hosts).unwrap(), std::fs::read_to_string(&resolv).unwrap());
        assert_eq!(after, before);
        assert_eq!(docker.inside("shop-web", "ip -o link").stdout.lines().count(), 1);
    }
}

/// The files of a container, as the host has them: hosts and resolv.conf.
fn files(engine: &Engine<'_>, name: &str) -> (String, String) {
    let said = engine.inspect(name);
    let path = |key: &str| said[key].as_str().unwrap().to_owned();
    (path("HostsPath"), path("ResolvConfPath"))
}

/// How many ports the bridges have.
fn ports(world: &World) -> usize {
    world.sh("ip -o link show type veth").lines().count()
}

contained! {
    fn a_container_in_which_docker_turned_ipv6_off_has_it_all_the_same(world, "dockerd") {
        let docker = Engine::docker(world);
        docker.run("shop-web", "none");
        docker.run("shop-db", "none");
        assert_eq!(docker.inside("shop-web", "cat /proc/sys/net/ipv6/conf/all/disable_ipv6").stdout, "1\n");
        world.apply(&two("docker").replace("172.25.0.0/16", "172.25.0.0/16, 'fd00:25::/64'").replace("address: 172.25.0.9", "address: ['fd00:25::9', 172.25.0.9]"));

        assert!(docker.reaches("shop-web", "fd00:25::9") && docker.reaches("shop-web", "fd00:25::1"));
        world.assert_in_sync();
        docker.does("restart", "shop-db");
        world.run(&["apply", "--yes"]).exits(0);
        assert!(docker.reaches("shop-web", "fd00:25::9"));
        world.assert_in_sync();
        world.run(&["destroy", "--yes"]).exits(0);
    }
}

contained! {
    fn an_earlier_generation_is_put_where_its_containers_are_now(world, "dockerd") {
        let docker = Engine::docker(world);
        docker.run("shop-web", "none");
        docker.run("shop-db", "none");
        world.apply(&two("docker"));
        world.apply(&two("docker").replace("[database]", "[other]"));
        docker.does("restart", "shop-db");
        docker.does("stop", "shop-web");

        world.run(&["rollback", "1", "--yes", "--project", "shop"]).exits(0);
        docker.does("start", "shop-web");
        world.file("netform.yaml", &two("docker"));
        world.run(&["apply", "--yes"]).exits(0);

        assert!(docker.reaches("shop-web", "database") && docker.reaches("shop-db", "web"));
        world.assert_in_sync();
    }
}

contained! {
    fn containers_of_podman_are_attached_and_followed_too(world, "podman") {
        let podman = Engine::podman(world);
        podman.run("shop-web", "none");
        podman.run("shop-db", "none");
        world.apply(&two("podman"));
        assert!(podman.reaches("shop-web", "database") && podman.reaches("shop-db", "web"));
        world.assert_in_sync();

        let daemon = Daemon::start(world, &[]);
        podman.does("restart", "shop-db");
        sees(&daemon, "db after its restart", || podman.reaches("shop-web", "database"));
        podman.kill();
        podman.revive();
        podman.remove("shop-db");
        sees(&daemon, "no db", || ports(world) == 1);
        podman.run("shop-db", "none");
        sees(&daemon, "another db", || podman.reaches("shop-web", "database"));
    }
}

contained! {
    fn a_daemon_follows_containers_that_start_stop_and_are_renamed(world, "dockerd") {
        let docker = Engine::docker(world);
        world.file("netform.yaml", &two("docker"));
        let daemon = Daemon::start(world, &[]);
        docker.create("shop-web", "none");
        docker.run("shop-db", "none");

        let before = Instant::now();
        docker.does("start", "shop-web");
        sees(&daemon, "web", || docker.reaches("shop-web", "database"));
        assert!(before.elapsed() < Duration::from_secs(5), "{:?} is long even for a busy machine", before.elapsed());
        let asks = || docker.inside("shop-web", "nslookup database").stdout;
        sees(&daemon, "an answer", || asks().contains("172.25.0.9"));

        docker.does("restart", "shop-db");
        sees(&daemon, "db after its restart", || docker.reaches("shop-web", "database"));
        docker.post("/containers/shop-db/rename?name=other", &[]);
        sees(&daemon, "nobody of that name", || ports(world) == 1);
        docker.post("/containers/other/rename?name=shop-db", &[]);
        sees(&daemon, "db by its name", || docker.reaches("shop-web", "database"));
        docker.does("stop", "shop-db");
        sees(&daemon, "db gone", || ports(world) == 1 && !asks().contains("172.25.0.9"));
        daemon.brings_it_in_sync("docker stop");
        docker.remove("shop-web");
        sees(&daemon, "nobody", || ports(world) == 0);
    }
}

contained! {
    fn a_container_that_is_restarted_over_and_over_is_attached_every_time(world, "dockerd") {
        let docker = Engine::docker(world);
        docker.run("shop-web", "none");
        docker.run("shop-db", "none");
        world.file("netform.yaml", &two("docker"));
        let daemon = Daemon::start(world, &["--contested-after", "2"]);
        sees(&daemon, "web", || docker.reaches("shop-web", "database"));

        for pause in [0, 50, 400, 0, 100, 0, 200, 0] {
            docker.does("restart", "shop-web");
            std::thread::sleep(Duration::from_millis(pause));
        }

        sees(&daemon, "web again", || docker.reaches("shop-web", "database"));
        let asks = || docker.inside("shop-web", "nslookup database").stdout;
        sees(&daemon, "an answer", || asks().contains("172.25.0.9"));
        daemon.brings_it_in_sync("many restarts");
        let log = daemon.log();
        assert!(!log.contains("contested") && !log.contains("drift"), "{log}");
    }
}

contained! {
    fn a_runtime_that_is_killed_changes_nothing_and_is_heard_again(world, "dockerd") {
        let docker = Engine::docker(world);
        docker.run("shop-web", "none");
        docker.run("shop-db", "none");
        world.file("netform.yaml", &two("docker"));
        let daemon = Daemon::start(world, &[]);
        sees(&daemon, "db", || docker.reaches("shop-web", "database"));
        let pid = docker.inspect("shop-web")["State"]["Pid"].to_string();

        docker.kill();
        let told = world.run(&["reconcile"]).exits(0);
        let (plan, changes) = world.plan();

        assert!(!changes, "{plan}{}", told.stdout);
        assert!(plan.contains("Docker cannot be asked at /var/run/docker.sock"), "{plan}");
        assert!(plan.contains("as they were seen last: web, db"), "{plan}");
        assert_eq!(world.try_sh(&format!("nsenter -t {pid} -n -m ping -c 1 -W 1 database")).code, 0);
        docker.revive();
        docker.remove("shop-db");
        sees(&daemon, "db gone", || ports(world) <= 1);
        docker.run("shop-db", "none");
        docker.remove("shop-web");
        docker.run("shop-web", "none");
        sees(&daemon, "both", || docker.reaches("shop-web", "database"));
    }
}

contained! {
    fn what_docker_gives_a_container_stays_and_ours_comes_beside(world, "dockerd") {
        let docker = Engine::docker_with(world, "exec dockerd --containerd /run/containerd/containerd.sock --data-root /run/docker-data --exec-root /run/docker --pidfile /run/docker.pid -H unix:///run/docker.sock --storage-driver vfs --iptables=false --ip6tables=false --bip=10.99.0.1/24");
        docker.run("shop-web", "bridge");
        docker.run("shop-db", "none");
        let theirs = || docker.inside("shop-web", "ip -o -4 addr show dev eth0").stdout;
        let (routes, resolv) = (docker.inside("shop-web", "ip route").stdout, docker.inside("shop-web", "cat /etc/resolv.conf").stdout);
        let before = theirs();
        world.apply(&two("docker"));

        assert_eq!(theirs(), before);
        assert!(docker.inside("shop-web", "ip route").stdout.starts_with(routes.lines().next().unwrap()));
        assert!(docker.inside("shop-web", "ip -o -4 addr show dev nf0").stdout.contains("172.25.0."));
        assert_eq!(docker.inside("shop-web", "cat /etc/resolv.conf").stdout, resolv);
        assert!(docker.reaches("shop-web", "10.99.0.1") && docker.reaches("shop-web", "database"));

        world.apply(&two("docker").replace("docker: shop-web, networks: [front]", "docker: shop-web, networks: {front: {gateway_priority: 1}}"));
        let routes = docker.inside("shop-web", "ip route").stdout;
        assert!(routes.contains("0.0.0.0/1 via 172.25.0.1") && routes.contains("default via 10.99.0.1"), "{routes}");
        world.assert_in_sync();

        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(docker.inside("shop-web", "ip -o link").stdout.lines().count(), 2);
        assert!(docker.reaches("shop-web", "10.99.0.1"));
    }
}

contained! {
    fn a_plan_says_that_dockers_firewall_stops_ours_and_what_lets_it_pass(world, "dockerd") {
        world.sh("sysctl -q -w net.ipv4.ip_forward=0");
        world.sh("ip netns add outside && ip link add out type veth peer name in netns outside && ip addr add 203.0.113.1/24 dev out && ip link set out up && ip -n outside addr add 203.0.113.2/24 dev in && ip -n outside link set in up");
        let docker = Engine::docker_with(
            world,
            "exec dockerd --containerd /run/containerd/containerd.sock --data-root /run/docker-data --exec-root /run/docker --pidfile /run/docker.pid -H unix:///run/docker.sock --storage-driver vfs",
        );
        docker.run("shop-web", "none");
        docker.run("shop-db", "none");
        let rules = || world.sh("nft -s list table ip filter; nft -s list table ip nat; ip -o -4 addr show dev docker0");
        let before = rules();

        // Without a subnet, one is taken that Docker has not got.
        let told = world.apply(&two("docker").replace("subnets: [172.25.0.0/16]", "interface: br-front").replace("address: 172.25.0.9, ", ""));

        let theirs = world.sh("ip -o -4 addr show dev docker0");
        assert!(theirs.contains("172.17.0.1/16") && world.sh("ip -o -4 addr show dev br-front").contains("172.18.0.1/16"), "{theirs}");
        assert!(!docker.reaches("shop-web", "database") && !docker.reaches("shop-web", "203.0.113.2"));
        assert!(told.contains("chain FORWARD of table ip filter is somebody else's and drops"), "{told}");
        assert!(told.contains("those between containers of one network"), "{told}");
        assert_eq!(rules(), before);

        world.sh("iptables -I DOCKER-USER -i br-front -j ACCEPT && iptables -I DOCKER-USER -o br-front -j ACCEPT");
        let plan = world.plan().0;
        assert!(docker.reaches("shop-web", "203.0.113.2") && docker.reaches("shop-web", "database"));
        assert!(!plan.contains("somebody else's"), "{plan}");
    }
}

contained! {
    fn containers_share_a_namespace_or_have_the_hosts(world, "dockerd") {
        let docker = Engine::docker(world);
        docker.run("shop-web", "none");
        docker.run("side", "container:shop-web");
        docker.run("bare", "host");
        let manifest = two("docker").replace("docker: shop-db,", "");
        let more = |line: &str| world.apply(&format!("{manifest}{line}"));

        more("  metrics: {mode: container:web}\n  agent: {mode: host}\n");
        for name in ["metrics", "metrics.front", "web"] {
            world.sh(&format!("ip netns exec db ping -c 1 -W 1 {name}"));
        }
        assert_eq!(docker.inside("side", "ping -c 1 -W 1 database").code, 0);
        assert_eq!(world.run(&["exec", "--manifest", "netform.yaml", "metrics", "--", "ping", "-c", "1", "-W", "1", "database"]).code, 0);

        let told = more("  metrics: {docker: side, networks: [front]}\n  agent: {docker: bare, networks: [front]}\n");
        assert!(told.contains("write `mode: container:web`") && told.contains("write `mode: host`"), "{told}");
        assert_eq!(ports(world), 2);
    }
}

contained! {
    fn a_process_is_attached_until_it_ends_and_no_other_of_its_number(world, "unshare") {
        let (first, number) = process(world, None);
        let manifest = format!("netform: 1\nproject: shop\nnetworks: {{front: {{subnets: [172.25.0.0/16]}}}}\ncontainers:\n  job: {{pid: {number}, networks: [front]}}\n  db: {{networks: [front]}}\n");
        world.apply(&manifest);
        let inside = |what: &str| world.try_sh(&format!("nsenter --net=/proc/{number}/ns/net {what}"));
        assert_eq!(inside("ping -c 1 -W 1 172.25.0.3").code, 0);
        let daemon = Daemon::start(world, &[]);

        drop(first);
        sees(&daemon, "the end of the process", || ports(world) == 1);
        drop(daemon);
        let (second, _) = process(world, Some(number));
        for _ in 0..2 {
            let told = world.apply(&manifest);
            assert!(told.contains("its number was given again"), "{told}");
            assert!(!inside("ip -o link").stdout.contains("eth0"));
        }
        drop(second);
    }
}

contained! {
    fn fifty_containers_that_come_and_go_end_up_attached_or_gone(world, "dockerd") {
        const MANY: usize = 50;
        let docker = Engine::docker(world);
        let containers: String = (0..MANY).map(|n| format!("  c{n}: {{docker: c{n}, networks: {{front: {{aliases: [any]}}}}}}\n")).collect();
        world.file("netform.yaml", &format!("netform: 1\nproject: shop\nnetworks: {{front: {{subnets: [172.25.0.0/16]}}}}\ncontainers:\n{containers}"));
        let daemon = Daemon::start(world, &[]);

        let churns = |half: usize| {
            let mut seed = half as u64 + 7;
            let mut runs = [false; MANY];
            let end = Instant::now() + Duration::from_secs(60);
            for n in (half..MANY).step_by(2) {
                docker.create(&format!("c{n}"), "none");
            }
            while Instant::now() < end {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let n = (seed >> 33) as usize % (MANY / 2) * 2 + half;
                let name = format!("c{n}");
                match (runs[n], (seed >> 60) % 3) {
                    (true, 0) => docker.does("stop", &name),
                    (true, 1) => {
                        docker.remove(&name);
                        docker.create(&name, "none");
                    }
                    (true, _) => docker.does("restart", &name),
                    (false, _) => docker.does("start", &name),
                }
                runs[n] = !runs[n] || (seed >> 60) % 3 == 2;
            }
            runs
        };
        let (mut runs, others) = std::thread::scope(|scope| {
            let other = scope.spawn(|| churns(1));
            (churns(0), other.join().unwrap())
        });
        runs.iter_mut().zip(others).for_each(|(run, other)| *run |= other);

        let running: Vec<usize> = (0..MANY).filter(|n| runs[*n]).collect();
        assert!(running.len() > 5, "{running:?}");
        sees(&daemon, "as many ports as containers", || ports(world) == running.len());
        daemon.brings_it_in_sync("the churn");
        for n in &running {
            let next = running[(running.iter().position(|it| it == n).unwrap() + 1) % running.len()];
            let name = format!("c{n}");
            sees(&daemon, &name, || docker.reaches(&name, &format!("c{next}")));
            sees(&daemon, &name, || docker.inside(&name, &format!("nslookup c{next}")).stdout.contains("172.25."));
        }
        drop(daemon);
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(world.sh("ip -o link show type veth; ip -o link show type bridge; ip netns; nft list tables"), "");
        for n in running {
            let (hosts, resolv) = files(&docker, &format!("c{n}"));
            assert_eq!(world.sh(&format!("cat {hosts} {resolv} | grep -ci netform || true")).trim(), "0");
        }
    }
}

/// A process, killed when the test is done with it.
struct Process(std::process::Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Starts a process in a namespace of its own, of a number that is wanted or of any.
fn process(world: &World, number: Option<u32>) -> (Process, u32) {
    if let Some(number) = number {
        // The next process has the next number: pid_namespaces(7).
        std::fs::write("/proc/sys/kernel/ns_last_pid", (number - 1).to_string()).unwrap();
    }
    let child = std::process::Command::new("unshare").args(["-n", "sleep", "600"]).spawn().unwrap();
    let pid = child.id();
    assert!(number.is_none_or(|number| number == pid), "{number:?} and {pid}");
    let own = |pid: u32| world.sh(&format!("readlink /proc/{pid}/ns/net"));
    patiently(&|| "a namespace of its own".to_owned(), || own(pid) != own(std::process::id()));
    (Process(child), pid)
}

/// Waits until a daemon has seen something.
#[track_caller]
fn sees(daemon: &Daemon<'_>, what: &str, condition: impl Fn() -> bool) {
    patiently(&|| format!("{what}:\n{}", daemon.log()), condition);
}
