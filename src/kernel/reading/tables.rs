//! Reading routes: those of all tables, or of the main one.

use rustix::io::Errno;

use super::NsReading;
use crate::kernel::answer::RouteAnswer;
use crate::kernel::message;
use crate::kernel::netlink::{Blocking, Refusal};

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

impl NsReading {
    pub(super) fn read_routes(
        &mut self,
        socket: &mut Blocking,
        (tables, read): (Tables, ReadRoute),
    ) -> Result<(), Refusal> {
        let table = match tables {
            Tables::None => return Ok(()),
            Tables::Main => Some(message::MAIN_TABLE),
            Tables::All => None,
        };
        self.routes = match socket.dump(message::all_routes(table), read) {
            // A table that nobody has put a route into does not exist (`fib_get_table()`).
            Err(Refusal::Kernel { errno: Errno::NOENT, said: _ }) => vec![],
            routes => routes?,
        };
        self.tables = tables;
        Ok(())
    }
}
