//! Counts per unit (a day, a user): what the spread between clusters of rows is estimated from.

use crate::bins::Thresholds;
use crate::categories::{FoldMap, StringColumn};
use crate::column::Column;
use crate::domain::Domain;
use crate::error::Error;

/// The unit of each row as a code, codes being given in the order of first appearance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Units {
    /// One code per row.
    pub codes: Vec<u32>,
    /// Number of units.
    pub count: usize,
}

/// Give codes to numbers; all missing rows together form one unit.
///
/// # Errors
/// [`Error::Input`] when there is no memory for a code per row: a column without values may be longer than any memory.
pub fn encode_numbers<K: Domain>(column: &Column<'_>) -> Result<Units, Error> {
    let mut seen: FoldMap<Option<u64>, u32> = FoldMap::default();
    let mut codes = Vec::new();
    if codes.try_reserve_exact(column.len()).is_err() {
        return Err(Error::Input(format!(
            "a column of units must have no more rows than memory holds codes for; got {}",
            column.len()
        )));
    }
    codes.resize(column.len(), 0);
    for task in column.tasks() {
        column.rows::<K>(task, |row, value| {
            let next = seen.len() as u32;
            codes[row] = *seen.entry(value.map(K::key)).or_insert(next);
        });
    }
    Ok(Units {
        codes,
        count: seen.len(),
    })
}

/// Give codes to strings; all missing rows together form one unit.
pub fn encode_strings(column: &StringColumn<'_>) -> Units {
    let mut seen: FoldMap<Option<&[u8]>, u32> = FoldMap::default();
    let mut codes = Vec::with_capacity(column.len());
    column.rows(|_, key| {
        let next = seen.len() as u32;
        codes.push(*seen.entry(key).or_insert(next));
    });
    Units {
        codes,
        count: seen.len(),
    }
}

/// Count rows per unit and slot; two more places per unit take the infinite and the missing (or NaN) rows.
///
/// The result is a table of `units.count` rows of `thresholds.slots() + 2` entries, row by row.
///
/// ```
/// use tidewheel_core::bins::Thresholds;
/// use tidewheel_core::column::{Column, Values};
/// use tidewheel_core::units::{count_numbers, encode_numbers};
/// let (days, values) = ([7i64, 7, 9], [1.0, 5.0, f64::NAN]);
/// let units = encode_numbers::<i64>(&Column::from(Values::I64(&days)))?;
/// let table = count_numbers(&Column::from(Values::F64(&values)), &Thresholds::new(vec![3.0])?, &units);
/// // Per day: below 3, from 3 on, infinite, missing or NaN.
/// assert_eq!(table, [1, 1, 0, 0, 0, 0, 0, 1]);
/// # Ok::<(), tidewheel_core::Error>(())
/// ```
pub fn count_numbers<K: Domain>(
    column: &Column<'_>,
    thresholds: &Thresholds<K>,
    units: &Units,
) -> Vec<u64> {
    let width = thresholds.slots() + 2;
    let mut table = vec![0; units.count * width];
    for task in column.tasks() {
        column.rows::<K>(task, |row, value| {
            let place = match value {
                Some(value) if value.is_finite() => thresholds.slot(value),
                Some(_) => width - 2,
                None => width - 1,
            };
            add_one(&mut table, units, row, width, place);
        });
    }
    table
}

/// Count rows per unit and name; two more places per unit take other strings and missing rows.
pub fn count_strings(column: &StringColumn<'_>, names: &[Vec<u8>], units: &Units) -> Vec<u64> {
    let width = names.len() + 2;
    let places: FoldMap<&[u8], usize> = names
        .iter()
        .enumerate()
        .map(|(i, name)| (name.as_slice(), i))
        .collect();
    let mut table = vec![0; units.count * width];
    column.rows(|row, key| {
        let place = key.map_or(width - 1, |key| {
            places.get(key).copied().unwrap_or(width - 2)
        });
        add_one(&mut table, units, row, width, place);
    });
    table
}

fn add_one(table: &mut [u64], units: &Units, row: usize, width: usize, place: usize) {
    let unit = units.codes.get(row).copied().unwrap_or(u32::MAX) as usize;
    if let Some(count) = table.get_mut(unit.saturating_mul(width).saturating_add(place)) {
        *count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column::{Chunk, Values};

    #[test]
    fn rows_are_counted_per_unit_and_slot() {
        let (days, values) = ([7i64, 7, 9, 9, 9], [1.0, 5.0, f64::NAN, 2.0, f64::INFINITY]);
        let units = encode_numbers::<i64>(&Column::new(vec![Chunk {
            values: Values::I64(&days),
            validity: None,
        }]))
        .unwrap();
        assert_eq!(
            units,
            Units {
                codes: vec![0, 0, 1, 1, 1],
                count: 2
            }
        );
        let column = Column::new(vec![Chunk {
            values: Values::F64(&values),
            validity: None,
        }]);
        let table = count_numbers(&column, &Thresholds::new(vec![3.0]).unwrap(), &units);
        assert_eq!(table, [1, 1, 0, 0, 1, 0, 1, 1]);
    }
}
