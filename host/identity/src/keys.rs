//! Keys: the Ed25519 signing key (RFC 8032) and its private file, public keys and their text forms.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes};
use ed25519_dalek::{Signature, Signer as _};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use zeroize::Zeroizing;

use crate::IdentityError;
use crate::atomic_file::{self, Existing};
use crate::error::shorten;
use crate::p256::P256;

/// The largest key file read, in bytes; an honest one has about 120.
const KEY_FILE_BYTES_MAX: u64 = 4096;

/// A private key. Its file is PKCS#8 PEM of mode 0600; its memory is wiped when it is dropped.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// Makes a new key from the operating system's random bytes.
    ///
    /// # Errors
    /// [`IdentityError::NoRandomness`].
    pub fn generate() -> Result<Self, IdentityError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut()).map_err(|e| IdentityError::NoRandomness { why: e.to_string() })?;
        Ok(Self(ed25519_dalek::SigningKey::from_bytes(&seed)))
    }

    /// Reads a PKCS#8 PEM file (RFC 8410, versions 1 and 2).
    ///
    /// # Errors
    /// [`IdentityError::KeyFileMissing`], [`IdentityError::FileUnreadable`], [`IdentityError::FileTooOpen`] when group
    /// or others may touch it, [`IdentityError::KeyFileMalformed`].
    pub fn load(path: &Path) -> Result<Self, IdentityError> {
        let shown = path.display().to_string();
        let unreadable = |e: io::Error| IdentityError::FileUnreadable {
            path: shown.clone(),
            why: e.to_string(),
        };
        let file = File::open(path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => IdentityError::KeyFileMissing { path: shown.clone() },
            _ => unreadable(e),
        })?;
        // The mode of the open file, not of the path: nobody can swap the file between the check and the read.
        let mode = file.metadata().map_err(unreadable)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(IdentityError::FileTooOpen {
                path: shown,
                mode: format!("{:03o}", mode & 0o777),
            });
        }
        // Room for the whole file at once: a buffer that grows would leave copies of the key behind.
        let mut pem = Zeroizing::new(String::with_capacity(4097));
        file.take(KEY_FILE_BYTES_MAX)
            .read_to_string(&mut pem)
            .map_err(unreadable)?;
        Self::from_pem(&pem).map_err(|why| IdentityError::KeyFileMalformed { path: shown, why })
    }

    /// Writes a new file of mode 0600 in PKCS#8 PEM, the form `openssl genpkey -algorithm ed25519` writes.
    ///
    /// # Errors
    /// [`IdentityError::KeyFileExists`]: a file that is there is never overwritten. [`IdentityError::FileUnwritable`].
    pub fn save(&self, path: &Path) -> Result<(), IdentityError> {
        let unwritable = |why: String| IdentityError::FileUnwritable {
            path: path.display().to_string(),
            why,
        };
        let pem = self.to_pem().map_err(|e| unwritable(e.to_string()))?;
        atomic_file::write(path, pem.as_bytes(), Existing::Keep).map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => IdentityError::KeyFileExists {
                path: path.display().to_string(),
            },
            _ => unwritable(e.to_string()),
        })
    }

    /// The key others verify with.
    pub fn public(&self) -> PublicKey {
        PublicKey(Kind::Ed25519(self.0.verifying_key()))
    }

    /// Signs bytes; 64 bytes come out, the same for the same bytes.
    pub(crate) fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.0.sign(bytes).to_bytes()
    }

    fn from_pem(pem: &str) -> Result<Self, String> {
        ed25519_dalek::SigningKey::from_pkcs8_pem(pem)
            .map(Self)
            .map_err(|e| e.to_string())
    }

    fn to_pem(&self) -> Result<Zeroizing<String>, ed25519_dalek::pkcs8::Error> {
        // Without the public key it is version 1, which every OpenSSL reads; version 2 only new ones do.
        KeypairBytes {
            secret_key: self.0.to_bytes(),
            public_key: None,
        }
        .to_pkcs8_pem(LineEnding::LF)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public().id())
    }
}

/// A public key: one of Ed25519, with which everything of ours is signed, or one of ECDSA on P-256, with which cosign signs
/// receipts. Text form: `ed25519:` and the base64 of its 32 bytes, or `p256:` and the base64 of its point of 65 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PublicKey(Kind);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Ed25519(ed25519_dalek::VerifyingKey),
    P256(P256),
}

impl PublicKey {
    /// Reads what `cosign generate-key-pair` leaves as cosign.pub: a P-256 key in PEM (RFC 7468) as a SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// [`IdentityError::BadCosignKey`], also for keys of other kinds.
    pub fn from_cosign_pem(pem: &str) -> Result<Self, IdentityError> {
        P256::from_pem(pem).map(|key| Self(Kind::P256(key)))
    }

    /// Whether it is of Ed25519, and so one of ours; only those sign root documents, indexes and notes.
    pub const fn is_ed25519(&self) -> bool {
        matches!(self.0, Kind::Ed25519(_))
    }

    /// Its short name: see [`KeyId`].
    pub fn id(&self) -> KeyId {
        match &self.0 {
            Kind::Ed25519(key) => KeyId::of(&sha2::Sha256::digest(key.as_bytes()).into()),
            Kind::P256(key) => KeyId::of(&key.fingerprint()),
        }
    }

    /// Its bytes: 32 of Ed25519, 65 of P-256.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Kind::Ed25519(key) => key.as_bytes(),
            Kind::P256(key) => key.point(),
        }
    }

    /// Whether `signature` is this key's over `bytes`: 64 bytes of Ed25519, or DER of ECDSA on P-256 with SHA-256.
    ///
    /// Strict verification: keys and points of small order are refused, so no signature fits two messages.
    pub(crate) fn verifies(&self, bytes: &[u8], signature: &[u8]) -> bool {
        match &self.0 {
            Kind::Ed25519(key) => {
                Signature::from_slice(signature).is_ok_and(|signature| key.verify_strict(bytes, &signature).is_ok())
            }
            Kind::P256(key) => key.verifies(bytes, signature),
        }
    }
}

impl FromStr for PublicKey {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let bad = |why: &str| IdentityError::BadPublicKey {
            text: shorten(text),
            why: why.to_string(),
        };
        if let Some(encoded) = text.strip_prefix(P256::PREFIX) {
            let key = P256::from_base64(encoded).map_err(bad)?;
            return Ok(Self(Kind::P256(key)));
        }
        let encoded = text
            .strip_prefix("ed25519:")
            .ok_or_else(|| bad("it starts neither with ed25519: nor with p256:"))?;
        let bytes = STANDARD
            .decode(encoded)
            .map_err(|_| bad("what follows ed25519: is not base64"))?;
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| bad("it does not hold 32 bytes"))?;
        let key =
            ed25519_dalek::VerifyingKey::from_bytes(&bytes).map_err(|_| bad("its bytes are no point on the curve"))?;
        if key.is_weak() {
            return Err(bad("it is a weak point, for which anybody can sign"));
        }
        Ok(Self(Kind::Ed25519(key)))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = if self.is_ed25519() { "ed25519:" } else { P256::PREFIX };
        write!(f, "{prefix}{}", STANDARD.encode(self.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for PublicKey {
    type Error = IdentityError;

    fn try_from(text: String) -> Result<Self, IdentityError> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

/// A key's short name for people and logs: the first 16 hexadecimal digits of the SHA-256 of the 32 bytes of an Ed25519 key,
/// or of the DER of a P-256 one, which is what Sigstore calls it by.
///
/// It is a hint. Nothing is trusted because of it: signatures are checked against whole keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct KeyId(String);

impl KeyId {
    const DIGITS: usize = 16;

    /// The name that a whole SHA-256 begins with.
    pub(crate) fn of(fingerprint: &[u8; 32]) -> Self {
        Self(hex::encode(fingerprint).chars().take(Self::DIGITS).collect())
    }

    /// The 16 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyId {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let fits = text.len() == Self::DIGITS && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if fits {
            Ok(Self(text.to_string()))
        } else {
            Err(IdentityError::BadKeyId { text: shorten(text) })
        }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for KeyId {
    type Error = IdentityError;

    fn try_from(text: String) -> Result<Self, IdentityError> {
        text.parse()
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn from_seed(hex_digits: &str) -> SigningKey {
        SigningKey(ed25519_dalek::SigningKey::from_bytes(
            &hex::decode(hex_digits).unwrap().try_into().unwrap(),
        ))
    }

    #[test]
    fn signatures_are_those_of_rfc_8032() {
        // Section 7.1, tests 1 and 2.
        for (seed, public, message, signature) in [
            (
                "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
                "",
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
            ),
            (
                "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
                "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
                "72",
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
            ),
        ] {
            let key = from_seed(seed);
            let (message, signature) = (hex::decode(message).unwrap(), hex::decode(signature).unwrap());
            assert_eq!(hex::encode(key.public().as_bytes()), public);
            assert_eq!(key.sign(&message), signature[..]);
            assert!(key.public().verifies(&message, &signature));
            assert!(!key.public().verifies(b"something else", &signature));
            assert!(!key.public().verifies(&message, &signature[..63]));
        }
    }

    // RFC 8410, section 10.3.
    const RFC_8410_PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
        -----END PRIVATE KEY-----\n";

    #[test]
    fn the_key_file_is_that_of_rfc_8410() {
        let key = SigningKey::from_pem(RFC_8410_PEM).unwrap();
        assert_eq!(
            key.public().to_string(),
            "ed25519:Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="
        );
        assert_eq!(key.to_pem().unwrap().as_str(), RFC_8410_PEM);
    }

    #[test]
    fn a_saved_key_loads_again_and_its_file_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signing.pem");
        let key = SigningKey::generate().unwrap();
        key.save(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(SigningKey::load(&path).unwrap().public(), key.public());
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "no temporary file stays behind"
        );
    }

    #[test]
    fn two_new_keys_differ() {
        assert_ne!(
            SigningKey::generate().unwrap().public(),
            SigningKey::generate().unwrap().public()
        );
    }

    #[test]
    fn a_key_file_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signing.pem");
        let first = SigningKey::generate().unwrap();
        first.save(&path).unwrap();
        let refused = SigningKey::generate().unwrap().save(&path);
        assert!(matches!(refused, Err(IdentityError::KeyFileExists { .. })));
        assert_eq!(SigningKey::load(&path).unwrap().public(), first.public());
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "no temporary file stays behind"
        );
    }

    #[test]
    fn a_key_that_others_may_touch_is_refused_and_the_fix_says_chmod() {
        use kinetic_model::Coded;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signing.pem");
        SigningKey::generate().unwrap().save(&path).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = SigningKey::load(&path).unwrap_err();
            assert!(matches!(refused, IdentityError::FileTooOpen { .. }), "{mode:o}");
            assert!(refused.fix().contains("chmod 600"));
        }
    }

    #[test]
    fn a_missing_and_a_malformed_key_file_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signing.pem");
        assert!(matches!(
            SigningKey::load(&path),
            Err(IdentityError::KeyFileMissing { .. })
        ));
        for text in ["", "hello", &RFC_8410_PEM.replace("MC4CAQ", "MC4CAX")] {
            atomic_file::write(&path, text.as_bytes(), Existing::Replace).unwrap();
            assert!(
                matches!(SigningKey::load(&path), Err(IdentityError::KeyFileMalformed { .. })),
                "{text}"
            );
        }
    }

    #[test]
    fn a_public_key_reads_back_what_it_prints() {
        let key = SigningKey::generate().unwrap().public();
        assert_eq!(key.to_string().parse::<PublicKey>().unwrap(), key);
        assert_eq!(key.id().as_str().len(), 16);
        assert_eq!(key.id().to_string().parse::<KeyId>().unwrap(), key.id());
    }

    #[test]
    fn what_is_no_public_key_is_refused() {
        let good = SigningKey::generate().unwrap().public().to_string();
        let weak = format!("ed25519:{}", STANDARD.encode([0; 32]));
        let short = format!("ed25519:{}", STANDARD.encode([1; 31]));
        for bad in [
            "",
            "ed25519:",
            &good.replace("ed25519", "rsa"),
            &format!("{good}A"),
            &weak,
            &short,
        ] {
            assert!(
                matches!(bad.parse::<PublicKey>(), Err(IdentityError::BadPublicKey { .. })),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_private_key_never_prints_itself() {
        let shown = format!("{:?}", SigningKey::from_pem(RFC_8410_PEM).unwrap());
        assert!(shown.len() < 40, "{shown}");
    }
}
