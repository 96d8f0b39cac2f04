//! One file per verb: its arguments and its run. Files are read and written here; nothing is decided.

pub mod lab;
