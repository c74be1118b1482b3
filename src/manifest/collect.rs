//! Files to one manifest: every file is decoded, what they declare is merged, and all problems come together.

use std::sync::Arc;

use super::decode::{self, Document};
use super::problem::{Problem, Problems, Sources};
use super::report::Report;
use super::{At, Loaded, Manifest, yaml};

/// The files so far.
#[derive(Debug, Default)]
pub(super) struct Collector {
    sources: Sources,
    document: Document,
    /// How many files could not be read as YAML, and may declare what seems to be missing.
    unread: usize,
    pub(super) report: Report,
}

impl Collector {
    /// Adds a file. Returns its includes.
    pub(super) fn add(&mut self, name: String, bytes: Vec<u8>) -> Vec<At<String>> {
        let file = self.sources.files().len();
        let text = match yaml::text(file, bytes) {
            Ok(text) => text,
            Err((shown, problem)) => {
                self.sources.add(name, shown);
                self.report.add(problem);
                self.unread += 1;
                return vec![];
            }
        };
        self.sources.add(name, text);
        let node = self.sources.get(file).and_then(|source| yaml::read(file, source, &mut self.report));
        let Some(node) = node else {
            self.unread += 1;
            return vec![];
        };
        let mut document = decode::document(&node, &mut self.report);
        let includes = std::mem::take(&mut document.includes);
        self.document.merge(document, &mut self.report);
        includes
    }

    /// Returns the manifest that all files make.
    pub(super) fn finish(mut self) -> Result<Loaded, Problems> {
        self.check_head();
        let sources = Arc::new(self.sources);
        let Document {
            head: _,
            version: _,
            project_key: _,
            project,
            includes: _,
            pools,
            coexist,
            own_external,
            policies,
            networks,
            containers,
        } = self.document;
        match project {
            Some(project) if self.report.is_empty() => {
                let policies = policies.map(|at| at.value).unwrap_or_default();
                let manifest =
                    Manifest { project, pools, coexist, own_external, policies, networks, containers };
                Ok(Loaded { manifest, sources })
            }
            Some(_) | None => Err(Problems::counted(sources, self.report.problems, self.report.more)),
        }
    }

    fn check_head(&mut self) {
        if self.unread > 0 {
            return;
        }
        if let Some(place) = self.document.lacks_version() {
            self.report.add(decode::lacks("netform", "netform: 1", place));
        }
        if let Some(place) = self.document.lacks_project() {
            self.report.add(decode::lacks("project", "project: NAME", place));
        }
        if self.sources.files().is_empty() {
            self.report.add(Problem {
                message: "there is no file".to_owned(),
                code: "manifest::empty",
                labels: vec![],
                help: Some("name a manifest".to_owned()),
            });
        }
    }
}
