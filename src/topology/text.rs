//! Words for messages, and what a misspelt name may have meant; and the digest that names are derived from.

use sha2::{Digest, Sha256};

use crate::resource::hex::hex;

/// How many places of one kind a message shows; the rest are counted.
pub(super) const SHOWN: usize = 10;

/// Returns the candidate that `name` may have meant, if one is near.
pub(crate) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let near = lower.chars().count().div_ceil(3);
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= near)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Returns "did you mean `NEAREST`?", or else `other`.
pub(super) fn did_you_mean<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
    other: impl FnOnce() -> String,
) -> String {
    nearest(name, candidates).map_or_else(other, |nearest| format!("did you mean `{nearest}`?"))
}

/// Returns "`a`, `b` and `c`".
pub(super) fn list<T: std::fmt::Display>(items: &[T]) -> String {
    match items {
        [] => "nothing".to_owned(),
        [one] => format!("`{one}`"),
        [init @ .., last] => {
            let init: Vec<_> = init.iter().map(|item| format!("`{item}`")).collect();
            format!("{} and `{last}`", init.join(", "))
        }
    }
}

/// Returns the first four bytes and the first ten hex digits of a digest of `parts`, which stay apart in it.
pub(super) fn digest(parts: &[&str]) -> ([u8; 4], String) {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        // No name holds a zero byte, so ("a", "bc") and ("ab", "c") differ.
        hash.update([0]);
    }
    let bytes = hash.finalize();
    let mut head = [0; 4];
    head.iter_mut().zip(bytes.iter()).for_each(|(to, from)| *to = *from);
    (head, hex(bytes.into_iter().take(5)))
}
