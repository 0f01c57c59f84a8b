//! Columns to words and back.
//!
//! It knows no table: what a column means stands where it is read.

use apflow_model::clock::Timestamp;
use apflow_model::hops::Hops;
use apflow_model::state::TaskState;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::{Decode, Postgres, Row as _, Sqlite, Type};

use crate::connection::{Either, Row};
use crate::error::StoreError;

/// Reads a column of a row.
pub(crate) fn column<'r, T>(row: &'r Row, name: &str) -> Result<T, StoreError>
where
    T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>,
{
    let read = match row {
        Either::Sqlite(row) => row.try_get(name),
        Either::Postgres(row) => row.try_get(name),
    };
    read.map_err(|error| StoreError::corrupt(format!("column `{name}`: {error}")))
}

/// Reads a column that holds a moment.
pub(crate) fn moment(row: &Row, name: &str) -> Result<Timestamp, StoreError> {
    column(row, name).map(Timestamp::from_unix_ms)
}

/// Reads a column that holds a moment or nothing.
pub(crate) fn perhaps_moment(row: &Row, name: &str) -> Result<Option<Timestamp>, StoreError> {
    Ok(column::<Option<i64>>(row, name)?.map(Timestamp::from_unix_ms))
}

/// Reads a column that holds a number of another width.
pub(crate) fn number<T: TryFrom<i64>>(row: &Row, name: &str) -> Result<T, StoreError> {
    narrow(column(row, name)?, name)
}

/// Reads a column that holds a number of another width or nothing.
pub(crate) fn perhaps_number<T: TryFrom<i64>>(
    row: &Row,
    name: &str,
) -> Result<Option<T>, StoreError> {
    column::<Option<i64>>(row, name)?.map(|number| narrow(number, name)).transpose()
}

/// Reads a column that holds the state of a task.
pub(crate) fn state(row: &Row, name: &str) -> Result<TaskState, StoreError> {
    state_of(column(row, name)?)
}

/// The state with this number.
pub(crate) fn state_of(code: i64) -> Result<TaskState, StoreError> {
    TaskState::from_code(code)
        .ok_or_else(|| StoreError::corrupt(format!("{code} is not the state of a task")))
}

/// Reads a column that holds the hosts that a job came through, or nothing.
pub(crate) fn hops(row: &Row, name: &str) -> Result<Hops, StoreError> {
    let text: Option<&str> = column(row, name)?;
    text.unwrap_or_default().parse().map_err(StoreError::corrupt)
}

/// Reads a column that holds JSON.
pub(crate) fn json<T: DeserializeOwned>(row: &Row, name: &str) -> Result<T, StoreError> {
    parse(column(row, name)?, name)
}

/// Reads a column that holds JSON or nothing.
pub(crate) fn perhaps_json<T: DeserializeOwned>(
    row: &Row,
    name: &str,
) -> Result<Option<T>, StoreError> {
    column::<Option<&str>>(row, name)?.map(|text| parse(text, name)).transpose()
}

/// Narrows a number read from `what`.
pub(crate) fn narrow<T: TryFrom<i64>>(number: i64, what: &str) -> Result<T, StoreError> {
    T::try_from(number)
        .map_err(|_| StoreError::corrupt(format!("`{what}` is {number}, which is out of range")))
}

/// Reads JSON text found in `what`.
pub(crate) fn parse<T: DeserializeOwned>(text: &str, what: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::corrupt(format!("`{what}`: {error}")))
}

/// Writes a value as JSON text.
pub(crate) fn text<T: Serialize + ?Sized>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::corrupt(format!("a value to be stored: {error}")))
}

/// Writes values as the items of a JSON array, without its brackets, so that arrays are joined
/// without being read.
pub(crate) fn items<T: Serialize>(
    values: impl Iterator<Item = Result<T, StoreError>>,
) -> Result<String, StoreError> {
    let mut items = String::new();
    for value in values {
        if !items.is_empty() {
            items.push(',');
        }
        items.push_str(&text(&value?)?);
    }
    Ok(items)
}

/// Joins the items of JSON arrays to one array. None when there is no item.
pub(crate) fn array<'a>(all: impl Iterator<Item = &'a str>) -> Option<String> {
    let all: Vec<_> = all.filter(|items| !items.is_empty()).collect();
    (!all.is_empty()).then(|| format!("[{}]", all.join(",")))
}

/// Fits a count into a column; a count that large does not occur.
pub(crate) fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
