//! The contents of a column: chunks of memory that others own. Nothing here knows Python; see [`crate::memory`].

use crate::memory::{Shared, SharedBits, SharedValues};
use tidewheel_core::categories::{StringChunk, StringColumn, Strings};
use tidewheel_core::column::{Chunk, Column, Values};

/// A run of numbers.
pub struct NumberChunk {
    pub values: SharedValues,
    pub validity: Option<SharedBits>,
}

impl NumberChunk {
    pub fn borrow(&self) -> Chunk<'_> {
        Chunk {
            values: self.values.values(),
            validity: self.validity.as_ref().map(SharedBits::bits),
        }
    }
}

/// Text in one of Arrow's layouts.
pub enum SharedStrings {
    Small(Shared<i32>, Shared<u8>),
    Large(Shared<i64>, Shared<u8>),
    Views(Shared<[u8; 16]>, Vec<Shared<u8>>),
    Dictionary(SharedValues, Box<TextChunk>),
    Bool(SharedBits, usize),
}

/// A run of strings.
pub struct TextChunk {
    pub strings: SharedStrings,
    pub validity: Option<SharedBits>,
}

impl TextChunk {
    pub fn borrow(&self) -> StringChunk<'_> {
        let strings = match &self.strings {
            SharedStrings::Small(offsets, data) => Strings::Small(offsets.slice(), data.slice()),
            SharedStrings::Large(offsets, data) => Strings::Large(offsets.slice(), data.slice()),
            SharedStrings::Views(views, data) => {
                Strings::Views(views.slice(), data.iter().map(Shared::slice).collect())
            }
            SharedStrings::Dictionary(codes, words) => {
                Strings::Dictionary(codes.values(), Box::new(words.borrow()))
            }
            SharedStrings::Bool(bits, len) => Strings::Bool(bits.bits(), *len),
        };
        StringChunk {
            strings,
            validity: self.validity.as_ref().map(SharedBits::bits),
        }
    }
}

/// The contents of a column.
pub enum Contents {
    Numbers(Vec<NumberChunk>),
    Text(Vec<TextChunk>),
    /// A type that no statistic takes: the number of rows, and how many of them are missing.
    Unsupported(usize, usize),
}

impl Contents {
    /// The numbers, if there are numbers (or booleans, as 0 and 1).
    pub fn numbers(&self) -> Option<Column<'_>> {
        match self {
            Contents::Numbers(chunks) => Some(Column::new(
                chunks.iter().map(NumberChunk::borrow).collect(),
            )),
            Contents::Text(chunks) => chunks
                .iter()
                .map(boolean)
                .collect::<Option<_>>()
                .map(Column::new),
            Contents::Unsupported(..) => None,
        }
    }

    /// The strings, if there are strings or booleans.
    pub fn strings(&self) -> Option<StringColumn<'_>> {
        match self {
            Contents::Text(chunks) => Some(StringColumn {
                chunks: chunks.iter().map(TextChunk::borrow).collect(),
            }),
            _ => None,
        }
    }

    /// Rows, missing ones included.
    pub fn rows(&self) -> usize {
        match self {
            Contents::Numbers(chunks) => {
                chunks.iter().map(|chunk| chunk.values.values().len()).sum()
            }
            Contents::Text(chunks) => chunks.iter().map(|chunk| chunk.borrow().len()).sum(),
            Contents::Unsupported(rows, _) => *rows,
        }
    }
}

fn boolean(chunk: &TextChunk) -> Option<Chunk<'_>> {
    let SharedStrings::Bool(bits, len) = &chunk.strings else {
        return None;
    };
    Some(Chunk {
        values: Values::Bool(bits.bits(), *len),
        validity: chunk.validity.as_ref().map(SharedBits::bits),
    })
}
