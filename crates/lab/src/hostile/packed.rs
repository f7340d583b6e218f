//! Framed Snappy, as servers send it.

use std::io::Write as _;

/// Chunks of the framing format hold no more.
const CHUNK: usize = 65_536;
/// The identifier that begins a stream.
const IDENTIFIER: usize = 10;

pub(crate) fn compressed(text: &[u8]) -> Vec<u8> {
    let mut encoder = snap::write::FrameEncoder::new(Vec::new());
    // Writing into memory does not fail.
    let _ = encoder.write_all(text);
    encoder.into_inner().unwrap_or_default()
}

/// This many megabytes of blanks, in a twentieth of their size: one chunk, repeated.
pub(crate) fn blanks(megabytes: usize) -> Vec<u8> {
    let one = compressed(&vec![b' '; CHUNK]);
    let (identifier, chunk) = one.split_at(IDENTIFIER.min(one.len()));
    let mut packed = identifier.to_vec();
    for _ in 0..(megabytes << 20) / CHUNK {
        packed.extend_from_slice(chunk);
    }
    packed
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn blanks_unpack_to_what_was_asked_for() {
        let packed = blanks(3);
        assert!(packed.len() < 300_000, "{}", packed.len());
        let mut plain = Vec::new();
        let read = snap::read::FrameDecoder::new(packed.as_slice()).read_to_end(&mut plain);
        assert_eq!(read.unwrap(), 3 << 20);
        assert!(plain.iter().all(|byte| *byte == b' '));
    }
}
