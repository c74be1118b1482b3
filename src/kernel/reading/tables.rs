//! Reading routes: those of all tables, or of the main one.

use std::sync::LazyLock;

use netlink_packet_route::AddressFamily;
use rustix::io::Errno;

use super::NsReading;
use crate::kernel::answer::{self, RouteAnswer};
use crate::kernel::message;
use crate::kernel::netlink::{Blocking, Question, Refusal};

/// Of which tables the routes were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tables {
    /// Of none.
    None,
    /// Of the main one.
    Main,
    /// Of all.
    All,
}

/// How many namespaces are few. To list the routes of all tables takes the kernel 11 us longer than those of the main one,
/// which is seen where there are a thousand namespaces; there it is done in those where something is heard of.
pub(super) const FEW: usize = 64;

/// Reads a route.
pub(super) type ReadRoute = fn(u16, &[u8]) -> Option<RouteAnswer>;

/// The families, as the kernel lists them. Each is asked for by itself: to list both at once the kernel holds the lock that lists of
/// links need, too (`rtnl_dump_all()`, `RTNL_FLAG_DUMP_UNLOCKED`, Linux `net/core/rtnetlink.c`), and the other thread that reads
/// would spin meanwhile.
const FAMILIES: [AddressFamily; 2] = [AddressFamily::Inet, AddressFamily::Inet6];

/// What every namespace is asked.
static LINKS: LazyLock<Question> = LazyLock::new(|| Question::new(message::all_links()));
static ADDRESSES: LazyLock<[Question; 2]> =
    LazyLock::new(|| FAMILIES.map(|family| Question::new(message::all_addresses_in(family))));
static MAIN_ROUTES: LazyLock<[Question; 2]> = LazyLock::new(|| routes(Some(message::MAIN_TABLE)));
static ALL_ROUTES: LazyLock<[Question; 2]> = LazyLock::new(|| routes(None));

fn routes(table: Option<u8>) -> [Question; 2] {
    FAMILIES.map(|family| Question::new(message::all_routes_in(family, table)))
}

impl NsReading {
    /// Reads all links.
    pub(super) fn read_all_links(&mut self, socket: &mut Blocking) -> Result<(), Refusal> {
        self.links = socket.list(&LINKS, answer::link)?;
        Ok(())
    }

    /// Reads all addresses.
    pub(super) fn read_addresses(&mut self, socket: &mut Blocking) -> Result<(), Refusal> {
        for (family, question) in FAMILIES.into_iter().zip(ADDRESSES.iter()) {
            self.addresses.extend(socket.list(question, of(family, answer::address))?);
        }
        Ok(())
    }

    pub(super) fn read_routes(
        &mut self,
        socket: &mut Blocking,
        (tables, read): (Tables, ReadRoute),
    ) -> Result<(), Refusal> {
        let questions = match tables {
            Tables::None => return Ok(()),
            Tables::Main => &MAIN_ROUTES,
            Tables::All => &ALL_ROUTES,
        };
        self.routes.clear();
        for (family, question) in FAMILIES.into_iter().zip(questions.iter()) {
            match socket.list(question, of(family, read)) {
                // A table that nobody has put a route into does not exist (`fib_get_table()`).
                Err(Refusal::Kernel { errno: Errno::NOENT, said: _ }) => {}
                routes => self.routes.extend(routes?),
            }
        }
        self.tables = tables;
        Ok(())
    }
}

/// Reads what is of a family: a kernel without one of them is taken to be asked for all.
fn of<T>(family: AddressFamily, read: impl Fn(u16, &[u8]) -> Option<T>) -> impl Fn(u16, &[u8]) -> Option<T> {
    let family = u8::from(family);
    move |kind, body| if body.first() == Some(&family) { read(kind, body) } else { None }
}
