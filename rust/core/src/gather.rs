//! Single rows of columns, for statistics that look at several columns of a row at once.

use crate::categories::StringColumn;
use crate::column::Column;
use crate::error::Error;
use crate::units::Units;

/// The number in each of the given rows as a float, and whether there is one (a missing row gives 0 and `false`).
///
/// Integers beyond 2^53 are rounded. NaN and the infinities come as they are.
pub fn numbers(column: &Column<'_>, rows: &[u64]) -> Result<(Vec<f64>, Vec<u8>), Error> {
    let starts = starts(column.chunks().iter().map(|chunk| chunk.values.len()));
    let mut values = Vec::with_capacity(rows.len());
    let mut there = Vec::with_capacity(rows.len());
    for &row in rows {
        let (chunk, at) = place(&starts, row)?;
        let value = column.chunks()[chunk].get(at);
        values.push(value.unwrap_or(0.0));
        there.push(u8::from(value.is_some()));
    }
    Ok((values, there))
}

/// The string in each of the given rows; `None` where it is missing.
pub fn strings<'a>(
    column: &StringColumn<'a>,
    rows: &[u64],
) -> Result<Vec<Option<&'a [u8]>>, Error> {
    let starts = starts(column.chunks.iter().map(|chunk| chunk.len()));
    rows.iter()
        .map(|&row| {
            let (chunk, at) = place(&starts, row)?;
            Ok(column.chunks[chunk].get(at))
        })
        .collect()
}

/// The unit of each of the given rows.
pub fn codes(units: &Units, rows: &[u64]) -> Result<Vec<u32>, Error> {
    rows.iter()
        .map(|&row| {
            let code = usize::try_from(row).ok().and_then(|at| units.codes.get(at));
            code.copied()
                .ok_or_else(|| beyond(row, units.codes.len() as u64))
        })
        .collect()
}

/// First row of each chunk, and the number of rows last.
fn starts(lengths: impl Iterator<Item = usize>) -> Vec<u64> {
    let mut starts = vec![0];
    let mut end = 0;
    for length in lengths {
        end += length as u64;
        starts.push(end);
    }
    starts
}

fn place(starts: &[u64], row: u64) -> Result<(usize, usize), Error> {
    let chunk = starts.partition_point(|&start| start <= row);
    if chunk == starts.len() {
        return Err(beyond(row, starts[chunk - 1]));
    }
    Ok((chunk - 1, (row - starts[chunk - 1]) as usize))
}

fn beyond(row: u64, rows: u64) -> Error {
    Error::Input(format!(
        "`rows` must lie among the {rows} rows of the column; got {row}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::categories::{StringChunk, Strings};
    use crate::column::{Bits, Chunk, Values};

    #[test]
    fn rows_of_any_chunk_are_found() {
        let (one, other) = ([1.5f64, f64::NAN], [7i8, 8, 9]);
        let column = Column::new(vec![
            Chunk {
                values: Values::F64(&one),
                validity: None,
            },
            Chunk {
                values: Values::F64(&[]),
                validity: None,
            },
            Chunk {
                values: Values::I8(&other),
                validity: Some(Bits::new(&[0b101], 0)),
            },
        ]);
        let (values, there) = numbers(&column, &[4, 0, 3, 2, 1]).unwrap();
        assert_eq!(values[..4], [9.0, 1.5, 0.0, 7.0]);
        assert!(values[4].is_nan());
        assert_eq!(there, [1, 1, 0, 1, 1]);
        let refused = numbers(&column, &[5]).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "`rows` must lie among the 5 rows of the column; got 5"
        );
        assert!(numbers(&Column::new(vec![]), &[0]).is_err());
    }

    #[test]
    fn strings_and_units_are_found() {
        let chunk = StringChunk {
            strings: Strings::Small(&[0, 1, 3], b"abc"),
            validity: Some(Bits::new(&[0b10], 0)),
        };
        let column = StringColumn {
            chunks: vec![chunk.clone(), chunk],
        };
        assert_eq!(
            strings(&column, &[3, 2, 1]).unwrap(),
            [Some(&b"bc"[..]), None, Some(b"bc")]
        );
        assert!(strings(&column, &[4]).is_err());
        let units = Units {
            codes: vec![0, 0, 1],
            count: 2,
        };
        assert_eq!(codes(&units, &[2, 0]).unwrap(), [1, 0]);
        assert!(codes(&units, &[3]).is_err());
    }
}
