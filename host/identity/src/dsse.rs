//! DSSE v1 envelopes: bytes, what they are, and signatures over both.
//!
//! Follows the Dead Simple Signing Envelope, protocol and envelope 1.0: the signature covers the pre-authentication
//! encoding of type and body, so nothing has to be parsed or canonicalised before it is checked.

use base64::Engine as _;
use base64::alphabet::{STANDARD as STANDARD_ALPHABET, URL_SAFE as URL_SAFE_ALPHABET};
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use serde::{Deserialize, Serialize};

use crate::error::shorten;
use crate::{IdentityError, KeyId, PublicKey, SigningKey, strict_json};

/// Signatures one envelope may carry; each may be tried against each key of a namespace.
pub(crate) const SIGNATURES_MAX: usize = 16;

/// Padding may be there or not; bits after the last byte must be zero, so that one signature has one spelling per form.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD_DECODER: GeneralPurpose = GeneralPurpose::new(&STANDARD_ALPHABET, LENIENT);
const URL_SAFE_DECODER: GeneralPurpose = GeneralPurpose::new(&URL_SAFE_ALPHABET, LENIENT);

/// A signed payload; holds one to [`SIGNATURES_MAX`] signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) payload_type: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) signatures: Vec<Signature>,
}

/// A signature; the key id is a hint that proves nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signature {
    pub(crate) key_id: String,
    pub(crate) bytes: Vec<u8>,
}

/// The envelope as JSON. Members the protocol does not know are ignored, as it demands; no signature covers them.
#[derive(Serialize, Deserialize)]
struct Wire {
    #[serde(rename = "payloadType")]
    payload_type: String,
    payload: String,
    signatures: Vec<WireSignature>,
}

#[derive(Serialize, Deserialize)]
struct WireSignature {
    #[serde(default)]
    keyid: String,
    sig: String,
}

impl Envelope {
    pub(crate) fn sign(payload_type: &str, payload: Vec<u8>, key: &SigningKey) -> Self {
        let bytes = key.sign(&encode(payload_type, &payload)).to_vec();
        let signatures = vec![Signature {
            key_id: key.public().id().to_string(),
            bytes,
        }];
        Self {
            payload_type: payload_type.to_string(),
            payload,
            signatures,
        }
    }

    /// Reads an envelope; the caller bounds the size.
    pub(crate) fn from_json(bytes: &[u8], depth_max: usize, signatures_max: usize) -> Result<Self, IdentityError> {
        Self::from_value(strict_json::parse(bytes, depth_max)?, signatures_max)
    }

    /// The same of JSON that was read strictly.
    pub(crate) fn from_value(value: serde_json::Value, signatures_max: usize) -> Result<Self, IdentityError> {
        let malformed = |why: String| IdentityError::EnvelopeMalformed { why: shorten(&why) };
        let wire: Wire = serde_json::from_value(value).map_err(|e| malformed(e.to_string()))?;
        if wire.signatures.is_empty() {
            return Err(IdentityError::NoSignature {});
        }
        if wire.signatures.len() > signatures_max {
            let found = wire.signatures.len();
            return Err(IdentityError::TooManySignatures { found, signatures_max });
        }
        let payload = decode(&wire.payload).ok_or_else(|| malformed("its payload is not base64".into()))?;
        let signature = |w: WireSignature| {
            let bytes = decode(&w.sig).ok_or_else(|| malformed("a signature is not base64".into()))?;
            Ok(Signature { key_id: w.keyid, bytes })
        };
        let signatures = wire
            .signatures
            .into_iter()
            .map(signature)
            .collect::<Result<_, IdentityError>>()?;
        Ok(Self {
            payload_type: wire.payload_type,
            payload,
            signatures,
        })
    }

    pub(crate) fn to_json(&self) -> serde_json::Value {
        let signature = |s: &Signature| serde_json::json!({ "keyid": s.key_id, "sig": STANDARD.encode(&s.bytes) });
        serde_json::json!({
            "payloadType": self.payload_type,
            "payload": STANDARD.encode(&self.payload),
            "signatures": self.signatures.iter().map(signature).collect::<Vec<_>>(),
        })
    }

    /// Adds a key's signature. `false`: it has signed already.
    pub(crate) fn add_signature(&mut self, key: &SigningKey, signatures_max: usize) -> Result<bool, IdentityError> {
        let (message, public) = (encode(&self.payload_type, &self.payload), key.public());
        if self.signatures.iter().any(|s| public.verifies(&message, &s.bytes)) {
            return Ok(false);
        }
        if self.signatures.len() >= signatures_max {
            let found = self.signatures.len() + 1;
            return Err(IdentityError::TooManySignatures { found, signatures_max });
        }
        self.signatures.push(Signature {
            key_id: public.id().to_string(),
            bytes: key.sign(&message).to_vec(),
        });
        Ok(true)
    }

    /// Takes over the signatures of another envelope of the same, those that are not here yet. `false`: all were.
    pub(crate) fn join(&mut self, other: Self, signatures_max: usize) -> Result<bool, IdentityError> {
        let before = self.signatures.len();
        for signature in other.signatures {
            if !self.signatures.iter().any(|known| known.bytes == signature.bytes) {
                self.signatures.push(signature);
            }
        }
        let found = self.signatures.len();
        if found > signatures_max {
            return Err(IdentityError::TooManySignatures { found, signatures_max });
        }
        Ok(found > before)
    }

    /// Those of `keys`, which are distinct, by which a signature is valid, each once, in their order.
    ///
    /// Key ids only say what is tried first: an honest envelope then takes one check for each signature. A signature
    /// counts for one key.
    pub(crate) fn signers<'k>(&self, keys: impl IntoIterator<Item = &'k PublicKey>) -> Vec<&'k PublicKey> {
        let message = encode(&self.payload_type, &self.payload);
        let mut unclaimed: Vec<&Signature> = self.signatures.iter().collect();
        let mut tried: Vec<(&PublicKey, KeyId, bool)> = keys.into_iter().map(|key| (key, key.id(), false)).collect();
        for by_name in [true, false] {
            for (key, id, signed) in tried.iter_mut().filter(|(_, _, signed)| !*signed) {
                let fits = |s: &&Signature| (!by_name || s.key_id == id.as_str()) && key.verifies(&message, &s.bytes);
                if let Some(at) = unclaimed.iter().position(fits) {
                    unclaimed.swap_remove(at);
                    *signed = true;
                }
            }
        }
        tried
            .into_iter()
            .filter(|(_, _, signed)| *signed)
            .map(|(key, ..)| key)
            .collect()
    }

    /// Whether a signature claims to be by this key.
    pub(crate) fn names(&self, id: &KeyId) -> bool {
        self.signatures.iter().any(|s| s.key_id == id.as_str())
    }
}

/// PAE, the pre-authentication encoding: `DSSEv1 <bytes of type> <type> <bytes of body> <body>`.
pub(crate) fn encode(payload_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), body.len());
    let mut encoded = Vec::with_capacity(head.len() + body.len());
    encoded.extend_from_slice(head.as_bytes());
    encoded.extend_from_slice(body);
    encoded
}

/// Standard or URL-safe base64: the protocol lets a signer use either.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let url_safe = text.bytes().any(|b| matches!(b, b'-' | b'_'));
    if url_safe {
        URL_SAFE_DECODER.decode(text).ok()
    } else {
        STANDARD_DECODER.decode(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pre_authentication_encoding_is_the_one_of_the_protocol() {
        assert_eq!(
            encode("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
        assert_eq!(encode("", b""), b"DSSEv1 0  0 ");
    }

    #[test]
    fn an_envelope_reads_back_what_it_writes() {
        let key = SigningKey::generate().unwrap();
        let envelope = Envelope::sign("http://example.com/HelloWorld", b"hello world".to_vec(), &key);
        let read = Envelope::from_json(envelope.to_json().to_string().as_bytes(), 32, SIGNATURES_MAX).unwrap();
        assert_eq!(read, envelope);
        assert_eq!(read.signers([&key.public()]).len(), 1);
    }

    #[test]
    fn url_safe_base64_and_missing_padding_are_read_too() {
        let key = SigningKey::generate().unwrap();
        let envelope = Envelope::sign("t", vec![0xfb, 0xff, 0xfe, 0x3e], &key);
        let text = envelope.to_json().to_string();
        // The media type of this envelope holds none of these letters, so only base64 changes.
        let url_safe = text.replace('+', "-").replace('/', "_");
        assert_ne!(url_safe, text);
        for form in [url_safe.clone(), url_safe.replace('=', "")] {
            assert_eq!(
                Envelope::from_json(form.as_bytes(), 32, SIGNATURES_MAX).unwrap(),
                envelope
            );
        }
    }

    #[test]
    fn base64_of_two_alphabets_at_once_or_with_stray_bits_is_refused() {
        for bad in ["+_==", "ab cd", "QQ=A", "QR==", "Q"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
        assert_eq!(decode("QQ=="), Some(b"A".to_vec()));
    }

    #[test]
    fn the_type_is_signed_too() {
        let key = SigningKey::generate().unwrap();
        let mut envelope = Envelope::sign("a", b"x".to_vec(), &key);
        envelope.payload_type = "b".into();
        assert!(envelope.signers([&key.public()]).is_empty());
    }

    #[test]
    fn a_lying_key_id_neither_helps_nor_hurts() {
        let (signer, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let mut envelope = Envelope::sign("a", b"x".to_vec(), &signer);
        envelope.signatures[0].key_id = other.public().id().to_string();
        assert!(envelope.signers([&other.public()]).is_empty());
        assert_eq!(envelope.signers([&signer.public()]).len(), 1);
    }

    #[test]
    fn a_signature_counts_for_one_key_and_a_key_counts_once() {
        let keys: Vec<SigningKey> = (0..3).map(|_| SigningKey::generate().unwrap()).collect();
        let public: Vec<PublicKey> = keys.iter().map(SigningKey::public).collect();
        let mut envelope = Envelope::sign("a", b"x".to_vec(), &keys[0]);
        assert!(envelope.add_signature(&keys[1], SIGNATURES_MAX).unwrap());
        assert!(!envelope.add_signature(&keys[1], SIGNATURES_MAX).unwrap());
        let repeated = envelope.signatures[0].clone();
        envelope.signatures.extend([repeated.clone(), repeated]);
        assert_eq!(envelope.signers(&public), [&public[0], &public[1]]);
        // The names in it may be wrong, or gone.
        for signature in &mut envelope.signatures {
            signature.key_id = public[2].id().to_string();
        }
        assert_eq!(envelope.signers(&public), [&public[0], &public[1]]);
    }

    #[test]
    fn a_full_envelope_takes_no_further_signature() {
        let mut envelope = Envelope::sign("a", b"x".to_vec(), &SigningKey::generate().unwrap());
        assert!(envelope.add_signature(&SigningKey::generate().unwrap(), 2).unwrap());
        let refused = envelope.add_signature(&SigningKey::generate().unwrap(), 2);
        assert!(matches!(
            refused,
            Err(IdentityError::TooManySignatures { found: 3, .. })
        ));
        let text = envelope.to_json().to_string();
        assert!(Envelope::from_json(text.as_bytes(), 32, 2).is_ok());
        assert!(Envelope::from_json(text.as_bytes(), 32, 1).is_err());
    }
}
