//! Work that is done by two threads, where it is worth one.

use std::cell::Cell;
use std::hint::black_box;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use rayon::{ThreadPool, ThreadPoolBuilder, Yield};

/// Whether this process ends when it has done one thing.
static ENDS_SOON: AtomicBool = AtomicBool::new(false);

/// The two threads; `None` when there can be no second one.
static TEAM: OnceLock<Option<ThreadPool>> = OnceLock::new();

/// How many work at a time: the kernel has one thread at a time read or change links, and who shares a host with others leaves
/// them some of it.
const TEAM_SIZE: usize = 2;

thread_local! {
    /// Whether this thread is to share its work with no other.
    static ALONE: Cell<bool> = const { Cell::new(false) };
}

/// From how many items on a second thread is faster than none.
const WORTHWHILE: usize = 64;

/// Tells whether so many items are worth doing two things at a time.
pub fn is_worthwhile(items: usize) -> bool {
    items >= WORTHWHILE
}

/// Does something on this thread alone.
pub fn alone<T>(work: impl FnOnce() -> T) -> T {
    let before = ALONE.replace(true);
    let done = work();
    ALONE.set(before);
    done
}

/// Makes the calling thread one of the two: it goes on with what the other one has no time for. Whoever does not ask for that
/// waits for two others.
pub fn join_in() {
    let _ = TEAM.set(team(ThreadPoolBuilder::use_current_thread));
}

fn team(how: impl FnOnce(ThreadPoolBuilder) -> ThreadPoolBuilder) -> Option<ThreadPool> {
    let builder = ThreadPoolBuilder::new().num_threads(TEAM_SIZE).start_handler(|_| make_room());
    how(builder.thread_name(|_| "halves".to_owned())).build().ok()
}

fn both_threads() -> Option<&'static ThreadPool> {
    TEAM.get_or_init(|| team(|builder| builder)).as_ref()
}

/// Does two things at a time when that is worth it for so many items, or else one after the other.
pub fn both<A: Send, B>(items: usize, first: impl Fn() -> A + Sync, second: impl FnOnce() -> B) -> (A, B) {
    if !is_worthwhile(items) || ALONE.get() {
        return (first(), second());
    }
    let Some(team) = both_threads() else { return (first(), second()) };
    let mut a = None;
    let b = team.in_place_scope(|scope| {
        scope.spawn(|_| a = Some(first()));
        second()
    });
    (a.unwrap_or_else(first), b)
}

/// What is done meanwhile.
#[derive(Debug)]
pub struct Meanwhile<T>(Option<(&'static ThreadPool, Receiver<T>)>);

impl<T: Send + 'static> Meanwhile<T> {
    /// Has it done by the other one of the two threads.
    pub fn begin(work: impl FnOnce() -> T + Send + 'static) -> Self {
        let told = both_threads().map(|team| {
            let (tell, told) = sync_channel(1);
            team.spawn(move || drop(tell.send(work())));
            (team, told)
        });
        Self(told)
    }

    /// Waits for what came of it; `None` where there is no other thread.
    pub fn end(self) -> Option<T> {
        let (team, told) = self.0?;
        // The other one need not have been woken for it.
        while team.yield_local() == Some(Yield::Executed) {}
        told.recv().ok()
    }
}

/// Does something with either half of a list, at a time when that is worth it.
pub fn halves<'a, T: Sync, R: Send>(items: &'a [T], work: impl Fn(&'a [T]) -> R + Sync) -> (R, R) {
    let (first, second) = items.split_at(items.len() / 2);
    both(items.len(), || work(first), || work(second))
}

/// Has the allocator make room for what a thread is about to do: glibc gives each a heap of its own, and would have the kernel
/// make it larger by a page at a time (`grow_heap()`, glibc `malloc/arena.c`), 1,400 times for a plan of 1,000 attachments.
///
/// What is never touched takes no memory.
pub fn make_room() {
    const ROOM: usize = 16 << 20;
    let mut room = Vec::<u8>::new();
    // Where there is not as much, less may do.
    let _ = room.try_reserve_exact(ROOM);
    drop(black_box(room));
}

/// Says that this process ends when it has done one thing: what is large is left to the kernel, which frees it at once.
pub fn end_soon() {
    ENDS_SOON.store(true, Ordering::Relaxed);
}

/// Lets go of something without waiting for it when it has so many pieces: freeing them takes as long as making them.
pub fn discard<T: Send + 'static>(items: usize, large: T) {
    if ENDS_SOON.load(Ordering::Relaxed) {
        std::mem::forget(large);
    } else if is_worthwhile(items) {
        // Without a second thread it is done by this one.
        let _ = thread::Builder::new().spawn(move || drop(large));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_within_one_half_or_asks_at_the_same_time_waits_for_nobody_in_vain() {
        fn sum(items: &[usize]) -> usize {
            if items.len() < 64 {
                items.iter().sum()
            } else {
                let (a, b) = halves(items, sum);
                a + b
            }
        }
        let items: Vec<usize> = (0..10_000).collect();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert_eq!(sum(&items), 49_995_000));
            }
        });
    }

    #[test]
    fn what_is_done_meanwhile_is_done_in_the_end() {
        for number in 0..1000 {
            assert_eq!(Meanwhile::begin(move || number + 1).end(), Some(number + 1));
        }
    }

    #[test]
    fn few_or_many_are_done_in_order() {
        for many in [0, 1, 63, 64, 1001] {
            let items: Vec<usize> = (0..many).collect();
            let (first, second) = halves(&items, <[usize]>::to_vec);
            assert_eq!([first, second].concat(), items);
        }
    }
}
