//! What kinds of bytes a text has, found sixteen at a time.

/// What kinds of bytes there are in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kinds {
    /// Nothing beyond ASCII, so it is UTF-8 and any part of it is.
    pub(crate) ascii: bool,
    /// Something that a string of JSON cannot hold as it is: a control character, a quote or a backslash.
    pub(crate) escapes: bool,
}

const BEYOND_ASCII: u8 = 0x80;
const ESCAPE: u8 = 1;

/// Looks at all bytes.
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
pub(crate) fn kinds(bytes: &[u8]) -> Kinds {
    // Without a branch, as vector instructions do it.
    let found = bytes.iter().fold(0, |found, byte| {
        let escape = u8::from(*byte < 0x20) | u8::from(*byte == b'"') | u8::from(*byte == b'\\');
        found | (*byte & BEYOND_ASCII) | (escape & ESCAPE)
    });
    Kinds {
        ascii: found & BEYOND_ASCII == 0,
        escapes: found & ESCAPE != 0,
    }
}
