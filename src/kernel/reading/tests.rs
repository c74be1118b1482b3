//! What one look at the kernel says of itself.

use super::*;

#[test]
fn a_pair_that_was_made_while_it_was_read_is_noticed() {
    let mut reading = sorted(std::iter::empty());
    assert!(!reading.is_torn());
    reading.ends.of_host.insert(7, (0, 0));
    assert!(reading.is_torn());
}
