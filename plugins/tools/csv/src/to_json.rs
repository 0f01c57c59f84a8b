//! JSON of CSV: an object for each row, one row held at a time.

use std::io::{Read, Write};

use apflow_command::Failure;
use csv::ByteRecord;
use serde_json::Value;

use crate::table::{Column, Table};

/// Writes an array of objects, or with `is_lines` an object on each line.
///
/// With `is_typed`, a cell that is a number, `true` or `false` in JSON is one, and an empty cell is
/// `null`.
pub(crate) fn write(
    table: &Table,
    is_typed: bool,
    is_lines: bool,
    input: impl Read,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let mut reader = table.reader(input);
    let mut columns = None;
    if table.has_headers {
        columns = Some(table.find(reader.byte_headers()?)?);
    }
    let (before, between, after) = if is_lines { ("", "\n", "\n") } else { ("[", ",\n ", "]\n") };
    output.write_all(before.as_bytes())?;
    let (mut row, mut is_first) = (ByteRecord::new(), true);
    while reader.read_byte_record(&mut row)? {
        let columns = match &columns {
            Some(columns) => columns,
            None => columns.insert(table.find(&row)?),
        };
        if !is_first {
            output.write_all(between.as_bytes())?;
        }
        is_first = false;
        write_row(columns, &row, is_typed, output)?;
    }
    if !(is_lines && is_first) {
        output.write_all(after.as_bytes())?;
    }
    Ok(())
}

/// The names stand in the order of the columns, so no map is in between.
fn write_row(
    columns: &[Column],
    row: &ByteRecord,
    is_typed: bool,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    for (at, column) in columns.iter().enumerate() {
        output.write_all(if at == 0 { b"{" } else { b"," })?;
        serde_json::to_writer(&mut *output, &column.name)?;
        output.write_all(b":")?;
        let cell = row.get(column.index).unwrap_or_default();
        let cell = std::str::from_utf8(cell).map_err(|error| {
            let line = row.position().map_or(0, csv::Position::line);
            Failure::new(format!("line {line}: column `{}` is not UTF-8: {error}", column.name))
        })?;
        serde_json::to_writer(&mut *output, &value(cell, is_typed))?;
    }
    output.write_all(b"}")?;
    Ok(())
}

fn value(cell: &str, is_typed: bool) -> Value {
    if is_typed && cell.is_empty() {
        return Value::Null;
    }
    let typed = if is_typed { serde_json::from_str(cell).ok() } else { None };
    let is_kept = |value: &Value| value.is_number() || value.is_boolean();
    typed.filter(is_kept).unwrap_or_else(|| cell.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "name,count\n\"a, \"\"b\"\"\",007\nc,-1.5\n,true\n";

    fn json(text: &str, table: &Table, is_typed: bool, is_lines: bool) -> Result<String, Failure> {
        let mut output = Vec::new();
        write(table, is_typed, is_lines, text.as_bytes(), &mut output)?;
        Ok(String::from_utf8(output).unwrap())
    }

    #[test]
    fn a_row_is_an_object_in_the_order_of_its_columns() {
        let expected = "[{\"name\":\"a, \\\"b\\\"\",\"count\":\"007\"},\n \
                        {\"name\":\"c\",\"count\":\"-1.5\"},\n {\"name\":\"\",\"count\":\"true\"}]\n";
        assert_eq!(json(TEXT, &Table::default(), false, false), Ok(expected.to_owned()));
        assert_eq!(json("a,b\n", &Table::default(), false, false).unwrap(), "[]\n");
        assert_eq!(json("a,b\n", &Table::default(), false, true).unwrap(), "");
    }

    #[test]
    fn cells_that_are_json_are_typed_when_asked_for() {
        let columns = vec!["count".to_owned(), "name".to_owned()];
        let table = Table { columns, ..Table::default() };
        let expected = "{\"count\":\"007\",\"name\":\"a, \\\"b\\\"\"}\n\
                        {\"count\":-1.5,\"name\":\"c\"}\n{\"count\":true,\"name\":null}\n";
        assert_eq!(json(TEXT, &table, true, true).unwrap(), expected);
    }

    #[test]
    fn columns_without_names_have_numbers() {
        let table = Table { has_headers: false, delimiter: b';', ..Table::default() };
        assert_eq!(json("a;b\n", &table, false, true).unwrap(), "{\"1\":\"a\",\"2\":\"b\"}\n");
    }

    #[test]
    fn a_row_of_another_length_is_a_fault_with_its_line() {
        let failure = json("a,b\n1,2\n3\n", &Table::default(), false, false).unwrap_err();
        assert!(failure.to_string().contains("line: 3"), "{failure}");
    }
}
