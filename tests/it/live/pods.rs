//! Podman's own networks and pods.

use serde_json::json;

use super::engine::Engine;
use super::world::contained;

contained! {
    fn what_podman_gives_a_container_stays_and_ours_comes_beside(world, "podman") {
        let podman = Engine::podman(world);
        podman.run("shop-web", "bridge");
        podman.run("shop-db", "none");
        let theirs = || podman.inside("shop-web", "ip -o -4 addr show dev eth0").stdout;
        let (before, routes, resolv) = (theirs(), podman.inside("shop-web", "ip route").stdout, podman.inside("shop-web", "cat /etc/resolv.conf").stdout);
        assert!(before.contains("10.88."), "{before}");
        world.apply("netform: 1\nproject: shop\nnetworks: {front: {subnets: [172.25.0.0/16]}}\ncontainers:\n  web: {podman: shop-web, networks: [front]}\n  db: {podman: shop-db, networks: {front: {address: 172.25.0.9}}}\n");

        assert_eq!((theirs(), podman.inside("shop-web", "cat /etc/resolv.conf").stdout), (before.clone(), resolv));
        assert!(podman.inside("shop-web", "ip route").stdout.starts_with(routes.lines().next().unwrap()));
        assert!(podman.inside("shop-web", "ip -o -4 addr show dev nf0").stdout.contains("172.25.0."));
        assert!(podman.reaches("shop-web", "db") && podman.reaches("shop-web", "10.88.0.1"));
        world.assert_in_sync();

        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!((theirs(), podman.inside("shop-web", "ip route").stdout), (before, routes));
    }
}

contained! {
    fn the_containers_of_a_pod_share_what_its_namespace_is_given(world, "podman") {
        let podman = Engine::podman(world);
        let none = json!({"nsmode": "none"});
        podman.post("/v4.0.0/libpod/pods/create", json!({"name": "shop", "infra_image": "box", "infra_command": ["sleep", "600"], "infra_name": "shop-infra", "netns": none}).to_string().as_bytes());
        for name in ["web", "side"] {
            podman.post("/v4.0.0/libpod/containers/create", json!({"name": name, "image": "box", "pod": "shop", "command": ["sleep", "600"]}).to_string().as_bytes());
            podman.does("start", name);
        }
        podman.run("shop-db", "none");
        world.apply("netform: 1\nproject: shop\nnetworks: {front: {subnets: [172.25.0.0/16]}}\ncontainers:\n  pod: {podman: shop-infra, networks: {front: {address: 172.25.0.5}}}\n  web: {mode: 'container:pod'}\n  side: {mode: 'container:pod'}\n  db: {podman: shop-db, networks: [front]}\n");

        for member in ["shop-infra", "web", "side"] {
            assert!(podman.inside(member, "ip -o -4 addr show dev eth0").stdout.contains("172.25.0.5/16"), "{member}");
            assert!(podman.inside(member, "ping -c 1 -W 1 172.25.0.1").code == 0, "{member}");
        }
        for name in ["pod", "web", "side"] {
            assert!(podman.reaches("shop-db", name), "{name}");
        }
        world.assert_in_sync();
        podman.does("restart", "web");
        assert!(podman.inside("web", "ping -c 1 -W 1 172.25.0.1").code == 0);
        world.assert_in_sync();
        world.run(&["destroy", "--yes"]).exits(0);
    }
}
