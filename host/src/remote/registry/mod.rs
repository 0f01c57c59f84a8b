//! A client of registries of images: pulls a plugin by the OCI distribution API, all of it into memory.
//!
//! It stores nothing and pushes nothing. What it pulled is checked as what is loaded from a folder is.

mod ask;
mod challenge;
mod document;
mod error;
mod login;
mod name;
mod pull;
mod token;

pub(crate) use error::RegistryError;
pub(crate) use name::ImageName;
pub(crate) use pull::{Image, Pulled};
