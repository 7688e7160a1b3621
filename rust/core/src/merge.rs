//! Two sorted samples walked together, value by value.

use crate::domain::Domain;

/// Visit the distinct values of two sorted slices in order, with how often each occurs in either.
///
/// It ends even where a NaN has slipped in: a row may be overwritten between the look at it and its copy.
#[expect(
    clippy::neg_cmp_op_on_partial_ord,
    reason = "a NaN must be passed, and so must not compare as greater"
)]
pub fn walk<K: Domain>(reference: &[K], current: &[K], mut visit: impl FnMut(K, usize, usize)) {
    let (mut i, mut j) = (0, 0);
    loop {
        let at = match (reference.get(i), current.get(j)) {
            (Some(&a), Some(&b)) if b < a => b,
            (Some(&a), _) => a,
            (None, Some(&b)) => b,
            (None, None) => return,
        };
        let (before_i, before_j) = (i, j);
        while reference.get(i).is_some_and(|value| !(*value > at)) {
            i += 1;
        }
        while current.get(j).is_some_and(|value| !(*value > at)) {
            j += 1;
        }
        visit(at, i - before_i, j - before_j);
    }
}

/// Sort numbers by value; equal ones (0.0 and -0.0) have no order.
///
/// Comparing values is one instruction, comparing keys several: these order a NaN that was written meanwhile.
pub fn sort<K: Domain>(values: &mut [K]) {
    values.sort_unstable_by(|a, b| a.partial_cmp(b).unwrap_or_else(|| a.key().cmp(&b.key())));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nan_ends_neither_order_nor_walk() {
        let mut values: Vec<f64> = (0..100).map(|i| f64::from(i * 37 % 100)).collect();
        (values[3], values[50]) = (f64::NAN, -f64::NAN);
        sort(&mut values);
        for (reference, current) in [
            (&values[..], &[1.0, 7.5][..]),
            (&[0.5], &values),
            (&values, &values),
        ] {
            let (mut r_rows, mut c_rows) = (0, 0);
            walk(reference, current, |_, r, c| {
                assert!(r + c > 0);
                (r_rows, c_rows) = (r_rows + r, c_rows + c);
            });
            assert_eq!((r_rows, c_rows), (reference.len(), current.len()));
        }
    }

    #[test]
    fn ties_are_visited_once() {
        let mut seen = Vec::new();
        walk(&[1.0, 1.0, 3.0], &[-0.0, 0.0, 1.0, 5.0], |at, r, c| {
            seen.push((at, r, c))
        });
        assert_eq!(seen, [(0.0, 0, 2), (1.0, 2, 1), (3.0, 1, 0), (5.0, 0, 1)]);
    }
}
