//! Password hashes: argon2id for new ones (bcrypt where `auth.passwordHash` says so), both verified. Always on the
//! cpu lane: a hash takes tens of milliseconds.

use argon2::password_hash::phc::PasswordHash as PhcHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use model::PasswordHash;
use shards::{Lane, Pool};

use crate::config::settings::PasswordHash as Kind;
use crate::error::{ApiError, ApiResult};

/// OWASP's first choice for argon2id: 19 MiB, 2 passes, 1 lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// The reference's cost, so that a hash can move there.
const BCRYPT_COST: u32 = 10;

pub async fn hash(pool: &Pool, kind: Kind, password: String) -> ApiResult<PasswordHash> {
    let hashed = pool.run(Lane::Cpu, move || hash_now(kind, &password)).await.map_err(|_| ApiError::busy())?;
    hashed.map(PasswordHash).map_err(ApiError::unexpected)
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the constants are within argon2's bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash_now(kind: Kind, password: &str) -> Result<String, String> {
    match kind {
        Kind::Argon2id => {
            argon2().hash_password(password.as_bytes()).map(|hash| hash.to_string()).map_err(|error| error.to_string())
        }
        Kind::Bcrypt => bcrypt::hash(password, BCRYPT_COST).map_err(|error| error.to_string()),
    }
}

/// Whether the password is the hashed one. Without a hash the same work is done, and the answer is no.
pub async fn verify(pool: &Pool, password: String, hash: Option<PasswordHash>) -> ApiResult<bool> {
    pool.run(Lane::Cpu, move || verify_now(&password, hash.as_ref())).await.map_err(|_| ApiError::busy())
}

fn verify_now(password: &str, hash: Option<&PasswordHash>) -> bool {
    let Some(PasswordHash(hash)) = hash else {
        let _ = hash_now(Kind::Argon2id, password);
        return false;
    };
    if hash.starts_with("$argon2") {
        return PhcHash::new(hash).is_ok_and(|hash| argon2().verify_password(password.as_bytes(), &hash).is_ok());
    }
    bcrypt::verify(password, hash).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_verified_against_hashes_of_both_kinds() {
        for kind in [Kind::Argon2id, Kind::Bcrypt] {
            let hash = PasswordHash(hash_now(kind, "correct horse").unwrap());
            assert!(verify_now("correct horse", Some(&hash)));
            assert!(!verify_now("wrong horse", Some(&hash)));
        }
        assert!(!verify_now("anything", None));
        assert!(!verify_now("anything", Some(&PasswordHash("not a hash".into()))));
    }
}
