//! Plans as text, JSON and markdown.
