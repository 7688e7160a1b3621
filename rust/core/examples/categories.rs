//! Two columns of strings: the most frequent by name, the rest together, and what was never seen before.

use tidewheel_core::categories::{self, StringChunk, StringColumn, Strings};
use tidewheel_core::psi::{Smoothing, psi};

/// Strings as Arrow lays them out: where each ends, and all of them end to end.
fn pack(words: &[&str]) -> (Vec<i32>, Vec<u8>) {
    let (mut offsets, mut text) = (vec![0], Vec::new());
    for word in words {
        text.extend_from_slice(word.as_bytes());
        offsets.push(text.len() as i32);
    }
    (offsets, text)
}

fn column<'a>((offsets, text): &'a (Vec<i32>, Vec<u8>)) -> StringColumn<'a> {
    StringColumn {
        chunks: vec![StringChunk {
            strings: Strings::Small(offsets, text),
            validity: None,
        }],
    }
}

fn main() -> Result<(), tidewheel_core::Error> {
    let reference = pack(&["car", "car", "bus", "car", "bike", "bus"]);
    let current = pack(&["bus", "bus", "car", "tram", "bus", "bike"]);
    let found = categories::compare(&column(&reference), &column(&current), 50, None);
    for (name, counts) in found
        .names
        .iter()
        .zip(found.reference.iter().zip(&found.current))
    {
        println!("{:5} {counts:?}", String::from_utf8_lossy(name));
    }
    let index = psi(&found.reference, &found.current, Smoothing::Jeffreys)?;
    println!("unseen: {}, PSI: {index:.3}", found.unseen);
    Ok(())
}
