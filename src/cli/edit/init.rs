//! `netform init`: a manifest to begin with.

use std::path::Path;

use super::super::args::Init;
use super::super::failure::{Code, Failure};
use super::super::show;
use super::place;
use crate::names::ProjectName;

/// The name of a project when nothing suggests one.
const DEMO: &str = "demo";

/// Writes the manifest.
pub(super) fn run(wish: &Init) -> Result<(), Failure> {
    let Init { file, project } = wish;
    if file == Path::new("-") {
        return Err(Failure::new(Code::Usage, "this writes a file, and `-` is none").help("give it a name"));
    }
    let project = match project {
        Some(name) => ProjectName::try_from(name.as_str())
            .map_err(|error| Failure::of(Code::Usage, &error))?
            .to_string(),
        None => suggested(file),
    };
    place::create(file, &starter(&project)).map_err(|error| {
        let failure = Failure::new(Code::Failed, format!("cannot write {}: {error}", file.display()));
        let code = match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
            Some(rustix::io::Errno::EXIST) => return failure.help("it stays as it is; give another name"),
            Some(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) => Code::Privilege,
            Some(rustix::io::Errno::NOENT) => Code::NoInput,
            Some(_) | None => Code::Failed,
        };
        Failure { code, ..failure }
    })?;
    let name = file.display();
    show::out(&format!(
        "{name} is written. Try it without changing anything of this host: netform sandbox {name}\n"
    ))
}

/// Returns the name of the file's directory, when that can be a project's.
fn suggested(file: &Path) -> String {
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let name = absolute.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().to_lowercase());
    let name = name.and_then(|name| ProjectName::try_from(name).ok());
    name.map_or_else(|| DEMO.to_owned(), String::from)
}

fn starter(project: &str) -> String {
    format!(
        "\
# What shall be on this host: netform plan shows what would change, netform apply makes it so.
netform: 1
project: {project} # owns all that is declared here

networks:
  front: {{}} # a bridge; its subnet is taken from the pools, and stays
  back:
    internal: true # no way out, no way in
    # subnets: [10.7.0.0/24] # a subnet of your own

containers:
  web: # netform makes the network namespace `web`: netform exec web -- ip addr
    networks: [front, back] # eth0 and eth1, in this order
    # publish: [\"8080:80\"] # port 8080 of the host leads to port 80 of web
  db:
    networks:
      back: {{aliases: [database]}} # web finds it as `db` and as `database`
  # cache: {{docker: cache, networks: [back]}} # a container of Docker's; or podman: NAME, or pid: 4711
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::edit::formatted;

    #[test]
    fn the_starter_is_a_good_manifest_in_the_one_layout() {
        let text = starter("shop");

        assert_eq!(formatted(&text).unwrap(), text);
        let loaded = crate::manifest::parse([("netform.yaml".to_owned(), text.into())]).unwrap();
        assert_eq!((loaded.manifest.networks.len(), loaded.manifest.containers.len()), (2, 2));
    }
}
