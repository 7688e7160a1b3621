//! The search for the place at which `d = m i - n j` is largest, after `i` reference and `j` current rows: bounds of cells, and
//! the refinement of those in which it may lie.

use crate::cell_rows::Gathered;
use crate::cells::CellMap;
use crate::column::Parts;
use crate::domain::Domain;
use crate::error::Error;
use crate::ks::{Alternative, Distance};
use crate::merge;
use crate::parallel;
use std::ops::{Add, Mul, Sub};

/// A gathered cell up to this size is sorted; a larger one is cut into cells again.
const SORT_CELL_UP_TO: usize = 1_024;
/// Cells that are bounded together first.
const GROUP: usize = 64;
/// Below this many rows one thread refines all cells.
pub(crate) const SORT_INLINE: u64 = 1 << 15;
/// Cutting again and again is given up here, and the cell sorted: only adversarial values get so far.
const DEPTH: usize = 12;

/// Whole numbers that are wide enough; those of 64 bits are several times faster.
pub(crate) trait Whole:
    Copy + Ord + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Into<i128>
{
    fn of(count: u64) -> Self;
    /// `None` beyond the largest of these numbers.
    fn from_wide(number: i128) -> Option<Self>;
}

impl Whole for i64 {
    fn of(count: u64) -> Self {
        count as i64
    }
    fn from_wide(number: i128) -> Option<Self> {
        number.try_into().ok()
    }
}

impl Whole for i128 {
    fn of(count: u64) -> Self {
        count.into()
    }
    fn from_wide(number: i128) -> Option<Self> {
        Some(number)
    }
}

/// A cell in which the distance may be attained: its bound, and `d` before its first row.
pub(crate) struct Candidate {
    pub bound: i128,
    pub cell: usize,
    pub start: i128,
}

/// The running search; `d = m i - n j` after `i` reference and `j` current rows.
#[derive(Clone)]
pub(crate) struct Search<K> {
    pub n: i128,
    pub m: i128,
    /// Which sides count: `d` itself, and `-d`.
    pub wanted: [bool; 2],
    best: [Option<(i128, K)>; 2],
    /// What the distance is known to reach.
    pub lower: i128,
}

impl<K: Domain> Search<K> {
    pub(crate) fn new(n: usize, m: usize, alternative: Alternative) -> Result<Self, Error> {
        if n == 0 || m == 0 {
            return Err(Error::no_numbers(n as u64, m as u64));
        }
        let wanted = match alternative {
            Alternative::TwoSided => [true, true],
            Alternative::Greater => [true, false],
            Alternative::Less => [false, true],
        };
        Ok(Self {
            n: n as i128,
            m: m as i128,
            wanted,
            best: [None; 2],
            lower: 0,
        })
    }

    pub(crate) fn offer(&mut self, d: i128, at: K) {
        for (side, value) in [d, -d].into_iter().enumerate() {
            let better = self.best[side]
                .is_none_or(|(best, place)| value > best || (value == best && at < place));
            if self.wanted[side] && better {
                self.best[side] = Some((value, at));
                self.lower = self.lower.max(value);
            }
        }
    }

    /// Raise `lower` by the values at the cell borders; return the cells worth a look, largest bound first.
    ///
    /// `lone` has the values of cells that are known to hold one alone: there the distance is what it is at their end.
    pub(crate) fn bound(
        &mut self,
        r: &[u64],
        c: &[u64],
        start: i128,
        lone: &[Option<K>],
    ) -> Vec<Candidate> {
        // `d` and the bounds stay within what all rows could add.
        let pairs = self.n.checked_mul(self.m);
        let fits = pairs.is_some_and(|pairs| pairs < 1 << 60) && start.unsigned_abs() < 1 << 60;
        let mut candidates = if fits {
            self.bound_in::<i64>(r, c, start as i64, lone)
        } else {
            self.bound_in::<i128>(r, c, start, lone)
        };
        candidates
            .sort_unstable_by_key(|candidate| (std::cmp::Reverse(candidate.bound), candidate.cell));
        candidates
    }

    fn bound_in<I: Whole>(
        &mut self,
        r: &[u64],
        c: &[u64],
        start: I,
        lone: &[Option<K>],
    ) -> Vec<Candidate> {
        let (n, m) = (I::of(self.n as u64), I::of(self.m as u64));
        let [above, below] = self.wanted;
        let step = |(r, c): (&u64, &u64)| (m * I::of(*r), n * I::of(*c));
        // Most groups of cells are done with by their sums: `d` before the group, and what the distance cannot exceed inside.
        let groups = || r.chunks(GROUP).zip(c.chunks(GROUP)).enumerate();
        let mut bounds = Vec::with_capacity(r.len().div_ceil(GROUP));
        let (mut d, mut highest, mut least) = (start, start, start);
        for (_, (r, c)) in groups() {
            let (up, down) = step((&r.iter().sum(), &c.iter().sum()));
            bounds.push((d, (d + up).max(down - d)));
            d = d + up - down;
            (highest, least) = (highest.max(d), least.min(d));
        }
        // The start is no border: it counted when the cells around were bounded.
        let raise = |lower: &mut i128, highest: I, least: I| {
            if above {
                *lower = (*lower).max(highest.into());
            }
            if below {
                *lower = (*lower).max(-least.into());
            }
            I::from_wide(*lower)
        };
        let Some(mut lower) = raise(&mut self.lower, highest, least) else {
            return Vec::new();
        };
        for (group, (r, c)) in groups() {
            let (mut d, bound) = bounds[group];
            if bound >= lower {
                let (mut highest, mut least) = (d, d);
                for (up, down) in r.iter().zip(c).map(step) {
                    d = d + up - down;
                    (highest, least) = (highest.max(d), least.min(d));
                }
                lower = raise(&mut self.lower, highest, least).unwrap_or(lower);
            }
        }
        let mut candidates = Vec::new();
        for (group, (r, c)) in groups() {
            let (mut end, bound) = bounds[group];
            if bound < lower {
                continue;
            }
            for (cell, (up, down)) in (group * GROUP..).zip(r.iter().zip(c).map(step)) {
                let start = end;
                end = start + up - down;
                let has = |rows: I| rows > I::of(0);
                if let Some(Some(value)) = lone.get(cell) {
                    if has(up) || has(down) {
                        self.offer(end.into(), *value);
                    }
                    continue;
                }
                // The largest d is attained at a reference value, the least at a current value.
                let (most, least) = (start + up, down - start);
                let bound = match (has(up) & above, has(down) & below) {
                    (true, true) => most.max(least),
                    (true, false) => most,
                    (false, true) => least,
                    (false, false) => continue,
                };
                if bound >= lower {
                    let (bound, start) = (bound.into(), start.into());
                    candidates.push(Candidate { bound, cell, start });
                }
            }
        }
        candidates
    }

    /// Refine candidates with the rows that `gathered` has for each of them, `rows` in all.
    ///
    /// Threads know only of the distances that they found themselves. So they may refine a cell in vain, but none is left out in
    /// which the distance is attained: the result is the same.
    pub(crate) fn refine_all<'g>(
        mut self,
        candidates: &[Candidate],
        rows: u64,
        gathered: impl Fn(usize) -> [Gathered<'g, K>; 2] + Sync,
        threads: Option<usize>,
    ) -> Self {
        let threads = match rows < SORT_INLINE {
            true => 1,
            false => parallel::available(threads),
        };
        let start = || self.clone();
        let states = parallel::fold(candidates.len(), threads, start, |search, place| {
            let candidate = &candidates[place];
            if candidate.bound >= search.lower {
                let [r, c] = gathered(place);
                search.refine_gathered(candidate, &r, &c);
            }
        });
        for [above, below] in states.into_iter().map(|state| state.best) {
            if let Some((d, at)) = above {
                self.offer(d, at);
            }
            if let Some((d, at)) = below {
                self.offer(-d, at);
            }
        }
        self
    }

    /// Refine a cell; one that holds a single value needs nothing but its counts.
    fn refine_gathered(&mut self, candidate: &Candidate, r: &Gathered<'_, K>, c: &Gathered<'_, K>) {
        let value = match (r.single(), c.single()) {
            (Some(r), Some(c)) if r == c => Some(r),
            (Some(r), None) if c.is_empty() => Some(r),
            (None, Some(c)) if r.is_empty() => Some(c),
            _ => None,
        };
        match value {
            Some(value) => {
                let (i, j) = (r.len() as i128, c.len() as i128);
                self.offer(candidate.start + self.m * i - self.n * j, value);
            }
            None => self.refine(candidate, &mut r.to_values(), &mut c.to_values(), 0),
        }
    }

    pub(crate) fn refine(&mut self, candidate: &Candidate, r: &mut [K], c: &mut [K], depth: usize) {
        if candidate.bound < self.lower {
            return;
        }
        let both = || r.iter().chain(c.iter()).copied();
        let least = both().min_by_key(|value| value.key());
        let (Some(low), Some(high)) = (least, both().max_by_key(|value| value.key())) else {
            return;
        };
        if low == high {
            return self.offer(
                candidate.start + self.m * r.len() as i128 - self.n * c.len() as i128,
                low,
            );
        }
        let rows = r.len() + c.len();
        if rows <= SORT_CELL_UP_TO || depth >= DEPTH {
            return self.sort_and_merge(r, c, candidate.start);
        }
        let cells = (rows / 64).clamp(64, 8_192);
        let linear = if depth.is_multiple_of(2) {
            CellMap::between(low, high, cells)
        } else {
            None
        };
        let map = linear.unwrap_or_else(|| CellMap::between_keys(low, high, cells));
        let (mut r, r_starts) = bucket(r, &map);
        let (mut c, c_starts) = bucket(c, &map);
        let (r_counts, c_counts) = (rows_between(&r_starts), rows_between(&c_starts));
        for inner in self.bound(&r_counts, &c_counts, candidate.start, &[]) {
            let r = &mut r[r_starts[inner.cell]..r_starts[inner.cell + 1]];
            let c = &mut c[c_starts[inner.cell]..c_starts[inner.cell + 1]];
            self.refine(&inner, r, c, depth + 1);
        }
    }

    pub(crate) fn sort_and_merge(&mut self, r: &mut [K], c: &mut [K], start: i128) {
        merge::sort(r);
        merge::sort(c);
        let most = self.m * r.len() as i128 + self.n * c.len() as i128;
        if start.unsigned_abs() < 1 << 61 && most < 1 << 61 {
            self.merge_in::<i64>(r, c, start as i64);
        } else {
            self.merge_in::<i128>(r, c, start);
        }
    }

    /// Follow `d` over sorted values, and offer its extremes.
    fn merge_in<I: Whole>(&mut self, r: &[K], c: &[K], start: I) {
        let (n, m) = (I::of(self.n as u64), I::of(self.m as u64));
        let (mut d, mut highest, mut least) = (start, None, None);
        merge::walk(r, c, |at, r, c| {
            d = d + m * I::of(r as u64) - n * I::of(c as u64);
            if highest.is_none_or(|(highest, _)| d > highest) {
                highest = Some((d, at));
            }
            if least.is_none_or(|(least, _)| d < least) {
                least = Some((d, at));
            }
        });
        for (d, at) in [highest, least].into_iter().flatten() {
            self.offer(d.into(), at);
        }
    }

    pub(crate) fn finish(self, reference: Parts, current: Parts) -> Result<Distance<K>, Error> {
        let [above, below] = self.best;
        let is_below = match (above, below) {
            (Some((a, _)), Some((b, _))) => b > a,
            (None, _) => true,
            _ => false,
        };
        let (sign, winner) = if is_below { (-1, below) } else { (1, above) };
        let (value, location) = winner
            .ok_or_else(|| Error::Input("the samples changed while they were read".into()))?;
        let numerator = value.max(0) as u128;
        Ok(Distance {
            numerator,
            location,
            sign,
            n: self.n as u64,
            m: self.m as u64,
            reference,
            current,
        })
    }
}

/// Order values by cell (counting sort); cell `i` is `starts[i]..starts[i + 1]`.
pub(crate) fn bucket<K: Domain>(values: &[K], map: &CellMap) -> (Vec<K>, Vec<usize>) {
    let mut starts = vec![0usize; map.len() + 1];
    for value in values {
        starts[map.cell(*value) as usize + 1] += 1;
    }
    for cell in 1..starts.len() {
        starts[cell] += starts[cell - 1];
    }
    let mut next = starts.clone();
    let mut ordered = vec![K::default(); values.len()];
    for value in values {
        let place = &mut next[map.cell(*value) as usize];
        ordered[*place] = *value;
        *place += 1;
    }
    (ordered, starts)
}

/// Rows of each cell, given where each starts and the last one ends.
pub(crate) fn rows_between(starts: &[usize]) -> Vec<u64> {
    let rows = starts.windows(2).map(|ends| (ends[1] - ends[0]) as u64);
    rows.collect()
}
