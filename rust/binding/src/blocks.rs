//! The calls of mergeable states: fit blocks and vocabularies once, count batches into them, enclose the distance.

use crate::column::PyColumn;
use crate::errors;
use crate::functions::{in_domain, vector};
use crate::results::{Number, Parts, ToPython, bytes, numbers};
use crate::threads::{self, Threads};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tidewheel_core::blocks::{self, Blocks};
use tidewheel_core::categories::{self, Vocabulary};
use tidewheel_core::column::Column;
use tidewheel_core::domain::Common;
use tidewheel_core::histogram::Counted;
use tidewheel_core::{Error, compare, ks, parallel};

/// The type in which Python keeps edges of a domain.
fn domain_name(domain: Common) -> &'static str {
    match domain {
        Common::Float => "float64",
        Common::Signed => "int64",
        Common::Unsigned => "uint64",
    }
}

enum Cut {
    Float(Blocks<f64>),
    Signed(Blocks<i64>),
    Unsigned(Blocks<u64>),
}

/// Blocks of a numeric column.
#[pyclass(frozen, name = "Blocks", module = "tidewheel._native")]
pub struct PyBlocks(Cut);

impl PyBlocks {
    fn single(&self) -> &[bool] {
        match &self.0 {
            Cut::Float(blocks) => blocks.single(),
            Cut::Signed(blocks) => blocks.single(),
            Cut::Unsigned(blocks) => blocks.single(),
        }
    }

    fn domain(&self) -> Common {
        match &self.0 {
            Cut::Float(_) => Common::Float,
            Cut::Signed(_) => Common::Signed,
            Cut::Unsigned(_) => Common::Unsigned,
        }
    }

    fn count(&self, column: &Column<'_>, threads: usize) -> Counted {
        match &self.0 {
            Cut::Float(blocks) => blocks.count(column, Some(threads)),
            Cut::Signed(blocks) => blocks.count(column, Some(threads)),
            Cut::Unsigned(blocks) => blocks.count(column, Some(threads)),
        }
    }

    fn check(&self, column: &PyColumn) -> PyResult<()> {
        let domain = self.domain();
        if blocks::fits(&column.numbers()?, domain) {
            return Ok(());
        }
        let wanted = domain_name(domain);
        Err(column.refuse(&format!("{wanted} or narrower integers, as the profile")))
    }
}

#[pymethods]
impl PyBlocks {
    #[new]
    fn new(py: Python<'_>, edges: &PyColumn) -> PyResult<Self> {
        let column = edges.numbers()?;
        let make = || match column.common(&column) {
            Common::Float => Blocks::new(vector("edges", &column)?).map(Cut::Float),
            Common::Signed => Blocks::new(vector("edges", &column)?).map(Cut::Signed),
            Common::Unsigned => Blocks::new(vector("edges", &column)?).map(Cut::Unsigned),
        };
        py.detach(make).map(Self).map_err(errors::from_core)
    }
}

/// Strings of a reference.
#[pyclass(frozen, name = "Vocabulary", module = "tidewheel._native")]
pub struct PyVocabulary(Vocabulary);

#[pymethods]
impl PyVocabulary {
    #[new]
    fn new(py: Python<'_>, names: &PyColumn) -> PyResult<Self> {
        let names = names.strings()?;
        py.detach(|| Vocabulary::new(&names))
            .map(Self)
            .map_err(errors::from_core)
    }

    fn buckets<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.buckets())
    }
}

/// What a reference column gives to a profile.
#[pyclass(frozen, get_all, module = "tidewheel._native")]
pub struct FittedBlocks {
    domain: &'static str,
    edges: Vec<Number>,
    counts: Vec<u64>,
    parts: Parts,
    bin_edges: Vec<Number>,
}

/// An interval that holds a distance.
#[pyclass(frozen, get_all, module = "tidewheel._native")]
pub struct KsEnclosure {
    lower: f64,
    upper: f64,
    n: u64,
    m: u64,
}

#[pyfunction]
#[pyo3(signature = (references, bins, threads=None))]
pub fn fit_blocks(
    py: Python<'_>,
    references: Vec<PyRef<'_, PyColumn>>,
    bins: usize,
    threads: Option<Threads>,
) -> PyResult<Vec<FittedBlocks>> {
    let threads = threads::most(threads)?;
    fn run<K: ToPython>(
        c: &Column<'_>,
        domain: &'static str,
        bins: usize,
        threads: usize,
    ) -> Result<FittedBlocks, Error> {
        let fit = blocks::fit::<K>(c, bins, Some(threads))?;
        Ok(FittedBlocks {
            domain,
            edges: numbers(&fit.edges),
            counts: fit.counts,
            parts: fit.parts.into(),
            bin_edges: numbers(&fit.bin_edges),
        })
    }
    let columns: Vec<Column<'_>> = read(&references, PyColumn::numbers)?;
    let (outer, inner) = compare::share_threads(columns.len(), rows(&references), threads);
    let one = |task: usize| {
        let column = &columns[task];
        let domain = blocks::domain(column, Some(inner));
        in_domain!(domain, run(column, domain_name(domain), bins, inner))
    };
    let fitted = py.detach(|| parallel::map(columns.len(), outer, one));
    fitted
        .into_iter()
        .collect::<Result<_, _>>()
        .map_err(errors::from_core)
}

/// Counts as 64-bit integers in the machine's byte order, and the parts.
type Counts<'py> = (Bound<'py, PyBytes>, Parts);

#[pyfunction]
#[pyo3(signature = (columns, blocks, threads=None))]
pub fn count_blocks<'py>(
    py: Python<'py>,
    columns: Vec<PyRef<'_, PyColumn>>,
    blocks: Vec<PyRef<'_, PyBlocks>>,
    threads: Option<Threads>,
) -> PyResult<Vec<Counts<'py>>> {
    let threads = threads::most(threads)?;
    same_length(columns.len(), blocks.len())?;
    for (column, blocks) in columns.iter().zip(&blocks) {
        blocks.check(column)?;
    }
    let numbers = read(&columns, PyColumn::numbers)?;
    let blocks: Vec<&PyBlocks> = blocks.iter().map(|blocks| &**blocks).collect();
    let (outer, inner) = compare::share_threads(numbers.len(), rows(&columns), threads);
    let one = |task: usize| blocks[task].count(&numbers[task], inner);
    let counted = py.detach(|| parallel::map(numbers.len(), outer, one));
    counted
        .into_iter()
        .map(|counted| wrap(py, counted))
        .collect()
}

#[pyfunction]
#[pyo3(signature = (columns, vocabularies, threads=None))]
pub fn count_vocabularies<'py>(
    py: Python<'py>,
    columns: Vec<PyRef<'_, PyColumn>>,
    vocabularies: Vec<PyRef<'_, PyVocabulary>>,
    threads: Option<Threads>,
) -> PyResult<Vec<Counts<'py>>> {
    let threads = threads::most(threads)?;
    same_length(columns.len(), vocabularies.len())?;
    let strings = read(&columns, PyColumn::strings)?;
    let vocabularies: Vec<&Vocabulary> = vocabularies.iter().map(|known| &known.0).collect();
    let (outer, inner) = compare::share_threads(strings.len(), rows(&columns), threads);
    let one = |task: usize| vocabularies[task].count(&strings[task], Some(inner));
    let counted = py.detach(|| parallel::map(strings.len(), outer, one));
    counted
        .into_iter()
        .map(|counted| wrap(py, counted))
        .collect()
}

fn same_length(columns: usize, others: usize) -> PyResult<()> {
    if columns == others {
        return Ok(());
    }
    Err(errors::input(format!(
        "each column must have one state; got {columns} and {others}"
    )))
}

fn read<'a, T>(
    columns: &'a [PyRef<'_, PyColumn>],
    read: impl Fn(&'a PyColumn) -> PyResult<T>,
) -> PyResult<Vec<T>> {
    columns.iter().map(|column| read(column)).collect()
}

fn rows(columns: &[PyRef<'_, PyColumn>]) -> usize {
    columns.first().map_or(0, |column| column.rows())
}

fn wrap(py: Python<'_>, counted: Counted) -> PyResult<Counts<'_>> {
    Ok((bytes(py, &counted.counts)?, counted.parts.into()))
}

/// Names end to end, the length of each, and its rows.
type Words<'py> = (
    Bound<'py, PyBytes>,
    Bound<'py, PyBytes>,
    Bound<'py, PyBytes>,
    Parts,
);

#[pyfunction]
#[pyo3(signature = (reference, threads=None))]
pub fn fit_vocabulary<'py>(
    py: Python<'py>,
    reference: &PyColumn,
    threads: Option<Threads>,
) -> PyResult<Words<'py>> {
    let threads = threads::most(threads)?;
    let strings = reference.strings()?;
    let fit = || {
        let (ranked, parts) = categories::ranked(&strings, threads);
        let text: Vec<u8> = ranked.iter().flat_map(|(name, _)| *name).copied().collect();
        let lengths: Vec<u64> = ranked.iter().map(|(name, _)| name.len() as u64).collect();
        let counts: Vec<u64> = ranked.iter().map(|(_, count)| *count).collect();
        (text, lengths, counts, parts)
    };
    let (text, lengths, counts, parts) = py.detach(fit);
    let text = PyBytes::new(py, &text);
    Ok((
        text,
        bytes(py, &lengths)?,
        bytes(py, &counts)?,
        parts.into(),
    ))
}

#[pyfunction]
pub fn enclose_ks(
    py: Python<'_>,
    blocks: &PyBlocks,
    reference: &PyColumn,
    current: &PyColumn,
) -> PyResult<KsEnclosure> {
    let (reference, current) = (reference.numbers()?, current.numbers()?);
    let run = || {
        // The infinities come first and last, each a value of its own.
        let single = [&[true], blocks.single(), &[true]].concat();
        let reference = vector("reference", &reference)?;
        ks::enclose(&reference, &vector("current", &current)?, &single)
    };
    let found = py.detach(run).map_err(errors::from_core)?;
    let (lower, upper) = found.ends();
    let ks::Enclosure { n, m, .. } = found;
    Ok(KsEnclosure { lower, upper, n, m })
}
