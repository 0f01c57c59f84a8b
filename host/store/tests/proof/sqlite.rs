//! What stays true when the process dies, on a file: the same proofs as in `postgres.rs`.

#[cfg(test)]
#[path = "on_a_file.rs"]
mod place;
#[cfg(test)]
mod torn;

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
