//! What links say in environment variables.

use super::topology;
use crate::topology::environment::environment;
use crate::topology::facts::Facts;

/// What the links of `web` say, a line each.
fn told(text: &str) -> String {
    let environment = environment(&topology(text, &Facts::default()), &"web".try_into().unwrap());
    let variables = environment.variables.iter().map(|(key, value)| format!("{key}={value}\n"));
    let absent =
        environment.absent.iter().map(|(alias, name)| format!("{alias} is {name}, which is not there\n"));
    variables.chain(absent).collect()
}

#[test]
fn a_link_tells_the_exposed_ports_by_dockers_names() {
    let text = "net a 10.0.0.0/24\nctr web @a,link=my-db:db\nctr db @a expose=53/udp expose=5432 expose=53";
    insta::assert_snapshot!(told(text), @r"
    MY_DB_PORT=tcp://10.0.0.3:53
    MY_DB_PORT_53_TCP=tcp://10.0.0.3:53
    MY_DB_PORT_53_TCP_ADDR=10.0.0.3
    MY_DB_PORT_53_TCP_PORT=53
    MY_DB_PORT_53_TCP_PROTO=tcp
    MY_DB_PORT_53_UDP=udp://10.0.0.3:53
    MY_DB_PORT_53_UDP_ADDR=10.0.0.3
    MY_DB_PORT_53_UDP_PORT=53
    MY_DB_PORT_53_UDP_PROTO=udp
    MY_DB_PORT_5432_TCP=tcp://10.0.0.3:5432
    MY_DB_PORT_5432_TCP_ADDR=10.0.0.3
    MY_DB_PORT_5432_TCP_PORT=5432
    MY_DB_PORT_5432_TCP_PROTO=tcp
    MY_DB_NAME=/web/my-db
    ");
}

#[test]
fn three_ports_in_a_row_have_their_ends_told_and_a_long_row_nothing_else() {
    let text = "net a fd00::/64\nctr web @a,link=few:db,link=all:api\nctr db @a expose=80 expose=81-82\nctr api @a expose=1-65535";
    insta::assert_snapshot!(told(text), @r"
    FEW_PORT=tcp://[fd00::3]:80
    FEW_PORT_80_TCP_START=tcp://[fd00::3]:80
    FEW_PORT_80_TCP_ADDR=fd00::3
    FEW_PORT_80_TCP_PROTO=tcp
    FEW_PORT_80_TCP_PORT_START=80
    FEW_PORT_80_TCP_END=tcp://[fd00::3]:82
    FEW_PORT_80_TCP_PORT_END=82
    FEW_PORT_80_TCP=tcp://[fd00::3]:80
    FEW_PORT_80_TCP_PORT=80
    FEW_PORT_81_TCP=tcp://[fd00::3]:81
    FEW_PORT_81_TCP_ADDR=fd00::3
    FEW_PORT_81_TCP_PORT=81
    FEW_PORT_81_TCP_PROTO=tcp
    FEW_PORT_82_TCP=tcp://[fd00::3]:82
    FEW_PORT_82_TCP_ADDR=fd00::3
    FEW_PORT_82_TCP_PORT=82
    FEW_PORT_82_TCP_PROTO=tcp
    FEW_NAME=/web/few
    ALL_PORT=tcp://[fd00::4]:1
    ALL_PORT_1_TCP_START=tcp://[fd00::4]:1
    ALL_PORT_1_TCP_ADDR=fd00::4
    ALL_PORT_1_TCP_PROTO=tcp
    ALL_PORT_1_TCP_PORT_START=1
    ALL_PORT_1_TCP_END=tcp://[fd00::4]:65535
    ALL_PORT_1_TCP_PORT_END=65535
    ALL_NAME=/web/all
    ");
}

#[test]
fn who_is_not_there_or_exposes_nothing_has_no_ports_and_one_in_a_shared_namespace_has_its_own() {
    let text = "net a 10.0.0.0/24\nnet b 10.1.0.0/24\n\
                ctr web @a,link=later:later,link=one:side,link=two:far,link=idle:idle @b\n\
                ctr db @a expose=5432\nctr side in=db expose=9000\nctr far @b expose=1\nctr idle docker=idle @a expose=1";
    insta::assert_snapshot!(told(text), @r"
    ONE_PORT=tcp://10.0.0.3:9000
    ONE_PORT_9000_TCP=tcp://10.0.0.3:9000
    ONE_PORT_9000_TCP_ADDR=10.0.0.3
    ONE_PORT_9000_TCP_PORT=9000
    ONE_PORT_9000_TCP_PROTO=tcp
    ONE_NAME=/web/one
    TWO_PORT=tcp://10.1.0.3:1
    TWO_PORT_1_TCP=tcp://10.1.0.3:1
    TWO_PORT_1_TCP_ADDR=10.1.0.3
    TWO_PORT_1_TCP_PORT=1
    TWO_PORT_1_TCP_PROTO=tcp
    TWO_NAME=/web/two
    later is later, which is not there
    idle is idle, which is not there
    ");
}

#[test]
fn of_two_links_that_ask_for_one_variable_the_first_has_it() {
    let text = "net a 10.0.0.0/24\nctr web @a,link=my-db:db,link=my.db:other\nctr db @a expose=1\nctr other @a expose=1";
    insta::assert_snapshot!(told(text), @r"
    MY_DB_PORT=tcp://10.0.0.3:1
    MY_DB_PORT_1_TCP=tcp://10.0.0.3:1
    MY_DB_PORT_1_TCP_ADDR=10.0.0.3
    MY_DB_PORT_1_TCP_PORT=1
    MY_DB_PORT_1_TCP_PROTO=tcp
    MY_DB_NAME=/web/my-db
    ");
}
