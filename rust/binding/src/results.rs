//! What Python gets back: frozen records of plain numbers.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tidewheel_core::column;
use tidewheel_core::compare::Numeric;
use tidewheel_core::domain::Domain;
use tidewheel_core::ks::Distance;
use tidewheel_core::select::Fitted;

/// A number in the type of its column.
#[derive(IntoPyObject, Clone, Copy)]
pub enum Number {
    Float(f64),
    Signed(i64),
    Unsigned(u64),
}

/// Domains whose values can be handed to Python.
pub trait ToPython: Domain {
    fn number(self) -> Number;
}

impl ToPython for f64 {
    fn number(self) -> Number {
        Number::Float(self)
    }
}

impl ToPython for i64 {
    fn number(self) -> Number {
        Number::Signed(self)
    }
}

impl ToPython for u64 {
    fn number(self) -> Number {
        Number::Unsigned(self)
    }
}

/// Numbers for Python.
pub fn numbers<K: ToPython>(values: &[K]) -> Vec<Number> {
    values.iter().map(|value| value.number()).collect()
}

#[pyclass(frozen, get_all, module = "tidewheel._native")]
#[derive(Clone, Copy)]
pub struct Parts {
    rows: u64,
    missing: u64,
    nan: u64,
    infinite_above: u64,
    infinite_below: u64,
}

impl From<column::Parts> for Parts {
    fn from(parts: column::Parts) -> Self {
        let column::Parts {
            rows,
            missing,
            nan,
            infinite_above,
            infinite_below,
        } = parts;
        Self {
            rows,
            missing,
            nan,
            infinite_above,
            infinite_below,
        }
    }
}

#[pymethods]
impl Parts {
    fn __repr__(&self) -> String {
        let Self {
            rows,
            missing,
            nan,
            infinite_above,
            infinite_below,
        } = self;
        format!(
            "Parts(rows={rows}, missing={missing}, nan={nan}, infinite={})",
            infinite_above + infinite_below
        )
    }
}

#[pyclass(frozen, get_all, module = "tidewheel._native")]
#[derive(Clone)]
pub struct FittedBins {
    /// Interior edges; the outer bins are open.
    edges: Vec<Number>,
    counts: Vec<u64>,
    parts: Parts,
    continuous: bool,
}

impl FittedBins {
    pub fn new<K: ToPython>(fitted: Fitted<K>) -> Self {
        let edges = numbers(fitted.thresholds.values());
        Self {
            edges,
            counts: fitted.counts,
            parts: fitted.parts.into(),
            continuous: fitted.continuous,
        }
    }
}

#[pyclass(frozen, get_all, module = "tidewheel._native")]
#[derive(Clone)]
pub struct KsDistance {
    statistic: f64,
    location: Number,
    sign: i8,
    n: u64,
    m: u64,
    reference: Parts,
    current: Parts,
}

impl KsDistance {
    pub fn new<K: ToPython>(distance: Distance<K>) -> Self {
        Self {
            statistic: distance.statistic(),
            location: distance.location.number(),
            sign: distance.sign,
            n: distance.n,
            m: distance.m,
            reference: distance.reference.into(),
            current: distance.current.into(),
        }
    }
}

#[pyclass(frozen, get_all, module = "tidewheel._native")]
#[derive(Clone)]
pub struct NumericComparison {
    reference: Parts,
    current: Parts,
    distance: Option<KsDistance>,
    edges: Vec<Number>,
    reference_counts: Vec<u64>,
    current_counts: Vec<u64>,
    continuous: bool,
    shape: Option<(f64, f64, Vec<u64>, Vec<u64>)>,
}

impl NumericComparison {
    pub fn new<K: ToPython>(found: Numeric<K>) -> Self {
        Self {
            reference: found.reference.into(),
            current: found.current.into(),
            distance: found.distance.map(KsDistance::new),
            edges: numbers(&found.edges),
            reference_counts: found.reference_counts,
            current_counts: found.current_counts,
            continuous: found.continuous,
            shape: found
                .shape
                .map(|shape| (shape.low, shape.width, shape.reference, shape.current)),
        }
    }
}

#[pyclass(frozen, get_all, module = "tidewheel._native")]
#[derive(Clone)]
pub struct CategoryComparison {
    names: Vec<String>,
    reference_counts: Vec<u64>,
    current_counts: Vec<u64>,
    reference: Parts,
    current: Parts,
    unseen: u64,
    distinct: (u64, u64),
    seen_once: u64,
    seen_twice: u64,
    known: (Vec<u8>, Vec<u8>, Vec<u8>),
    unseen_buckets: Vec<u64>,
    risen: Vec<(String, u64, u64)>,
}

impl From<tidewheel_core::categories::Categories> for CategoryComparison {
    fn from(found: tidewheel_core::categories::Categories) -> Self {
        let parts = |[rows, missing]: [u64; 2]| {
            column::Parts {
                rows,
                missing,
                ..Default::default()
            }
            .into()
        };
        Self {
            names: found
                .names
                .iter()
                .map(|name| String::from_utf8_lossy(name).into_owned())
                .collect(),
            reference_counts: found.reference,
            current_counts: found.current,
            reference: parts(found.reference_rows),
            current: parts(found.current_rows),
            unseen: found.unseen,
            distinct: found.distinct.into(),
            seen_once: found.rare[0],
            seen_twice: found.rare[1],
            known: (plain(&found.known.0), plain(&found.known.1), found.known.2),
            unseen_buckets: found.unseen_buckets,
            risen: found
                .risen
                .into_iter()
                .map(|(name, r, c)| (String::from_utf8_lossy(&name).into_owned(), r, c))
                .collect(),
        }
    }
}

/// Numbers as the bytes that NumPy reads, for records made without the interpreter.
fn plain(numbers: &[u64]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_ne_bytes())
        .collect()
}

/// Wrap counts as the bytes of an array in the machine's order, written straight into the object that Python gets.
pub fn bytes<'py>(py: Python<'py>, counts: &[u64]) -> PyResult<Bound<'py, PyBytes>> {
    let size = std::mem::size_of::<u64>();
    PyBytes::new_with(py, size_of_val(counts), |to| {
        for (place, count) in to.chunks_exact_mut(size).zip(counts) {
            place.copy_from_slice(&count.to_ne_bytes());
        }
        Ok(())
    })
}
