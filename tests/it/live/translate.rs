//! What others have becomes a manifest that plans and works.

use serde_json::json;

use super::engine::Engine;
use super::world::{Listen, World, contained, live};

const COMPOSE: &str = r#"name: shop
services:
  web:
    image: box
    networks: {front: {aliases: [www]}, back: {}}
    ports: ["${PORT:-8080}:80", 3000]
    links: ["db:database"]
  db:
    image: box
    networks: [back]
    expose: [5432]
    dns: 9.9.9.9
networks:
  front: {ipam: {config: [{subnet: 172.25.0.0/16}]}}
  back: {internal: true}
"#;

/// Imports, and keeps what was printed as the manifest; returns what was noted.
fn imported(world: &World, args: &[&str]) -> String {
    let done = world.run(&[&["import"], args].concat()).exits(0);
    world.file("netform.yaml", &done.stdout);
    done.stderr
}

contained! {
    fn a_compose_file_becomes_a_manifest_whose_containers_are_attached(world, "dockerd") {
        world.file("compose.yaml", COMPOSE);
        let told = imported(world, &["compose", "."]);
        assert!(told.contains("note: ./compose.yaml:6:33: web: port 3000/tcp: Docker chooses a port"), "{told}");
        assert!(told.contains("note: ./compose.yaml:12:5: db: dns: "), "{told}");
        let (plan, _) = world.plan();
        assert!(plan.contains("Waiting\n  container.web") && plan.contains("network.back will be created"), "{plan}");

        let docker = Engine::docker(world);
        docker.run("shop-web-1", "none");
        docker.run("shop-db-1", "none");
        world.run(&["apply", "--yes"]).exits(0);

        for name in ["db", "database"] {
            assert!(docker.reaches("shop-web-1", name), "{name}");
        }
        assert!(docker.reaches("shop-db-1", "web") && !docker.reaches("shop-db-1", "172.25.0.1"));
        let pid = docker.inspect("shop-web-1")["State"]["Pid"].to_string();
        world.sh(&format!("ip netns attach web {pid}"));
        let _server = world.serve("web", &Listen::tcp(80), "web");
        assert!(world.ask("host", "tcp", "127.0.0.1", 8080).is_some());
        world.assert_in_sync();
        world.run(&["destroy", "--yes"]).exits(0);
    }
}

contained! {
    fn the_networks_of_a_docker_become_a_manifest_that_is_applied_beside_them(world, "dockerd") {
        assert!(world.run(&["import", "docker"]).exits(69).stderr.contains("Docker cannot be asked at"));
        let docker = Engine::docker_with(world, "exec dockerd --containerd /run/containerd/containerd.sock --data-root /run/docker-data --exec-root /run/docker --pidfile /run/docker.pid -H unix:///run/docker.sock --storage-driver vfs --iptables=false --ip6tables=false --bip=10.99.0.1/24");
        docker.post("/networks/create", br#"{"Name": "front", "Internal": true, "IPAM": {"Config": [{"Subnet": "172.18.0.0/16"}]}, "Options": {"com.docker.network.driver.mtu": "1400"}}"#);
        docker.create_with("db", "front", &json!({"ExposedPorts": {"5432/tcp": {}}, "NetworkingConfig": {"EndpointsConfig": {"front": {"Aliases": ["database"], "IPAMConfig": {"IPv4Address": "172.18.0.9"}}}}}));
        docker.does("start", "db");
        docker.create_with("web", "bridge", &json!({"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}, "ExposedPorts": {"80/tcp": {}}}));
        docker.does("start", "web");
        docker.run("side", "container:web");
        let before = world.sh("ip -o addr | grep -v nf-; ip route");

        let told = imported(world, &["docker", "-p", "shop"]);
        let manifest = std::fs::read_to_string(world.dir().join("netform.yaml")).unwrap();
        assert!(told.contains("note: front: Docker holds its subnets until its network is gone: `subnets: [\"172.18.0.0/16\"]`"), "{told}");
        assert!(told.contains("note: db: Docker holds its address on front") && told.contains("note: web: Docker publishes it: `publish: [\"8080:80/tcp\"]`"), "{told}");
        for line in ["project: shop", "    internal: true", "    mtu: 1400", "      front: {aliases: [database]}", "      default: {}", "    mode: \"container:web\"", "    expose: [5432/tcp]"] {
            assert!(manifest.lines().any(|it| it == line), "{line} in\n{manifest}");
        }

        world.run(&["apply", "--yes"]).exits(0);
        world.assert_in_sync();
        assert!(docker.inside("db", "ip -o -4 addr show dev nf0").code == 0 && docker.inside("web", "ip -o -4 addr show dev nf0").code == 0);
        let after = world.sh("ip -o addr; ip route");
        assert!(before.lines().all(|line| line.contains("veth") || after.contains(line)), "{before}\n{after}");
        world.run(&["destroy", "--yes"]).exits(0);
    }
}

live! {
    fn an_import_reads_variables_as_compose_does_and_says_so_and_refuses_what_is_wrong(world) {
        world.file("compose.yaml", COMPOSE);
        world.file(".env", "PORT=8081\n");
        let told = imported(world, &["compose", "compose.yaml"]);
        assert!(told.contains("note: $PORT is `8081`, from .env"), "{told}");
        let done = world.run_with(&[("PORT", "8082")], &["import", "compose", "compose.yaml", "-p", "other"]).exits(0);
        assert!(done.stdout.contains("project: other\n") && done.stdout.contains("8082:80"), "{}", done.stdout);
        assert!(done.stderr.contains("note: $PORT is `8082`, from the environment"), "{}", done.stderr);

        let wrong = world.run_with(&[("PORT", "many")], &["import", "compose", "compose.yaml"]).exits(65);
        assert_eq!(wrong.stdout, "");
        assert!(wrong.stderr.contains("compose.yaml:6:13") && wrong.stderr.contains("`many:80` is not a port"), "{}", wrong.stderr);
        assert!(world.run(&["import", "compose", "nowhere.yaml"]).exits(66).stderr.contains("cannot read nowhere.yaml"));
        world.sh("mkdir empty && head -c 9000000 /dev/zero | tr '\\0' 'a' > large.yaml && head -c 5000 /dev/urandom > noise.yaml");
        assert!(world.run(&["import", "compose", "empty"]).exits(66).stderr.contains("no Compose file in empty"));
        world.run(&["import", "compose", "large.yaml"]).exits(65);
        world.run(&["import", "compose", "noise.yaml"]).exits(65);
        world.run(&["import", "compose"]).exits(64);
        world.run(&["import"]).exits(64);
    }
}
