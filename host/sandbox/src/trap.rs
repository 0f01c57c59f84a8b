//! Why a call into a guest did not return, in the words of the model.

use std::time::Duration;

use apflow_model::fault::{Fault, FaultCode};
use apflow_model::limit::{Breach, Limits};
use wasmtime::component::ResourceTableError;
use wasmtime::{PoolConcurrencyLimitError, Trap};
use wasmtime_wasi_http::FieldMapError;

use crate::engine::STACK_BYTES_MAX;
use crate::wasi::RANDOM_BYTES_MAX;

use crate::stop::StopReason;

/// How wasmtime says that a call carried more than its host-call fuel. The type is private to it,
/// so the text is all there is; a test holds it in place.
const HOSTCALL_FUEL_TEXT: &str = "fuel allocated for hostcalls has been exhausted";
/// How wasmtime says that a guest holds too many handles. It has no typed error either.
const HANDLES_TEXT: &str = "handle limit exceeded";
/// How WASI says that one call asks for too many random bytes.
const RANDOM_TEXT: &str = "requested len ";
/// The most of a guest's last words that a fault repeats.
const LAST_WORDS_BYTES_MAX: usize = 2_000;

/// The fault of an attempt that was ended from outside, after at most `wall`.
pub(crate) fn stopped(reason: StopReason, wall: Duration) -> Fault {
    match reason {
        StopReason::Cancelled => Fault::new(FaultCode::Cancelled, "somebody cancelled it"),
        StopReason::LeaseLost => {
            Fault::new(FaultCode::HostLost, "another attempt has taken the task over")
        }
        StopReason::HostClosing => {
            Fault::new(FaultCode::HostLost, "the host ended while the attempt was running")
        }
        StopReason::Deadline => {
            Fault::new(FaultCode::LimitExceeded, Breach::Timeout(wall).to_string())
        }
        StopReason::OverBudget => Fault::new(
            FaultCode::BudgetExhausted,
            "it used more than it had set aside, and more than its budgets had left",
        ),
    }
}

/// Turns a trap into a fault.
///
/// `breach` is a refusal that the limiter remembers, `stderr` what the guest wrote last.
pub(crate) fn fault(
    error: &wasmtime::Error,
    breach: Option<&Breach>,
    limits: &Limits,
    stderr: &[u8],
) -> Fault {
    match self::breach(error, limits).as_ref().or(breach) {
        Some(breach) => Fault::new(FaultCode::LimitExceeded, breach.to_string()),
        None => crash(error, stderr),
    }
}

/// The fault of a guest that met no limit. `stderr` is what it wrote last.
pub(crate) fn crash(error: &wasmtime::Error, stderr: &[u8]) -> Fault {
    let trap = error.downcast_ref::<Trap>();
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

/// The limit that an error says was broken, if it says so.
pub(crate) fn breach(error: &wasmtime::Error, limits: &Limits) -> Option<Breach> {
    if let Some(breach) = error.downcast_ref::<Breach>() {
        return Some(breach.clone());
    }
    match (error.downcast_ref::<Trap>(), limits.fuel) {
        (Some(Trap::OutOfFuel), Some(fuel)) => return Some(Breach::Fuel(fuel)),
        (Some(Trap::StackOverflow), _) => return Some(Breach::Stack(STACK_BYTES_MAX as u64)),
        _ => {}
    }
    if matches!(error.downcast_ref::<ResourceTableError>(), Some(ResourceTableError::Full)) {
        return Some(Breach::Handles(limits.handles));
    }
    if let Some(FieldMapError::TooManyFields | FieldMapError::TotalSizeTooBig) =
        error.downcast_ref::<FieldMapError>()
    {
        return Some(Breach::HttpHeaders(limits.http_header_bytes));
    }
    let text = format!("{error:#}");
    if text.contains(HOSTCALL_FUEL_TEXT) {
        return Some(Breach::HostCall(limits.host_call_bytes));
    }
    if text.contains(RANDOM_TEXT) {
        return Some(Breach::Random(RANDOM_BYTES_MAX));
    }
    text.contains(HANDLES_TEXT).then_some(Breach::Handles(limits.handles))
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
        let found = fault(&error, Some(&breach), &Limits::default(), b"");
        assert_eq!(found.code, FaultCode::LimitExceeded);
        assert!(found.message.contains("1 MiB"), "{found}");
    }

    #[test]
    fn a_panic_repeats_the_last_words() {
        let error = wasmtime::Error::from(Trap::UnreachableCodeReached);
        let found = fault(&error, None, &Limits::default(), b"thread 'main' panicked: oh no\n");
        assert_eq!(found.code, FaultCode::Trapped);
        assert!(found.message.ends_with("it wrote: thread 'main' panicked: oh no"), "{found}");
    }

    #[test]
    fn an_overflow_and_a_full_table_name_their_limits() {
        let breach = |error| fault(&error, None, &Limits::default(), b"").message;
        let stack = breach(wasmtime::Error::from(Trap::StackOverflow));
        assert!(stack.contains("512 KiB"), "{stack}");
        let handles = breach(wasmtime::Error::from(ResourceTableError::Full));
        assert!(handles.contains("limits.handles"), "{handles}");
        let headers = breach(wasmtime::Error::from(FieldMapError::TotalSizeTooBig));
        assert!(headers.contains("limits.http_headers"), "{headers}");
    }
}
