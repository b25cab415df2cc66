//! The few encodings all parts of a record share: varints, and bytes with their length in front. Decoding never trusts a length.

use crate::LedgerError;

/// Appends an unsigned LEB128.
pub fn put_u64(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// How many bytes [`put_u64`] appends.
pub const fn u64_bytes(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// How many bytes [`put_bytes`] appends.
pub const fn bytes_bytes(bytes: &[u8]) -> usize {
    u64_bytes(bytes.len() as u64) + bytes.len()
}

/// How many bytes [`put_option`] appends.
pub fn option_bytes(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| u64_bytes(bytes.len() as u64 + 1) + bytes.len())
}

/// Appends a length and the bytes.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u64(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends nothing-or-bytes: zero, or the length plus one and the bytes.
pub fn put_option(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => out.push(0),
        Some(bytes) => {
            put_u64(out, bytes.len() as u64 + 1);
            out.extend_from_slice(bytes);
        }
    }
}

/// Reads what the functions above wrote.
#[derive(Clone, Debug)]
pub struct Wire<'a> {
    rest: &'a [u8],
}

impl<'a> Wire<'a> {
    /// Reads from the start of these bytes.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether everything was read.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What was not read yet.
    pub const fn remaining(&self) -> &'a [u8] {
        self.rest
    }

    /// So many bytes.
    ///
    /// # Errors
    /// `Malformed`, as everywhere here: it ends too early or is not of the form.
    pub fn take(&mut self, count: u64) -> Result<&'a [u8], LedgerError> {
        let split = usize::try_from(count)
            .ok()
            .and_then(|count| self.rest.split_at_checked(count));
        let (taken, rest) = split.ok_or_else(short)?;
        self.rest = rest;
        Ok(taken)
    }

    /// A number.
    pub fn u64(&mut self) -> Result<u64, LedgerError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or_else(short)?;
            self.rest = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(malformed("a number has too many digits"))
    }

    /// A number of 32 bits.
    pub fn u32(&mut self) -> Result<u32, LedgerError> {
        u32::try_from(self.u64()?).map_err(|_| malformed("a number is too large"))
    }

    /// A byte.
    pub fn u8(&mut self) -> Result<u8, LedgerError> {
        self.take(1).map(|byte| byte.first().copied().unwrap_or_default())
    }

    /// Bytes with their length in front.
    pub fn bytes(&mut self) -> Result<&'a [u8], LedgerError> {
        let count = self.u64()?;
        self.take(count)
    }

    /// Nothing, or bytes.
    pub fn option(&mut self) -> Result<Option<&'a [u8]>, LedgerError> {
        match self.u64()? {
            0 => Ok(None),
            count => self.take(count - 1).map(Some),
        }
    }

    /// UTF-8 with its length in front.
    pub fn text(&mut self) -> Result<&'a str, LedgerError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| malformed("a text is not UTF-8"))
    }

    /// Nothing may follow.
    pub fn end(self) -> Result<(), LedgerError> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(malformed("bytes follow its end"))
        }
    }
}

fn short() -> LedgerError {
    malformed("it ends too early")
}

pub(crate) fn malformed(why: &str) -> LedgerError {
    LedgerError::Malformed { why: why.into() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_written_is_read_back(number: u64, bytes: Vec<u8>, option: Option<Vec<u8>>) {
            let mut out = Vec::new();
            put_u64(&mut out, number);
            put_bytes(&mut out, &bytes);
            put_option(&mut out, option.as_deref());
            let bytes_told = u64_bytes(number) + bytes_bytes(&bytes) + option_bytes(option.as_deref());
            prop_assert_eq!(out.len(), bytes_told);
            let mut wire = Wire::new(&out);
            prop_assert_eq!(wire.u64().unwrap(), number);
            prop_assert_eq!(wire.bytes().unwrap(), &bytes[..]);
            prop_assert_eq!(wire.option().unwrap(), option.as_deref());
            wire.end().unwrap();
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let mut wire = Wire::new(&bytes);
            while !wire.is_empty() {
                if wire.clone().bytes().is_err() && wire.u64().is_err() {
                    break;
                }
                let _ = wire.option();
            }
        }
    }
}
