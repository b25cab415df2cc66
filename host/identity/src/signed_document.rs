//! A document in its one spelling, in an envelope with signatures: root documents and indexes are such.

use kinetic_model::Digest;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::dsse::Envelope;
use crate::error::{sentence, shorten};
use crate::{IdentityError, SigningKey, canonical};

/// `{signatures: [{sig}]}` nests three deep; what the protocol does not know may nest a little deeper.
const ENVELOPE_DEPTH_MAX: usize = 8;

/// What can be signed so. Its type declares its fields in the order of their names, and refuses unknown ones.
pub trait Document: Serialize + DeserializeOwned {
    /// What the envelope says it holds.
    const PAYLOAD_TYPE: &'static str;
    /// The largest envelope read or made, in bytes.
    const BYTES_MAX: usize;
    /// The most signatures of one.
    const SIGNATURES_MAX: usize;

    /// Passes when it may stand, whoever signed it; else why not.
    ///
    /// # Errors
    /// A clause about it.
    fn faults(&self) -> Result<(), String>;

    /// The error of one that may not stand.
    fn malformed(why: String) -> IdentityError;
}

/// A document in its envelope. It is well formed; who signed it, and whether they may, is not known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedDocument<D> {
    pub(crate) document: D,
    pub(crate) digest: Digest,
    pub(crate) envelope: Envelope,
}

impl<D> SignedDocument<D> {
    /// The envelope as compact JSON.
    pub fn to_json(&self) -> Vec<u8> {
        self.envelope.to_json().to_string().into_bytes()
    }

    /// What it says; nothing in it is believed before it is known who signed it.
    pub const fn document(&self) -> &D {
        &self.document
    }

    /// SHA-256 of the document; signatures are no part of it.
    pub const fn digest(&self) -> Digest {
        self.digest
    }
}

impl<D: Document> SignedDocument<D> {
    /// Puts a document into an envelope with a first signature.
    ///
    /// # Errors
    /// [`IdentityError::IndexMalformed`] or [`IdentityError::RootMalformed`].
    pub fn sign(document: D, key: &SigningKey) -> Result<Self, IdentityError> {
        document.faults().map_err(D::malformed)?;
        let payload = canonical::write(&document).map_err(D::malformed)?;
        let signed = Self {
            digest: Digest::of(&payload),
            envelope: Envelope::sign(D::PAYLOAD_TYPE, payload, key),
            document,
        };
        bounded::<D>(signed.to_json().len())?;
        Ok(signed)
    }

    /// Reads an envelope, within the bounds on its size and its signatures; the document in it must be in canonical form.
    ///
    /// # Errors
    /// [`IdentityError::IndexMalformed`] or [`IdentityError::RootMalformed`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, IdentityError> {
        bounded::<D>(bytes.len())?;
        let envelope = Envelope::from_json(bytes, ENVELOPE_DEPTH_MAX, D::SIGNATURES_MAX)
            .map_err(|error| D::malformed(sentence(&error)))?;
        if envelope.payload_type != D::PAYLOAD_TYPE {
            return Err(D::malformed(format!(
                "its payloadType is \"{}\", not {}",
                shorten(&envelope.payload_type),
                D::PAYLOAD_TYPE
            )));
        }
        let document: D = canonical::read(&envelope.payload).map_err(D::malformed)?;
        document.faults().map_err(D::malformed)?;
        Ok(Self {
            digest: Digest::of(&envelope.payload),
            document,
            envelope,
        })
    }

    /// Adds a key's signature, whether or not it is one that counts: those of a version before sign too. `false`: it has
    /// signed already.
    ///
    /// # Errors
    /// [`IdentityError::TooManySignatures`]; [`IdentityError::IndexMalformed`] or [`IdentityError::RootMalformed`] when it
    /// gets too large.
    pub fn add_signature(&mut self, key: &SigningKey) -> Result<bool, IdentityError> {
        let added = self.envelope.add_signature(key, D::SIGNATURES_MAX)?;
        let size = bounded::<D>(self.to_json().len());
        if added && size.is_err() {
            self.envelope.signatures.pop();
        }
        size.map(|()| added)
    }
}

/// Passes when an envelope, or a draft of a document, is not too large.
pub(crate) fn bounded<D: Document>(size_bytes: usize) -> Result<(), IdentityError> {
    if size_bytes > D::BYTES_MAX {
        return Err(D::malformed(format!(
            "it has {size_bytes} bytes; at most {} are read",
            D::BYTES_MAX
        )));
    }
    Ok(())
}
