//! Signed notes in the C2SP text form (c2sp.org/signed-note): lines of text, an empty line, a signature line.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::Digest as _;

use crate::{IdentityError, PublicKey, SigningKey};

/// The first byte of an Ed25519 key in a note's key hash.
const ED25519: u8 = 1;
/// What a signature line begins with: an em dash and a space.
const LINE_START: &str = "\u{2014} ";
/// Signature lines one note may carry.
const LINES_MAX: usize = 16;

/// Signs `text`, which must be whole lines, none of them empty. `name` is the signer's, without spaces or plus signs.
///
/// # Errors
/// [`IdentityError::BadNote`] when text or name cannot stand in a note.
pub fn sign_note(name: &str, text: &str, key: &SigningKey) -> Result<String, IdentityError> {
    check(name, text)?;
    let mut signature = key_hash(name, &key.public()).to_vec();
    signature.extend_from_slice(&key.sign(text.as_bytes()));
    Ok(format!("{text}\n{LINE_START}{name} {}\n", STANDARD.encode(signature)))
}

/// The text of a note that `key` signed as `name`. Other signatures are ignored.
///
/// # Errors
/// [`IdentityError::BadNote`] when it is no note, or carries no valid signature of that key.
pub fn open_note<'n>(note: &'n str, name: &str, key: &PublicKey) -> Result<&'n str, IdentityError> {
    let bad = |why: &str| IdentityError::BadNote { why: why.into() };
    let at = note
        .rfind("\n\n")
        .ok_or_else(|| bad("it has no empty line before its signatures"))?;
    let (text, signatures) = note.split_at(at + 1);
    check(name, text)?;
    if !key.is_ed25519() {
        return Err(bad("notes are signed with Ed25519 keys, and this is none"));
    }
    let hash = key_hash(name, key);
    for line in signatures.lines().skip(1).take(LINES_MAX) {
        let line = line
            .strip_prefix(LINE_START)
            .ok_or_else(|| bad("a signature line is malformed"))?;
        let Some((signer, encoded)) = line.split_once(' ') else {
            return Err(bad("a signature line is malformed"));
        };
        let bytes = STANDARD.decode(encoded).map_err(|_| bad("a signature is not base64"))?;
        if signer != name || !bytes.starts_with(&hash) {
            continue;
        }
        let signature = bytes.get(hash.len()..).unwrap_or_default();
        return if key.verifies(text.as_bytes(), signature) {
            Ok(text)
        } else {
            Err(bad("its signature does not fit its text"))
        };
    }
    Err(bad("it carries no signature of that key"))
}

/// An Ed25519 key as verifiers of notes write it: `name+hash+base64`.
pub fn verifier_key(name: &str, key: &PublicKey) -> String {
    let mut bytes = vec![ED25519];
    bytes.extend_from_slice(key.as_bytes());
    format!("{name}+{}+{}", hex::encode(key_hash(name, key)), STANDARD.encode(bytes))
}

fn check(name: &str, text: &str) -> Result<(), IdentityError> {
    let bad = |why: &str| Err(IdentityError::BadNote { why: why.into() });
    if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c == '+' || c.is_control()) {
        return bad("its signer's name is empty or holds a space or a plus sign");
    }
    if !text.ends_with('\n') || text.starts_with('\n') || text.contains("\n\n") {
        return bad("its text is not whole, non-empty lines");
    }
    if text.chars().any(|c| c.is_control() && c != '\n') {
        return bad("its text holds control characters");
    }
    Ok(())
}

/// The first four bytes of SHA-256 over name, newline, algorithm and key: a hint which key a line belongs to.
fn key_hash(name: &str, key: &PublicKey) -> [u8; 4] {
    let mut hasher = sha2::Sha256::new();
    hasher.update(name.as_bytes());
    hasher.update([b'\n', ED25519]);
    hasher.update(key.as_bytes());
    let digest: [u8; 32] = hasher.finalize().into();
    let [a, b, c, d, ..] = digest;
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_opens_with_its_key_only() {
        let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let note = sign_note("example.org/log", "example.org/log\n3\nroot\n", &key).unwrap();
        assert_eq!(
            open_note(&note, "example.org/log", &key.public()).unwrap(),
            "example.org/log\n3\nroot\n"
        );
        assert!(open_note(&note, "example.org/log", &other.public()).is_err());
        assert!(open_note(&note, "example.org/other", &key.public()).is_err());
        assert!(open_note(&note.replacen('3', "4", 1), "example.org/log", &key.public()).is_err());
    }

    #[test]
    fn a_text_that_could_be_read_in_two_ways_is_not_signed() {
        let key = SigningKey::generate().unwrap();
        for text in ["", "a", "a\n\nb\n", "\na\n", "a\r\n"] {
            assert!(sign_note("n", text, &key).is_err(), "{text:?}");
        }
        for name in ["", "a b", "a+b"] {
            assert!(sign_note(name, "a\n", &key).is_err(), "{name:?}");
        }
    }

    #[test]
    fn the_published_example_of_a_signed_note_is_read() {
        // From golang.org/x/mod/sumdb/note: PeterNeumann's key, name, hash and signature.
        let peter: PublicKey = format!("ed25519:{}", {
            let bytes = STANDARD.decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").unwrap();
            STANDARD.encode(&bytes[1..])
        })
        .parse()
        .unwrap();
        assert_eq!(
            verifier_key("PeterNeumann", &peter),
            "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
        );
        let note = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        assert!(open_note(note, "PeterNeumann", &peter).is_ok());
    }
}
