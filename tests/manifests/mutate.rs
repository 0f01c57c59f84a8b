//! Manifests that went wrong, as people and tools get them wrong.

/// Values that are larger, deeper or stranger than any manifest has.
const STRANGE: [&str; 24] = [
    "3",
    "true",
    "null",
    "~",
    "[x]",
    "{a: b}",
    "\"\"",
    "[]",
    "{}",
    "x: y",
    "-",
    "|",
    ">-",
    "!!int x",
    "!own x",
    "99999999999999999999999999",
    "-1",
    "1e400",
    ".nan",
    "0x7f",
    "&a x",
    "*a",
    "<<: *a",
    "\"\\u0000\"",
];

/// Changes a manifest in one to three places.
pub(crate) fn mutate(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(3) {
        bytes = change(&bytes, random);
    }
    bytes
}

fn change(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.is_empty() {
        return random.choose(&STRANGE).as_bytes().to_vec();
    }
    let at = random.below(lines.len());
    let other = random.below(lines.len());
    let line = lines[at].clone();
    match random.below(13) {
        0 => lines[at] = rename(&line, random),
        1 | 2 => {
            let strange: &&str = random.choose(&STRANGE);
            lines[at] = with_value(&line, strange);
        }
        3 => drop(lines.remove(at)),
        4 => lines[at] = format!("{}{line}", random.choose(&[" ", "  ", "\t", "   - "])),
        5 => lines[at] = line.trim_start().into(),
        6 => lines.insert(other, line),
        7 => lines.swap(at, other),
        8 => lines[at] = with_value(&line, &nested(random)),
        9 => lines[at] = with_value(&line, &"long ".repeat(5_000)),
        10 => lines[at] = with_value(&line, &anchors(random)),
        11 => lines.truncate(at + 1),
        _ => return flip(bytes, random),
    }
    lines.join("\n").into_bytes()
}

/// The line with a letter of its key gone, doubled or in capitals.
fn rename(line: &str, random: &mut Random) -> String {
    let letters: Vec<usize> =
        line.char_indices().filter(|(_, c)| c.is_ascii_alphabetic()).map(|(at, _)| at).collect();
    if letters.is_empty() {
        return format!("{line}x: y");
    }
    let (before, after) = line.split_at(*random.choose(&letters));
    let (letter, rest) = after.split_at(1);
    match random.below(3) {
        0 => format!("{before}{rest}"),
        1 => format!("{before}{letter}{letter}{rest}"),
        _ => format!("{before}{}{rest}", letter.to_ascii_uppercase()),
    }
}

/// The line with another value behind its key, or in its place.
fn with_value(line: &str, value: &str) -> String {
    match line.split_once(": ") {
        Some((key, _)) => format!("{key}: {value}"),
        None => format!("{line} {value}"),
    }
}

/// A value that is nested a little, or far too deep.
fn nested(random: &mut Random) -> String {
    let depth = *random.choose(&[4, 14, 20, 5_000]);
    let (open, close) = *random.choose(&[("[", "]"), ("{a: ", "}"), ("[{a: ", "}]")]);
    format!("{}{}", open.repeat(depth), close.repeat(depth))
}

/// Anchors that grow: each names the one before ten times.
fn anchors(random: &mut Random) -> String {
    let mut lists = vec!["&a0 [x]".to_owned()];
    for level in 1..=random.below(9) {
        let before = format!("*a{}", level - 1);
        lists.push(format!("&a{level} [{}]", vec![before; 10].join(", ")));
    }
    format!("[{}]", lists.join(", "))
}

/// A few bytes that are others.
fn flip(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len().max(1));
        bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.below(8));
    }
    bytes
}

/// Numbers that look random and are the same every time: xorshift64*.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % limit
    }

    pub(crate) fn choose<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}
