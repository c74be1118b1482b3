//! `netform validate`: a manifest is checked, without privileges and without the kernel.

use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

use super::Success;
use super::args::{Common, TextOrJson};
use super::failure::{Code, Failure};
use super::loaded::{self, Found};
use super::refusal;
use super::show::{self, Style};
use crate::manifest::problem::Record;

/// What a check came to, for machines.
#[derive(Debug, Serialize, JsonSchema)]
struct Report {
    /// The version of this document, `MAJOR.MINOR`.
    format_version: &'static str,
    valid: bool,
    error_count: usize,
    diagnostics: Vec<Record>,
    /// What the user should know of a manifest that is valid.
    warnings: Vec<String>,
}

impl Report {
    fn of(diagnostics: Vec<Record>, warnings: Vec<String>) -> Self {
        let (valid, error_count) = (diagnostics.is_empty(), diagnostics.len());
        Self { format_version: "1.0", valid, error_count, diagnostics, warnings }
    }

    fn print(&self) -> Result<(), Failure> {
        let json = serde_json::to_string_pretty(self).map_err(|error| Failure::of(Code::Failed, &error))?;
        show::out(&format!("{json}\n"))
    }
}

/// Returns the schema of the document, as `schemas/validate.v1.json` holds it.
pub(super) fn schema() -> schemars::Schema {
    schemars::schema_for!(Report)
}

/// Checks the manifest and says so.
pub(super) fn run(common: &Common, manifest: &Path, output: TextOrJson) -> Result<Success, Failure> {
    let style = Style::of_stderr(common);
    let found = loaded::check(manifest, style);
    if output == TextOrJson::Json {
        let report = match &found {
            Ok(Found::Right(topology)) => Report::of(vec![], topology.warnings_anywhere()),
            Ok(Found::Wrong(problems)) => Report::of(problems.records(), vec![]),
            Err(failure) => Report::of(vec![refusal::record(failure)], vec![]),
        };
        report.print()?;
        found?;
        return Ok(if report.valid { Success::Done } else { Success::Exited(Code::Manifest as u8) });
    }
    let found = found?;
    if let Found::Right(topology) = &found {
        let warnings = topology.warnings_anywhere();
        warnings.iter().for_each(|warning| show::err(&format!("Warning: {warning}\n")));
    }
    let topology = match found {
        Found::Right(topology) => topology,
        Found::Wrong(problems) => return Err(loaded::wrong(&problems, style)),
    };
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let published = topology.containers.iter().map(|container| container.publish.len()).sum();
    show::out(&format!(
        "{} is valid: project {}, {}, {}, {}.\n",
        manifest.display(),
        topology.project,
        count(topology.networks.len(), "network"),
        count(topology.containers.len(), "container"),
        count(published, "published port"),
    ))?;
    Ok(Success::Done)
}
