//! The integral of `|F - G|` over sorted values, F and G being the distribution functions of two samples.
//!
//! Differences are whole numbers `d = m i - n j` until they meet a gap, and all that is added up is at least 0: no digits cancel.

use crate::cell_rows::Gathered;
use crate::column::Parts;
use crate::domain::Domain;
use crate::error::Error;
use crate::merge;

/// How `d = m i - n j` after `i` reference and `j` current rows becomes `F - G`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) n: u64,
    pub(crate) m: u64,
    /// `d` below all finite values; 0 unless minus infinity has not the same share in both samples.
    start: i128,
    /// `d` lost to plus infinity.
    end: i128,
}

impl Sizes {
    pub(crate) fn new(reference: &Parts, current: &Parts) -> Result<Self, Error> {
        let (n, m) = (reference.numbers(), current.numbers());
        if n == 0 || m == 0 {
            return Err(Error::no_numbers(n, m));
        }
        let sizes = Self {
            n,
            m,
            start: 0,
            end: 0,
        };
        Ok(Self {
            start: sizes.step(reference.infinite_below, current.infinite_below),
            end: sizes.step(reference.infinite_above, current.infinite_above),
            ..sizes
        })
    }

    /// What `r` reference and `c` current rows add to `d`.
    pub(crate) fn step(&self, r: u64, c: u64) -> i128 {
        i128::from(self.m) * i128::from(r) - i128::from(self.n) * i128::from(c)
    }

    /// `F - G` where `d` is given.
    pub(crate) fn difference(&self, d: i128) -> f64 {
        to_float(d) / (self.n as f64 * self.m as f64)
    }

    pub(crate) fn is_infinite(&self) -> bool {
        self.start != 0 || self.end != 0
    }
}

/// An integer as a float. Most fit 64 bits, which turn into a float much faster.
#[inline(always)]
pub(crate) fn to_float(integer: i128) -> f64 {
    match i64::try_from(integer) {
        Ok(integer) => integer as f64,
        Err(_) => wide_to_float(integer),
    }
}

/// Out of the way, or both would be computed and one of them thrown away.
#[cold]
#[inline(never)]
fn wide_to_float(integer: i128) -> f64 {
    integer as f64
}

/// A sum that carries what each addition rounds away (Neumaier 1974).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sum {
    total: f64,
    lost: f64,
}

impl Sum {
    pub(crate) fn add(&mut self, term: f64) {
        let total = self.total + term;
        self.lost += if self.total.abs() >= term.abs() {
            (self.total - total) + term
        } else {
            (term - total) + self.total
        };
        self.total = total;
    }

    /// Add another sum with what it carries.
    pub(crate) fn join(&mut self, other: &Self) {
        self.add(other.total);
        self.lost += other.lost;
    }

    pub(crate) fn value(&self) -> f64 {
        if self.total.is_finite() {
            self.total + self.lost
        } else {
            self.total
        }
    }
}

/// A height of at most 1 times the distance between two values, which may be more than a float can hold.
#[inline(always)]
pub(crate) fn area<K: Domain>(height: f64, from: K, to: K) -> f64 {
    let gap = from.gap(to);
    if gap < f64::INFINITY {
        height * gap
    } else {
        area_of_halves(height, from.to_f64(), to.to_f64())
    }
}

/// Out of the way, for it is needed at the ends of the range of floats alone.
#[cold]
#[inline(never)]
fn area_of_halves(height: f64, from: f64, to: f64) -> f64 {
    2.0 * (height * (to / 2.0 - from / 2.0))
}

/// The integral of `|F - G|` as far as it has come; all terms are at least 0.
pub(crate) struct Integral<'a, K> {
    sizes: &'a Sizes,
    pub(crate) sum: Sum,
    d: i128,
    at: Option<K>,
}

impl<'a, K: Domain> Integral<'a, K> {
    /// Start at `at` (or at the first value met), where `d` is given.
    pub(crate) fn new(sizes: &'a Sizes, d: i128, at: Option<K>) -> Self {
        let sum = Sum::default();
        Self { sizes, sum, d, at }
    }

    /// Go on to `next`, which no value since then lies below.
    pub(crate) fn reach(&mut self, next: K) {
        // Where F and G are equal an infinite gap must not make NaN.
        if let (Some(at), true) = (self.at, self.d != 0) {
            self.sum
                .add(area(self.sizes.difference(self.d).abs(), at, next));
        }
        self.at = Some(next);
    }

    pub(crate) fn pass(&mut self, value: K, r: usize, c: usize) {
        self.reach(value);
        self.d += self.sizes.step(r as u64, c as u64);
    }

    pub(crate) fn pass_all(&mut self, r: &mut [K], c: &mut [K]) {
        merge::sort(r);
        merge::sort(c);
        merge::walk(r, c, |value, r, c| self.pass(value, r, c));
    }
}

/// Terms added up plainly before the sum that carries what is lost: too few to lose a digit that counts.
const PLAIN_TERMS: usize = 64;

impl Integral<'_, f64> {
    /// Go on over the rows of a cell, by their keys if these leave a bit free and no number overflows.
    pub(crate) fn pass_gathered(
        &mut self,
        r: &Gathered<'_, f64>,
        c: &Gathered<'_, f64>,
        keys: &mut Vec<u64>,
    ) {
        let Sizes { n, m, .. } = *self.sizes;
        keys.clear();
        r.keys_into(keys);
        c.keys_into(keys);
        let ends = |(low, high): (u64, u64), key: &u64| (low.min(*key), high.max(*key));
        let (low, high) = keys.iter().fold((u64::MAX, 0), ends);
        // Keys that fit, and distances that do: else the rows are walked one by one.
        let is_narrow = high - low < 1 << 63
            && (f64::of_key(high) - self.at.unwrap_or(f64::of_key(low))).is_finite();
        let fits = n.checked_mul(m).is_some_and(|most| most < 1 << 62);
        if is_narrow && fits {
            self.pass_keys(keys, r.len(), low, [m as i64, -(n as i64)]);
        } else {
            self.pass_all(&mut r.to_values(), &mut c.to_values());
        }
    }

    /// Go on over keys from `low` on, the first `len` of them the reference's; `steps` is what a row of either adds to `d`.
    ///
    /// What is clever: distances from the least key are sorted as integers, the sample in their lowest bit, and then
    /// integrated without a branch: between equal values lies no gap, so their order does not matter.
    fn pass_keys(&mut self, keys: &mut [u64], len: usize, low: u64, steps: [i64; 2]) {
        let (reference, current) = keys.split_at_mut(len);
        reference
            .iter_mut()
            .for_each(|key| *key = (*key - low) << 1);
        current
            .iter_mut()
            .for_each(|key| *key = ((*key - low) << 1) | 1);
        keys.sort_unstable();
        self.reach(f64::of_key(low));
        let (mut d, mut at, unit) = (self.d as i64, f64::of_key(low), self.sizes.difference(1));
        for keys in keys.chunks(PLAIN_TERMS) {
            let mut sum = 0.0;
            for key in keys {
                let value = f64::of_key(low + (key >> 1));
                sum += (d as f64).abs() * unit * (value - at);
                (d, at) = (d + steps[(key & 1) as usize], value);
            }
            self.sum.add(sum);
        }
        (self.d, self.at) = (d.into(), Some(at));
    }
}
