//! Passwords: argon2id with the algorithm's recommended least memory of 19 MiB and two passes.

use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use tokio::sync::{Semaphore, oneshot};

const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;

/// How many are hashed at once; this bounds the memory that a flood of sign-ins takes.
static AT_ONCE: Semaphore = Semaphore::const_new(2);

/// Hashes a password, off the async threads: it takes tens of milliseconds on purpose.
pub async fn hash(password: String) -> String {
    blocking(move || {
        hasher()
            .hash_password(password.as_bytes())
            .unwrap_or_else(|error| unreachable!("argon2 takes any password and our parameters: {error}"))
            .to_string()
    })
    .await
}

/// Whether a password is the right one. With no hash, as for an unknown account, it takes as long
/// and is false, so that the time does not tell which accounts there are.
pub async fn verify(password: String, hash: Option<String>) -> bool {
    blocking(move || {
        let Some(hash) = hash else {
            let _ = hasher().hash_password(password.as_bytes());
            return false;
        };
        hasher().verify_password(password.as_bytes(), hash.as_str()).is_ok()
    })
    .await
}

fn hasher() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None)
        .unwrap_or_else(|error| unreachable!("the parameters are constants in range: {error}"));
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// Each in a thread of its own, of which there are few: in the threads that are kept for any blocking work
/// the allocator would keep these large pieces of memory for each of them.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let permit = AT_ONCE.acquire().await.unwrap_or_else(|_| unreachable!("nobody closes it"));
    let (done, result) = oneshot::channel();
    let thread = std::thread::spawn(move || {
        // Held to the end of the work, also when whoever asked has hung up meanwhile.
        let _permit = permit;
        // Nobody waits for it then.
        let _ = done.send(work());
    });
    match result.await {
        Ok(done) => done,
        // Dropped without a result: the work panicked.
        Err(_) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => unreachable!("the work ended without a result"),
        },
    }
}
