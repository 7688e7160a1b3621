//! How many rows of a column lie in each cell of a grid, and the sums of their offsets ([`crate::offsets`]).

use crate::column::{BLOCK, Column, Infinities, Parts, TASK_ROWS, Task};
use crate::dispatch;
use crate::offsets::{Grid, ROWS_THAT_FIT};
use crate::parallel;

/// Rows of a cell and the sum of their offsets.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cell<C, S> {
    pub(crate) rows: C,
    pub(crate) offsets: S,
}

impl Cell<u32, i64> {
    fn widen(&self) -> Cell<u64, i128> {
        let (rows, offsets) = (self.rows.into(), self.offsets.into());
        Cell { rows, offsets }
    }
}

impl Cell<u64, i128> {
    fn add(&self, other: Self) -> Self {
        let (rows, offsets) = (self.rows + other.rows, self.offsets + other.offsets);
        Self { rows, offsets }
    }
}

/// Rows after which one more task could fill the sums of offsets.
const FULL_AFTER: u64 = (ROWS_THAT_FIT - TASK_ROWS) as u64;

/// What is counted of a column: in narrow numbers first, which are added up in wide ones before one could overflow.
pub(crate) struct Sums {
    narrow: Vec<Cell<u32, i64>>,
    /// None as long as the narrow ones hold all.
    wide: Vec<Cell<u64, i128>>,
    /// Rows that the wide ones hold.
    emptied: u64,
    pub(crate) parts: Parts,
}

impl Sums {
    fn new(cells: usize) -> Self {
        Self {
            narrow: vec![Cell::default(); cells],
            wide: Vec::new(),
            emptied: 0,
            parts: Parts::default(),
        }
    }

    fn count(&mut self, column: &Column<'_>, task: Task, grid: &Grid) {
        if self.parts.rows - self.emptied > FULL_AFTER {
            self.flush();
        }
        let narrow = &mut self.narrow;
        let (mut cells, mut offsets) = ([0u32; BLOCK], [0i64; BLOCK]);
        column.blocks_ahead::<f64>(task, Infinities::Leave, &mut self.parts, |block, ahead| {
            let (cells, offsets) = (&mut cells[..block.len()], &mut offsets[..block.len()]);
            dispatch::locate(grid, block, cells, offsets);
            for (row, (cells, offsets)) in
                (0..).step_by(8).zip(cells.chunks(8).zip(offsets.chunks(8)))
            {
                ahead.fetch(row);
                for (cell, offset) in cells.iter().zip(offsets) {
                    if let Some(cell) = narrow.get_mut(*cell as usize) {
                        cell.rows += 1;
                        // In the open outer cells offsets mean nothing and may overflow.
                        cell.offsets = cell.offsets.wrapping_add(*offset);
                    }
                }
            }
        });
    }

    fn flush(&mut self) {
        self.emptied = self.parts.rows;
        self.wide.resize(self.narrow.len(), Cell::default());
        for (wide, narrow) in self.wide.iter_mut().zip(&mut self.narrow) {
            *wide = wide.add(narrow.widen());
            *narrow = Cell::default();
        }
    }

    pub(crate) fn get(&self, cell: usize) -> Cell<u64, i128> {
        let narrow = self.narrow[cell].widen();
        self.wide.get(cell).map_or(narrow, |wide| wide.add(narrow))
    }

    fn add(mut self, other: Self) -> Self {
        self.parts.add(&other.parts);
        self.flush();
        for (cell, wide) in self.wide.iter_mut().enumerate() {
            *wide = wide.add(other.get(cell));
        }
        self
    }
}

/// Count two columns in one go.
pub(crate) fn count(columns: [&Column<'_>; 2], grid: &Grid, threads: Option<usize>) -> [Sums; 2] {
    let tasks = Task::of(&columns);
    let threads = parallel::threads_for(threads, columns[0].len() + columns[1].len());
    let start = || [(); 2].map(|()| Sums::new(grid.map.len()));
    let states = parallel::fold(tasks.len(), threads, start, |sums, task| {
        let (side, task) = tasks[task];
        sums[side].count(columns[side], task, grid);
    });
    let add = |[r, c]: [Sums; 2], [more_r, more_c]: [Sums; 2]| [r.add(more_r), c.add(more_c)];
    states.into_iter().reduce(add).unwrap_or_else(start)
}
