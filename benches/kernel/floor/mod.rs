//! The floor: the same kernel objects by the shortest sequence of raw requests, with no difference computed, no marks
//! and no checks. Whatever netform costs more than this is its own.

mod firewall;
mod links;
mod wire;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use netlink_sys::Socket;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::manifest::{ELSEWHERE, MOVED, OTHER_PORT, Size, gateway, port, within};
use wire::{Batch, DUMP};

/// A word and what it stands for.
type Verb = (&'static str, fn(Size));

/// What the floor can do, by the word that its process is called with.
pub const VERBS: [Verb; 8] = [
    ("create", create),
    ("read", |_| read()),
    ("move", move_one),
    ("port", change_port),
    ("drift", drift),
    ("repair", repair),
    ("remove", remove),
    ("settle", |_| settle()),
];

/// Makes everything.
fn create(size: Size) {
    raise_descriptor_limit();
    let host = links::socket();
    links::make_bridges(&host, size);
    let namespaces = links::make_namespaces(size);
    links::make_pairs(&host, &namespaces, size);
    links::make_insides(&namespaces, size);
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
    firewall::make(size);
}

/// Reads everything, with a thread for the host and two for the namespaces.
fn read() {
    let names: Vec<PathBuf> = match fs::read_dir(links::DIR) {
        Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
        Err(_) => vec![],
    };
    let (first, second) = names.split_at(names.len() / 2);
    std::thread::scope(|scope| {
        for some in [first, second] {
            scope.spawn(move || {
                let mut buffer = Vec::with_capacity(1 << 16);
                some.iter().for_each(|name| read_namespace(&links::enter(name), &mut buffer));
            });
        }
        read_namespace(&links::socket(), &mut Vec::with_capacity(1 << 16));
        firewall::read();
    });
}

fn read_namespace(socket: &Socket, buffer: &mut Vec<u8>) {
    let mut batch = Batch::default();
    // `IFLA_EXT_MASK` with `RTEXT_FILTER_SKIP_STATS`.
    batch.message(links::GET_LINK, DUMP, &links::link(0, false), |m| m.put_u32(29, 8));
    batch.dump(socket, buffer, |_| {});
    batch.message(links::GET_ADDRESS, DUMP, &[0; 8], |_| {});
    batch.dump(socket, buffer, |_| {});
    // Of both families, as of addresses.
    batch.message(links::GET_ROUTE, DUMP, &[0; 12], |_| {});
    batch.dump(socket, buffer, |_| {});
}

/// Reads everything, and gives one container another address and its own one back.
fn move_one(size: Size) {
    read();
    let network = size.network_of(MOVED);
    let (here, there, via) = (size.address(MOVED), within(network, ELSEWHERE), gateway(network));
    links::move_address(MOVED, here, there, via);
}

/// Reads everything, and publishes another port in place of the first.
fn change_port(size: Size) {
    read();
    firewall::move_port(port(0), OTHER_PORT, size.address(0));
}

/// Takes the default route from each hundredth container.
fn drift(size: Size) {
    links::remove_routes((0..size.attachments).step_by(100));
}

/// Reads everything, and makes these routes again.
fn repair(size: Size) {
    read();
    links::restore_routes((0..size.attachments).step_by(100), size);
}

/// Removes everything.
fn remove(size: Size) {
    firewall::remove();
    links::remove(size);
}

/// Waits until the kernel is done with namespaces that are gone: it works them off one after the other, so a new one
/// that is gone, too, comes last.
fn settle() {
    let path = PathBuf::from(links::DIR).join("settle");
    fs::create_dir_all(links::DIR).unwrap();
    let host = links::socket();
    {
        let path = path.clone();
        let ns = std::thread::spawn(move || links::make_namespace(&path)).join().unwrap();
        let mut batch = Batch::default();
        links::make_pair(&mut batch, ("settle", 99_999), None, &ns);
        batch.send(&host);
    }
    links::remove_namespace(&path);
    while links::has_link(&host, "settle") {
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn raise_descriptor_limit() {
    let Rlimit { current: _, maximum } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}
