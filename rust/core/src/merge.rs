//! Two sorted samples walked together, value by value.

use crate::domain::Domain;
use std::cmp::Ordering;

/// Visit the distinct values of two sorted slices in order, with how often each occurs in either.
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
        while reference.get(i).is_some_and(|value| *value <= at) {
            i += 1;
        }
        while current.get(j).is_some_and(|value| *value <= at) {
            j += 1;
        }
        visit(at, i - before_i, j - before_j);
    }
}

/// Sort numbers by value; equal ones (0.0 and -0.0) have no order.
///
/// Columns hand out no NaN. Comparing values is one instruction, comparing keys several.
pub fn sort<K: Domain>(values: &mut [K]) {
    values.sort_unstable_by(|a, b| a.partial_cmp(b).unwrap_or(Ordering::Equal));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_are_visited_once() {
        let mut seen = Vec::new();
        walk(&[1.0, 1.0, 3.0], &[-0.0, 0.0, 1.0, 5.0], |at, r, c| {
            seen.push((at, r, c))
        });
        assert_eq!(seen, [(0.0, 0, 2), (1.0, 2, 1), (3.0, 1, 0), (5.0, 0, 1)]);
    }
}
