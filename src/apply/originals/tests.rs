//! What is noted of kernel parameters, and forgotten.

use super::*;
use crate::resource::owner::Origin;
use crate::resource::sysctl::{Family, Sysctl};

fn forward(value: &str) -> Entry {
    Entry {
        resource: Resource::Sysctl(Sysctl {
            ns: NsRef::Host,
            key: SysctlKey::Ipv4Forward,
            value: value.into(),
        }),
        owner: Owner::Project,
        origin: None,
        ignore: vec![],
    }
}

fn update(from: &str, to: &str) -> [Touched; 1] {
    let id = forward(from).resource.id();
    let origin = (to == "1").then(place);
    [Touched { id, before: Some(forward(from)), after: Some(Entry { origin, ..forward(to) }) }]
}

#[test]
fn of_links_those_of_others_are_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let dirs = Dirs { state: dir.path().join("shop"), run: dir.path().join("run") };
    let of_link = |value: &str, owner: &Owner| {
        let (link, name) = ("eth0".try_into().unwrap(), "proxy_ndp".into());
        let key = SysctlKey::PerLink { family: Family::Ipv6, link, name };
        let resource = Resource::Sysctl(Sysctl { ns: NsRef::Host, key, value: value.into() });
        Entry { resource, owner: owner.clone(), ..forward("") }
    };
    let note = |owner: &Owner, generation| {
        let before = of_link("0", &Owner::Project);
        let after = Entry { origin: Some(place()), ..of_link("1", owner) };
        let touched = Touched { id: after.resource.id(), before: Some(before), after: Some(after) };
        let mut state = State::default();
        state.extend(touched.after.clone());
        dirs.remember_originals(&[touched], Some((generation, &state))).unwrap();
        dirs.originals().unwrap().known
    };

    assert_eq!(note(&Owner::Network("front".try_into().unwrap()), 1), [], "it goes with its bridge");
    assert_eq!(note(&Owner::Project, 2), [of_link("0", &Owner::Project)]);
}

fn place() -> Origin {
    Origin { file: "shop.yaml".into(), line: 1, column: 1 }
}

/// What a manifest asks for.
fn asked() -> State {
    let mut state = State::default();
    state.insert(Entry { origin: Some(place()), ..forward("1") });
    state
}

#[test]
fn each_project_knows_what_the_first_one_changed_for_as_long_as_it_asks_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let of = |project: &str| Dirs { state: dir.path().join(project), run: dir.path().join("run") };
    let none = State::default();

    of("shop").remember_originals(&update("0", "1"), Some((1, &asked()))).unwrap();
    of("blog").remember_originals(&[], Some((1, &asked()))).unwrap();
    assert_eq!(of("news").originals_of_others(), [forward("0")]);
    of("shop").remember_originals(&[], Some((2, &none))).unwrap();

    assert_eq!(of("shop").originals().unwrap().known, [], "another one sets it back");
    assert_eq!(of("blog").originals().unwrap().known, [forward("0")]);
    of("blog").remember_originals(&update("1", "0"), Some((2, &none))).unwrap();
    assert_eq!(of("shop").originals_of_others(), []);

    // Somebody has turned it on since.
    of("shop").remember_originals(&[], Some((3, &asked()))).unwrap();
    assert_eq!(of("shop").originals().unwrap().known, []);
}

#[test]
fn what_was_given_up_when_that_was_still_kept_on_record_is_past() {
    let dir = tempfile::tempdir().unwrap();
    let dirs = Dirs { state: dir.path().join("shop"), run: dir.path().join("run") };
    let mut originals = State::default();
    originals.insert(forward("0"));
    let file =
        OriginalsFile { format: Known, generation: 1, is_asked: false, originals, ..OriginalsFile::none() };
    disk::write(&dirs.originals_path(), &file).unwrap();

    assert_eq!(dirs.originals().unwrap().known, [], "no generation asks for it");
    dirs.remember_originals(&[], Some((2, &asked()))).unwrap();
    assert_eq!(dirs.originals().unwrap().known, []);
}

#[test]
fn a_parameter_is_remembered_as_it_was_before_the_first_change_until_it_is_set_back() {
    let dir = tempfile::tempdir().unwrap();
    let dirs = Dirs { state: dir.path().join("shop"), run: dir.path().join("run") };

    dirs.remember_originals(&update("0", "1"), Some((1, &asked()))).unwrap();
    dirs.remember_originals(&update("2", "1"), Some((2, &asked()))).unwrap();
    assert_eq!(dirs.originals().unwrap().known, [forward("0")]);

    dirs.remember_originals(&update("1", "0"), Some((3, &State::default()))).unwrap();
    assert_eq!(dirs.originals().unwrap().known, []);
    // A run that was killed in between is finished by the next, which notes the same again.
    dirs.remember_originals(&update("1", "0"), Some((3, &State::default()))).unwrap();
    assert_eq!(dirs.originals().unwrap().known, []);
}

#[test]
fn of_a_damaged_file_there_is_a_copy_and_without_that_it_is_told_until_nothing_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let dirs = Dirs { state: dir.path().join("shop"), run: dir.path().join("run") };
    dirs.remember_originals(&update("0", "1"), Some((1, &asked()))).unwrap();
    let damage = |path: PathBuf| std::fs::write(path, "{").unwrap();

    damage(dirs.originals_path());
    let of_copy = dirs.originals().unwrap();
    assert_eq!((of_copy.known, of_copy.lost), (vec![forward("0")], None));
    assert!(of_copy.warning.unwrap().contains("its copy is used"));
    std::fs::remove_file(dirs.originals_path()).unwrap();
    assert_eq!(dirs.originals().unwrap().known, [forward("0")]);

    damage(dirs.originals_path());
    damage(dirs.copy_of_originals());
    assert_eq!(dirs.originals().unwrap().lost, Some(dirs.originals_path()));
    // What is noted then is written down, and so is that it is not all.
    dirs.remember_originals(&update("2", "1"), Some((2, &asked()))).unwrap();
    let after = dirs.originals().unwrap();
    assert_eq!((after.known, after.lost.is_some(), after.warning), (vec![forward("2")], true, None));
    dirs.remember_originals(&[], Some((3, &State::default()))).unwrap();
    assert_eq!(dirs.originals().unwrap(), Originals::default());
}

#[test]
fn what_is_lost_is_not_forgotten_when_a_generation_is_saved_again() {
    let dir = tempfile::tempdir().unwrap();
    let dirs = Dirs { state: dir.path().join("shop"), run: dir.path().join("run") };
    let save = |state: State, touched: &[Touched]| {
        let generation = Generation::new(1, 1, String::new(), state, Default::default());
        dirs.prepare(&generation, None).unwrap().put().unwrap();
        crate::apply::recover::finish(&dirs, (&generation, None), touched).unwrap();
        dirs.past().unwrap().originals
    };
    assert_eq!(save(asked(), &update("0", "1")).known, [forward("0")]);
    let lose =
        || [dirs.originals_path(), dirs.copy_of_originals()].map(|path| std::fs::remove_file(path).unwrap());

    lose();
    assert!(save(asked(), &[]).lost.is_some(), "nothing had to be changed");
    let changed = save(asked(), &update("2", "1"));
    assert_eq!((changed.known, changed.lost.is_some()), (vec![forward("2")], true), "something had to be");
    assert_eq!(save(State::default(), &[]).lost, None, "nothing is asked for any more");
    assert_eq!(save(asked(), &[]).lost, None, "and nothing was lost");
}
