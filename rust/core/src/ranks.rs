//! Statistics of two samples that need both of them sorted; none is on a path that has to be fast.

use crate::column::{Column, Infinities, Parts};
use crate::domain::Domain;
use crate::error::Error;
use crate::integral::area;
use crate::merge;
use crate::select;

/// Both samples, sorted, with what was counted apart.
///
/// ```
/// use tidewheel_core::column::{Column, Values};
/// use tidewheel_core::ranks::Sorted;
/// let (reference, current) = ([0.0, 1.0], [2.0, 3.0]);
/// let sorted = Sorted::<f64>::new(&Column::from(Values::F64(&reference)), &Column::from(Values::F64(&current)))?;
/// // F - G is 1/2 on [0, 1), 1 on [1, 2), 1/2 on [2, 3).
/// assert!((sorted.energy_distance() - 3f64.sqrt()).abs() < 1e-15);
/// # Ok::<(), tidewheel_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sorted<K> {
    r: Vec<K>,
    c: Vec<K>,
    /// Parts of the reference.
    pub reference: Parts,
    /// Parts of the current sample.
    pub current: Parts,
}

impl<K: Domain> Sorted<K> {
    /// Sort the numbers of two columns; missing values and NaN are left out, infinities have their rank.
    ///
    /// # Errors
    /// [`Error::Input`] when one of the columns holds no number.
    pub fn new(reference: &Column<'_>, current: &Column<'_>) -> Result<Self, Error> {
        let (mut r, reference) = select::collect::<K>(reference, Infinities::Keep);
        let (mut c, current) = select::collect::<K>(current, Infinities::Keep);
        if r.is_empty() || c.is_empty() {
            return Err(Error::no_numbers(r.len() as u64, c.len() as u64));
        }
        merge::sort(&mut r);
        merge::sort(&mut c);
        Ok(Self {
            r,
            c,
            reference,
            current,
        })
    }

    /// `sqrt(2 int (F - G)^2)`: the energy distance (Szekely and Rizzo 2013); infinite when F and G differ at an infinity.
    pub fn energy_distance(&self) -> f64 {
        let (n, m) = (self.r.len() as i128, self.c.len() as i128);
        let (mut d, mut sum, mut before) = (0i128, 0.0, None::<K>);
        merge::walk(&self.r, &self.c, |at, r, c| {
            // Where F and G are equal an infinite gap must not make NaN.
            if let (Some(before), true) = (before, d != 0) {
                let difference = d as f64 / (n as f64 * m as f64);
                sum += area(difference * difference / 2.0, before, at);
            }
            d += m * r as i128 - n * c as i128;
            before = Some(at);
        });
        // Halves are added, not whole ones: so the sum may be as large as a float can be.
        f64::sqrt(sum) * 2.0
    }

    /// Four times Anderson's `U = n sum (R_i - i)^2 + m sum (S_j - j)^2`, R and S being midranks in the pooled sample.
    pub fn cramer_von_mises(&self) -> i128 {
        // Doubled, midranks are whole. Of `own` tied values after `i` of their sample, with `others` values of the other
        // sample before and `tied` in all, the t-th has 2 (R - i - t) = a - 2 t with a = 2 others + tied + 1.
        let squares = |own: i128, others: i128, tied: i128| {
            let a = 2 * others + tied + 1;
            own * a * a - 2 * a * own * (own + 1) + 2 * own * (own + 1) * (2 * own + 1) / 3
        };
        let (mut i, mut j) = (0i128, 0i128);
        let (mut of_r, mut of_c) = (0i128, 0i128);
        merge::walk(&self.r, &self.c, |_, r, c| {
            let (r, c) = (r as i128, c as i128);
            of_r += squares(r, j, r + c);
            of_c += squares(c, i, r + c);
            i += r;
            j += c;
        });
        self.r.len() as i128 * of_r + self.c.len() as i128 * of_c
    }

    /// Scholz and Stephens' A^2 of two samples with midranks, before it is standardised; `None` if all values are equal.
    pub fn anderson_darling(&self) -> Option<f64> {
        let (n, m) = (self.r.len() as f64, self.c.len() as f64);
        let total = n + m;
        let (mut i, mut j) = (0i128, 0i128);
        let (mut sum, mut values) = (0.0, 0usize);
        merge::walk(&self.r, &self.c, |_, r, c| {
            let (r, c) = (r as i128, c as i128);
            let tied = (r + c) as f64;
            // Twice N M - n B, M and B being the middles of this value's ranks in the reference and in the pooled sample.
            let twice = self.c.len() as i128 * (2 * i + r) - self.r.len() as i128 * (2 * j + c);
            let middle = (i + j) as f64 + tied / 2.0;
            let spread = middle * (total - middle) - total * tied / 4.0;
            let square = (twice as f64 / 2.0).powi(2);
            if spread > 0.0 {
                sum += tied / total * square / spread;
            }
            i += r;
            j += c;
            values += 1;
        });
        (values > 1).then(|| sum * (1.0 / n + 1.0 / m) * (total - 1.0) / total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column::{Chunk, Values};

    fn sorted(r: &[f64], c: &[f64]) -> Sorted<f64> {
        let column = |values| {
            Column::new(vec![Chunk {
                values: Values::F64(values),
                validity: None,
            }])
        };
        Sorted::new(&column(r), &column(c)).unwrap()
    }

    #[test]
    fn hand_worked_examples() {
        // F - G is 1/2 on [0, 1) and [2, 3): sqrt(2 (1/4 + 1/4)).
        assert_eq!(sorted(&[0.0, 2.0], &[1.0, 3.0]).energy_distance(), 1.0);
        // Ranks 1, 3 and 2, 4: 2 (0 + 1) + 2 (1 + 4) = 12.
        assert_eq!(sorted(&[0.0, 2.0], &[1.0, 3.0]).cramer_von_mises(), 48);
        // Tied ranks 1.5 and 1.5: 1 (1/4) + 1 (1/4).
        assert_eq!(sorted(&[7.0], &[7.0]).cramer_von_mises(), 2);
        assert_eq!(sorted(&[7.0], &[7.0]).anderson_darling(), None);
    }

    #[test]
    fn equal_shares_of_infinity_add_nothing() {
        let both = sorted(&[0.0, f64::INFINITY], &[1.0, f64::INFINITY]);
        assert_eq!(both.energy_distance(), f64::sqrt(0.5));
        assert_eq!(
            sorted(&[0.0], &[f64::INFINITY]).energy_distance(),
            f64::INFINITY
        );
    }
}
