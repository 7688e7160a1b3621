//! What the crate refuses, as data: the binding turns each kind into one exception class.

use std::fmt;

/// A refused input. The text is one sentence: what was required, what was got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A value, count or edge is not acceptable.
    Input(String),
    /// A column has a type that the function does not take.
    Type(String),
}

impl Error {
    /// A side holds no number.
    pub fn no_numbers(n: u64, m: u64) -> Self {
        let text = format!(
            "`reference` and `current` must each hold at least one number; got {n} and {m}"
        );
        Self::Input(text)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Input(text) | Error::Type(text) => out.write_str(text),
        }
    }
}

impl std::error::Error for Error {}
