//! The corpus and mutations of it, through every target: the same ones in every run.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "clippy knows tests only by their own functions"
)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use apflow_fuzz::{TARGETS, Target};

/// The longest mutation.
const BYTES_MAX: usize = 4 << 10;

/// What is more telling than noise.
const WORDS: [&[u8]; 16] = [
    b"\n",
    b"*",
    b"*.",
    b"://",
    b"/..",
    b"%2e",
    b"%2F",
    b"[::",
    b"@",
    b":0",
    b"&a ",
    b"*a",
    b"\0",
    b"\xff",
    b"\xf0\x9f",
    b"ffff",
];

#[test]
fn the_manifest_target_finds_nothing() {
    replay("manifest");
}

#[test]
fn the_capability_target_finds_nothing() {
    replay("capability");
}

#[test]
fn the_url_and_address_target_finds_nothing() {
    replay("url_and_address");
}

#[test]
fn the_code_cache_target_finds_nothing() {
    replay("code_cache");
}

#[test]
fn the_payload_target_finds_nothing() {
    replay("payload");
}

#[test]
fn every_target_has_a_corpus_and_a_fuzzer() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, ..) in TARGETS {
        assert!(!corpus(name).is_empty(), "{name}");
        let fuzzer = package.join(format!("cargo-fuzz/fuzz_targets/{name}.rs"));
        assert!(fuzzer.is_file(), "{} is not there", fuzzer.display());
    }
}

/// Gives a target its corpus, and then mutations of it.
fn replay(name: &str) {
    let (_, target, mutations) = TARGETS.into_iter().find(|(own, ..)| *own == name).unwrap();
    let corpus: Vec<Vec<u8>> = corpus(name).iter().map(|file| fs::read(file).unwrap()).collect();
    for seed in &corpus {
        give(target, seed);
    }
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..mutations {
        give(target, &mutate(&corpus, &mut random));
    }
}

/// What breaks a target is said in a form that can go into the corpus.
fn give(target: Target, bytes: &[u8]) {
    if let Err(found) = catch_unwind(AssertUnwindSafe(|| target(bytes))) {
        eprintln!("found by: b\"{}\"", bytes.escape_ascii());
        std::panic::resume_unwind(found);
    }
}

fn corpus(name: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

/// Changes a seed in one to eight places.
fn mutate(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = random.choose(corpus).clone();
    for _ in 0..=random.below(8) {
        let at = random.below(bytes.len() + 1);
        let end = at + random.below((bytes.len() - at).min(16) + 1);
        match random.below(6) {
            0 => drop(bytes.splice(at..end, [])),
            1 => drop(bytes.splice(at..at, random.choose(&WORDS).iter().copied())),
            2 => drop(bytes.splice(at..end, [random.byte()])),
            3 => {
                let piece = bytes[at..end].to_vec();
                let elsewhere = random.below(bytes.len() + 1);
                drop(bytes.splice(elsewhere..elsewhere, piece));
            }
            4 => {
                let other = random.choose(corpus);
                let from = random.below(other.len() + 1);
                drop(bytes.splice(at.., other[from..].iter().copied()));
            }
            _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
        }
    }
    bytes.truncate(BYTES_MAX);
    bytes
}

/// Numbers that look random and are the same every time: xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % limit
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[7]
    }

    fn choose<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}
