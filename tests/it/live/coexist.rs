//! Beside Docker's firewall: what it drops, and what passes on request.

use super::daemon::{Daemon, patiently};
use super::engine::Engine;
use super::world::{Listen, World, contained, live};

/// Docker with its own firewall and network.
const DOCKER: &str = "exec dockerd --containerd /run/containerd/containerd.sock --data-root /run/docker-data --exec-root /run/docker --pidfile /run/docker.pid -H unix:///run/docker.sock --storage-driver vfs";

/// A host on which nothing was forwarded before, with a neighbour at the other end of its uplink.
fn neighbour(world: &World) {
    world.sh(
        "sysctl -q -w net.ipv4.ip_forward=0
        ip netns add outside && ip link add out type veth peer name in netns outside
        ip addr add 203.0.113.1/24 dev out && ip addr add 2001:db8::1/64 dev out nodad && ip link set out up
        ip -n outside addr add 203.0.113.2/24 dev in && ip -n outside addr add 2001:db8::2/64 dev in nodad && ip -n outside link set in up
        ip route add default via 203.0.113.2 && ip -6 route add default via 2001:db8::2",
    );
}

/// Two networks and a published port; `coexist` is what stands before them.
fn shop(coexist: &str) -> String {
    format!(
        "netform: 1\nproject: shop\n{coexist}networks:\n  front: {{subnets: [172.25.0.0/16, 'fd00:25::/64'], interface: br-front}}\n  back: {{subnets: [10.7.0.0/24], interface: br-back, internal: true}}\ncontainers:\n  web: {{networks: [front, back], publish: ['8080:80']}}\n  db: {{networks: [front, back]}}\n"
    )
}

const COEXIST: &str = "coexist: {docker: true}\n";

/// Docker's filter rules, with handles and without counters.
fn rules(world: &World) -> String {
    world.sh("nft -s -a list table ip filter")
}

contained! {
    fn packets_pass_dockers_firewall_on_request_and_its_rules_stay_as_they_are(world, "dockerd") {
        neighbour(world);
        let docker = Engine::docker_with(world, DOCKER);
        docker.run("theirs", "bridge");
        let theirs = docker.inspect("theirs")["NetworkSettings"]["IPAddress"].as_str().unwrap().to_owned();
        world.sh("iptables -I DOCKER-USER -s 192.0.2.9 -j DROP");
        let before = rules(world);

        let told = world.apply(&shop(""));
        let _server = world.serve("web", &Listen::tcp(80), "web");
        assert!(told.contains("`coexist: {docker: true}` in the manifest has netform let them pass"), "{told}");
        assert!(!world.pings("web", "203.0.113.2") && world.ask("outside", "tcp", "203.0.113.1", 8080).is_none());
        assert_eq!(rules(world), before);

        let told = world.apply(&shop(COEXIST));
        assert!(!told.contains("somebody else's"), "{told}");
        assert!(world.pings("web", "203.0.113.2"));
        assert_eq!(world.ask("outside", "tcp", "203.0.113.1", 8080).as_deref(), Some("web 203.0.113.2"));
        assert!(world.pings("web", "10.7.0.3") && !world.pings("web", &theirs), "Docker's containers are its own");
        world.assert_in_sync();
        let listed = world.sh("iptables -S DOCKER-USER");
        assert_eq!(listed, "-N DOCKER-USER\n\
            -A DOCKER-USER -s 192.0.2.9/32 -j DROP\n\
            -A DOCKER-USER -o br-front -m comment --comment \"netform:shop:network.front\" -j ACCEPT\n\
            -A DOCKER-USER -i br-back -o br-back -m comment --comment \"netform:shop:network.back\" -j ACCEPT\n\
            -A DOCKER-USER -i br-front -o out -m comment --comment \"netform:shop:network.front\" -j ACCEPT\n\
            -A DOCKER-USER -j RETURN\n");

        world.apply(&shop(""));
        assert_eq!(rules(world), before);
        world.apply(&shop(COEXIST));

        // What users drop stays dropped, and a table that was saved and loaded again is the same.
        world.sh("iptables -I DOCKER-USER -i out -j DROP");
        assert!(world.ask("outside", "tcp", "203.0.113.1", 8080).is_none());
        world.sh("iptables -D DOCKER-USER -i out -j DROP && iptables-save -t filter | iptables-restore");
        world.assert_in_sync();
        assert!(world.pings("web", "203.0.113.2"));
        let before: String = world.sh("iptables -S").lines().filter(|line| !line.contains("netform:")).map(|line| format!("{line}\n")).collect();

        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(world.sh("iptables -S"), before);
    }
}

contained! {
    fn what_passes_dockers_firewall_passes_again_when_docker_or_somebody_has_emptied_it(world, "dockerd") {
        neighbour(world);
        let docker = Engine::docker_with(world, DOCKER);
        let before = rules(world);
        world.file("netform.yaml", &shop(COEXIST));
        let daemon = Daemon::start(world, &[]);
        let flows = || world.pings("web", "203.0.113.2");
        let again = |what: &str| patiently(&|| format!("{what}:\n{}", daemon.log()), flows);
        again("at first");

        docker.kill();
        world.sh("rm -f /run/docker.pid && iptables -F && iptables -X DOCKER-USER");
        assert!(!flows());
        docker.revive();
        again("after Docker was started again");
        world.sh("iptables -F DOCKER-USER");
        again("after the chain was emptied");
        world.sh("iptables -D DOCKER-USER -o br-front -m comment --comment netform:shop:network.front -j ACCEPT && iptables -I DOCKER-USER -o br-front -p tcp -m comment --comment netform:shop:network.front -j ACCEPT");
        again("after a rule was edited");
        daemon.brings_it_in_sync("all of it");
        drop(daemon);

        world.file("netform.yaml", &shop(""));
        world.run(&["apply", "--yes"]).exits(0);
        let without_return = |rules: &str| rules.lines().filter(|line| !line.contains("return")).map(|line| line.split(" # handle").next().unwrap().to_owned()).collect::<Vec<_>>();
        assert!(!flows());
        assert!(!rules(world).contains("netform"));
        assert_eq!(without_return(&rules(world)).len(), without_return(&before).len());
    }
}

live! {
    fn a_chain_of_docker_for_ipv6_is_opened_alone_and_without_one_there_is_nothing_to_do(world) {
        neighbour(world);
        world.apply(&shop(COEXIST));
        world.assert_in_sync();
        let before = world.sh("ip6tables -N DOCKER-USER && ip6tables -I FORWARD -j DOCKER-USER && nft -s -a list table ip6 filter");

        let (plan, changes) = world.plan();
        assert!(changes && plan.contains("rule in ip6 filter DOCKER-USER: from br-front to out"), "{plan}");
        world.run(&["apply", "--yes"]).exits(0);
        world.assert_in_sync();
        assert_eq!(world.sh("ip6tables -S DOCKER-USER | grep -c netform:shop:network.front").trim(), "2");
        assert_eq!(world.sh("nft list tables ip"), "");

        world.apply(&shop(COEXIST).replace("docker: true", "docker: false"));
        assert_eq!(world.sh("nft -s -a list table ip6 filter"), before);
    }
}
