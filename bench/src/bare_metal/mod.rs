//! Posts of points from a thread on every core, over io_uring: for a machine with more cores than one thread of epoll can
//! load. Built with `--features bare-metal` only, so that the ordinary build needs no C code.

#[cfg(not(feature = "bare-metal"))]
mod absent;
#[cfg(feature = "bare-metal")]
mod generator;
#[cfg(feature = "bare-metal")]
mod posting;

#[cfg(not(feature = "bare-metal"))]
pub(crate) use absent::{Plan, run};
#[cfg(feature = "bare-metal")]
pub(crate) use posting::{Plan, run};
