//! What a command prints for machines that prints one document, and could not: why.

use schemars::JsonSchema;
use serde::Serialize;

use super::failure::{Code, Failure};
use super::show;
use crate::manifest::problem::Record;

/// Why there is no other document.
#[derive(Debug, Serialize, JsonSchema)]
struct Refusal<'a> {
    /// The version of this document, `MAJOR.MINOR`.
    format_version: &'static str,
    error: Told<'a>,
}

/// What went wrong.
#[derive(Debug, Serialize, JsonSchema)]
struct Told<'a> {
    /// The exit code of the command.
    exit_code: u8,
    /// What happened.
    message: String,
    /// What to do about it.
    help: Option<&'a str>,
    /// What is wrong with the manifest, if that is it.
    diagnostics: &'a [Record],
}

/// Returns the schema of the document, as `schemas/error.v1.json` holds it.
pub(super) fn schema() -> schemars::Schema {
    schemars::schema_for!(Refusal<'_>)
}

/// Prints why a command failed where a machine waits for its document; people read it on standard error all the same.
pub(super) fn told<T>(is_for_machines: bool, result: Result<T, Failure>) -> Result<T, Failure> {
    if let (true, Err(failure)) = (is_for_machines, &result) {
        let Failure { code, message: _, help, diagnostics } = failure;
        let error =
            Told { exit_code: *code as u8, message: message(failure), help: help.as_deref(), diagnostics };
        let document = Refusal { format_version: "1.0", error };
        let json =
            serde_json::to_string_pretty(&document).map_err(|error| Failure::of(Code::Failed, &error))?;
        show::out(&format!("{json}\n"))?;
    }
    result
}

/// Returns what is wrong with a manifest that cannot even be read.
pub(super) fn record(failure: &Failure) -> Record {
    Record::nowhere("manifest::unreadable", failure.message.clone(), failure.help.clone())
}

fn message(failure: &Failure) -> String {
    match failure.diagnostics.len() {
        0 => failure.message.clone(),
        1 => "the manifest has a problem".to_owned(),
        count => format!("the manifest has {count} problems"),
    }
}
