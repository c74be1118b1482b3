//! What is wrong with a manifest, and where.

use super::Place;

/// Something that the user has to change in the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, in one sentence, lower-case, without a full stop.
    pub message: String,
    /// Its kind, e.g. `topology::subnet_overlap`.
    pub code: &'static str,
    /// The places that it is about, the offending one first, each with what stands there.
    pub labels: Vec<(Place, String)>,
    /// What to do.
    pub help: Option<String>,
}
