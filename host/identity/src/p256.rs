//! ECDSA public keys on the curve P-256 (FIPS 186-5), with which cosign signs: the PEM they come in, and their signatures.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use sha2::Digest as _;

use crate::IdentityError;

/// What DER of a key on this curve begins with (RFC 5480): a SubjectPublicKeyInfo of id-ecPublicKey and prime256v1, and the
/// head of a bit string of 65 bytes. Any other spelling is refused.
const DER_HEAD: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// A point that is written out has one byte that says so, and two coordinates.
const POINT_BYTES: usize = 65;
const POINT_HEAD: u8 = 4;
/// The most text read as PEM, in bytes; an honest one has 178.
const PEM_BYTES_MAX: usize = 4_096;
const PEM_BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const PEM_END: &str = "-----END PUBLIC KEY-----";

/// A point that is written out. Whether it is on the curve is seen at each check of a signature: one that is not fits none.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct P256([u8; POINT_BYTES]);

impl P256 {
    /// What its text form begins with.
    pub(crate) const PREFIX: &str = "p256:";

    pub(crate) fn from_pem(pem: &str) -> Result<Self, IdentityError> {
        let bad = |why: &str| IdentityError::BadCosignKey { why: why.into() };
        if pem.len() > PEM_BYTES_MAX {
            return Err(bad("it is too large"));
        }
        let body = pem
            .trim()
            .strip_prefix(PEM_BEGIN)
            .and_then(|rest| rest.strip_suffix(PEM_END));
        let body = body.ok_or_else(|| bad("it is not one public key in PEM"))?;
        let encoded: String = body.split_ascii_whitespace().collect();
        let der = STANDARD.decode(encoded).map_err(|_| bad("its PEM is not base64"))?;
        let point = der.strip_prefix(&DER_HEAD).ok_or_else(|| {
            bad("it is no ECDSA key on the curve P-256, the only kind of cosign's keys that is believed here")
        })?;
        Self::from_point(point).map_err(bad)
    }

    pub(crate) fn from_base64(encoded: &str) -> Result<Self, &'static str> {
        let point = STANDARD
            .decode(encoded)
            .map_err(|_| "what follows p256: is not base64")?;
        Self::from_point(&point)
    }

    fn from_point(bytes: &[u8]) -> Result<Self, &'static str> {
        let point: [u8; POINT_BYTES] = bytes.try_into().map_err(|_| "its point has not 65 bytes")?;
        if point.first() == Some(&POINT_HEAD) {
            Ok(Self(point))
        } else {
            Err("its point is not written out")
        }
    }

    pub(crate) const fn point(&self) -> &[u8] {
        &self.0
    }

    /// SHA-256 of its DER: what Sigstore's bundles name a key by.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        let mut hash = sha2::Sha256::new();
        hash.update(DER_HEAD);
        hash.update(self.0);
        hash.finalize().into()
    }

    pub(crate) fn verifies(&self, bytes: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0)
            .verify(bytes, signature)
            .is_ok()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};

    use super::*;
    use crate::PublicKey;

    /// A key as cosign makes them, that signs as cosign does.
    pub(crate) struct CosignKey(EcdsaKeyPair);

    impl CosignKey {
        pub(crate) fn generate() -> Self {
            let (kind, random) = (&ECDSA_P256_SHA256_ASN1_SIGNING, SystemRandom::new());
            let document = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
            Self(EcdsaKeyPair::from_pkcs8(kind, document.as_ref(), &random).unwrap())
        }

        pub(crate) fn pem(&self) -> String {
            let der = [&DER_HEAD[..], self.0.public_key().as_ref()].concat();
            let encoded = STANDARD.encode(der);
            let (first, second) = encoded.split_at(64);
            format!("{PEM_BEGIN}\n{first}\n{second}\n{PEM_END}\n")
        }

        pub(crate) fn public(&self) -> PublicKey {
            PublicKey::from_cosign_pem(&self.pem()).unwrap()
        }

        pub(crate) fn sign(&self, bytes: &[u8]) -> Vec<u8> {
            self.0.sign(&SystemRandom::new(), bytes).unwrap().as_ref().to_vec()
        }
    }

    // The key, the hint and the signature of Sigstore's own example of signing, over the text "hello world".
    const SIGSTORE_PEM: &str = "-----BEGIN PUBLIC KEY-----\n\
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEY51jsbL5o8ge+FAcxpYjQeDEe1n5\n\
        WK+8DzwCkLLPJHISIvsiS93PTVDPpmbAASOl2Y4ZHqRsxb3aPMaQmN4sew==\n\
        -----END PUBLIC KEY-----\n";
    const SIGSTORE_HINT: &str = "WpMWlwBZxXlzAjt/fxK4Nd9VYm7PH3cnr3TTVmdQ5SQ=";
    const SIGSTORE_SIGNATURE: &str =
        "MEUCIQDlK0ZyYsGeh1NC7MiAL+mT54jdQakhelpy5Vz5MmWEbgIgRn51DlDW6rgIY7KMUq+7sC8BjZYzh4QtmcPjJiF4RSA=";

    #[test]
    fn sigstores_own_example_of_a_key_and_its_signature_is_believed() {
        let key = PublicKey::from_cosign_pem(SIGSTORE_PEM).unwrap();
        let signature = STANDARD.decode(SIGSTORE_SIGNATURE).unwrap();
        assert!(key.verifies(b"hello world", &signature));
        assert!(!key.verifies(b"hello world!", &signature));
        let hint = STANDARD.decode(SIGSTORE_HINT).unwrap();
        assert_eq!(P256::from_pem(SIGSTORE_PEM).unwrap().fingerprint()[..], hint);
        assert_eq!(key.id().as_str(), "5a9316970059c579");
    }

    #[test]
    fn a_key_of_cosign_reads_back_what_it_prints_and_is_none_of_ours() {
        let key = CosignKey::generate();
        let public = key.public();
        assert!(!public.is_ed25519());
        assert!(public.to_string().starts_with("p256:B"));
        assert_eq!(public.to_string().parse::<PublicKey>().unwrap(), public);
        assert!(public.verifies(b"x", &key.sign(b"x")));
        assert!(!CosignKey::generate().public().verifies(b"x", &key.sign(b"x")));
    }

    #[test]
    fn a_signature_of_another_form_fits_nothing() {
        let key = CosignKey::generate();
        let signature = key.sign(b"x");
        for bad in [
            &[][..],
            &signature[1..],
            &signature[..signature.len() - 1],
            &[0; 64][..],
        ] {
            assert!(!key.public().verifies(b"x", bad), "{bad:?}");
        }
        assert!(!key.public().verifies(b"x", &[&signature[..], &[0]].concat()));
    }

    #[test]
    fn a_point_off_the_curve_fits_no_signature() {
        let mut off = [7; POINT_BYTES];
        off[0] = POINT_HEAD;
        let key: PublicKey = format!("p256:{}", STANDARD.encode(off)).parse().unwrap();
        assert!(!key.verifies(b"x", &CosignKey::generate().sign(b"x")));
    }

    #[test]
    fn keys_of_other_kinds_and_other_spellings_are_refused() {
        let pem = CosignKey::generate().pem();
        let ed25519 = "-----BEGIN PUBLIC KEY-----\n\
            MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
            -----END PUBLIC KEY-----\n";
        for bad in [
            "",
            "p256:",
            ed25519,
            &pem.replace("PUBLIC", "PRIVATE"),
            &pem.replace("MFkw", "MFkx"),
            &format!("{pem}{pem}"),
            &" ".repeat(PEM_BYTES_MAX + 1),
        ] {
            let refused = PublicKey::from_cosign_pem(bad);
            assert!(matches!(refused, Err(IdentityError::BadCosignKey { .. })), "{bad}");
        }
        let mut compressed = [9; POINT_BYTES];
        compressed[0] = 2;
        for bad in [
            format!("p256:{}", STANDARD.encode(compressed)),
            format!("p256:{}", STANDARD.encode([4; 64])),
            "p256:%".to_string(),
        ] {
            let refused = bad.parse::<PublicKey>();
            assert!(matches!(refused, Err(IdentityError::BadPublicKey { .. })), "{bad}");
        }
    }
}
