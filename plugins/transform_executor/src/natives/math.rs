//! Functions of numbers.

use jaq_core::native::{bome, v};
use jaq_json::{Error, Val};
use jaq_std::ValT as _;

use super::Native;

fn number(value: &Val) -> Result<f64, Error> {
    value.as_f64().ok_or_else(|| Error::typ(value.clone(), "number"))
}

macro_rules! of_one {
    ($name:literal, $function:expr) => {
        ($name, v(0), |cv| {
            let function: fn(f64) -> f64 = $function;
            bome(number(&cv.1).map(|x| Val::from(function(x))))
        })
    };
}

macro_rules! of_two {
    ($name:literal, $function:expr) => {
        ($name, v(2), |mut cv| {
            let function: fn(f64, f64) -> f64 = $function;
            let (y, x) = (cv.0.pop_var(), cv.0.pop_var());
            bome(number(&x).and_then(|x| Ok(Val::from(function(x, number(&y)?)))))
        })
    };
}

/// The functions of jq that are functions of Rust as well. Left out are Bessel, gamma and error
/// functions, and those that take a number apart.
pub(super) fn all() -> Vec<Native> {
    let mut all = of_one_number();
    all.extend(of_more_numbers());
    all
}

fn of_one_number() -> Vec<Native> {
    vec![
        of_one!("acos", f64::acos),
        of_one!("acosh", f64::acosh),
        of_one!("asin", f64::asin),
        of_one!("asinh", f64::asinh),
        of_one!("atan", f64::atan),
        of_one!("atanh", f64::atanh),
        of_one!("cbrt", f64::cbrt),
        of_one!("cos", f64::cos),
        of_one!("cosh", f64::cosh),
        of_one!("exp", f64::exp),
        of_one!("exp10", |x| 10_f64.powf(x)),
        of_one!("exp2", f64::exp2),
        of_one!("expm1", f64::exp_m1),
        of_one!("fabs", f64::abs),
        of_one!("log", f64::ln),
        of_one!("log10", f64::log10),
        of_one!("log1p", f64::ln_1p),
        of_one!("log2", f64::log2),
        of_one!("nearbyint", f64::round_ties_even),
        of_one!("rint", f64::round_ties_even),
        of_one!("sin", f64::sin),
        of_one!("sinh", f64::sinh),
        of_one!("sqrt", f64::sqrt),
        of_one!("tan", f64::tan),
        of_one!("tanh", f64::tanh),
        of_one!("trunc", f64::trunc),
        ("modf", v(0), |cv| {
            bome(number(&cv.1).map(|x| [x.fract(), x.trunc()].map(Val::from).into_iter().collect()))
        }),
    ]
}

fn of_more_numbers() -> Vec<Native> {
    vec![
        of_two!("atan2", f64::atan2),
        of_two!("copysign", f64::copysign),
        of_two!("fdim", |x, y| if x > y { x - y } else { 0.0 }),
        of_two!("fmax", f64::max),
        of_two!("fmin", f64::min),
        of_two!("fmod", |x, y| x % y),
        of_two!("hypot", f64::hypot),
        of_two!("ldexp", |x, exponent| x * exponent.exp2()),
        of_two!("nextafter", next_after),
        of_two!("pow", f64::powf),
        of_two!("scalbln", |x, exponent| x * exponent.exp2()),
        ("fma", v(3), |mut cv| {
            let (z, y, x) = (cv.0.pop_var(), cv.0.pop_var(), cv.0.pop_var());
            bome((|| Ok(Val::from(number(&x)?.mul_add(number(&y)?, number(&z)?))))())
        }),
    ]
}

fn next_after(x: f64, y: f64) -> f64 {
    match x.partial_cmp(&y) {
        Some(std::cmp::Ordering::Less) => x.next_up(),
        Some(std::cmp::Ordering::Greater) => x.next_down(),
        Some(std::cmp::Ordering::Equal) => y,
        None => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::holds;

    #[test]
    fn functions_take_their_arguments_in_the_order_of_jq() {
        holds(&[
            "9 | sqrt == 3",
            "pow(2; 10) == 1024 and fmod(7; 4) == 3 and fdim(5; 3) == 2",
            "fma(2; 3; 4) == 10 and ldexp(3; 2) == 12 and fmax(1; 2) == 2",
            "[2.5, 3.5] | map(rint) == [2, 4]",
            "3.25 | modf == [0.25, 3]",
            "100 | log10 == 2",
            "nextafter(1; 2) > 1 and nextafter(1; 0) < 1",
            "try (\"a\" | sqrt) catch . | test(\"number\")",
            "[1.4, -1.4] | map(floor) == [1, -2] and map(ceil) == [2, -1]",
        ]);
    }
}
