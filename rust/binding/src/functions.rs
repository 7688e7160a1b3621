//! The calls: read arguments, run the core without the interpreter lock, wrap the result.

use crate::column::{PyColumn, PyUnits};
use crate::errors;
use crate::results::{
    CategoryComparison, FittedBins, KsDistance, Number, NumericComparison, Parts, ToPython, bytes,
};
use crate::threads::{self, Threads};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tidewheel_core::bins::{self, Thresholds};
use tidewheel_core::column::Column;
use tidewheel_core::domain::{Common, Domain};
use tidewheel_core::kolmogorov::{self, Method};
use tidewheel_core::ks::{self, Alternative};
use tidewheel_core::psi::Smoothing;
use tidewheel_core::ranks::Sorted;
use tidewheel_core::{Error, categories, compare, histogram, parallel, select, special, units};

/// Call a function that is generic over the domain, in the domain given.
macro_rules! in_domain {
    ($common:expr, $function:ident ( $($argument:expr),* )) => {
        match $common {
            Common::Float => $function::<f64>($($argument),*),
            Common::Signed => $function::<i64>($($argument),*),
            Common::Unsigned => $function::<u64>($($argument),*),
        }
    };
}
pub(crate) use in_domain;

/// Read which way the current sample may differ.
pub fn alternative(name: &str) -> PyResult<Alternative> {
    match name {
        "two-sided" => Ok(Alternative::TwoSided),
        "less" => Ok(Alternative::Less),
        "greater" => Ok(Alternative::Greater),
        _ => Err(errors::unknown_name(
            "alternative",
            &["two-sided", "less", "greater"],
            name,
        )),
    }
}

/// Read the numbers of a column whose places count, such as edges; `name` is what an error calls it.
pub fn vector<K: Domain>(name: &str, column: &Column<'_>) -> Result<Vec<K>, Error> {
    let (mut values, mut gap) = (Vec::new(), None);
    for task in column.tasks() {
        column.rows::<K>(task, |row, value| match value {
            Some(value) => values.push(value),
            None => gap = gap.or(Some(row)),
        });
    }
    match gap {
        None => Ok(values),
        Some(row) => Err(Error::Input(format!(
            "`{name}` must hold a number everywhere; got a missing value or NaN at index {row}"
        ))),
    }
}

fn finite(name: &str, column: &Column<'_>) -> Result<Vec<f64>, Error> {
    let values = vector::<f64>(name, column)?;
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(values),
        Some(row) => Err(Error::Input(format!(
            "`{name}` must be finite; got {} at index {row}",
            values[row]
        ))),
    }
}

fn thresholds<K: Domain>(column: &Column<'_>, closed: bool) -> Result<Thresholds<K>, Error> {
    let edges = vector("edges", column)?;
    if closed {
        bins::closed(edges)
    } else {
        Thresholds::new(edges)
    }
}

#[pyfunction]
#[pyo3(signature = (column, threads=None))]
pub fn find_range(
    py: Python<'_>,
    column: &PyColumn,
    threads: Option<Threads>,
) -> PyResult<(Option<(Number, Number)>, Parts)> {
    let threads = threads::most(threads)?;
    fn run<K: ToPython>(
        column: &Column<'_>,
        threads: Option<usize>,
    ) -> (Option<(Number, Number)>, Parts) {
        let (ends, parts) = select::range::<K>(column, threads);
        (
            ends.map(|(low, high)| (low.number(), high.number())),
            parts.into(),
        )
    }
    let values = column.numbers()?;
    Ok(py.detach(|| in_domain!(values.common(&values), run(&values, threads))))
}

#[pyfunction]
#[pyo3(signature = (reference, bins, threads=None))]
pub fn fit_quantiles(
    py: Python<'_>,
    reference: &PyColumn,
    bins: usize,
    threads: Option<Threads>,
) -> PyResult<FittedBins> {
    let threads = threads::most(threads)?;
    fn run<K: ToPython>(
        reference: &Column<'_>,
        bins: usize,
        threads: Option<usize>,
    ) -> Result<FittedBins, Error> {
        select::quantile_bins::<K>(reference, bins, threads).map(FittedBins::new)
    }
    let values = reference.numbers()?;
    py.detach(|| in_domain!(values.common(&values), run(&values, bins, threads)))
        .map_err(errors::from_core)
}

#[pyfunction]
#[pyo3(signature = (column, edges, *, closed, threads=None))]
pub fn count_slots(
    py: Python<'_>,
    column: &PyColumn,
    edges: &PyColumn,
    closed: bool,
    threads: Option<Threads>,
) -> PyResult<(Vec<u64>, Parts)> {
    let threads = threads::most(threads)?;
    type Found = Result<(Vec<u64>, Parts), Error>;
    fn run<K: Domain>(
        values: &Column<'_>,
        edges: &Column<'_>,
        closed: bool,
        threads: Option<usize>,
    ) -> Found {
        let counted = histogram::count_slots(values, &thresholds::<K>(edges, closed)?, threads);
        Ok((counted.counts, counted.parts.into()))
    }
    let (values, edges) = (column.numbers()?, edges.numbers()?);
    py.detach(|| in_domain!(values.common(&edges), run(&values, &edges, closed, threads)))
        .map_err(errors::from_core)
}

#[pyfunction]
pub fn sum_weights(
    py: Python<'_>,
    column: &PyColumn,
    weights: &PyColumn,
    edges: &PyColumn,
) -> PyResult<Vec<f64>> {
    let (values, weights, edges) = (column.numbers()?, weights.numbers()?, edges.numbers()?);
    let run = || {
        Ok(histogram::sum_weights(
            &values,
            &finite("weights", &weights)?,
            &thresholds::<f64>(&edges, true)?,
        ))
    };
    py.detach(run).map_err(errors::from_core)
}

#[pyfunction]
#[pyo3(signature = (reference, current, smoothing, clip=0.0))]
pub fn psi(reference: Vec<u64>, current: Vec<u64>, smoothing: &str, clip: f64) -> PyResult<f64> {
    let smoothing = match smoothing {
        "jeffreys" => Smoothing::Jeffreys,
        "laplace" => Smoothing::Laplace,
        "clip" => Smoothing::Clip(clip),
        "none" => Smoothing::None,
        _ => {
            return Err(errors::unknown_name(
                "smoothing",
                &["jeffreys", "laplace", "clip", "none"],
                smoothing,
            ));
        }
    };
    tidewheel_core::psi::psi(&reference, &current, smoothing).map_err(errors::from_core)
}

#[pyfunction]
#[pyo3(signature = (reference, current, alternative="two-sided", threads=None))]
pub fn ks_distance(
    py: Python<'_>,
    reference: &PyColumn,
    current: &PyColumn,
    alternative: &str,
    threads: Option<Threads>,
) -> PyResult<KsDistance> {
    let threads = threads::most(threads)?;
    type Found = Result<KsDistance, Error>;
    fn run<K: ToPython>(
        r: &Column<'_>,
        c: &Column<'_>,
        side: Alternative,
        threads: Option<usize>,
    ) -> Found {
        ks::distance::<K>(r, c, side, threads).map(KsDistance::new)
    }
    let (r, c, side) = (
        reference.numbers()?,
        current.numbers()?,
        self::alternative(alternative)?,
    );
    py.detach(|| in_domain!(r.common(&c), run(&r, &c, side, threads)))
        .map_err(errors::from_core)
}

#[pyfunction]
#[pyo3(signature = (statistic, n, m, alternative="two-sided", method="auto"))]
pub fn ks_pvalue(
    py: Python<'_>,
    statistic: f64,
    n: u64,
    m: u64,
    alternative: &str,
    method: &str,
) -> PyResult<(f64, bool)> {
    let side = self::alternative(alternative)?;
    let method = match method {
        "auto" => Method::Auto,
        "exact" => Method::Exact,
        "asymp" => Method::Asymptotic,
        "accurate" => Method::Accurate,
        _ => {
            return Err(errors::unknown_name(
                "method",
                &["auto", "exact", "asymp", "accurate"],
                method,
            ));
        }
    };
    if n == 0 || m == 0 {
        return Err(errors::input(format!(
            "`n` and `m` must be at least 1; got {n} and {m}"
        )));
    }
    Ok(py.detach(|| kolmogorov::two_sample_p(statistic, n, m, side, method)))
}

#[pyfunction]
#[pyo3(signature = (reference, current, threads=None))]
pub fn wasserstein(
    py: Python<'_>,
    reference: &PyColumn,
    current: &PyColumn,
    threads: Option<Threads>,
) -> PyResult<(f64, Parts, Parts)> {
    let threads = threads::most(threads)?;
    let (r, c) = (reference.numbers()?, current.numbers()?);
    py.detach(|| tidewheel_core::wasserstein::distance(&r, &c, threads))
        .map(|found| {
            (
                found.statistic,
                found.reference.into(),
                found.current.into(),
            )
        })
        .map_err(errors::from_core)
}

/// Export a statistic of two sorted samples, with the parts of both.
macro_rules! of_sorted {
    ($name:ident -> $statistic:ty) => {
        #[pyfunction]
        pub fn $name(
            py: Python<'_>,
            reference: &PyColumn,
            current: &PyColumn,
        ) -> PyResult<($statistic, Parts, Parts)> {
            type Found = Result<($statistic, Parts, Parts), Error>;
            fn run<K: Domain>(r: &Column<'_>, c: &Column<'_>) -> Found {
                let both = Sorted::<K>::new(r, c)?;
                Ok((both.$name(), both.reference.into(), both.current.into()))
            }
            let (r, c) = (reference.numbers()?, current.numbers()?);
            py.detach(|| in_domain!(r.common(&c), run(&r, &c)))
                .map_err(errors::from_core)
        }
    };
}

of_sorted!(energy_distance -> f64);
of_sorted!(cramer_von_mises -> i128);
of_sorted!(anderson_darling -> Option<f64>);

fn pairs<'a, T>(
    one: &'a [PyRef<'_, PyColumn>],
    other: &'a [PyRef<'_, PyColumn>],
    read: impl Fn(&'a PyColumn) -> PyResult<T>,
) -> PyResult<Vec<(T, T)>> {
    if one.len() != other.len() {
        return Err(errors::input(format!(
            "both sides must have as many columns; got {} and {}",
            one.len(),
            other.len()
        )));
    }
    one.iter()
        .zip(other)
        .map(|(one, other)| Ok((read(one)?, read(other)?)))
        .collect()
}

#[pyfunction]
#[pyo3(signature = (reference, current, bins, threads=None))]
pub fn compare_numeric(
    py: Python<'_>,
    reference: Vec<PyRef<'_, PyColumn>>,
    current: Vec<PyRef<'_, PyColumn>>,
    bins: usize,
    threads: Option<Threads>,
) -> PyResult<Vec<NumericComparison>> {
    let threads = threads::most(threads)?;
    fn run<K: ToPython>(
        r: &Column<'_>,
        c: &Column<'_>,
        bins: usize,
        threads: usize,
    ) -> NumericComparison {
        NumericComparison::new(compare::numeric::<K>(r, c, bins, Some(threads)))
    }
    let pairs = pairs(&reference, &current, PyColumn::numbers)?;
    let rows = pairs.first().map_or(0, |(r, c)| r.len() + c.len());
    let (columns, inner) = compare::share_threads(pairs.len(), rows, threads);
    let one = |task: usize| {
        in_domain!(
            pairs[task].0.common(&pairs[task].1),
            run(&pairs[task].0, &pairs[task].1, bins, inner)
        )
    };
    Ok(py.detach(|| parallel::map(pairs.len(), columns, one)))
}

#[pyfunction]
#[pyo3(signature = (reference, current, most, threads=None))]
pub fn compare_categories(
    py: Python<'_>,
    reference: Vec<PyRef<'_, PyColumn>>,
    current: Vec<PyRef<'_, PyColumn>>,
    most: usize,
    threads: Option<Threads>,
) -> PyResult<Vec<CategoryComparison>> {
    let threads = threads::most(threads)?;
    let pairs = pairs(&reference, &current, PyColumn::strings)?;
    let rows = pairs.first().map_or(0, |(r, c)| r.len() + c.len());
    let (columns, inner) = compare::share_threads(pairs.len(), rows, threads);
    let one =
        |task: usize| categories::compare(&pairs[task].0, &pairs[task].1, most, Some(inner)).into();
    Ok(py.detach(|| parallel::map(pairs.len(), columns, one)))
}

#[pyfunction]
pub fn encode_units(py: Python<'_>, column: &PyColumn) -> PyResult<PyUnits> {
    if let Ok(strings) = column.strings() {
        return Ok(PyUnits(py.detach(|| units::encode_strings(&strings))));
    }
    let values = column.numbers()?;
    let encode = || match values.common(&values) {
        Common::Float => units::encode_numbers::<f64>(&values),
        Common::Signed => units::encode_numbers::<i64>(&values),
        Common::Unsigned => units::encode_numbers::<u64>(&values),
    };
    py.detach(encode).map(PyUnits).map_err(errors::from_core)
}

#[pyfunction]
pub fn count_numbers_by_unit<'py>(
    py: Python<'py>,
    column: &PyColumn,
    edges: &PyColumn,
    units: &PyUnits,
) -> PyResult<Bound<'py, PyBytes>> {
    fn run<K: Domain>(
        values: &Column<'_>,
        edges: &Column<'_>,
        codes: &units::Units,
    ) -> Result<Vec<u64>, Error> {
        Ok(units::count_numbers(
            values,
            &thresholds::<K>(edges, false)?,
            codes,
        ))
    }
    let (values, edges) = (column.numbers()?, edges.numbers()?);
    let table = py
        .detach(|| in_domain!(values.common(&edges), run(&values, &edges, &units.0)))
        .map_err(errors::from_core)?;
    bytes(py, &table)
}

#[pyfunction]
pub fn count_names_by_unit<'py>(
    py: Python<'py>,
    column: &PyColumn,
    names: Vec<String>,
    units: &PyUnits,
) -> PyResult<Bound<'py, PyBytes>> {
    let strings = column.strings()?;
    let names: Vec<Vec<u8>> = names.into_iter().map(String::into_bytes).collect();
    let table = py.detach(|| units::count_strings(&strings, &names, &units.0));
    bytes(py, &table)
}

#[pyfunction]
pub fn chi2_sf(x: f64, df: f64) -> f64 {
    special::chi2_sf(x, df)
}

#[pyfunction]
pub fn sum_deviance(x: Vec<f64>, mean: Vec<f64>) -> f64 {
    special::sum_deviance(&x, &mean)
}

#[pyfunction]
pub fn f_sf(x: f64, df_between: f64, df_within: f64) -> f64 {
    special::f_sf(x, df_between, df_within)
}

#[pyfunction]
pub fn normal_sf(z: f64) -> f64 {
    special::normal_sf(z)
}

#[pyfunction]
#[pyo3(signature = (z, df=None))]
pub fn kolmogorov_sf(z: f64, df: Option<f64>) -> f64 {
    df.map_or_else(
        || kolmogorov::limit_sf(z),
        |df| kolmogorov::limit_sf_estimated(z, df),
    )
}
