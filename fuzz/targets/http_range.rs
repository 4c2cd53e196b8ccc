//! `Range` fields.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir::http::ranges::{Asked, parse};

/// No file is larger (`off_t`).
const LARGEST: u64 = i64::MAX as u64;

fuzz_target!(|field: &[u8]| {
    for size in [0, 1, 100, LARGEST] {
        let Asked::Parts(parts) = parse(field, size) else { continue };
        assert!(!parts.is_empty());
        assert!(parts.iter().all(|part| part.start < part.end && part.end <= size));
        let total: u128 = parts.iter().map(|part| u128::from(part.end - part.start)).sum();
        assert!(total <= u128::from(size), "more than the file");
    }
});
