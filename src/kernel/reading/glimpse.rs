//! The host, as it is when a run begins: it is read while the manifest is, so that the kernel works meanwhile.

use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::{NsReading, Tables};
use crate::halves::make_room;
use crate::kernel::answer;
use crate::kernel::netlink::{Blocking, Refusal};
use crate::resource::netns::NsRef;

/// After this much a glimpse is too old to be told from what is seen next.
const LIFE: Duration = Duration::from_secs(1);

/// The host's links, addresses and routes, being read. All of them are, so nothing has to be known to begin.
pub struct Glimpse {
    began: Instant,
    reading: Receiver<Result<NsReading, Refusal>>,
}

impl Glimpse {
    /// Begins to look; `None` where there is no thread to be had.
    pub fn begin() -> Option<Self> {
        let (tell, reading) = channel();
        let work = move || {
            make_room();
            let seen = Blocking::open().map_err(Refusal::from).and_then(|mut socket| read(&mut socket));
            // Nobody may want to know any more.
            let _ = tell.send(seen);
        };
        let began = Instant::now();
        std::thread::Builder::new().name("host".to_owned()).spawn(work).ok()?;
        Some(Self { began, reading })
    }

    /// Returns what was seen; `None` where it has to be read again: it is too old, or something is wrong that is to be told.
    pub(super) fn seen(self) -> Option<NsReading> {
        let Self { began, reading } = self;
        let left = LIFE.checked_sub(began.elapsed())?;
        reading.recv_timeout(left).ok()?.ok()
    }
}

/// Reads the links, addresses and routes of the host.
pub(super) fn read(socket: &mut Blocking) -> Result<NsReading, Refusal> {
    let mut reading = NsReading::empty(NsRef::Host);
    reading.read_all_links(socket)?;
    reading.read_rest(socket, (Tables::All, answer::route))?;
    Ok(reading)
}
