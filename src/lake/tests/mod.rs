//! Promises of the lake as a whole.
