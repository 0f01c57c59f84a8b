//! Looks for many texts at once and puts others in their place, in bytes that may come in pieces.

use std::collections::BTreeSet;
use std::sync::Arc;

/// A text to look for, and what comes in its place.
pub(crate) type Pair = (Vec<u8>, Vec<u8>);

/// Texts to look for, each with what comes in its place.
#[derive(Debug)]
pub(crate) struct Needles {
    /// The longest first: where two begin alike, the longer one counts.
    needles: Vec<Needle>,
    /// Whether any begins with this byte.
    begins: [bool; 256],
}

#[derive(Debug)]
struct Needle {
    /// Its place among those that were handed in.
    index: usize,
    find: Vec<u8>,
    put: Vec<u8>,
}

/// What stands at some place.
enum Found<'a> {
    Nothing,
    Whole(&'a Needle),
    /// The end of the bytes, which may be the beginning of a needle.
    Part,
}

impl Needles {
    /// Takes texts to look for, each with what comes in its place. None is empty.
    pub(crate) fn new(pairs: impl IntoIterator<Item = Pair>) -> Self {
        let pairs = pairs.into_iter().enumerate();
        let mut needles: Vec<Needle> =
            pairs.map(|(index, (find, put))| Needle { index, find, put }).collect();
        needles.sort_by_key(|needle| std::cmp::Reverse(needle.find.len()));
        let mut begins = [false; 256];
        for needle in &needles {
            if let Some(first) = needle.find.first() {
                begins[usize::from(*first)] = true;
            }
        }
        Self { needles, begins }
    }

    /// Whether there is nothing to look for.
    pub(crate) fn is_empty(&self) -> bool {
        self.needles.is_empty()
    }

    /// The places, among those handed in, of all texts that are in these bytes.
    pub(crate) fn hits(&self, bytes: &[u8]) -> BTreeSet<usize> {
        let mut hits = BTreeSet::new();
        self.rewrite(bytes, true, &mut Vec::new(), &mut hits);
        hits
    }

    /// What stands in the place of the first text that is found.
    pub(crate) fn first(&self, bytes: &[u8]) -> Option<&[u8]> {
        let mut places = bytes.iter().enumerate().filter(|(_, byte)| self.begins(**byte));
        places.find_map(|(at, _)| match self.at(&bytes[at..], true) {
            Found::Whole(needle) => Some(&*needle.put),
            Found::Nothing | Found::Part => None,
        })
    }

    /// The bytes with every text replaced. None when there is nothing to replace.
    pub(crate) fn replace(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let (mut out, mut hits) = (Vec::new(), BTreeSet::new());
        self.rewrite(bytes, true, &mut out, &mut hits);
        (!hits.is_empty()).then_some(out)
    }

    /// Writes the bytes with every text replaced, and says how many were read: all but an end that
    /// may be the beginning of a text, unless nothing comes after it.
    fn rewrite(
        &self,
        bytes: &[u8],
        is_end: bool,
        out: &mut Vec<u8>,
        hits: &mut BTreeSet<usize>,
    ) -> usize {
        let (mut kept, mut at) = (0, 0);
        while let Some(byte) = bytes.get(at) {
            let found =
                if self.begins(*byte) { self.at(&bytes[at..], is_end) } else { Found::Nothing };
            match found {
                Found::Nothing => at += 1,
                Found::Part => break,
                Found::Whole(needle) => {
                    out.extend_from_slice(&bytes[kept..at]);
                    out.extend_from_slice(&needle.put);
                    hits.insert(needle.index);
                    at += needle.find.len();
                    kept = at;
                }
            }
        }
        out.extend_from_slice(&bytes[kept..at]);
        at
    }

    fn begins(&self, byte: u8) -> bool {
        self.begins[usize::from(byte)]
    }

    /// What begins where these bytes do.
    fn at(&self, bytes: &[u8], is_end: bool) -> Found<'_> {
        for needle in &self.needles {
            if bytes.starts_with(&needle.find) {
                return Found::Whole(needle);
            }
            if !is_end && needle.find.starts_with(bytes) {
                return Found::Part;
            }
        }
        Found::Nothing
    }
}

/// Replaces in bytes that come in pieces: what may be the beginning of a text waits for the next
/// piece.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) needles: Arc<Needles>,
    /// The places, among those handed in, of all texts that were found so far.
    pub(crate) hits: BTreeSet<usize>,
    waiting: Vec<u8>,
}

impl Stream {
    pub(crate) fn new(needles: Arc<Needles>) -> Self {
        Self { needles, hits: BTreeSet::new(), waiting: Vec::new() }
    }

    /// Takes a piece, and gives out what is settled.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        self.waiting.extend_from_slice(piece);
        let mut out = Vec::with_capacity(self.waiting.len());
        let read = self.needles.rewrite(&self.waiting, false, &mut out, &mut self.hits);
        self.waiting.drain(..read);
        out
    }

    /// Gives out what still waited: no other piece comes.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.needles.rewrite(&std::mem::take(&mut self.waiting), true, &mut out, &mut self.hits);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needles(pairs: &[(&str, &str)]) -> Arc<Needles> {
        Arc::new(Needles::new(pairs.iter().map(|(find, put)| ((*find).into(), (*put).into()))))
    }

    #[test]
    fn the_longer_of_two_that_begin_alike_counts() {
        let needles = needles(&[("abc", "1"), ("abcdef", "2"), ("x", "3")]);
        assert_eq!(needles.replace(b"-abcdef-abcde-x").unwrap(), b"-2-1de-3");
        assert_eq!(needles.hits(b"abcx"), BTreeSet::from([0, 2]));
        assert_eq!(needles.first(b"__abcx"), Some(&b"1"[..]));
        assert!(needles.replace(b"ab ab").is_none());
    }

    #[test]
    fn pieces_give_what_the_whole_gives() {
        let needles = needles(&[("secret", "#"), ("secretary", "%"), ("aab", "!")]);
        let text = b"a secret, a secretary, aaab, a secre";
        let whole = needles.replace(text).unwrap();
        assert_eq!(whole, b"a #, a %, a!, a secre");
        for size in 1..text.len() {
            let mut stream = Stream::new(Arc::clone(&needles));
            let mut out: Vec<u8> = text.chunks(size).flat_map(|piece| stream.push(piece)).collect();
            out.extend(stream.finish());
            assert_eq!(out, whole, "in pieces of {size}");
        }
    }

    #[test]
    fn only_what_may_be_a_beginning_waits() {
        let mut stream = Stream::new(needles(&[("secret", "#")]));
        assert_eq!(stream.push(b"no sec"), b"no ");
        assert_eq!(stream.push(b"ond"), b"second");
        assert_eq!(stream.push(b"sec"), b"");
        assert_eq!(stream.finish(), b"sec");
    }
}
