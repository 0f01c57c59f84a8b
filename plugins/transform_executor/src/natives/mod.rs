//! What a filter can call: the functions of jaq that only compute, and those of jq's library that
//! jaq has only together with a clock and an environment.
//!
//! jaq-std gives its regular expressions, formats, mathematics and dates in one list with `now`,
//! `env` and `localtime`. A component that links that list imports clocks, which this plugin does
//! not ask for; so these files have their own.

mod dates;
mod formats;
mod math;
mod patterns;

use jaq_core::RunPtr;
use jaq_core::load::parse::Def;
use jaq_core::native::{Fun, run, v};
use jaq_json::{Error, Val};

use crate::reach::Kind;

/// Definitions of jaq-std that call what is not here: rare functions of C's mathematics.
const LEFT_OUT: [&str; 4] = ["drem", "gamma", "logb", "significand"];

type Native = jaq_core::native::Filter<RunPtr<Kind>>;

/// The functions that are written in the filter language.
pub(crate) fn definitions() -> impl Iterator<Item = Def<&'static str>> {
    jaq_core::defs()
        .chain(jaq_std::defs())
        .chain(jaq_json::defs())
        .filter(|definition| !LEFT_OUT.contains(&definition.name))
}

/// The functions that are written in Rust.
pub(crate) fn functions() -> impl Iterator<Item = Fun<Kind>> {
    let own = [formats::all(), math::all(), patterns::all(), dates::all(), log()];
    jaq_core::funs()
        .chain(jaq_std::base_funs())
        .chain(jaq_json::funs())
        .chain(jaq_std::input::funs().into_vec().into_iter().map(run))
        .chain(own.into_iter().flatten().map(|native: Native| run::<Kind>(native)))
}

fn log() -> Vec<Native> {
    vec![
        ("debug_empty", v(0), |cv| {
            (cv.0.data().log)(&cv.1.to_string());
            Box::new(std::iter::empty())
        }),
        ("stderr_empty", v(0), |cv| {
            (cv.0.data().log)(&cv.1.to_string());
            Box::new(std::iter::empty())
        }),
    ]
}

/// The text of a value, for functions that take text.
fn text(value: &Val) -> Result<&str, Error> {
    let Val::TStr(bytes) = value else { return Err(Error::typ(value.clone(), "string")) };
    std::str::from_utf8(bytes).map_err(|_| Error::typ(value.clone(), "UTF-8 string"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jaq_json::Val;
    use jaq_std::input::RcIter;

    use crate::filter::{Filter, FilterError, Flow};

    /// Each filter yields `true` for `null`.
    pub(super) fn holds(filters: &[&str]) {
        for text in filters {
            let filter = Filter::compile(text, BTreeMap::new(), &[]).ok().unwrap();
            let inputs = RcIter::new(std::iter::empty());
            let mut values = Vec::new();
            let ran = filter.run(Val::Null, &inputs, &|_| (), |value| {
                values.push(value);
                Ok::<_, FilterError>(())
            });
            assert_eq!((ran, values), (Ok(Flow::GoOn), vec![Val::Bool(true)]), "{text}");
        }
    }

    #[test]
    fn the_library_of_jq_is_there() {
        holds(&[
            "[1, 2, 3] | map(. * 2) == [2, 4, 6]",
            "[{a: 1}, {a: 2}] | group_by(.a) | length == 2",
            "[3, 1, 2] | sort == [1, 2, 3] and min == 1 and unique == [1, 2, 3]",
            "{a: {b: 1}} | [paths] == [[\"a\"], [\"a\", \"b\"]]",
            "{a: 1} | to_entries == [{key: \"a\", value: 1}]",
            "\"a,b\" | split(\",\") == [\"a\", \"b\"]",
            "[\"a\", \"b\"] | join(\"-\") == \"a-b\"",
            "\"[1]\" | fromjson == [1]",
            "{a: [1, {b: 2}]} | tojson == \"{\\\"a\\\":[1,{\\\"b\\\":2}]}\"",
            "reduce range(5) as $i (0; . + $i) == 10",
            "[limit(3; repeat(1))] == [1, 1, 1]",
            "{a: 1} | has(\"a\") and (has(\"b\") | not)",
            "[1, [2]] | flatten == [1, 2]",
            "{a: 1} * {a: {b: 2}} == {a: {b: 2}}",
            "try error(\"x\") catch . == \"x\"",
            "({a: 1} | del(.a)) == {}",
            "\"abc\" | ascii_upcase == \"ABC\" and .[1:] == \"bc\" and length == 3",
            "\"10\" | tonumber == 10",
            "[1, 2] | (add / length) == 1.5",
            "({a: {}} | .a.b = 1) == {a: {b: 1}}",
        ]);
    }

    #[test]
    fn integers_are_exact_beyond_the_word_of_the_machine() {
        holds(&["9007199254740993 + 1 == 9007199254740994", "4294967296 * 4294967296 > 0"]);
    }
}
