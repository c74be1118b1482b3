//! Plans as text, JSON and markdown: equal plans give equal bytes.
//!
//! `view` says it in lines, each with a sign; [`text`] and [`markdown`] print them. [`json`] is the versioned document.

pub mod digest;
mod files;
pub mod json;
mod markdown;
mod moved;
mod standing;
mod text;
mod view;

pub use markdown::markdown;
pub use standing::{Standing, standing};
pub use text::text;

/// How a plan is printed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// Whether signs are coloured.
    pub colour: Colour,
    /// How much is said.
    pub detail: Detail,
    /// Whether the kernel operations are shown, too.
    pub operations: Operations,
    /// What stays as it is, for [`Detail::Full`].
    pub standing: Vec<Standing>,
    /// The generation that drift is counted from, when there is one.
    pub generation: Option<u64>,
    /// What the live state is compared with, e.g. `net.yaml`; empty says "the manifest".
    pub source: String,
}

/// Whether signs are coloured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Colour {
    /// Plain text, for pipes, files and `NO_COLOR`.
    #[default]
    Never,
    /// ANSI colours, for a terminal.
    Always,
}

/// How much is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Detail {
    /// A line for each resource that does not stay as it is.
    Summary,
    /// What happens to the resources.
    #[default]
    Changed,
    /// Also what stays as it is, and every kernel object.
    Full,
}

/// Whether the kernel operations are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Operations {
    /// They are not.
    #[default]
    Hidden,
    /// Every kernel object is named, and every operation shown as a command that does the same.
    Shown,
}

#[cfg(test)]
mod tests;
