//! Who may do what: the only place where a [`grant::Grant`] can be made.

pub mod grant;
