//! CSV of JSON: rows of objects, from an array or from one object after the other.

use std::fmt;
use std::io::{Read, Write};

use apflow_command::Failure;
use serde_json::{Deserializer, Map, Value};

use crate::table::Table;

/// Writes a row for each object. Without chosen columns there is one for every key, in the order of
/// the alphabet.
pub(crate) fn write(
    table: &Table,
    input: impl Read,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let rows = rows(input)?;
    let mut columns: Vec<&String> = table.columns.iter().collect();
    if columns.is_empty() {
        columns.extend(rows.iter().flat_map(Map::keys));
        columns.sort_unstable();
        columns.dedup();
    }
    let mut writer = table.writer(output);
    // A row without cells would be written as one empty cell.
    if columns.is_empty() {
        return Ok(());
    }
    if table.has_headers {
        writer.write_record(&columns)?;
    }
    for row in &rows {
        writer.write_record(columns.iter().map(|name| cell(row.get(*name))))?;
    }
    writer.flush()?;
    Ok(())
}

/// The objects of all values that are read; those of an array as well.
fn rows(input: impl Read) -> Result<Vec<Map<String, Value>>, Failure> {
    let mut rows = Vec::new();
    let mut add = |value: Value, place: &dyn fmt::Display| {
        let Value::Object(row) = value else {
            return Err(Failure::new(format!("{place} is no object, so it makes no row: {value}")));
        };
        rows.push(row);
        Ok(())
    };
    for (index, value) in Deserializer::from_reader(input).into_iter().enumerate() {
        let value = value?;
        let Value::Array(values) = value else {
            add(value, &format_args!("value {index}"))?;
            continue;
        };
        for (index, value) in values.into_iter().enumerate() {
            add(value, &format_args!("item {index}"))?;
        }
    }
    Ok(rows)
}

/// A text as it is, nothing for null, and anything else as JSON.
fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_))) => {
            other.to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv(json: &str, table: &Table) -> Result<String, Failure> {
        let mut output = Vec::new();
        write(table, json.as_bytes(), &mut output)?;
        Ok(String::from_utf8(output).unwrap())
    }

    #[test]
    fn an_object_is_a_row_with_all_keys_as_columns() {
        let json = r#"[{"b": "x, y", "a": 1}, {"c": [true], "a": null}]"#;
        assert_eq!(csv(json, &Table::default()).unwrap(), "a,b,c\n1,\"x, y\",\n,,[true]\n");
        assert_eq!(csv("{\"a\":1}\n{\"a\":2}", &Table::default()).unwrap(), "a\n1\n2\n");
        assert_eq!(csv("[]", &Table::default()).unwrap(), "");
    }

    #[test]
    fn chosen_columns_stand_in_their_order() {
        let columns = vec!["z".to_owned(), "a".to_owned()];
        let table = Table { columns, has_headers: false, delimiter: b'\t' };
        assert_eq!(csv(r#"{"a": 1, "b": 2}"#, &table).unwrap(), "\t1\n");
    }

    #[test]
    fn what_is_no_object_is_a_fault_with_its_place() {
        let failure = csv("[{}, 3]", &Table::default()).unwrap_err().to_string();
        assert_eq!(failure, "item 1 is no object, so it makes no row: 3");
        assert!(csv("{", &Table::default()).is_err());
    }
}
