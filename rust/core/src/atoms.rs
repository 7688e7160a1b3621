//! Frequent values, as rounded and whole numbers have them: one pass tells where nothing else lies.

use crate::cells::CellMap;
use crate::column::{Column, Infinities};
use crate::domain::Domain;
use crate::histogram::{self, Counted};

/// Values are frequent where a sample holds each of them so often, on average.
const FREQUENT: usize = 4;
/// Cells per frequent value.
const CELLS_PER_ATOM: usize = 8;
/// Cells for frequent values. Each is counted in two places; so few of them that the least is counted in lanes.
const ATOM_CELLS: std::ops::RangeInclusive<usize> = 1_024..=16_384;

/// Values so frequent that each has a cell of its own, as far as a sample can tell: rounded and whole numbers have them.
#[derive(Debug, Clone)]
pub(crate) struct Atoms<K> {
    pub map: CellMap,
    /// A value of each cell.
    usual: Vec<K>,
}

impl<K: Domain> Atoms<K> {
    /// Look for atoms in a sorted sample; `None` when it holds many values once, or cells cannot set them apart.
    pub(crate) fn among(sample: &[K]) -> Option<Self> {
        Self::in_cells(Self::choose_map(sample)?, sample)
    }

    /// Choose cells for the values of a sorted sample; `None` when it holds many of them once.
    pub(crate) fn choose_map(sample: &[K]) -> Option<CellMap> {
        let distinct = sample.chunk_by(|a, b| a == b).count();
        let cells = (CELLS_PER_ATOM * distinct).next_power_of_two();
        let cells = cells.clamp(*ATOM_CELLS.start(), *ATOM_CELLS.end());
        (distinct * FREQUENT <= sample.len()).then(|| CellMap::choose(sample, cells))
    }

    /// Take the most frequent value of each cell; `None` when cells cannot set the values apart.
    pub(crate) fn in_cells(map: CellMap, sample: &[K]) -> Option<Self> {
        let mut usual = vec![(K::default(), 0); map.len()];
        for run in sample.chunk_by(|a, b| a == b) {
            let most = &mut usual[map.cell(run[0]) as usize];
            if run.len() > most.1 {
                *most = (run[0], run.len());
            }
        }
        let apart: usize = usual.iter().map(|(_, rows)| rows).sum();
        let usual = usual.into_iter().map(|(value, _)| value).collect();
        (apart * 8 >= sample.len() * 7).then_some(Self { map, usual })
    }

    /// Count columns per cell, and find the cells in which none of them holds anything but the usual value.
    pub(crate) fn count<const N: usize>(
        &self,
        columns: [&Column<'_>; N],
        infinities: Infinities,
        threads: Option<usize>,
    ) -> ([Counted; N], Vec<Option<K>>) {
        let counted =
            histogram::count_unusual(columns, &self.map, &self.usual, infinities, threads);
        let is_lone = |cell: usize| counted.iter().all(|(_, others)| others[cell] == 0);
        let lone = self.usual.iter().enumerate();
        let lone = lone.map(|(cell, usual)| is_lone(cell).then_some(*usual));
        let lone = lone.collect();
        (counted.map(|(counted, _)| counted), lone)
    }
}
