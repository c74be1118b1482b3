//! The threads that look into namespaces.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use super::todo::{self, Task, Todo};
use super::{Look, NsReading, failed};
use crate::kernel::netlink::Refusal;
use crate::kernel::{ObserveError, netns};
use crate::resource::netns::NsRef;

pub(super) async fn thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ObserveError> + Send + 'static,
) -> Result<T, ObserveError> {
    netns::on_thread(work).await.map_err(|error| failed("the kernel".to_owned(), Refusal::Socket(error)))?
}

/// How many namespaces are looked into by one thread in less time than it takes to begin another one.
const FEW: usize = 16;

/// Looks into namespaces on two threads, each of which does something else first. Where they are few, one does it all.
///
/// There are no more threads than two: whoever asks for the links of a namespace while another thread is given the many of
/// the host would spin until it has its turn, on a core that others need (`rtnl_mutex`, Linux `net/core/rtnetlink.c`).
pub(super) async fn by_two<A: Send + 'static, B: Send + 'static>(
    todo: Todo,
    task: &Arc<Task>,
    (first, second): (
        impl FnOnce() -> Result<A, ObserveError> + Send + 'static,
        impl FnOnce() -> Result<B, ObserveError> + Send + 'static,
    ),
) -> Result<(impl Iterator<Item = Look>, A, B), ObserveError> {
    if todo.count() <= FEW {
        let task = Arc::clone(task);
        let all = thread(move || Ok((first()?, second()?, look_into(&todo, &task)?)));
        let (a, b, looks) = all.await?;
        return Ok((todo::in_order(looks, vec![]), a, b));
    }
    let todo = Arc::new(todo);
    let (first_todo, second_todo) = (Arc::clone(&todo), todo);
    let (first_task, second_task) = (Arc::clone(task), Arc::clone(task));
    let first = thread(move || Ok((first()?, look_into(&first_todo, &first_task)?)));
    let second = thread(move || Ok((second()?, look_into(&second_todo, &second_task)?)));
    let ((a, first), (b, second)) = tokio::try_join!(first, second)?;
    Ok((todo::in_order(first, second), a, b))
}

/// Enters one namespace after the other, each with its place; the thread must end afterwards.
fn look_into(todo: &Todo, task: &Task) -> Result<Vec<(usize, Look)>, ObserveError> {
    let host = netns::open(&NsRef::Host).map_err(|error| failed("the host".to_owned(), error.into()))?;
    let mut looks = vec![];
    while let Some((at, ns)) = todo.take() {
        let what = || format!("namespace {ns}");
        match NsReading::empty(ns.clone()).look(host.as_fd(), task) {
            Ok(look) => looks.push((at, look)),
            // It went away while we looked.
            Err(refusal) if is_missing(&refusal) => {}
            Err(refusal) => return Err(failed(what(), refusal)),
        }
    }
    Ok(looks)
}

fn is_missing(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Socket(error) if error.kind() == io::ErrorKind::NotFound)
}
