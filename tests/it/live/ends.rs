//! A plan tells which connections an apply ends.

use super::world::{World, live};

const SHOP: &str = "\
netform: 1
project: shop
networks: {front: {subnets: [172.25.0.0/24]}, back: {subnets: [10.7.0.0/24], ingress: open}}
containers:
  web: {networks: {front: {external_address: 203.0.113.9}}, publish: ['8080:80', '8081:81']}
  db: {networks: [back]}
policies:
  - allow: {from: container.web, to: container.db, ports: [5432]}
";

/// Returns what a plan says of one resource: its line among what goes or interrupts.
fn told(world: &World, edited: &str, owner: &str) -> String {
    world.file("netform.yaml", edited);
    let plan = world.run(&["plan"]).exits(0).stdout;
    let lines = plan.lines().skip_while(|line| !line.starts_with("Destroys, replacements and interruptions"));
    let line = lines.map(str::trim).find(|line| line.contains(owner)).unwrap_or_default().to_owned();
    line.split_once(owner).map_or(line.clone(), |(_, told)| told.trim().to_owned())
}

live! {
    fn what_leads_or_judges_ends_connections_and_says_so(world) {
        world.file("netform.yaml", &format!("{SHOP}  - deny: {{from: container.db, to: container.web}}\n"));
        let first = world.run(&["plan"]).exits(0).stdout;
        assert!(!first.contains("ends connections") && !first.contains("interrupts"), "nobody is connected yet: {first}");
        world.apply(SHOP);

        let rows = [
            ("'8080:80', ", "", "port.0.0.0.0:8080/tcp", "ends connections to it"),
            ("8080:80", "8080:82", "port.0.0.0.0:8080/tcp", "ends connections to where it led"),
            (
                "'8080:80'",
                "{host_port: 8080, target_port: 80, allow_from: [198.51.100.0/24]}",
                "port.0.0.0.0:8080/tcp",
                "ends connections of those for whom it is not any more",
            ),
            ("{external_address: 203.0.113.9}", "{}", "external.203.0.113.9", "ends connections by it"),
            (
                "policies:\n",
                "policies:\n  - deny: {from: world, to: container.web}\n",
                "policy.deny:world:container.web",
                "ends connections that it denies",
            ),
            (
                "policies:\n  - allow: {from: container.web, to: container.db, ports: [5432]}\n",
                "",
                "policy.allow:container.web:container.db:5432/tcp",
                "ends connections that nothing else allows",
            ),
            (
                ", ingress: open",
                "",
                "network.back",
                "interrupts db (it is not open any more: what others began with it ends)",
            ),
            // What opens ends nothing.
            ("'8081:81'", "'8081:81', '8082:82'", "port.", ""),
            ("[5432]", "[5432, 5433]", "policy.allow:container.web:container.db:5432-5433/tcp", ""),
        ];
        for (from, to, owner, want) in rows {
            assert!(SHOP.contains(from), "{from}");
            assert_eq!(told(world, &SHOP.replacen(from, to, 1), owner), want, "{owner}: {from} -> {to}");
        }
        world.file("netform.yaml", &SHOP.replacen("'8080:80', ", "", 1));
        let json = world.run(&["plan", "--output", "json"]).exits(0).stdout;
        assert!(json.contains("\"why\": \"ends connections to it\""), "{json}");
    }
}
