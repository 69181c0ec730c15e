//! The one algorithm that access tokens are signed by, as jsonwebtoken asks for it: Ed25519 of ed25519-dalek, which
//! signs checkpoints too. Whatever else a token names is refused before any key is looked at.

use ed25519_dalek::ed25519::signature::{Error, Signer, Verifier};
use ed25519_dalek::{SECRET_KEY_LENGTH, Signature, SigningKey, VerifyingKey};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result, new_error};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};

/// Ed25519 and nothing else. Keys are plain: a seed of 32 bytes, a public key of 32 bytes.
static ED25519: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes it the algorithm of this process. Again it does nothing.
pub(super) fn install() {
    // An error says that there is one already, and nobody else installs any.
    let _ = ED25519.install_default();
}

struct Seed(SigningKey);

impl Signer<Vec<u8>> for Seed {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        let signature: Signature = self.0.try_sign(message)?;
        Ok(signature.to_vec())
    }
}

impl JwtSigner for Seed {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

struct Public(VerifyingKey);

impl Verifier<Vec<u8>> for Public {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        self.0.verify_strict(message, &Signature::from_slice(signature)?)
    }
}

impl JwtVerifier for Public {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    only_ed25519(*algorithm)?;
    Ok(Box::new(Seed(SigningKey::from_bytes(fit(key.as_bytes())?))))
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    only_ed25519(*algorithm)?;
    let public = VerifyingKey::from_bytes(fit(key.try_get_as_bytes()?)?);
    Ok(Box::new(Public(public.map_err(|_| new_error(ErrorKind::InvalidEddsaKey))?)))
}

fn only_ed25519(algorithm: Algorithm) -> Result<()> {
    let known = algorithm == Algorithm::EdDSA;
    if known { Ok(()) } else { Err(new_error(ErrorKind::UnsupportedAlgorithm)) }
}

fn fit(key: &[u8]) -> Result<&[u8; SECRET_KEY_LENGTH]> {
    key.try_into().map_err(|_| new_error(ErrorKind::InvalidEddsaKey))
}
