//! The guests, as `build.rs` found and built them.

include!(concat!(env!("OUT_DIR"), "/guests.rs"));
