//! A tape as bytes: compact, one form for each tape, and safe to read whoever wrote it.
//!
//! A version byte (1), the number of exchanges, then for each: interface, function, the 32 bytes of the request's
//! digest, response. Texts and bytes have their length in front; all numbers are unsigned LEB128 in shortest form.

use kinetic_model::Digest;

use crate::{EngineError, Exchange};

const VERSION: u8 = 1;
/// The longest interface or function name, in bytes.
const NAME_BYTES_MAX: usize = 256;
/// Two empty names, a digest and an empty response: no exchange is shorter.
const EXCHANGE_BYTES_MIN: usize = 35;

/// Writes a tape.
pub fn encode_tape(tape: &[Exchange]) -> Vec<u8> {
    let sizes = tape
        .iter()
        .map(|one| one.interface.len() + one.function.len() + one.response.len() + 40);
    let mut out = Vec::with_capacity(sizes.sum::<usize>() + 8);
    out.push(VERSION);
    put_number(&mut out, tape.len());
    for exchange in tape {
        put_bytes(&mut out, exchange.interface.as_bytes());
        put_bytes(&mut out, exchange.function.as_bytes());
        out.extend_from_slice(exchange.request.as_bytes());
        put_bytes(&mut out, &exchange.response);
    }
    out
}

/// Reads a tape. It takes no more memory than a small multiple of the bytes, and accepts only what
/// [`encode_tape`] writes.
///
/// # Errors
/// `BadTape`, with the byte where it stops making sense.
pub fn decode_tape(bytes: &[u8]) -> Result<Vec<Exchange>, EngineError> {
    let mut reader = Reader { bytes, at: 0 };
    if reader.take(1)? != [VERSION] {
        return Err(reader.bad("its version is not 1"));
    }
    let count = reader.number()?;
    if count > reader.left() / EXCHANGE_BYTES_MIN {
        return Err(reader.bad("it is shorter than its number of exchanges needs"));
    }
    let mut tape = Vec::with_capacity(count);
    for _ in 0..count {
        let interface = reader.name()?;
        let function = reader.name()?;
        let (digest, _) = reader.take(32)?.as_chunks::<32>();
        let request = digest.first().copied().map(Digest::from_bytes);
        tape.push(Exchange {
            interface,
            function,
            request: request.ok_or_else(|| reader.bad("a digest is missing"))?,
            response: reader.bytes()?.to_vec(),
        });
    }
    if reader.left() > 0 {
        return Err(reader.bad("something follows its end"));
    }
    Ok(tape)
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn put_number(out: &mut Vec<u8>, mut number: usize) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn bad(&self, why: &str) -> EngineError {
        EngineError::BadTape {
            at_byte: self.at as u64,
            why: why.into(),
        }
    }

    fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], EngineError> {
        let end = self.at.checked_add(count);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or_else(|| self.bad("it ends too early"))?;
        self.at += count;
        Ok(taken)
    }

    fn number(&mut self) -> Result<usize, EngineError> {
        let mut number = 0_u64;
        // Nine groups of seven bits hold every length there can be.
        for group in 0..9 {
            let byte = self.take(1)?.first().copied().unwrap_or_default();
            number |= u64::from(byte & 0x7f) << (7 * group);
            if byte & 0x80 == 0 {
                if byte == 0 && group > 0 {
                    return Err(self.bad("a number is not in its shortest form"));
                }
                return usize::try_from(number).map_err(|_| self.bad("a number is too large"));
            }
        }
        Err(self.bad("a number is too long"))
    }

    fn bytes(&mut self) -> Result<&'a [u8], EngineError> {
        let count = self.number()?;
        self.take(count)
    }

    fn name(&mut self) -> Result<String, EngineError> {
        let bytes = self.bytes()?;
        if bytes.len() > NAME_BYTES_MAX {
            return Err(self.bad("a name is too long"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| self.bad("a name is not UTF-8"))?;
        Ok(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn exchange() -> impl Strategy<Value = Exchange> {
        let name = "[a-z:/\u{e9}-]{0,60}";
        (
            name,
            name,
            any::<[u8; 32]>(),
            prop::collection::vec(any::<u8>(), 0..400),
        )
            .prop_map(|(interface, function, request, response)| Exchange {
                interface,
                function,
                request: Digest::from_bytes(request),
                response,
            })
    }

    proptest! {
        #[test]
        fn a_tape_reads_back_and_every_cut_and_every_addition_is_refused(
            tape in prop::collection::vec(exchange(), 0..6),
            cut in any::<prop::sample::Index>(),
        ) {
            let bytes = encode_tape(&tape);
            prop_assert_eq!(decode_tape(&bytes).unwrap(), tape);
            prop_assert!(decode_tape(&bytes[..cut.index(bytes.len())]).is_err());
            prop_assert!(decode_tape(&[bytes.as_slice(), &[0]].concat()).is_err());
        }

        #[test]
        fn what_is_read_from_any_bytes_writes_the_same_bytes(
            tape in prop::collection::vec(exchange(), 0..3),
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut bytes = encode_tape(&tape);
            for (at, value) in flips {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if let Ok(read) = decode_tape(&bytes) {
                prop_assert_eq!(encode_tape(&read), bytes);
            }
        }
    }

    #[test]
    fn the_form_is_stable() {
        let tape = [Exchange {
            interface: "a:b/c".into(),
            function: "f".into(),
            request: Digest::from_bytes([7; 32]),
            response: vec![1; 200],
        }];
        let mut expected = vec![1, 1, 5];
        expected.extend_from_slice(b"a:b/c\x01f");
        expected.extend_from_slice(&[7; 32]);
        expected.extend_from_slice(&[0xc8, 1]);
        expected.extend_from_slice(&[1; 200]);
        assert_eq!(encode_tape(&tape), expected);
    }

    #[test]
    fn a_count_that_the_bytes_cannot_hold_takes_no_memory() {
        let error = decode_tape(&[1, 0xff, 0xff, 0xff, 0xff, 0x0f]).unwrap_err();
        assert!(matches!(error, EngineError::BadTape { .. }), "{error}");
    }
}
