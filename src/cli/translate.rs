//! `netform import compose` and `import docker`: what others have, printed as a manifest. Nothing is changed.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::args::{Common, From};
use super::failure::{Code, Failure};
use super::loaded;
use super::runtimes::Runtimes;
use super::show::{self, Style};
use crate::import::compose::{self, Variables};
use crate::import::{Note, Sketch, docker};
use crate::names::ProjectName;
use crate::runtime::list;

/// How many bytes are read of a file at most: more than any reader takes.
const MOST: u64 = (8 << 20) + 1;

/// The names that Compose looks for in a directory, in this order.
const NAMES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"];

/// Prints the manifest, and on standard error what it could not take over.
pub(super) async fn run(common: &Common, from: &From) -> Result<(), Failure> {
    let sketch = match from {
        From::Compose { file, project_name, env_file } => {
            of_compose(common, file, project_name.as_deref(), env_file.as_deref())?
        }
        From::Docker { project_name } => of_docker(common, project_name).await?,
    };
    let text = sketch.text();
    loaded::check_text("the manifest", &text, Style::of_stderr(common))?;
    for Note { origin, text } in &sketch.notes {
        let at = origin.as_ref().map_or_else(String::new, |origin| format!("{origin}: "));
        show::err(&format!("note: {at}{}\n", text.replace(char::is_control, " ")));
    }
    show::out(&text)
}

fn of_compose(
    common: &Common,
    file: &Path,
    project: Option<&str>,
    env_file: Option<&Path>,
) -> Result<Sketch, Failure> {
    let (name, directory, bytes) = if file.as_os_str() == "-" {
        (
            "<stdin>".to_owned(),
            PathBuf::from("."),
            read(io::stdin().lock()).map_err(|error| unread(file, &error))?,
        )
    } else {
        let file = in_directory(file)?;
        let bytes = File::open(&file).and_then(read).map_err(|error| unread(&file, &error))?;
        let directory =
            file.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
        (file.display().to_string(), directory, bytes)
    };
    let variables = variables(&directory, env_file)?;
    let directory = directory.canonicalize().ok();
    let directory = directory.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    let file = compose::File {
        name: &name,
        bytes,
        project: project.map(str::to_owned),
        directory: directory.unwrap_or_default(),
    };
    compose::compose(file, &variables).map_err(|problems| loaded::wrong(&problems, Style::of_stderr(common)))
}

async fn of_docker(common: &Common, project: &str) -> Result<Sketch, Failure> {
    let project = ProjectName::try_from(project).map_err(|error| Failure::of(Code::Usage, &error))?;
    let socket = Runtimes::new(common).sockets.docker;
    let unreachable = |why: String| {
        let message = format!("Docker cannot be asked at {}: {why}", socket.display());
        Failure::new(Code::Missing, message).help("start it, or name its socket with --docker")
    };
    let (networks, containers) = list::told(&socket).await.map_err(unreachable)?;
    docker::docker(project.as_str(), networks, containers).map_err(|error| unreachable(error.to_string()))
}

/// Returns the Compose file that a path means.
fn in_directory(path: &Path) -> Result<PathBuf, Failure> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let found = NAMES.iter().map(|name| path.join(name)).find(|path| path.exists());
    found.ok_or_else(|| {
        let message = format!("there is no Compose file in {}", path.display());
        Failure::new(Code::NoInput, message).help(format!("Compose calls it {}", NAMES.join(", ")))
    })
}

fn read(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    source.take(MOST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unread(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Code::NoInput, format!("cannot read {}: {error}", path.display()))
        .help("name the Compose file, its directory, or - for standard input")
}

/// Returns the variables as Compose has them: those of the environment, and behind them those of the file.
fn variables(directory: &Path, env_file: Option<&Path>) -> Result<Variables, Failure> {
    let text = match env_file {
        Some(path) => {
            let bytes = File::open(path).and_then(read).map_err(|error| unread(path, &error))?;
            String::from_utf8_lossy(&bytes).into_owned()
        }
        // There need not be one.
        None => File::open(directory.join(".env"))
            .and_then(read)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default(),
    };
    let from = if env_file.is_some() { "--env-file" } else { ".env" };
    let mut variables: Variables =
        compose::of_file(&text).into_iter().map(|(name, value)| (name, (value, from))).collect();
    let environment = std::env::vars_os().filter_map(|(name, value)| {
        Some((name.into_string().ok()?, (value.into_string().ok()?, "the environment")))
    });
    variables.extend(environment);
    Ok(variables)
}
