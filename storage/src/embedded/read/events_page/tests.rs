//! Plans of the page statements.
