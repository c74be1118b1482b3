use super::*;
use crate::names::{NetName, NetnsName};
use crate::resource::netns::Netns;

fn object(name: &str, owner: &str, line: u32) -> Entry {
    let netns = Netns::new(NetnsName::try_from(name).unwrap());
    let owner = Owner::try_from(owner).unwrap();
    let origin = Some(Origin { file: "shop.yaml".into(), line, column: 3 });
    Entry { resource: Resource::Netns(netns), owner, origin, ignore: vec![] }
}

fn generation(number: u64, objects: Vec<Entry>) -> Generation {
    Generation::new(number, 7, "netform: 1\n".to_owned(), objects.into(), Leases::default())
}

fn read_back(text: &[u8]) -> (Generation, Option<Written>) {
    read(text.to_vec(), None).unwrap()
}

fn write(generation: &Generation, before: Option<Before<'_>>) -> io::Result<Vec<u8>> {
    let mut text = vec![];
    super::write(generation, before, &mut text).map(|()| text)
}

#[test]
fn a_copy_says_what_anew_would_be_said() {
    let first = generation(1, (0..200).map(|n| object(&format!("c{n}"), "container.web", n)).collect());
    let text = write(&first, None).unwrap();
    let (again, written) = read_back(&text);
    assert_eq!(again, first);

    let written = written.unwrap();
    let before = Before { state: &again.state, written: &written };
    // One is gone, one is new, one is another's now, and all stand a line further down.
    let mut objects: Vec<Entry> =
        (1..200).map(|n| object(&format!("c{n}"), "container.web", n + 1)).collect();
    objects.push(object("new", "container.new", 1));
    objects[6] = object("c7", "container.db", 8);
    let second = generation(2, objects);
    let copied = write(&second, Some(before)).unwrap();
    assert_eq!(copied, write(&second, None).unwrap());
    assert_eq!(read_back(&copied).0, second);
    let anew = before.unchanged(&second.state).iter().filter(|copy| copy.is_none()).count();
    assert_eq!(anew, 2, "what is as it was is copied");
}

#[test]
fn what_an_earlier_netform_wrote_is_read_and_not_copied() {
    let text = r#"{"format":1,"number":1,"applied_at":7,"manifest":"","manifest_sha256":"","state":[
        {"resource":{"netns":{"name":"b","whole":true}},"owner":"container.b",
         "origin":{"file":"shop.yaml","line":4,"column":3}},
        {"resource":{"netns":{"name":"a","whole":true}},"owner":"container.a"}],
        "leases":{"addresses":{},"subnets":{}}}"#;
    let (generation, written) = read_back(text.as_bytes());
    let origins = generation.state.iter().map(|(_, entry)| entry.origin.as_ref().map(|origin| origin.line));
    assert_eq!(origins.collect::<Vec<_>>(), [None, Some(4)]);
    assert_eq!(written, None);
}

#[test]
fn an_object_has_a_line_and_is_read_wherever_it_stands() {
    for count in [0, 1, 2, 200] {
        let generation =
            generation(1, (0..count).map(|n| object(&format!("c{n}"), "container.web", n)).collect());
        let text = String::from_utf8(write(&generation, None).unwrap()).unwrap();
        assert_eq!(text.lines().count(), count as usize + 2);
        let (frame, objects) = lines(&text).unwrap();
        assert_eq!(objects.len(), count as usize);
        assert!(serde_json::from_str::<Raw<'_>>(&frame).is_ok());
        for same in [
            text.replace('\n', ""),
            text.replace('\n', "\n\n"),
            text.replace('\n', " \n "),
            text.clone() + "\n",
        ] {
            let (again, written) = read_back(same.as_bytes());
            assert_eq!(again, generation, "{same}");
            assert!(written.is_some());
        }
    }
}

#[test]
fn what_is_damaged_is_told_at_its_place() {
    let good = generation(1, (0..3).map(|n| object(&format!("c{n}"), "container.web", n)).collect());
    let good = String::from_utf8(write(&good, None).unwrap()).unwrap();
    for (from, to) in
        [("\"},\n", "\"}\n"), ("}\n]", "},\n]"), ("c1", "c\u{1}"), ("\n]", "\n"), ("whole", "wh\nole")]
    {
        let bad = good.replacen(from, to, 1);
        let error = read(bad.into_bytes(), None).unwrap_err().0;
        assert!(error.line() > 1, "{error}");
    }
}

#[test]
fn what_a_later_netform_says_besides_is_passed_over() {
    let generation = generation(1, vec![object("web", "container.web", 1)]);
    let text = String::from_utf8(write(&generation, None).unwrap()).unwrap();
    for (from, to) in
        [("\"leases\":{", "\"leases\":{\"later\":1,"), ("{\"format\"", "{\"later\":{},\"format\"")]
    {
        assert_eq!(read_back(text.replacen(from, to, 1).as_bytes()).0, generation);
    }
}

#[test]
fn leases_are_those_of_the_generation_where_another_file_says_something_else() {
    let leased = |name: &str| {
        let network = NetName::try_from(name).unwrap();
        Leases { subnets: [(network, vec!["10.0.0.0/24".parse().unwrap()])].into(), ..Leases::default() }
    };
    let generation = Generation::new(1, 7, String::new(), State::default(), leased("front"));
    let text = write(&generation, None).unwrap();
    for other in ["front", "back"] {
        let leases = leased(other);
        let leased = serde_json::to_string(&leases).unwrap();
        let leased = Leased { text: &leased, leases: &leases };
        assert_eq!(read(text.clone(), Some(leased)).unwrap().0, generation);
    }
}
