//! Some columns of a table, one row held at a time.

use std::io::{Read, Write};

use apflow_command::Failure;
use csv::ByteRecord;

use crate::table::{Column, Table};

/// Writes the chosen columns.
pub(crate) fn write(
    table: &Table,
    input: impl Read,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let mut reader = table.reader(input);
    let mut writer = table.writer(output);
    let mut columns = None;
    if table.has_headers {
        let found = table.find(reader.byte_headers()?)?;
        writer.write_record(found.iter().map(|column| &column.name))?;
        columns = Some(found);
    }
    let mut row = ByteRecord::new();
    while reader.read_byte_record(&mut row)? {
        let columns: &Vec<Column> = match &columns {
            Some(columns) => columns,
            None => columns.insert(table.find(&row)?),
        };
        writer.write_record(columns.iter().map(|column| &row[column.index]))?;
    }
    writer.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(text: &str, has_headers: bool, columns: &[&str]) -> String {
        let columns = columns.iter().map(ToString::to_string).collect();
        let table = Table { has_headers, columns, ..Table::default() };
        let mut output = Vec::new();
        write(&table, text.as_bytes(), &mut output).unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn columns_are_chosen_by_name_or_by_number() {
        let text = "a,b,c\n1,\"2,\n2\",3\n";
        assert_eq!(selected(text, true, &["c", "b"]), "c,b\n3,\"2,\n2\"\n");
        assert_eq!(selected("1,2\n3,4\n", false, &["2"]), "2\n4\n");
        assert_eq!(selected(text, true, &[]), text);
    }
}
