//! Macro misuse: each file of `tests/refused` does one thing wrong, and its `.stderr` is what the
//! author reads. `TRYBUILD=overwrite cargo test -p apflow-sdk --test refused` writes them anew.

#[test]
fn misuse_is_refused_where_it_stands() {
    trybuild::TestCases::new().compile_fail("tests/refused/*.rs");
}
