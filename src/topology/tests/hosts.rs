//! Names.

use super::topology;
use crate::topology::facts::Facts;

fn hosts(text: &str, container: &str) -> String {
    let topology = topology(text, &Facts::default());
    topology.container(container).hosts.to_string().replace('\t', " ")
}

#[test]
fn a_container_knows_itself_its_links_its_neighbours_and_its_host() {
    let text = "net a 10.0.0.0/24\nnet b 10.1.0.0/24 fd01::/64\nnet i 10.2.0.0/24 internal\n\
                ctr web @i @a,link=base:db @b\nctr db @a,alias=store @b\nctr spare @a,alias=store,alias=web\nctr far @b";
    insta::assert_snapshot!(hosts(text, "web"), @r"
    127.0.0.1 localhost
    ::1 localhost ip6-localhost
    10.2.0.2 web web.i
    10.0.0.2 web.a
    10.1.0.2 web.b
    fd01::2 web web.b
    10.0.0.3 base
    10.0.0.3 db db.a store
    10.0.0.4 spare spare.a
    10.1.0.3 db.b
    fd01::3 db db.b
    10.1.0.4 far far.b
    fd01::4 far far.b
    10.0.0.1 host.netform.internal
    fd01::1 host.netform.internal
    ");
}

#[test]
fn the_default_network_has_no_names_but_links() {
    insta::assert_snapshot!(hosts("ctr web\nctr db\nctr x none", "web"), @r"
    127.0.0.1 localhost
    ::1 localhost ip6-localhost
    172.17.0.2 web web.default
    172.17.0.1 host.netform.internal
    ");
    insta::assert_snapshot!(hosts("net default 10.0.0.0/24\nctr web @default,link=base:db\nctr db @default,alias=store", "web"), @r"
    127.0.0.1 localhost
    ::1 localhost ip6-localhost
    10.0.0.2 web web.default
    10.0.0.3 base
    10.0.0.1 host.netform.internal
    ");
    insta::assert_snapshot!(hosts("ctr x none", "x"), @r"
    127.0.0.1 localhost
    ::1 localhost ip6-localhost
    ");
}

#[test]
fn a_link_comes_before_a_container_of_that_name_on_whatever_network() {
    let text = "net a 10.0.0.0/24\nnet b 10.1.0.0/24\nctr web @a @b,link=db:other\nctr db @a\nctr other @b";
    insta::assert_snapshot!(hosts(text, "web"), @r"
    127.0.0.1 localhost
    ::1 localhost ip6-localhost
    10.0.0.2 web web.a
    10.1.0.2 web.b
    10.1.0.3 db
    10.0.0.3 db.a
    10.1.0.3 other other.b
    10.0.0.1 host.netform.internal
    ");
}

#[test]
fn who_is_not_there_yet_answers_to_no_name() {
    let text = "net a 10.0.0.0/24\nctr first @a,alias=app netns=later\nctr second @a,alias=app\nctr web @a";
    insta::assert_snapshot!(hosts(text, "web"), @r"
    127.0.0.1 localhost
    ::1 localhost ip6-localhost
    10.0.0.4 web web.a
    10.0.0.3 second second.a app
    10.0.0.1 host.netform.internal
    ");
}

#[test]
fn a_namespace_by_path_has_no_hosts_file() {
    assert_eq!(hosts("net a 10.0.0.0/24\nctr web @a netns=/run/x", "web"), "");
}

#[test]
fn a_name_of_what_every_file_begins_with_is_said_once() {
    let text = "net n 10.0.0.0/24 fd00::/64\nctr localhost @n\nctr b @n";
    insta::assert_snapshot!(hosts(text, "localhost"), @r"
    127.0.0.1 localhost
    ::1 localhost ip6-localhost
    10.0.0.2 localhost.n
    fd00::2 localhost.n
    10.0.0.3 b b.n
    fd00::3 b b.n
    10.0.0.1 host.netform.internal
    fd00::1 host.netform.internal
    ");
}

#[test]
fn names_that_lead_elsewhere_are_told() {
    let text = "net n 10.0.0.0/24\nctr A @n\nctr a @n\nctr x.n @n\nctr x @n\nctr ip6-localhost @n\n\
                ctr y @n,alias=host.netform.internal,alias=z.n,alias=fine,link=localhost:x\nctr z @n,alias=fine";
    let told = crate::topology::called::warnings(&topology(text, &Facts::default())).join("\n");
    let said = [
        "container `ip6-localhost` has a misleading name: everybody means himself by that",
        "alias `host.netform.internal` of container `y` leads to nobody: netform itself gives",
        "link `localhost` of container `y` leads to nobody",
        "on network `n`, `a` is container `A`, and not `a`",
        "on network `n`, `x.n` is container `x.n`, and not `x`",
        "alias `z.n` of container `y` leads to nobody: it is the name of container `z`",
    ];
    assert!(said.iter().all(|said| told.contains(said)), "{told}");
    assert_eq!(told.lines().count(), said.len() + 1, "`a.n` and `A.n` are another:\n{told}");
    let plain = "net n 10.0.0.0/24\nctr Web @n,alias=app\nctr db.main @n,alias=app\nctr z @n";
    assert_eq!(crate::topology::called::warnings(&topology(plain, &Facts::default())), Vec::<String>::new());
}
