//! A socket that is kept, with what is known of its namespace.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use netlink_packet_route::RouteNetlinkMessage;
use rustix::io::Errno;

use super::super::answer::{self, LinkAnswer};
use super::super::message;
use super::{Blocking, Refusal, addressed};
use crate::kernel::vlans::VlanEntry;
use crate::names::IfName;

/// A socket in some namespace that serves many operations, with the links that they named so far.
pub(crate) struct Channel {
    socket: RefCell<Blocking>,
    links: RefCell<HashMap<IfName, Rc<LinkAnswer>>>,
}

impl Channel {
    /// Takes over a socket.
    pub(crate) fn new(socket: Blocking) -> Self {
        Self { socket: RefCell::new(socket), links: RefCell::default() }
    }

    /// Sends a request that the kernel must agree to.
    ///
    /// Others on this thread get their turn before it: the kernel may take a while.
    pub(crate) async fn request(&self, message: RouteNetlinkMessage, flags: u16) -> Result<(), Refusal> {
        tokio::task::yield_now().await;
        self.socket.borrow_mut().exchange(addressed(message, flags), &|_, _| None::<()>).map(drop)
    }

    /// Returns the VLANs of a bridge or a port of one.
    pub(crate) fn vlans(&self, index: u32) -> Result<Vec<VlanEntry>, Refusal> {
        let vlans = self.socket.borrow_mut().vlans(index)?;
        Ok(vlans.into_iter().flat_map(|(_, entries)| entries).collect())
    }

    /// Returns what `read` makes of the messages of a dump.
    pub(crate) fn dump<T>(
        &self,
        message: RouteNetlinkMessage,
        read: impl Fn(u16, &[u8]) -> Option<T>,
    ) -> Result<Vec<T>, Refusal> {
        self.socket.borrow_mut().dump(message, read)
    }

    /// Returns what `read` makes of the answer to a question.
    pub(crate) fn ask<T>(
        &self,
        message: RouteNetlinkMessage,
        read: impl Fn(u16, &[u8]) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        self.socket.borrow_mut().ask(message, read)
    }

    /// Returns a link's index.
    pub(crate) fn index(&self, link: &IfName) -> Result<u32, Refusal> {
        Ok(self.link(link)?.index)
    }

    /// Returns what the kernel says of a link. It is asked for once: until a link is deleted, it stays.
    pub(crate) fn link(&self, link: &IfName) -> Result<Rc<LinkAnswer>, Refusal> {
        if let Some(known) = self.links.borrow().get(link) {
            return Ok(Rc::clone(known));
        }
        let found = self.socket.borrow_mut().ask(message::find_link(link), answer::link)?;
        let found = Rc::new(found.ok_or(Refusal::Kernel { errno: Errno::NODEV, said: None })?);
        self.links.borrow_mut().insert(link.clone(), Rc::clone(&found));
        Ok(found)
    }

    /// Forgets the indexes of all links, since one of them may go.
    pub(crate) fn forget_indexes(&self) {
        self.links.borrow_mut().clear();
    }
}
