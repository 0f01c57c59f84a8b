//! How a table is written, and which of its columns are meant.

use std::io::{Read, Write};

use apflow_command::Failure;
use csv::{ByteRecord, Reader, ReaderBuilder, Writer, WriterBuilder};

/// How a table is written, and which of its columns are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    /// What stands between two cells.
    pub(crate) delimiter: u8,
    /// Whether the first row names the columns. Else they are called 1, 2 and so on.
    pub(crate) has_headers: bool,
    /// The columns that are meant, in their order. Empty: all.
    pub(crate) columns: Vec<String>,
}

impl Default for Table {
    fn default() -> Self {
        Self { delimiter: b',', has_headers: true, columns: Vec::new() }
    }
}

/// A column that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    /// Where it stands in a row, from 0.
    pub(crate) index: usize,
    /// What it is called.
    pub(crate) name: String,
}

impl Table {
    /// A reader of such a table. Every row must be as long as the first.
    pub(crate) fn reader<R: Read>(&self, input: R) -> Reader<R> {
        let mut builder = ReaderBuilder::new();
        builder.delimiter(self.delimiter).has_headers(self.has_headers).from_reader(input)
    }

    /// A writer of such a table.
    pub(crate) fn writer<W: Write>(&self, output: W) -> Writer<W> {
        WriterBuilder::new().delimiter(self.delimiter).from_writer(output)
    }

    /// Finds the columns that are meant in the first row of a table.
    ///
    /// # Errors
    ///
    /// A [`Failure`] with the columns that there are when one is not.
    pub(crate) fn find(&self, first: &ByteRecord) -> Result<Vec<Column>, Failure> {
        let name = |(index, cell): (usize, &[u8])| {
            if self.has_headers {
                String::from_utf8_lossy(cell).into_owned()
            } else {
                (index + 1).to_string()
            }
        };
        let names: Vec<String> = first.iter().enumerate().map(name).collect();
        if self.columns.is_empty() {
            let all = names.into_iter().enumerate();
            return Ok(all.map(|(index, name)| Column { index, name }).collect());
        }
        let find = |name: &String| {
            let index = names.iter().position(|known| known == name).ok_or_else(|| {
                let known = names.join("`, `");
                Failure::new(format!("there is no column `{name}`; there are `{known}`"))
            })?;
            Ok(Column { index, name: name.clone() })
        };
        self.columns.iter().map(find).collect()
    }
}

/// Reads a delimiter: one byte, or `tab`.
///
/// # Errors
///
/// A [`Failure`] for anything else.
pub(crate) fn delimiter(text: &str) -> Result<u8, Failure> {
    match text.as_bytes() {
        b"tab" | b"\\t" => Ok(b'\t'),
        [byte] => Ok(*byte),
        _ => Err(Failure::new(format!("the delimiter is `{text}`, but must be one byte or `tab`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(has_headers: bool, columns: &[&str]) -> Result<Vec<(usize, String)>, Failure> {
        let columns = columns.iter().map(ToString::to_string).collect();
        let table = Table { has_headers, columns, ..Table::default() };
        let found = table.find(&ByteRecord::from(vec!["a", "b", "c"]))?;
        Ok(found.into_iter().map(|column| (column.index, column.name)).collect())
    }

    #[test]
    fn columns_are_found_by_name_or_by_number() {
        assert_eq!(find(true, &["c", "a"]), Ok(vec![(2, "c".into()), (0, "a".into())]));
        assert_eq!(find(false, &["2"]), Ok(vec![(1, "2".into())]));
        assert_eq!(find(true, &[]).unwrap().len(), 3);
    }

    #[test]
    fn a_column_that_is_not_there_is_told_with_those_that_are() {
        let failure = find(true, &["d"]).unwrap_err().to_string();
        assert_eq!(failure, "there is no column `d`; there are `a`, `b`, `c`");
    }

    #[test]
    fn a_delimiter_is_a_byte_or_tab() {
        assert_eq!((delimiter(";"), delimiter("tab")), (Ok(b';'), Ok(b'\t')));
        assert!(delimiter("ab").is_err());
    }
}
