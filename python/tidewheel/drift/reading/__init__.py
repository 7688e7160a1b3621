"""Arrays and tables of any library as columns that Rust can read."""
