//! What stays true when the process or the server dies, on a server: the same proofs as in
//! `sqlite.rs`.

#[cfg(test)]
#[path = "on_a_server.rs"]
mod place;
#[cfg(test)]
#[path = "../../../../tests/postgres.rs"]
mod server;
#[cfg(test)]
mod stopped;

#[cfg(test)]
mod against;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod dice;
#[cfg(test)]
mod model;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod victim;
