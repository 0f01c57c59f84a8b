//! What statements are asked with.

use sqlx::{Arguments as _, Database, Encode, Type};

/// A value for a statement.
#[derive(Debug, Clone)]
pub(crate) enum Argument {
    Number(Option<i64>),
    Text(Option<String>),
    Bytes(Vec<u8>),
    Truth(bool),
}

/// Arguments as a database takes them.
pub(crate) fn bound<D: Database>(given: Vec<Argument>) -> Result<D::Arguments, sqlx::Error>
where
    Option<i64>: for<'q> Encode<'q, D> + Type<D>,
    Option<String>: for<'q> Encode<'q, D> + Type<D>,
    Vec<u8>: for<'q> Encode<'q, D> + Type<D>,
    bool: for<'q> Encode<'q, D> + Type<D>,
{
    let mut arguments = D::Arguments::default();
    for argument in given {
        let added = match argument {
            Argument::Number(number) => arguments.add(number),
            Argument::Text(text) => arguments.add(text),
            Argument::Bytes(bytes) => arguments.add(bytes),
            Argument::Truth(truth) => arguments.add(truth),
        };
        added.map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

impl From<i64> for Argument {
    fn from(number: i64) -> Self {
        Self::Number(Some(number))
    }
}

impl From<Option<i64>> for Argument {
    fn from(number: Option<i64>) -> Self {
        Self::Number(number)
    }
}

impl From<Option<String>> for Argument {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<u32> for Argument {
    fn from(number: u32) -> Self {
        Self::Number(Some(number.into()))
    }
}

impl From<&str> for Argument {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<&String> for Argument {
    fn from(text: &String) -> Self {
        Self::Text(Some(text.clone()))
    }
}

impl From<String> for Argument {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<&[u8]> for Argument {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_owned())
    }
}

impl From<bool> for Argument {
    fn from(truth: bool) -> Self {
        Self::Truth(truth)
    }
}
