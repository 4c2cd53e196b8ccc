//! The command line: start, test (-t), signal (-s).

fn main() {}
