//! What a failed delivery means: to be tried again, or never; and how long to wait.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use kinetic_registry::RegistryError;

use super::OutboxSettings;

/// Refusals of the kind "not so fast" or "too early" among those that are the sender's fault by their number.
const PASSING: [u16; 3] = [408, 425, 429];

/// Whether trying again cannot help: the same bytes would be refused again.
///
/// What only an operator can mend, such as a token or a registry whose name is gone, is tried on: he can mend it.
pub(super) const fn is_final(error: &RegistryError) -> bool {
    match error {
        RegistryError::SourceRefuses { status, .. } => {
            let [a, b, c] = PASSING;
            *status != a && *status != b && *status != c
        }
        RegistryError::VersionTaken { .. }
        | RegistryError::TooLarge { .. }
        | RegistryError::BadDescriptor { .. }
        | RegistryError::DigestMismatch { .. }
        | RegistryError::StoreDamaged { .. }
        | RegistryError::OtherThanAsked { .. }
        | RegistryError::SourceForbids { .. }
        | RegistryError::SourceConflict { .. }
        | RegistryError::NoOciName { .. }
        | RegistryError::NotForNamespace { .. }
        | RegistryError::NotACapsule { .. }
        | RegistryError::PromotionTaken { .. }
        | RegistryError::BadPromotion { .. } => true,
        _ => false,
    }
}

/// Whether the registry may have got it all the same.
pub(super) const fn is_open(error: &RegistryError) -> bool {
    matches!(
        error,
        RegistryError::Unreachable { .. }
            | RegistryError::SourceTimeout { .. }
            | RegistryError::SourceFailed { .. }
            | RegistryError::NotAnAnswer { .. }
    )
}

/// Whether nothing at all can be delivered there now, whatever it is.
pub(super) const fn is_away(error: &RegistryError) -> bool {
    error.is_away()
}

/// How long to wait after so many failures: any time up to a bound that doubles with each, so that many who wait for one
/// registry do not all come at once when it is back.
pub(super) fn pause(settings: &OutboxSettings, failures: u32) -> Duration {
    let bound_ms = bound_ms(settings, failures);
    Duration::from_millis(random() % bound_ms.saturating_add(1))
}

fn bound_ms(settings: &OutboxSettings, failures: u32) -> u64 {
    let factor = 1_u64.checked_shl(failures.saturating_sub(1)).unwrap_or(u64::MAX);
    settings
        .backoff_ms_min
        .saturating_mul(factor)
        .min(settings.backoff_ms_max)
}

/// A number that spreads tries over time; no secret depends on it.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_of_a_pause_doubles_up_to_the_longest_and_each_pause_is_within_it() {
        let settings = OutboxSettings {
            backoff_ms_min: 100,
            backoff_ms_max: 350,
            ..OutboxSettings::default()
        };
        let bounds: Vec<u64> = [1, 2, 3, 64, 65, u32::MAX]
            .into_iter()
            .map(|failures| bound_ms(&settings, failures))
            .collect();
        assert_eq!(bounds, [100, 200, 350, 350, 350, 350]);
        let pauses: Vec<u128> = (0..200).map(|_| pause(&settings, 2).as_millis()).collect();
        assert!(pauses.iter().all(|ms| *ms <= 200));
        assert!(pauses.iter().any(|ms| *ms != pauses[0]), "they are spread");
    }

    #[test]
    fn only_what_would_be_refused_again_is_final() {
        let refuses = |status| RegistryError::SourceRefuses {
            origin: "o".into(),
            status,
            code: "c".into(),
            detail: "d".into(),
            fix: "f".into(),
        };
        assert!(is_final(&refuses(413)) && is_final(&refuses(422)));
        assert!(!is_final(&refuses(429)) && !is_final(&refuses(408)));
        let away = RegistryError::Unreachable {
            origin: "o".into(),
            why: "w".into(),
        };
        assert!(!is_final(&away) && is_open(&away) && is_away(&away));
        assert!(!is_final(&RegistryError::SourceUnauthenticated {
            origin: "o".into(),
            code: "c".into(),
            detail: "d".into(),
        }));
    }
}
