//! Why a call into a guest did not return, in the words of the model.

use std::time::Duration;

use apflow_model::fault::{Fault, FaultCode};
use apflow_model::limit::Breach;
use wasmtime::{PoolConcurrencyLimitError, Trap};

use crate::stop::StopReason;

/// How wasmtime says that a call carried more than its host-call fuel. The type is private to it,
/// so the text is all there is; a test holds it in place.
const HOSTCALL_FUEL_TEXT: &str = "fuel allocated for hostcalls has been exhausted";
/// The most of a guest's last words that a fault repeats.
const LAST_WORDS_BYTES_MAX: usize = 2_000;

/// The fault of an attempt that was ended from outside, after at most `wall`.
pub(crate) fn stopped(reason: StopReason, wall: Duration) -> Fault {
    match reason {
        StopReason::Cancelled => Fault::new(FaultCode::Cancelled, "somebody cancelled the job"),
        StopReason::LeaseLost => {
            Fault::new(FaultCode::HostLost, "another attempt has taken the task over")
        }
        StopReason::HostClosing => {
            Fault::new(FaultCode::HostLost, "the host ended while the attempt was running")
        }
        StopReason::Deadline => {
            Fault::new(FaultCode::LimitExceeded, Breach::Timeout(wall).to_string())
        }
    }
}

/// Turns a trap into a fault.
///
/// `breach` is a refusal that the limiter remembers, `stderr` what the guest wrote last.
pub(crate) fn fault(
    error: &wasmtime::Error,
    breach: Option<&Breach>,
    fuel: Option<u64>,
    hostcall_bytes_max: u64,
    stderr: &[u8],
) -> Fault {
    let trap = error.downcast_ref::<Trap>();
    let breach = match (error.downcast_ref::<Breach>(), trap, fuel) {
        (Some(breach), _, _) => Some(breach.clone()),
        (None, Some(Trap::OutOfFuel), Some(fuel)) => Some(Breach::Fuel(fuel)),
        _ if format!("{error:#}").contains(HOSTCALL_FUEL_TEXT) => {
            Some(Breach::HostCall(hostcall_bytes_max))
        }
        _ => breach.cloned(),
    };
    if let Some(breach) = breach {
        return Fault::new(FaultCode::LimitExceeded, breach.to_string());
    }
    if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
        return Fault::new(FaultCode::Retryable, "the host has no room for another instance now");
    }
    let what = trap.map_or_else(|| error.root_cause().to_string(), ToString::to_string);
    let words = last_words(stderr);
    let message = if words.is_empty() {
        format!("the plugin crashed: {what}")
    } else {
        format!("the plugin crashed: {what}; it wrote: {words}")
    };
    Fault::new(FaultCode::Trapped, message)
}

/// The end of a text, cut at a character.
pub(crate) fn last_words(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let text = text.trim();
    let from = text.len().saturating_sub(LAST_WORDS_BYTES_MAX);
    let from = (from..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    text[from..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remembered_refusal_explains_a_trap() {
        let error = wasmtime::Error::from(Trap::UnreachableCodeReached);
        let breach = Breach::Memory(1 << 20);
        let found = fault(&error, Some(&breach), None, 0, b"");
        assert_eq!(found.code, FaultCode::LimitExceeded);
        assert!(found.message.contains("1 MiB"), "{found}");
    }

    #[test]
    fn a_panic_repeats_the_last_words() {
        let error = wasmtime::Error::from(Trap::UnreachableCodeReached);
        let found = fault(&error, None, None, 0, b"thread 'main' panicked: oh no\n");
        assert_eq!(found.code, FaultCode::Trapped);
        assert!(found.message.ends_with("it wrote: thread 'main' panicked: oh no"), "{found}");
    }
}
