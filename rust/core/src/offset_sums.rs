//! How many rows of a column lie in each cell of a grid, and the sums of their offsets ([`crate::offsets`]).

use crate::column::{BLOCK, Column, Infinities, Parts, TASK_ROWS, Task};
use crate::dispatch;
use crate::integral::to_float;
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

/// Cells at most: no check is needed where sixteen bits are the index. Memory that is not touched costs nothing.
pub(crate) const CELLS: usize = 1 << 16;

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
    fn new() -> Self {
        Self {
            narrow: vec![Cell::default(); CELLS],
            wide: Vec::new(),
            emptied: 0,
            parts: Parts::default(),
        }
    }

    fn count(&mut self, column: &Column<'_>, task: Task, grid: &Grid) {
        if self.parts.rows - self.emptied > FULL_AFTER {
            self.flush();
        }
        let Some(narrow) = self.narrow.first_chunk_mut::<CELLS>() else {
            return;
        };
        let mut add = |cell: u32, offset: i64| {
            let cell = &mut narrow[usize::from(cell as u16)];
            cell.rows += 1;
            // In the open outer cells offsets mean nothing and may overflow.
            cell.offsets = cell.offsets.wrapping_add(offset);
        };
        let (mut cells, mut offsets) = ([0u32; BLOCK], [0i64; BLOCK]);
        column.blocks_ahead::<f64>(task, Infinities::Leave, &mut self.parts, |block, ahead| {
            let (cells, offsets) = (&mut cells[..block.len()], &mut offsets[..block.len()]);
            dispatch::locate(grid, block, cells, offsets);
            let (cells, last_cells) = cells.as_chunks::<8>();
            let (offsets, last_offsets) = offsets.as_chunks::<8>();
            for (row, (cells, offsets)) in (0..).step_by(8).zip(cells.iter().zip(offsets)) {
                ahead.fetch(row);
                for (cell, offset) in cells.iter().zip(offsets) {
                    add(*cell, *offset);
                }
            }
            for (cell, offset) in last_cells.iter().zip(last_offsets) {
                add(*cell, *offset);
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

    /// Rows of a cell.
    pub(crate) fn rows(&self, cell: usize) -> u64 {
        let wide = self.wide.get(cell).map_or(0, |wide| wide.rows);
        wide + u64::from(self.narrow[cell].rows)
    }

    /// Rows of a cell and the sum of their offsets.
    pub(crate) fn get(&self, cell: usize) -> Cell<u64, f64> {
        let rows = self.rows(cell);
        let narrow = self.narrow[cell].offsets;
        let offsets = match self.wide.get(cell) {
            Some(wide) => to_float(wide.offsets + i128::from(narrow)),
            None => narrow as f64,
        };
        Cell { rows, offsets }
    }

    fn add(mut self, other: Self) -> Self {
        self.parts.add(&other.parts);
        if self.parts.rows <= ROWS_THAT_FIT as u64 {
            for (sum, cell) in self.narrow.iter_mut().zip(other.narrow) {
                sum.rows += cell.rows;
                sum.offsets = sum.offsets.wrapping_add(cell.offsets);
            }
            return self;
        }
        self.flush();
        for sums in [other.wide, other.narrow.iter().map(Cell::widen).collect()] {
            for (wide, cell) in self.wide.iter_mut().zip(sums) {
                *wide = wide.add(cell);
            }
        }
        self
    }
}

/// Count two columns in one go.
pub(crate) fn count(columns: [&Column<'_>; 2], grid: &Grid, threads: Option<usize>) -> [Sums; 2] {
    debug_assert!(grid.map.len() <= CELLS);
    let tasks = Task::of(&columns);
    let threads = parallel::threads_for(threads, columns[0].len() + columns[1].len());
    let start = || [(); 2].map(|()| Sums::new());
    let states = parallel::fold(tasks.len(), threads, start, |sums, task| {
        let (side, task) = tasks[task];
        sums[side].count(columns[side], task, grid);
    });
    let add = |[r, c]: [Sums; 2], [more_r, more_c]: [Sums; 2]| [r.add(more_r), c.add(more_c)];
    states.into_iter().reduce(add).unwrap_or_else(start)
}
