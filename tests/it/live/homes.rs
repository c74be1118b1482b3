//! Namespaces that have several names: two containers in one are told.

use super::world::live;

live! {
    fn two_containers_in_one_namespace_are_told_with_both_places(world) {
        world.sh("ip netns add pod; ln -s /run/netns/pod elsewhere; touch bound; mount --bind /run/netns/pod bound; (ip netns exec pod sleep 60 > /dev/null 2>&1 & echo $! > pid); sleep 0.3");
        let dir = world.dir().display().to_string();
        let pid = world.sh("cat pid").trim().to_owned();
        for other in [
            format!("netns: {dir}/elsewhere"),
            format!("netns: {dir}/bound"),
            format!("netns: /proc/{pid}/ns/net"),
            format!("pid: {pid}"),
        ] {
            for first in ["netns: pod", "netns: /run/netns/pod"] {
                let manifest = format!(
                    "netform: 1\nproject: shop\nnetworks: {{front: {{subnets: [172.25.0.0/16]}}}}\ncontainers:\n  a:\n    {first}\n    networks: [front]\n  b:\n    {other}\n    networks: [front]\n"
                );
                world.file("netform.yaml", &manifest);
                let refused = world.run(&["apply", "--yes"]).exits(65).stderr;
                for said in ["`a` and `b` have the same namespace", "netform.yaml:9:", "`a` lives here", "`b` lives here, too"] {
                    assert!(refused.contains(said), "{said} for {first} and {other}:\n{refused}");
                }
            }
        }
        // One that netform makes itself, by another path.
        world.apply("netform: 1\nproject: shop\nnetworks: {front: {subnets: [172.25.0.0/16]}}\ncontainers:\n  a: {networks: [front]}\n");
        world.sh("touch other; mount --bind /run/netns/a other");
        world.file("netform.yaml", &format!("netform: 1\nproject: shop\nnetworks: {{front: {{subnets: [172.25.0.0/16]}}}}\ncontainers:\n  a: {{networks: [front]}}\n  b: {{netns: {dir}/other, networks: [front]}}\n"));
        let refused = world.run(&["apply", "--yes"]).exits(65).stderr;
        assert!(refused.contains("`a` and `b` have the same namespace"), "{refused}");
        world.sh("kill $(cat pid)");
    }
}
