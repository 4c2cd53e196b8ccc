//! What a file of the cache begins with.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir::http::cache::file::Preamble;

/// Where the sum of all that follows the validity stands.
const SUM: usize = 40;

/// CRC-32, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32| if sum & 1 == 1 { 0xedb8_8320 ^ (sum >> 1) } else { sum >> 1 };
    !bytes.iter().fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), |sum, _| step(sum)))
}

fuzz_target!(|bytes: &[u8]| {
    // A sum that is right by chance would be found by nobody.
    let mut bytes = bytes.to_vec();
    if let Ok(length) = Preamble::announced(&bytes)
        && length <= bytes.len()
    {
        let sum = crc32(&bytes[SUM + 4..length]);
        bytes[SUM..SUM + 4].copy_from_slice(&sum.to_le_bytes());
    }
    let size = bytes.len() as u64;
    let Ok(preamble) = Preamble::decode(&bytes, size) else { return };
    assert_eq!(preamble.body_start() + preamble.length, size);
    assert!(Preamble::decode(&bytes, size + 1).is_err());
    // What is read is what was written; a validity that was not whole is written anew.
    let written = preamble.encode().expect("it was short enough");
    assert_eq!(written[SUM..], bytes[SUM..written.len()]);
    let body = &bytes[written.len()..];
    assert_eq!(Preamble::decode(&[&written, body].concat(), size), Ok(preamble));
});
