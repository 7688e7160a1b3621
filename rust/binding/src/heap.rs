//! Memory that stays with the process from one call to the next.

use std::sync::Once;

/// Bytes of the block that sets the heap's bounds: above what a call takes in one piece, up to some 30 million rows.
const BLOCK: usize = 8 << 20;

/// Let the C library keep what calls take and free.
///
/// A call takes tables of some megabytes and frees them at its end. glibc gives such memory back to the kernel each time, so each
/// call would fault it in again, page by page (test: tests/drift/test_runtime.py). A program that once frees a larger block
/// teaches it better, for [glibc then raises](https://man7.org/linux/man-pages/man3/mallopt.3.html) the size from which blocks are
/// mapped by themselves to that of the freed one, and what it keeps at most at the top of the heap to twice as much. Most programs
/// do it by freeing an array; this one does it, with a block of which no page is touched. Settings that the user has
/// made (`MALLOC_TRIM_THRESHOLD_`) stay as they are; other C libraries take no notice.
///
/// The first call that reads a column does it: importing the package changes nothing in the program.
pub fn keep_freed_memory() {
    static DONE: Once = Once::new();
    DONE.call_once(|| drop(std::hint::black_box(Vec::<u8>::with_capacity(BLOCK))));
}
