//! The tool `date`: reads, moves and formats moments in any time zone.
//!
//! This file reads the command line; the work is in `moment.rs`.

mod moment;

use std::io::Write;
use std::process::ExitCode;

use apflow_command::Arg::{Long, Short, Value};
use apflow_command::{Failure, Output, Parser, ValueExt, run};
use jiff::tz::TimeZone;

use crate::moment::{Move, RFC_2822, RFC_3339, format, moved, read, zone};

fn main() -> ExitCode {
    run("date", date)
}

fn date(mut arguments: Parser, output: &mut Output) -> Result<(), Failure> {
    let (mut text, mut input_format, mut output_format) = ("now".to_owned(), None, None);
    let (mut from, mut to, mut moves) = (None, None, Vec::new());
    while let Some(argument) = arguments.next()? {
        match argument {
            Short('d') | Long("date") => text = arguments.value()?.string()?,
            Short('f') | Long("input-format") => input_format = Some(arguments.value()?.string()?),
            Long("from") => from = Some(zone(&arguments.value()?.string()?)?),
            Short('z') | Long("zone") => to = Some(zone(&arguments.value()?.string()?)?),
            Short('u') | Long("utc") => to = Some(TimeZone::UTC),
            Long("add") => moves.push(Move::forwards(&arguments.value()?.string()?)?),
            Long("subtract") => moves.push(Move::backwards(&arguments.value()?.string()?)?),
            Short('I') | Long("rfc-3339") => output_format = Some(RFC_3339.to_owned()),
            Short('R') | Long("rfc-2822") => output_format = Some(RFC_2822.to_owned()),
            Value(value) => {
                let value = value.string()?;
                output_format = Some(value.strip_prefix('+').unwrap_or(&value).to_owned());
            }
            Short(_) | Long(_) => return Err(argument.unexpected().into()),
        }
    }
    let from = from.or_else(|| to.clone()).unwrap_or(TimeZone::UTC);
    let mut moment = read(&text, input_format.as_deref(), from)?;
    if let Some(to) = to {
        moment = moment.with_time_zone(to);
    }
    let moment = moved(moment, &moves)?;
    writeln!(output, "{}", format(&moment, output_format.as_deref().unwrap_or(RFC_3339))?)?;
    Ok(())
}
