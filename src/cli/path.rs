//! `netform explain --path`: whether a packet gets from one place to another, and what decides.

use schemars::JsonSchema;
use serde::Serialize;

use super::Success;
use super::args::{Common, TextOrJson};
use super::explain::look;
use super::failure::{Code, Failure, unreadable};
use super::show;
use crate::explain::path::{self, Answers, Ends, Path, Question, Unclear, Verdict};
use crate::explain::{self, Scene};
use crate::kernel::inside;
use crate::topology::nearest;

/// A path that was explained.
#[derive(Debug, Serialize, JsonSchema)]
struct Explained {
    /// The version of this document, `MAJOR.MINOR`.
    format_version: &'static str,
    /// The path.
    path: Path,
}

/// Returns the schema of the document, as `schemas/path.v1.json` holds it.
pub(super) fn schema() -> schemars::Schema {
    schemars::schema_for!(Explained)
}

/// Prints whether a packet gets from one place to another; with `told` the exit code says it, too.
pub(super) async fn run(
    common: &Common,
    (from, to): (&str, &str),
    told: bool,
    output: TextOrJson,
) -> Result<Success, Failure> {
    let mut warnings = vec![];
    let scene = look(common, &mut warnings).await?;
    warnings.iter().for_each(|warning| show::err(&format!("warning: {warning}\n")));
    let ends = path::ends(from, to, &scene).map_err(|unclear| unclear_failure(&unclear, &scene))?;
    let mut answers = Answers::default();
    let path = follow(&scene, &mut answers, &ends).await?;
    let arrives = path.verdict == Verdict::Arrives;
    let text = match output {
        TextOrJson::Text => path.text(),
        TextOrJson::Json => {
            let document = Explained { format_version: "1.0", path };
            let json =
                serde_json::to_string_pretty(&document).map_err(|error| Failure::of(Code::Failed, &error))?;
            format!("{json}\n")
        }
    };
    show::out(&text)?;
    Ok(if told && !arrives { Success::Changes } else { Success::Done })
}

/// Follows a packet, and asks the kernel whatever that takes.
pub(super) async fn follow(scene: &Scene, answers: &mut Answers, ends: &Ends) -> Result<Path, Failure> {
    loop {
        match path::follow(scene, answers, ends) {
            Ok(path) => return Ok(path),
            Err(question) => answer(scene, question, answers).await?,
        }
    }
}

/// Asks the kernel.
pub(super) async fn answer(scene: &Scene, question: Question, answers: &mut Answers) -> Result<(), Failure> {
    let place = match question {
        Question::Inside(place) | Question::Way(place, _) => place,
    };
    let Some(ns) = scene.namespaces.get(place) else {
        return Err(Failure::new(Code::Failed, "the namespaces of this host changed while they were read"));
    };
    match question {
        Question::Inside(_) => answers.inside(place, inside::look(ns).await.map_err(unreadable)?),
        Question::Way(_, traveller) => {
            answers.way(place, traveller, inside::way(ns, traveller).await.map_err(unreadable)?);
        }
    }
    Ok(())
}

fn unclear_failure(unclear: &Unclear, scene: &Scene) -> Failure {
    match unclear {
        Unclear::NoPort(_) => Failure::of(Code::Usage, unclear),
        Unclear::Several(..) => Failure::of(Code::NoInput, unclear),
        Unclear::NoAddress(_) => {
            Failure::of(Code::NoInput, unclear).help("`netform explain NAME` says what it has")
        }
        Unclear::Nobody(name) => {
            let failure = Failure::of(Code::NoInput, unclear);
            let names = explain::names(scene).chain(["host"]);
            match nearest(name, names) {
                Some(nearest) => failure.help(format!("did you mean `{nearest}`?")),
                None => failure.help("write a container, `host`, a namespace, or an address"),
            }
        }
    }
}
