//! How much of a plan is shown is up to the user.

use super::world::live;

const SHOP: &str = "netform: 1\nproject: shop\nnetworks: {front: {subnets: [172.25.0.0/16]}}\ncontainers: {web: {networks: [front]}}\n";

live! {
    fn a_plan_is_shown_in_short_as_it_changes_or_in_full(world) {
        world.apply(SHOP);
        world.file("netform.yaml", &SHOP.replace("web: {networks: [front]}", "web: {networks: [front]}, db: {networks: [front]}"));

        let show = |how: &str| world.run(&["plan", "--show", how]).exits(0).stdout;
        let (summary, changed, full) = (show("summary"), show("changed"), show("full"));

        assert!(summary.contains("+   attachment.db@front  [config]") && summary.contains("Plan: 2 to add"), "{summary}");
        assert!(summary.lines().count() < 8, "{summary}");
        assert_eq!(changed, world.run(&["plan"]).exits(0).stdout, "it is the default");
        assert!(!changed.contains("br-front/"), "{changed}");
        for stays in ["Unchanged", "netns web", "link br-front", "address 172.25.0.1/16 on br-front", "nft table inet netform-shop"] {
            assert!(full.contains(stays), "{stays} in:\n{full}");
        }
        let verbose = world.run(&["plan", "--show", "summary", "-v"]).exits(0).stdout;
        assert!(verbose.contains("$ ip netns add db"), "{verbose}");
        let applied = world.run(&["apply", "--yes", "--show", "summary"]).exits(0).stdout;
        assert!(applied.starts_with(&summary) && applied.contains("Generation 2."), "{applied}");
        let markdown = world.run(&["plan", "--show", "full", "--output", "markdown"]).exits(0).stdout;
        assert!(markdown.starts_with("**No changes.**") && markdown.contains("<summary>network.front:"), "{markdown}");
    }
}
