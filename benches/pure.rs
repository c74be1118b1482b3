//! What the pure parts cost: from a manifest's text to a plan, at 10, 100, 1,000 and 5,000 attachments. What they make is
//! freed outside of the measured time, since a process that plans ends without freeing it.
#![expect(clippy::unwrap_used, unreachable_pub, dead_code, reason = "a benchmark may panic")]

#[path = "kernel/manifest.rs"]
mod manifest;

use std::collections::BTreeMap;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use netform::desired::desired;
use netform::manifest::{Input, Loaded, Manifest, load};
use netform::plan::{Extra, plan};
use netform::resource::owner::Origin;
use netform::resource::state::{Observed, State};
use netform::topology::facts::Facts;
use netform::topology::{Topology, resolve};

use manifest::{Size, Variant};

const SIZES: [Size; 4] = [
    Size { attachments: 10, networks: 1 },
    Size { attachments: 100, networks: 10 },
    Size { attachments: 1000, networks: 100 },
    Size { attachments: 5000, networks: 100 },
];

fn parsed(path: &Path) -> Loaded {
    load(&Input::Path(path.to_owned())).unwrap()
}

fn resolved(manifest: &Manifest) -> Topology {
    let origin = |_| Origin { file: "netform.yaml".into(), line: 1, column: 1 };
    resolve(manifest, &Facts::default(), &origin).unwrap()
}

fn pure(criterion: &mut Criterion) {
    for size in SIZES {
        let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
        std::fs::write(file.path(), manifest::manifest(size, Variant::Plain)).unwrap();
        let Loaded { manifest, sources: _ } = parsed(file.path());
        let topology = resolved(&manifest);
        let wanted = desired(&topology);
        let nothing = Observed { own: State::default(), foreign: BTreeMap::new() };
        let all = Observed { own: wanted.0.clone(), foreign: BTreeMap::new() };
        let planned = |observed: &Observed| plan(&wanted, observed, &wanted.0, Extra::default()).unwrap();

        let mut group = criterion.benchmark_group("pure");
        group.sample_size(10);
        let id = |name: &str| BenchmarkId::new(name, size.attachments);
        group.bench_function(id("parse"), |b| b.iter_with_large_drop(|| parsed(file.path())));
        group.bench_function(id("resolve"), |b| b.iter_with_large_drop(|| resolved(&manifest)));
        group.bench_function(id("lower"), |b| b.iter_with_large_drop(|| desired(&topology)));
        group.bench_function(id("plan of nothing to do"), |b| b.iter_with_large_drop(|| planned(&all)));
        group.bench_function(id("plan of all"), |b| b.iter_with_large_drop(|| planned(&nothing)));
        group.finish();
    }
}

criterion_group!(benches, pure);
criterion_main!(benches);
