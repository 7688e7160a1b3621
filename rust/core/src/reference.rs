//! A reference sorted once, for the exact Kolmogorov-Smirnov distance of many current samples.
//!
//! Kept are the distinct values with how many rows lie up to each, and the rows per cell of a map. A current sample is counted
//! into the cells and searched as in [`crate::ks`]; the reference is not read again, and the numbers are the same. A small
//! current sample is sorted, and its values are looked up.

use crate::cell_rows::{Gathered, Wanted};
use crate::cells::CellMap;
use crate::column::{Chunk, Column, Infinities, Parts, Values};
use crate::domain::{Common, Domain};
use crate::error::Error;
use crate::histogram;
use crate::ks::{self, Alternative, Distance, Search};
use crate::merge;
use crate::select;

/// Up to this many current rows looking each of them up is faster than walking over all cells.
const LOOK_UP_TO: usize = 4_096;

/// The sorted reference in one domain.
#[derive(Debug, Clone)]
pub struct Ranks<K> {
    /// Distinct numbers, infinities included, in increasing order.
    values: Vec<K>,
    /// Rows up to and with each of them.
    up_to: Vec<u64>,
    map: CellMap,
    /// Rows per cell.
    counts: Vec<u64>,
    /// Place of the first distinct value of each cell, and one past the last.
    firsts: Vec<usize>,
    parts: Parts,
}

impl<K: Domain> Ranks<K> {
    /// Sort a reference.
    ///
    /// # Errors
    /// [`Error::Input`] when it holds no number.
    pub fn fit(reference: &Column<'_>) -> Result<Self, Error> {
        let (mut rows, parts) = select::collect::<K>(reference, Infinities::Keep);
        if rows.is_empty() {
            return Err(Error::Input(
                "`reference` must hold at least one number; got none".into(),
            ));
        }
        merge::sort(&mut rows);
        let (mut values, mut up_to, mut count) = (Vec::new(), Vec::new(), 0);
        for run in rows.chunk_by(|a, b| a == b) {
            count += run.len() as u64;
            values.push(run[0]);
            up_to.push(count);
        }
        Ok(Self::new(values, up_to, parts))
    }

    fn new(values: Vec<K>, up_to: Vec<u64>, parts: Parts) -> Self {
        let rows = up_to.last().copied().unwrap_or(0);
        let step = rows.div_ceil(2 * ks::SAMPLE as u64).max(1) as usize;
        let ranks = (0..rows).step_by(step);
        let of_rank = |rank| {
            values
                .get(up_to.partition_point(|count| *count <= rank))
                .copied()
        };
        let sample: Vec<K> = ranks
            .filter_map(of_rank)
            .filter(|value| value.is_finite())
            .collect();
        let map = CellMap::choose(&sample, ks::cells_for(rows as usize * 2));
        let mut firsts = vec![0; map.len() + 1];
        for value in &values {
            firsts[map.cell(*value) as usize + 1] += 1;
        }
        for cell in 1..firsts.len() {
            firsts[cell] += firsts[cell - 1];
        }
        let before = |place: usize| place.checked_sub(1).map_or(0, |last| up_to[last]);
        let counts = firsts
            .windows(2)
            .map(|ends| before(ends[1]) - before(ends[0]))
            .collect();
        Self {
            values,
            up_to,
            map,
            counts,
            firsts,
            parts,
        }
    }

    /// The same reference in another domain; values that become equal there are one.
    fn converted<L: Domain>(&self, convert: impl Fn(K) -> L) -> Ranks<L> {
        let (mut values, mut up_to): (Vec<L>, Vec<u64>) = (Vec::new(), Vec::new());
        for (value, count) in self.values.iter().zip(&self.up_to) {
            let value = convert(*value);
            if values.last() == Some(&value) {
                up_to.pop();
            } else {
                values.push(value);
            }
            up_to.push(*count);
        }
        Ranks::new(values, up_to, self.parts)
    }

    /// Measure the distance to a current sample; see [`ks::distance`], whose numbers these are.
    ///
    /// # Errors
    /// [`Error::Input`] when the current sample holds no number.
    pub fn distance(
        &self,
        current: &Column<'_>,
        alternative: Alternative,
        threads: Option<usize>,
    ) -> Result<Distance<K>, Error> {
        if current.len() <= LOOK_UP_TO {
            return self.look_up(current, alternative);
        }
        let keep = Infinities::Keep;
        let [counted] = histogram::count_cells::<K, 1>([current], &self.map, keep, threads);
        let m = counted.parts.numbers() as usize;
        let mut search = Search::new(self.parts.numbers() as usize, m, alternative)?;
        let candidates = search.bound(&self.counts, &counted.counts, 0);
        let cells = || candidates.iter().map(|candidate| candidate.cell);
        let rows: Vec<u64> = cells().map(|cell| counted.counts[cell]).collect();
        // The first value of each cell that has one of its own.
        let firsts =
            cells().filter_map(|cell| self.values[..self.firsts[cell + 1]].get(self.firsts[cell]));
        let usual: Vec<K> = firsts.copied().collect();
        let wanted = Wanted::new(&self.map, cells(), &usual);
        let [gathered] = wanted.gather([current], [&rows], keep, threads);
        let own = |cell: usize| self.counts[cell];
        let many = cells().map(own).sum::<u64>() + rows.iter().sum::<u64>();
        let both = |place: usize| [self.rows(candidates[place].cell), gathered[place].clone()];
        search
            .refine_all(&candidates, both, many, threads)
            .finish(self.parts, counted.parts)
    }

    /// The reference's rows in a cell.
    fn rows(&self, cell: usize) -> Gathered<K> {
        let mut rows = Gathered::default();
        let (first, end) = (self.firsts[cell], self.firsts[cell + 1]);
        let mut before = first.checked_sub(1).map_or(0, |last| self.up_to[last]);
        for (value, count) in self.values[first..end].iter().zip(&self.up_to[first..end]) {
            rows.push_many(*value, (count - before) as usize);
            before = *count;
        }
        rows
    }

    /// Look at the distance where it can be greatest: at each current value, and at the last reference value before it.
    fn look_up(
        &self,
        current: &Column<'_>,
        alternative: Alternative,
    ) -> Result<Distance<K>, Error> {
        let (mut rows, parts) = select::collect::<K>(current, Infinities::Keep);
        merge::sort(&mut rows);
        let (n, m) = (self.parts.numbers(), rows.len() as u64);
        let mut search = Search::new(n as usize, rows.len(), alternative)?;
        let d = |i: u64, j: u64| i128::from(m) * i128::from(i) - i128::from(n) * i128::from(j);
        let before = |place: usize| place.checked_sub(1).map_or(0, |last| self.up_to[last]);
        let (mut passed, mut j) = (0, 0);
        for run in rows.chunk_by(|a, b| a == b) {
            let place = passed + self.values[passed..].partition_point(|value| *value < run[0]);
            if place > passed {
                search.offer(d(before(place), j), self.values[place - 1]);
            }
            passed = place + usize::from(self.values.get(place) == Some(&run[0]));
            j += run.len() as u64;
            search.offer(d(before(passed), j), run[0]);
        }
        if let Some(last) = self.values[passed..].last() {
            search.offer(d(n, j), *last);
        }
        search.finish(self.parts, parts)
    }
}

/// The sorted reference, in the domain of its own type.
#[derive(Debug, Clone)]
enum Own {
    Float(Ranks<f64>),
    Signed(Ranks<i64>),
    Unsigned(Ranks<u64>),
}

/// A reference sorted once, for current samples of any numeric type.
#[derive(Debug, Clone)]
pub struct Reference {
    own: Own,
    /// No values of the reference's type.
    kind: Values<'static>,
}

/// A distance in the domain in which both samples were compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Found {
    /// Floats.
    Float(Distance<f64>),
    /// Signed integers.
    Signed(Distance<i64>),
    /// Unsigned integers.
    Unsigned(Distance<u64>),
}

impl Reference {
    /// Sort a reference.
    ///
    /// # Errors
    /// [`Error::Input`] when it holds no number.
    pub fn fit(reference: &Column<'_>) -> Result<Self, Error> {
        let own = match reference.common(reference) {
            Common::Float => Own::Float(Ranks::fit(reference)?),
            Common::Signed => Own::Signed(Ranks::fit(reference)?),
            Common::Unsigned => Own::Unsigned(Ranks::fit(reference)?),
        };
        Ok(Self {
            own,
            kind: reference.kind(),
        })
    }

    /// What the reference holds beside finite numbers.
    pub fn parts(&self) -> Parts {
        match &self.own {
            Own::Float(ranks) => ranks.parts,
            Own::Signed(ranks) => ranks.parts,
            Own::Unsigned(ranks) => ranks.parts,
        }
    }

    /// Measure the distance to a current sample, in the domain that both types share; see [`ks::distance`].
    ///
    /// # Errors
    /// [`Error::Input`] when the current sample holds no number.
    pub fn distance(
        &self,
        current: &Column<'_>,
        side: Alternative,
        threads: Option<usize>,
    ) -> Result<Found, Error> {
        let like = Column::new(vec![Chunk {
            values: self.kind,
            validity: None,
        }]);
        match (&self.own, like.common(current)) {
            (Own::Float(ranks), Common::Float) => {
                ranks.distance(current, side, threads).map(Found::Float)
            }
            (Own::Signed(ranks), Common::Signed) => {
                ranks.distance(current, side, threads).map(Found::Signed)
            }
            (Own::Unsigned(ranks), Common::Unsigned) => {
                ranks.distance(current, side, threads).map(Found::Unsigned)
            }
            // A type of up to 32 bits beside one of 64.
            (Own::Float(ranks), Common::Signed) => {
                let ranks = ranks.converted(i64::from_f64);
                ranks.distance(current, side, threads).map(Found::Signed)
            }
            (Own::Float(ranks), Common::Unsigned) => {
                let ranks = ranks.converted(u64::from_f64);
                ranks.distance(current, side, threads).map(Found::Unsigned)
            }
            (Own::Signed(ranks), _) => {
                let ranks = ranks.converted(Domain::to_f64);
                ranks.distance(current, side, threads).map(Found::Float)
            }
            (Own::Unsigned(ranks), _) => {
                let ranks = ranks.converted(Domain::to_f64);
                ranks.distance(current, side, threads).map(Found::Float)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn column(values: Values<'_>) -> Column<'_> {
        Column::new(vec![Chunk {
            values,
            validity: None,
        }])
    }

    /// The distance against the fitted and against the raw reference.
    fn both(r: Values<'_>, c: Values<'_>, side: Alternative) -> (Found, Found) {
        let (r, c) = (column(r), column(c));
        let fitted = Reference::fit(&r)
            .unwrap()
            .distance(&c, side, None)
            .unwrap();
        let raw = match r.common(&c) {
            Common::Float => Found::Float(ks::distance(&r, &c, side, None).unwrap()),
            Common::Signed => Found::Signed(ks::distance(&r, &c, side, None).unwrap()),
            Common::Unsigned => Found::Unsigned(ks::distance(&r, &c, side, None).unwrap()),
        };
        (fitted, raw)
    }

    const SIDES: [Alternative; 3] = [
        Alternative::TwoSided,
        Alternative::Less,
        Alternative::Greater,
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn fitted_and_raw_agree(r in prop::collection::vec(-400i32..400, 1..300), c in prop::collection::vec(-400i32..420, 1..300),
                                repeats in prop::sample::select(vec![1usize, 40, 90]), infinite in any::<bool>()) {
            let spread = |values: &[i32], repeats: usize| -> Vec<f64> {
                let one = |i: usize| values.iter().map(move |v| (f64::from(*v) / 7.0).powi(3) + (i % 3) as f64 * 1e-9);
                (0..repeats).flat_map(one).collect()
            };
            let (mut r, mut c) = (spread(&r, repeats / 30 + 1), spread(&c, repeats));
            if infinite {
                r.extend([f64::INFINITY, f64::NAN, 0.0]);
                c.extend([f64::NEG_INFINITY, f64::INFINITY, -0.0]);
            }
            for side in SIDES {
                let (fitted, raw) = both(Values::F64(&r), Values::F64(&c), side);
                prop_assert_eq!(fitted, raw);
            }
        }
    }

    #[test]
    fn samples_of_other_types_meet_in_the_domain_of_both() {
        let wide: Vec<i64> = (0..9_000).map(|i| (1 << 53) + i * 3 % 1_000).collect();
        let unsigned: Vec<u64> = wide.iter().map(|v| *v as u64 + 1).collect();
        let narrow: Vec<i32> = (0..9_000).map(|i| i * 7 % 501).collect();
        let floats: Vec<f64> = wide.iter().map(|v| *v as f64 + 2.0).collect();
        let kinds = [
            Values::I64(&wide),
            Values::U64(&unsigned),
            Values::I32(&narrow),
            Values::F64(&floats),
        ];
        for r in kinds {
            for c in kinds {
                let (fitted, raw) = both(r, c, Alternative::TwoSided);
                assert_eq!(fitted, raw);
            }
        }
    }

    #[test]
    fn a_reference_must_hold_a_number() {
        let error = Reference::fit(&column(Values::F64(&[f64::NAN]))).unwrap_err();
        assert!(error.to_string().contains("at least one number; got none"));
        let fitted = Reference::fit(&column(Values::F64(&[1.0]))).unwrap();
        let nothing = column(Values::F64(&[f64::NAN]));
        assert!(fitted.distance(&nothing, Alternative::Less, None).is_err());
    }
}
