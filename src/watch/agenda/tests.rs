use super::*;
use crate::kernel::events::Notice;
use crate::kernel::moved::Whole;

const RESYNC: Duration = Duration::from_secs(300);
const ALL: Due = Due { moved: Moved::Everywhere, reread: true, retry: true, containers: true };

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// An agenda after its first run, which took no time.
fn idle(now: Instant) -> Agenda {
    let mut agenda = Agenda::new(now, RESYNC);
    assert_eq!(agenda.next(), now);
    assert_eq!(agenda.begin(now), ALL);
    agenda.end(now, Duration::ZERO, Ended::Well);
    agenda
}

fn links() -> Parts {
    Parts { indexes: [7].into(), ..Parts::default() }
}

/// What is due when nothing but the kernel has told something.
fn look(moved: impl Into<Moved>) -> Due {
    Due { moved: moved.into(), reread: false, retry: false, containers: false }
}

fn kernel() -> Event {
    Event::Kernel(Notice::Network(links()))
}

#[test]
fn events_that_follow_each_other_are_one_and_are_not_put_off_for_ever() {
    let now = Instant::now();
    let mut agenda = idle(now);
    assert_eq!(agenda.next(), now + RESYNC);

    agenda.note(&kernel(), now);
    assert_eq!(agenda.next(), now + ms(8));
    for at in 1..=20 {
        agenda.note(&kernel(), now + ms(5 * at));
    }
    assert_eq!(agenda.next(), now + ms(40));

    assert_eq!(agenda.begin(now + ms(100)), look(links()));
    assert_eq!(agenda.next(), now + RESYNC);
}

#[test]
fn a_busy_kernel_is_looked_at_a_third_of_the_time_and_an_edit_does_not_wait() {
    let now = Instant::now();
    let mut agenda = idle(now);
    agenda.end(now, ms(100), Ended::Well);

    agenda.note(&kernel(), now);
    assert_eq!(agenda.next(), now + ms(200));
    agenda.note(&Event::Files, now);
    assert_eq!(agenda.next(), now + ms(100));
    assert_eq!(agenda.begin(now + ms(100)), Due { moved: links().into(), containers: false, ..ALL });
}

#[test]
fn what_failed_is_tried_again_and_drift_of_what_is_in_force_does_not_wait_for_it() {
    let now = Instant::now();
    let mut agenda = idle(now);

    agenda.end(now, ms(1), Ended::Held(ms(5000)));
    assert_eq!(agenda.next(), now + ms(5000));
    agenda.note(&kernel(), now + ms(100));
    assert_eq!(agenda.next(), now + ms(108));
    assert_eq!(agenda.begin(now + ms(108)), look(links()));
    assert_eq!(agenda.next(), now + ms(5000));
    assert_eq!(agenda.begin(now + ms(5000)), Due { reread: false, ..ALL });

    agenda.end(now, ms(1), Ended::Failed(ms(5000)));
    agenda.note(&kernel(), now + ms(100));
    assert_eq!(agenda.next(), now + ms(5000));

    // However long what failed has to wait: what drifts besides does not.
    agenda.end(now, ms(1), Ended::Failed(ms(300_000)));
    assert_eq!(agenda.next(), now + LONGEST_REST);
}

#[test]
fn who_asks_waits_neither_for_a_rest_nor_for_what_failed() {
    let now = Instant::now();
    let mut agenda = idle(now);
    for ended in [Ended::Well, Ended::Again(ms(5000)), Ended::Held(ms(5000)), Ended::Failed(ms(5000))] {
        agenda.end(now, ms(1000), ended);
        agenda.note(&Event::Reload, now + ms(7));
        assert_eq!(agenda.next(), now + ms(7), "{ended:?}");
        assert_eq!(agenda.begin(now + ms(7)), ALL);
    }

    // Who asks while a run is under way does not wait for what that one comes to.
    agenda.ask(now + ms(8));
    agenda.end(now + ms(10), ms(1), Ended::Failed(ms(5000)));
    assert_eq!(agenda.next(), now + ms(8));
    assert_eq!(agenda.begin(now + ms(10)), ALL);
    agenda.end(now + ms(20), ms(1), Ended::Failed(ms(5000)));
    assert_eq!(agenda.next(), now + ms(5020));
}

#[test]
fn nothing_is_due_while_suspended_and_everything_afterwards() {
    let now = Instant::now();
    let mut agenda = idle(now);
    agenda.suspend(now + ms(60_000));
    agenda.note(&kernel(), now);
    agenda.note(&Event::Files, now);
    agenda.note(&Event::Reload, now);
    assert_eq!(agenda.next(), now + ms(60_000));
    assert_eq!(agenda.begin(now + ms(60_000)), ALL);
    assert_eq!(agenda.suspended_until(), None);

    agenda.suspend(now + ms(60_000));
    agenda.resume(now + ms(5));
    assert_eq!(agenda.next(), now + ms(5));
}

#[test]
fn a_namespace_is_looked_at_again_since_its_name_comes_first() {
    let now = Instant::now();
    let mut agenda = idle(now);
    agenda.note(&Event::Namespaces("/run/netns/web".into()), now);
    for at in [8, 150, 1000] {
        assert_eq!(agenda.next(), now + ms(at));
        assert_eq!(agenda.begin(now + ms(at)), look(Parts::namespace_at("/run/netns/web".as_ref())));
    }
    assert_eq!(agenda.next(), now + RESYNC);
    agenda.note(&Event::Kernel(Notice::Firewall), now);
    assert_eq!(agenda.begin(now + ms(2000)), look(Parts::whole(Whole::Firewall)));
}

#[test]
fn what_nothing_tells_of_is_looked_at_again_and_whoever_looks_before_says_when() {
    let now = Instant::now();
    let mut agenda = idle(now);
    agenda.end(now, ms(100), Ended::Again(ms(1000)));
    assert_eq!(agenda.next(), now + ms(1000));
    agenda.note(&kernel(), now + ms(500));
    assert_eq!(agenda.begin(now + ms(508)), look(links()));
    assert_eq!(agenda.next(), now + RESYNC, "that run looks at it, too");
    agenda.end(now + ms(510), ms(1), Ended::Again(ms(1000)));
    assert_eq!(agenda.next(), now + ms(1510));
    assert_eq!(agenda.begin(now + ms(1510)), look(Parts::default()));
    agenda.end(now + ms(1511), ms(1), Ended::Well);
    assert_eq!(agenda.next(), now + ms(1511) + RESYNC);
}

#[test]
fn a_container_that_comes_is_looked_for_at_once_and_nothing_else_is() {
    let now = Instant::now();
    let mut agenda = idle(now);
    agenda.note(&Event::Containers, now);
    assert_eq!(agenda.next(), now + ms(8));
    assert_eq!(agenda.begin(now + ms(8)), Due { containers: true, ..look(Parts::default()) });
    agenda.note(&kernel(), now + ms(20));
    assert_eq!(agenda.begin(now + ms(28)), look(links()));
}

#[test]
fn after_a_failure_nothing_is_taken_for_known() {
    let now = Instant::now();
    let mut agenda = idle(now);
    agenda.end(now, ms(1), Ended::Failed(ms(500)));
    agenda.note(&kernel(), now);
    assert_eq!(agenda.begin(now + ms(500)).moved, Moved::Everywhere);
}

#[test]
fn files_are_read_when_they_rest_and_what_the_kernel_tells_waits_for_that() {
    let now = Instant::now();
    let mut agenda = idle(now);
    let mut at = now;
    for _ in 0..30 {
        agenda.note(&Event::Files, at);
        agenda.note(&kernel(), at);
        assert_eq!(agenda.next(), at + ms(100), "what was said before is not brought back");
        at += ms(60);
    }
    assert_eq!(agenda.next(), at + ms(40));
    assert_eq!(agenda.begin(at + ms(40)), Due { moved: links().into(), containers: false, ..ALL });
    assert_eq!(agenda.next(), now + RESYNC);

    // Those that never rest are read all the same, and who asks does not wait for them.
    for step in 0..50 {
        agenda.note(&Event::Files, now + ms(60 * step));
    }
    assert_eq!(agenda.next(), now + ms(2000));
    agenda.ask(now + ms(10));
    assert_eq!(agenda.next(), now + ms(10));
    assert_eq!(agenda.begin(now + ms(10)), ALL);
    assert_eq!(agenda.next(), now + RESYNC);

    // Nor does a look at everything read half of them.
    agenda.note(&Event::Files, now + RESYNC);
    assert_eq!(agenda.begin(now + RESYNC), Due { reread: false, retry: false, ..ALL });
    agenda.end(now + RESYNC, Duration::ZERO, Ended::Well);
    assert_eq!(agenda.next(), now + RESYNC + ms(100));
}
