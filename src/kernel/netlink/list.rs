//! Lists: what the kernel answers in as many messages as it takes.

use std::time::{Duration, Instant};

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP};
use netlink_packet_route::RouteNetlinkMessage;

use super::{Blocking, Refusal, addressed};
use crate::kernel::count;

/// For how long a dump that others' changes interrupt is begun anew: of a thousand new links the kernel goes on changing
/// the addresses until it has found that nobody else has them.
pub(super) const DUMP_PATIENCE: Duration = Duration::from_secs(10);
/// How long the others are let go on, at first and at most.
const DUMP_PAUSES: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(50)];

/// A question for a list, as it is sent, but for its number.
pub(crate) struct Question(Vec<u8>);

impl Question {
    /// Has a question ready to be sent.
    pub(crate) fn new(message: RouteNetlinkMessage) -> Self {
        let mut message = addressed(message, NLM_F_DUMP);
        message.header.flags &= !NLM_F_ACK;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        Self(bytes)
    }

    fn numbered(&self, sequence: u32) -> Vec<u8> {
        /// Where `nlmsg_seq` is: `struct nlmsghdr`, `include/uapi/linux/netlink.h`.
        const NUMBER: std::ops::Range<usize> = 8..12;
        let mut bytes = self.0.clone();
        if let Some(number) = bytes.get_mut(NUMBER) {
            number.copy_from_slice(&sequence.to_ne_bytes());
        }
        bytes
    }
}

impl Blocking {
    /// Returns what `read` makes of the messages of a dump; begins anew when others' changes interrupt it.
    pub(crate) fn dump<T>(
        &mut self,
        message: RouteNetlinkMessage,
        read: impl Fn(u16, &[u8]) -> Option<T>,
    ) -> Result<Vec<T>, Refusal> {
        self.list(&Question::new(message), read)
    }

    /// The same for a question that many are asked.
    pub(crate) fn list<T>(
        &mut self,
        question: &Question,
        read: impl Fn(u16, &[u8]) -> Option<T>,
    ) -> Result<Vec<T>, Refusal> {
        let (began, [mut pause, longest]) = (Instant::now(), DUMP_PAUSES);
        loop {
            count::request();
            self.sequence += 1;
            self.send_bytes(&question.numbered(self.sequence))?;
            let (answers, interrupted) = self.answers(&read)?;
            if !interrupted {
                return Ok(answers);
            }
            if began.elapsed() > DUMP_PATIENCE {
                return Err(Refusal::Interrupted);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(longest);
        }
    }
}
