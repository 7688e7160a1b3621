//! Fuzz target of the Arrow reader: hostile C structs, made from the fuzzer's bytes, read and counted.
//!
//! `structs` keeps what the C data interface promises and no consumer can check (pointers are null or valid, buffers are as large
//! as their layout says) and lies about all else. Buffers are as small as the promise allows and lie on the heap, so that the
//! address sanitizer sees every byte read too many. Run by `make fuzz`.
#![no_main]
#![allow(dead_code)]

#[path = "../rust/binding/src/arrow.rs"]
mod arrow;
#[path = "../rust/binding/src/contents.rs"]
mod contents;
#[path = "../rust/binding/src/convert.rs"]
mod convert;
#[path = "../rust/binding/src/memory.rs"]
mod memory;
mod structs;
#[path = "../rust/binding/src/written.rs"]
mod written;

use arrow::ReadColumn;
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use structs::{Dice, Plan};
use tidewheel_core::bins::Thresholds;
use tidewheel_core::categories::{self, StringColumn, Vocabulary};
use tidewheel_core::column::Column;
use tidewheel_core::domain::{Common, Domain};
use tidewheel_core::{histogram, ks, select};

/// Longer columns (without memory, of the null type) are only made, not counted.
const MOST_COUNTED: usize = 1 << 14;

fuzz_target!(|data: &[u8]| {
    let mut dice = Dice::new(data);
    let name = (!dice.one_in(4)).then_some("x");
    let plan = Plan::roll(&mut dice, name.is_none());
    for column in read(&plan, &mut dice, name).into_iter().flatten() {
        // The arrays are gone by now, but for what the columns keep of them.
        use_column(&column);
    }
});

fn read(plan: &Plan, dice: &mut Dice<'_>, name: Option<&str>) -> Option<Vec<ReadColumn>> {
    if dice.one_in(2) {
        let arrays: Vec<_> = (0..dice.below(3))
            .map(|_| Arc::new(plan.array(dice)))
            .collect();
        return arrow::read(&plan.schema(dice), &arrays, name).ok();
    }
    let mut stream = plan.stream(dice);
    let schema = arrow::stream_schema(&mut stream).ok()?;
    let mut arrays = Vec::new();
    while let Some(array) = arrow::next_array(&mut stream).ok()? {
        arrays.push(Arc::new(array));
    }
    arrow::read(&schema, &arrays, name).ok()
}

fn use_column(column: &ReadColumn) {
    let contents = &column.contents;
    if contents.rows() > MOST_COUNTED {
        return;
    }
    if let Some(numbers) = contents.numbers() {
        assert_eq!(numbers.len(), contents.rows());
        match numbers.common(&numbers) {
            Common::Float => use_numbers::<f64>(&numbers),
            Common::Signed => use_numbers::<i64>(&numbers),
            Common::Unsigned => use_numbers::<u64>(&numbers),
        }
    }
    if let Some(strings) = contents.strings() {
        assert_eq!(strings.len(), contents.rows());
        use_strings(&strings);
    }
}

fn use_numbers<K: Domain>(column: &Column<'_>) {
    let rows = column.len() as u64;
    let (_, parts) = select::range::<K>(column, Some(1));
    assert_eq!(parts.rows, rows);
    let edges = (0..3).map(K::from_i64).collect();
    let thresholds = Thresholds::new(edges).expect("0, 1, 2 increase");
    let counted = histogram::count_slots(column, &thresholds, Some(1));
    assert_eq!(counted.parts, parts);
    assert_eq!(counted.counts.iter().sum::<u64>(), parts.finite());
    if let Ok(found) = ks::distance::<K>(column, column, ks::Alternative::TwoSided, Some(1)) {
        assert_eq!(found.numerator, 0);
    }
}

fn use_strings(column: &StringColumn<'_>) {
    let (ranked, parts) = categories::ranked(column, Some(1));
    assert_eq!(parts.rows, column.len() as u64);
    let present: u64 = ranked.iter().map(|(_, count)| count).sum();
    assert_eq!(present + parts.missing, parts.rows);
    let unnamed = Vocabulary::default().count(column, Some(1));
    assert_eq!(unnamed.counts.len(), categories::BUCKETS);
    assert_eq!(unnamed.counts.iter().sum::<u64>(), present);
}
