//! A reference sorted once, for the exact Kolmogorov-Smirnov distance of many current samples.
//!
//! Kept are the distinct values with how many rows lie up to each, and the rows per cell of a map. A current sample is counted
//! into the cells and searched as in [`crate::ks`]; the reference is not read again, and the numbers are the same. A small
//! current sample is sorted, and its values are looked up.

use crate::atoms::Atoms;
use crate::cell_rows::{Gathered, Wanted};
use crate::cells::CellMap;
use crate::column::{BLOCK, Chunk, Column, Infinities, Parts, Reading, TASK_ROWS, Values};
use crate::dispatch;
use crate::domain::{Common, Domain};
use crate::error::Error;
use crate::histogram;
use crate::ks::{self, Alternative, Distance};
use crate::merge;
use crate::parallel;
use crate::search::Search;
use crate::select;
use std::borrow::Cow;
use std::ops::Range;

/// Up to this many current rows looking each of them up is faster than walking over all cells.
const LOOK_UP_TO: usize = 4_096;

/// The sorted reference in one domain.
#[derive(Debug, Clone)]
pub struct Ranks<K> {
    /// Distinct numbers, infinities included, in increasing order.
    values: Vec<K>,
    /// Rows up to and with each of them; empty when each is the value of one row.
    up_to: Vec<u64>,
    /// Some of the values, by even ranks.
    sample: Vec<K>,
    /// Frequent values, if there are any; their cells are those of the map.
    atoms: Option<Atoms<K>>,
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

    fn new(values: Vec<K>, mut up_to: Vec<u64>, parts: Parts) -> Self {
        let rows = up_to.last().copied().unwrap_or(0);
        if rows == values.len() as u64 {
            up_to = Vec::new();
        }
        let step = rows.div_ceil(2 * ks::SAMPLE as u64).max(1) as usize;
        let ranks = (0..rows).step_by(step);
        let place = |rank| match up_to.is_empty() {
            true => rank as usize,
            false => up_to.partition_point(|count| *count <= rank),
        };
        let of_rank = |rank| values.get(place(rank)).copied();
        let sample: Vec<K> = ranks
            .filter_map(of_rank)
            .filter(|value| value.is_finite())
            .collect();
        let atoms = Atoms::among(&sample);
        let map = match &atoms {
            Some(atoms) => atoms.map,
            None => CellMap::choose(&sample, ks::cells_for(rows as usize * 2)),
        };
        let mut ranks = Self {
            values,
            up_to,
            sample,
            atoms,
            map,
            counts: Vec::new(),
            firsts: Vec::new(),
            parts,
        };
        ranks.firsts = ranks.firsts_in(&map, 0..ranks.values.len(), None);
        ranks.counts = ranks.counts_between(&ranks.firsts);
        ranks
    }

    /// Rows of the distinct values before a place.
    fn before(&self, place: usize) -> u64 {
        match (self.up_to.is_empty(), place.checked_sub(1)) {
            (true, _) => place as u64,
            (false, None) => 0,
            (false, Some(last)) => self.up_to[last],
        }
    }

    /// The place of the first of some distinct values that lies in each cell of a map or above it, and their end.
    fn firsts_in(&self, map: &CellMap, places: Range<usize>, threads: Option<usize>) -> Vec<usize> {
        let values = &self.values[places.clone()];
        let threads = parallel::threads_for(threads, values.len());
        // The values are sorted, so a task meets a run of cells: its first cell, and where each of its cells ends.
        let ends = parallel::map(values.len().div_ceil(TASK_ROWS), threads, |task| {
            let (mut cells, mut end) = ([0; BLOCK], places.start + task * TASK_ROWS);
            let values = values.chunks(TASK_ROWS).nth(task).unwrap_or_default();
            let cell_of = |value: Option<&K>| value.map_or(0, |value| map.cell(*value) as usize);
            let (first, last) = (cell_of(values.first()), cell_of(values.last()));
            let mut ends = vec![0; last - first + 1];
            for block in values.chunks(BLOCK) {
                let cells = &mut cells[..block.len()];
                dispatch::map_cells(map, block, cells);
                for cell in cells {
                    end += 1;
                    // The last of a cell's values stays.
                    ends[*cell as usize - first] = end;
                }
            }
            (first, ends)
        });
        let mut firsts = vec![places.start; map.len() + 1];
        for (first, ends) in ends {
            firsts[first + 1..first + 1 + ends.len()].copy_from_slice(&ends);
        }
        // A cell without values starts where the one before it ended.
        for cell in 1..firsts.len() {
            firsts[cell] = firsts[cell].max(firsts[cell - 1]);
        }
        firsts
    }

    /// Rows from each place to the next.
    fn counts_between(&self, places: &[usize]) -> Vec<u64> {
        let mut last = places.first().map_or(0, |place| self.before(*place));
        let rows = |place: &usize| {
            let before = std::mem::replace(&mut last, self.before(*place));
            last - before
        };
        places.iter().skip(1).map(rows).collect()
    }

    /// The same reference in another domain; values that become equal there are one.
    fn converted<L: Domain>(&self, convert: impl Fn(K) -> L) -> Ranks<L> {
        let (mut values, mut up_to): (Vec<L>, Vec<u64>) = (Vec::new(), Vec::new());
        for (place, value) in self.values.iter().enumerate() {
            let value = convert(*value);
            if values.last() == Some(&value) {
                up_to.pop();
            } else {
                values.push(value);
            }
            up_to.push(self.before(place + 1));
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
        let ([counted], mut lone) = match &self.atoms {
            Some(atoms) => atoms.count([current], Infinities::Keep, threads),
            None => {
                let all = Reading::All(Infinities::Keep);
                let counted = histogram::count_cells::<K, 1>([current], &self.map, &all, threads);
                (counted, Vec::new())
            }
        };
        // The reference's own values must be the usual ones too.
        for (lone, ends) in lone.iter_mut().zip(self.firsts.windows(2)) {
            let own = &self.values[ends[0]..ends[1]];
            *lone = lone.filter(|value| own.iter().all(|own| own == value));
        }
        let (n, m) = (self.parts.numbers(), counted.parts.numbers());
        let mut search = Search::new(n as usize, m as usize, alternative)?;
        let counts = [Cow::Borrowed(&self.counts[..]), Cow::Owned(counted.counts)];
        let (mut firsts, mut kept) = (Cow::Borrowed(&self.firsts), None);
        let level = search.zoom(self.map, counts, &lone, &self.sample, |zoom| {
            let start = self.values.partition_point(|value| *value < zoom.span.low);
            let end = self
                .values
                .partition_point(|value| *value <= zoom.span.high);
            firsts = Cow::Owned(self.firsts_in(&zoom.map, start..end, threads));
            let wanted = Wanted::new(&zoom.map, zoom.likely.clone(), &self.sample);
            let within = Reading::Within(zoom.span, None);
            let ([counts], rows) = wanted.count_and_gather([current], within, threads);
            kept = Some((zoom.likely, rows));
            [self.counts_between(&firsts), counts]
        });
        let (places, [gathered]) = level.take(kept).unwrap_or_else(|| {
            let rows = |_: usize, cell: usize| level.counts[1][cell];
            level.gather([current], &self.sample, rows, threads)
        });
        let both = |place: usize| {
            let cell = level.candidates[place].cell;
            let reference = self.rows(firsts[cell]..firsts[cell + 1]);
            [reference, gathered.get(places[place])]
        };
        let (candidates, rows) = (&level.candidates, level.candidate_rows());
        search
            .refine_all(candidates, rows, both, threads)
            .finish(self.parts, counted.parts)
            // As in `ks`: a copy cannot be overwritten meanwhile.
            .or_else(|_| self.look_up(current, alternative))
    }

    /// The reference's rows of some of its distinct values.
    fn rows(&self, places: Range<usize>) -> Gathered<'_, K> {
        let values = &self.values[places.clone()];
        let mut before = self.before(places.start);
        let rows = (self.before(places.end) - before) as usize;
        let usual = values.first().copied().unwrap_or_default();
        if values.len() == 1 {
            let (repeats, others) = (rows, Cow::default());
            return Gathered {
                usual,
                repeats,
                others,
            };
        }
        let mut others = Vec::with_capacity(rows);
        for (value, place) in values.iter().zip(places) {
            let up_to = self.before(place + 1);
            others.resize(others.len() + (up_to - before) as usize, *value);
            before = up_to;
        }
        let (repeats, others) = (0, Cow::Owned(others));
        Gathered {
            usual,
            repeats,
            others,
        }
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
        let (mut passed, mut j) = (0, 0);
        for run in rows.chunk_by(|a, b| a == b) {
            let place = passed + self.values[passed..].partition_point(|value| *value < run[0]);
            if place > passed {
                search.offer(d(self.before(place), j), self.values[place - 1]);
            }
            passed = place + usize::from(self.values.get(place) == Some(&run[0]));
            j += run.len() as u64;
            search.offer(d(self.before(passed), j), run[0]);
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
