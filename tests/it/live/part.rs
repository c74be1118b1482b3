//! Plans and applies for a part of the resources.

use super::world::{World, live};

const SHOP: &str = "\
netform: 1
project: shop
networks:
  front: {subnets: [172.25.0.0/16]}
  back: {subnets: [10.7.0.0/24]}
containers:
  web:
    networks: [front, back]
    publish: ['8080:80']
  db: {networks: [back]}
";

fn names(world: &World) -> String {
    world.sh(
        "ip -br link show type bridge | awk '{print $1}'; ip netns | awk '{print $1}' | sort | tr '\\n' ' '",
    )
}

live! {
    fn a_target_is_made_with_what_it_needs_and_the_next_plan_has_the_rest(world) {
        world.file("netform.yaml", SHOP);

        let plan = world.run(&["plan", "--target", "attachment.web@front"]).exits(0).stdout;
        assert!(plan.contains("this plan is partial: only attachment.web@front"), "{plan}");
        assert!(plan.contains("Plan: 4 to add"), "{plan}");
        world.run(&["apply", "--yes", "--target", "attachment.web@front"]).exits(0);

        assert_eq!(names(world), "br-front\nweb ");
        assert!(world.pings("web", "172.25.0.1"), "the part works");
        let (plan, changes) = world.plan();
        assert!(changes && plan.contains("network.back will be created"), "{plan}");
        assert!(!plan.contains("Drift\n"), "what was left out has not drifted:\n{plan}");
        let again = world.run(&["apply", "--yes", "--target", "attachment.web@front"]).exits(0).stdout;
        assert!(again.contains("No changes. What was asked for matches"), "{again}");
        world.run(&["apply", "--yes"]).exits(0);
        world.assert_in_sync();
    }
}

live! {
    fn what_is_left_out_is_never_touched_and_its_drift_is_still_known_later(world) {
        world.apply(SHOP);
        world.sh("ip link set br-back mtu 1400");
        world.file("netform.yaml", &SHOP.replace("  db: {networks: [back]}\n", "").replace("172.25.0.0/16]", "172.25.0.0/16], mtu: 1450"));

        let plan = world.run(&["plan", "--exclude", "network.back", "--exclude", "container.db", "--exclude", "attachment.db@back"]).exits(0).stdout;
        assert!(plan.contains("network.front will be updated"), "{plan}");
        assert!(!plan.contains("container.db will be destroyed") && !plan.contains("will be set back"), "{plan}");
        world.run(&["apply", "--yes", "--target", "network.front"]).exits(0);

        assert_eq!(names(world), "br-back\nbr-front\ndb web ");
        assert!(world.sh("ip -o link show br-back").contains("mtu 1400"));
        assert!(world.sh("ip -o link show br-front").contains("mtu 1450"));
        let (plan, _) = world.plan();
        assert!(plan.contains("container.db will be destroyed"), "{plan}");
        assert!(plan.contains("network.back  mtu 1500 -> 1400"), "the drift is older than the part:\n{plan}");
        world.run(&["apply", "--yes"]).exits(0);
        world.assert_in_sync();
    }
}

live! {
    fn what_is_foreign_in_one_place_does_not_stop_the_rest(world) {
        world.sh("ip link add br-back type bridge");
        world.file("netform.yaml", &SHOP.replace("back: {sub", "back: {interface: br-back, sub"));
        world.run(&["apply", "--yes"]).exits(9);

        world.run(&["apply", "--yes", "--exclude", "network.back"]).exits(0);

        assert!(world.pings("web", "172.25.0.1"));
    }
}

live! {
    fn an_address_that_is_unknown_or_cannot_be_alone_is_a_wrong_command_line(world) {
        world.apply(SHOP);

        let unknown = world.run(&["plan", "--target", "netwrk.front"]).exits(64).stderr;
        assert!(unknown.contains("no resource `netwrk.front`") && unknown.contains("did you mean `network.front`?"), "{unknown}");
        let alone = world.run(&["plan", "--destroy", "--target", "network.front"]).exits(64).stderr;
        assert!(alone.contains("attachment.web@front stands on it"), "{alone}");

        let both = ["plan", "--destroy", "--target", "network.front", "--target", "attachment.web@front"];
        let plan = world.run(&both).exits(0).stdout;
        assert!(plan.contains("0 to add, 0 to change, 2 to destroy"), "{plan}");
    }
}

live! {
    fn a_saved_plan_for_a_part_is_done_as_it_was_shown(world) {
        world.file("netform.yaml", SHOP);
        world.run(&["plan", "--target", "container.db", "--out", "part.plan"]).exits(0);
        world.run(&["apply", "--yes", "part.plan", "--target", "container.web"]).exits(64);

        world.run(&["apply", "--yes", "part.plan"]).exits(0);

        assert_eq!(names(world), "db ");
        world.run(&["apply", "--yes"]).exits(0);
        world.assert_in_sync();
    }
}
