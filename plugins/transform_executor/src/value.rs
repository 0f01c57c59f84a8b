//! Between JSON and the values of the filter language.

use jaq_json::{Map, Num, Val};
use serde_json::{Number, Value};

/// How deep an output may be nested. Readers of JSON commonly stop there, the host's own among
/// them.
const DEPTH_MAX: usize = 127;

/// A value of the filter that JSON cannot carry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Bytes.
    #[error("a byte string is no JSON; make text of it with `tostring`")]
    Bytes,
    /// A key that is no text.
    #[error("an object has the key {0}, but in JSON keys are text")]
    Key(String),
    /// Nested too deeply.
    #[error("a value is nested deeper than {DEPTH_MAX} levels")]
    Depth,
}

/// Makes a value for a filter.
pub fn from_json(value: Value) -> Val {
    match value {
        Value::Null => Val::Null,
        Value::Bool(flag) => Val::Bool(flag),
        Value::Number(number) => Val::Num(from_number(&number)),
        Value::String(text) => Val::utf8_str(text),
        Value::Array(values) => values.into_iter().map(from_json).collect(),
        Value::Object(object) => {
            let entry = |(key, value)| (Val::utf8_str(key), from_json(value));
            Val::obj(object.into_iter().map(entry).collect::<Map>())
        }
    }
}

fn from_number(number: &Number) -> Num {
    match (number.as_i64(), number.as_u64()) {
        (Some(integer), _) => Num::from_integral(integer),
        (None, Some(integer)) => Num::from_integral(integer),
        (None, None) => Num::Float(number.as_f64().unwrap_or(f64::NAN)),
    }
}

/// Makes JSON of a value that a filter yielded.
///
/// As in jq, a number that is whole is written as an integer, one that is not a number as `null`,
/// and an infinite one as the largest finite one.
///
/// # Errors
///
/// A [`ValueError`] for what JSON cannot carry.
pub fn to_json(value: &Val) -> Result<Value, ValueError> {
    to_json_at(value, 0)
}

fn to_json_at(value: &Val, depth: usize) -> Result<Value, ValueError> {
    if depth > DEPTH_MAX {
        return Err(ValueError::Depth);
    }
    Ok(match value {
        Val::Null => Value::Null,
        Val::Bool(flag) => Value::Bool(*flag),
        Val::Num(number) => to_number(number),
        Val::BStr(_) => return Err(ValueError::Bytes),
        Val::TStr(text) => Value::String(String::from_utf8_lossy(text).into_owned()),
        Val::Arr(values) => {
            let values = values.iter().map(|value| to_json_at(value, depth + 1));
            Value::Array(values.collect::<Result<_, _>>()?)
        }
        Val::Obj(object) => {
            let entry = |(key, value): (&Val, &Val)| match key {
                Val::TStr(text) => {
                    let key = String::from_utf8_lossy(text).into_owned();
                    Ok((key, to_json_at(value, depth + 1)?))
                }
                Val::Null
                | Val::Bool(_)
                | Val::Num(_)
                | Val::BStr(_)
                | Val::Arr(_)
                | Val::Obj(_) => Err(ValueError::Key(key.to_string())),
            };
            Value::Object(object.iter().map(entry).collect::<Result<_, _>>()?)
        }
    })
}

fn to_number(number: &Num) -> Value {
    match number {
        Num::Int(integer) => Value::from(*integer),
        Num::BigInt(integer) => read_integer(&integer.to_string()),
        Num::Float(float) => from_float(*float),
        Num::Dec(decimal) => from_float(decimal.parse().unwrap_or(f64::NAN)),
    }
}

/// An integer beyond 64 bits becomes the nearest fraction, as other JSON readers make it.
fn read_integer(digits: &str) -> Value {
    match (digits.parse::<i64>(), digits.parse::<u64>()) {
        (Ok(integer), _) => Value::from(integer),
        (Err(_), Ok(integer)) => Value::from(integer),
        (Err(_), Err(_)) => from_float(digits.parse().unwrap_or(f64::NAN)),
    }
}

fn from_float(float: f64) -> Value {
    /// Up to here every integer is a number of its own: 2^53.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    if float.is_nan() {
        return Value::Null;
    }
    let is_negative_zero = float == 0.0 && float.is_sign_negative();
    if float.fract() == 0.0 && float.abs() <= EXACT_MAX && !is_negative_zero {
        return read_integer(&format!("{float:.0}"));
    }
    Value::from(float.clamp(f64::MIN, f64::MAX))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_comes_back_as_it_was() {
        let value = json!({
            "a": [null, true, "ü", 1, -1, 1.5, 1e300, u64::MAX, i64::MIN],
            "b": { "c": {}, "d": [] },
        });
        assert_eq!(to_json(&from_json(value.clone())), Ok(value));
    }

    #[test]
    fn whole_numbers_are_written_as_integers() {
        assert_eq!(from_float(2.0).to_string(), "2");
        assert_eq!(from_float(-2.0).to_string(), "-2");
        assert_eq!(from_float(0.5).to_string(), "0.5");
        assert!(from_float(1e17).is_f64());
        assert_eq!(from_float(-0.0).to_string(), "-0.0");
    }

    #[test]
    fn numbers_that_json_does_not_have_become_ones_that_it_has() {
        assert_eq!(from_float(f64::NAN), Value::Null);
        assert_eq!(from_float(f64::INFINITY), json!(f64::MAX));
        assert_eq!(read_integer("18446744073709551616"), json!(18_446_744_073_709_551_616.0));
    }

    #[test]
    fn what_json_cannot_carry_is_refused() {
        assert_eq!(to_json(&Val::byte_str("a")), Err(ValueError::Bytes));
        let object = Val::obj([(Val::Bool(true), Val::Null)].into_iter().collect());
        assert_eq!(to_json(&object), Err(ValueError::Key("true".to_owned())));
        let nest = |depth| (0..depth).fold(Val::Null, |inner, _| [inner].into_iter().collect());
        assert!(to_json(&nest(DEPTH_MAX)).is_ok());
        assert_eq!(to_json(&nest(DEPTH_MAX + 1)), Err(ValueError::Depth));
    }
}
