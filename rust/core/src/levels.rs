//! Cells, and narrower cells where it matters: the levels on which the distance is searched ([`crate::search`]).

use crate::cell_rows::{CellRows, Wanted};
use crate::cells::{CellMap, Span};
use crate::column::{Column, Infinities, Reading};
use crate::domain::Domain;
use crate::ks::cells_for;
use crate::search::{Candidate, SORT_INLINE, Search};
use std::borrow::Cow;

/// Counting a part of the line again in narrower cells costs as much as sorting one in so many of its rows.
const SORT_ONE_IN: u64 = 16;
/// Cells into which one is cut where more than half of all rows are counted again, at least.
const MUCH_NARROWER: usize = 8;
/// Counting again and again is given up here; values that fall into few cells however narrow are rare.
const ZOOMS: usize = 4;
/// Rows that are kept while counting again, at most: one in so many, of the cells in which the distance is most likely attained.
const KEEP_ONE_IN: u64 = 256;

/// The part of the line in which the distance is attained, in cells.
pub(crate) struct Level<'a, K> {
    map: CellMap,
    /// Rows of both samples per cell.
    pub counts: [Cow<'a, [u64]>; 2],
    /// What the counts were counted of.
    pub reading: Reading<K>,
    /// Cells in which the distance may be attained, largest bound first.
    pub candidates: Vec<Candidate>,
}

/// A part of the line that is to be counted again.
pub(crate) struct Zoom<K> {
    pub map: CellMap,
    pub span: Span<K>,
    /// Cells in which the distance is most likely attained.
    pub likely: Vec<usize>,
    /// `d` before the part.
    start: i128,
}

/// Rows gathered of some cells of several columns, and the place of each candidate among them.
type Rows<K, const N: usize> = (Vec<usize>, [CellRows<K>; N]);

impl<K: Domain> Level<'_, K> {
    /// Take the rows of the candidates from those that were kept of other cells, if they are all among them.
    pub(crate) fn take<const N: usize>(&self, kept: Option<Rows<K, N>>) -> Option<Rows<K, N>> {
        let (cells, rows) = kept?;
        let place = |candidate: &Candidate| cells.binary_search(&candidate.cell).ok();
        let places: Option<Vec<usize>> = self.candidates.iter().map(place).collect();
        Some((places?, rows))
    }

    /// Gather the rows of the candidates.
    pub(crate) fn gather<const N: usize>(
        &self,
        columns: [&Column<'_>; N],
        sample: &[K],
        rows: impl Fn(usize, usize) -> u64 + Sync,
        threads: Option<usize>,
    ) -> Rows<K, N> {
        let cells: Vec<usize> = self.candidates.iter().map(|one| one.cell).collect();
        let places = (0..cells.len()).collect();
        let wanted = Wanted::new(&self.map, cells, sample);
        (places, wanted.gather(columns, self.reading, rows, threads))
    }

    /// Rows of both samples in a cell.
    fn rows(&self, cell: usize) -> u64 {
        self.counts[0][cell] + self.counts[1][cell]
    }

    /// Rows of the candidates.
    pub(crate) fn candidate_rows(&self) -> u64 {
        self.candidates.iter().map(|one| self.rows(one.cell)).sum()
    }

    /// The values of some cells.
    fn span(&self, first: usize, last: usize) -> Span<K> {
        let span = self.map.span(first, last);
        match self.reading {
            Reading::Within(read, _) => span.and(read),
            Reading::All(_) => span,
        }
    }
}

impl<K: Domain> Search<K> {
    /// Bound the cells of a map, and count again what lies around the candidates as long as that is worth it. `lone` has the
    /// values of cells that are known to hold one alone; `recount` counts a part of the line on both sides.
    pub(crate) fn zoom<'a>(
        &mut self,
        map: CellMap,
        counts: [Cow<'a, [u64]>; 2],
        lone: &[Option<K>],
        sample: &[K],
        mut recount: impl FnMut(Zoom<K>) -> [Vec<u64>; 2],
    ) -> Level<'a, K> {
        let candidates = self.bound(&counts[0], &counts[1], 0, lone);
        let reading = Reading::All(Infinities::Keep);
        let mut level = Level {
            map,
            counts,
            reading,
            candidates,
        };
        for _ in 0..ZOOMS {
            let Some(zoom) = self.narrower(&level, sample) else {
                break;
            };
            let (map, start, reading) = (zoom.map, zoom.start, Reading::Within(zoom.span, None));
            let counts = recount(zoom).map(Cow::Owned);
            level = Level {
                map,
                candidates: self.bound(&counts[0], &counts[1], start, &[]),
                counts,
                reading,
            };
        }
        level
    }

    /// The part of the line in which the candidates lie, if it is worth to be counted again.
    fn narrower(&self, level: &Level<'_, K>, sample: &[K]) -> Option<Zoom<K>> {
        let all = (self.n + self.m) as u64;
        let candidate_rows = level.candidate_rows();
        if candidate_rows <= SORT_INLINE {
            return None;
        }
        let first = level.candidates.iter().min_by_key(|one| one.cell)?;
        let last = level.candidates.iter().map(|one| one.cell).max()?;
        let rows: u64 = (first.cell..=last).map(|cell| level.rows(cell)).sum();
        let before: u64 = level.counts.iter().flat_map(|counts| counts.iter()).sum();
        let span = level.span(first.cell, last);
        let start = sample.partition_point(|value| *value < span.low);
        let end = sample.partition_point(|value| *value <= span.high);
        let inside = sample.get(start..end)?;
        // Where values are few, narrower cells would not set them apart any better.
        let is_spread = 2 * inside.chunk_by(|a, b| a == b).count() > inside.len();
        let is_cheaper = candidate_rows > rows / SORT_ONE_IN;
        // A part is counted at the speed of memory; all of the line only where its cells become much narrower.
        let cells = cells_for(rows as usize);
        let is_part = 2 * rows <= before || MUCH_NARROWER * (last + 1 - first.cell) <= cells;
        (is_part && is_spread && is_cheaper).then(|| {
            // Outer cells that reach far beyond the sample would be wide, hence candidates.
            let ends = [span.low, span.high].map(|end| end.is_finite().then_some(end));
            let spread = ends[0].into_iter().chain(inside.iter().copied());
            let spread: Vec<K> = spread.chain(ends[1]).collect();
            let map = CellMap::choose_to_ends(&spread, cells);
            Zoom {
                map,
                span,
                likely: self.likely(level, &map, all / KEEP_ONE_IN),
                start: first.start,
            }
        })
    }

    /// Cells of another map in which the distance is most likely attained, in increasing order: where it is largest at the
    /// borders of candidates, up to so many rows.
    fn likely(&self, level: &Level<'_, K>, map: &CellMap, rows: u64) -> Vec<usize> {
        let at_borders = |one: &Candidate| {
            let [r, c] = [0, 1].map(|side: usize| i128::from(level.counts[side][one.cell]));
            let end = one.start + self.m * r - self.n * c;
            let [above, below] = [one.start.max(end), -one.start.min(end)];
            let [is_above, is_below] = self.wanted;
            (above * i128::from(is_above)).max(below * i128::from(is_below))
        };
        let mut order: Vec<(i128, usize)> = level
            .candidates
            .iter()
            .map(|one| (at_borders(one), one.cell))
            .collect();
        order.sort_unstable_by_key(|(largest, cell)| (std::cmp::Reverse(*largest), *cell));
        let mut left = rows;
        let fits = |(_, cell): &&(i128, usize)| {
            let fits = level.rows(*cell) <= left;
            left = left.saturating_sub(level.rows(*cell));
            fits
        };
        let mut cells: Vec<usize> = Vec::new();
        for (_, cell) in order.iter().take_while(fits) {
            let span = level.span(*cell, *cell);
            cells.extend(map.cell(span.low) as usize..=map.cell(span.high) as usize);
        }
        cells.sort_unstable();
        cells.dedup();
        cells
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell_rows::Gathered;
    use crate::column::{Parts, Values};
    use crate::histogram;
    use crate::ks::{Alternative, sample_both};

    /// The distance by levels, and how often a part was counted again: with the rows of all cells kept on the way, or with none,
    /// so that those of the candidates are gathered.
    fn search(r: &[f64], c: &[f64], keep: bool) -> (u128, f64, usize) {
        let (r, c) = (Column::from(Values::F64(r)), Column::from(Values::F64(c)));
        let columns = [&r, &c];
        let sample = sample_both::<f64>(&r, &c, None);
        let map = CellMap::choose(&sample, cells_for(r.len() + c.len()));
        let all = Reading::All(Infinities::Keep);
        let counts = histogram::count_cells::<f64, 2>(columns, &map, &all, None);
        let counts = counts.map(|counted| Cow::Owned(counted.counts));
        let mut search = Search::new(r.len(), c.len(), Alternative::TwoSided).unwrap();
        let (mut zooms, mut kept) = (0, None);
        let level = search.zoom(map, counts, &[], &sample, |zoom| {
            let cells: Vec<usize> = (0..zoom.map.len()).filter(|_| keep).collect();
            let wanted = Wanted::new(&zoom.map, cells.clone(), &sample);
            let within = Reading::Within(zoom.span, None);
            let (counts, rows) = wanted.count_and_gather(columns, within, None);
            (zooms, kept) = (zooms + 1, Some((cells, rows)));
            counts
        });
        let taken = level.take(kept);
        assert_eq!(taken.is_some(), keep);
        let (places, rows) = taken.unwrap_or_else(|| {
            level.gather(
                columns,
                &sample,
                |side, cell| level.counts[side][cell],
                None,
            )
        });
        let gathered = |place: usize| -> [Gathered<'_, f64>; 2] {
            [rows[0].get(places[place]), rows[1].get(places[place])]
        };
        let found = search
            .refine_all(&level.candidates, level.candidate_rows(), gathered, None)
            .finish(Parts::default(), Parts::default());
        assert!(found.is_ok(), "the distance is in none of the cells");
        let found = found.unwrap();
        (found.numerator, found.location, zooms)
    }

    #[test]
    fn kept_and_gathered_rows_give_the_same() {
        // Without noise the difference is flat around its largest value: many cells there are candidates.
        let values = |power: f64| (0..400_000).map(move |i| (f64::from(i) / 4e5).powf(power));
        let (r, c): (Vec<f64>, Vec<f64>) = (values(1.0).collect(), values(1.004).collect());
        let (numerator, location, zooms) = search(&r, &c, true);
        assert_eq!(zooms, 1);
        assert_eq!(search(&r, &c, false), (numerator, location, zooms));
        let mut sorted = Search::new(r.len(), c.len(), Alternative::TwoSided).unwrap();
        sorted.sort_and_merge(&mut r.clone(), &mut c.clone(), 0);
        let sorted = sorted.finish(Parts::default(), Parts::default()).unwrap();
        assert_eq!((sorted.numerator, sorted.location), (numerator, location));
    }
}
