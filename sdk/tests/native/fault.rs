//! What each error means for the task.

use std::time::Duration;

use apflow_sdk::bindings::apflow::plugin::types;
use apflow_sdk::{Fault, OrFault, http};

#[test]
fn a_fault_keeps_its_case_in_the_contract() {
    assert!(
        matches!(Fault::invalid_input("a").into(), types::Fault::InvalidInput(text) if text == "a")
    );
    assert!(matches!(Fault::permanent("a").into(), types::Fault::Permanent(text) if text == "a"));
    assert!(matches!(Fault::Cancelled.into(), types::Fault::Cancelled));
    assert!(matches!(Fault::budget_exhausted("a").into(), types::Fault::BudgetExhausted(_)));
}

#[test]
fn a_wait_is_rounded_up_to_whole_milliseconds() {
    let types::Fault::Retryable(fault) =
        Fault::retryable_after("busy", Duration::from_micros(1500)).into()
    else {
        panic!("not retryable");
    };
    assert_eq!(fault.retry_after, Some(2));
    let types::Fault::Retryable(fault) = Fault::retryable("busy").into() else {
        panic!("not retryable");
    };
    assert_eq!(fault.retry_after, None);
}

#[test]
fn only_what_may_go_better_is_retried() {
    let fault = |error: http::Error| Fault::from(error);
    assert!(matches!(fault(http::Error::Denied(String::new())), Fault::Permanent(_)));
    assert!(matches!(fault(http::Error::TooLarge(String::new())), Fault::Permanent(_)));
    assert!(matches!(fault(http::Error::Invalid(String::new())), Fault::InvalidInput(_)));
    assert!(matches!(fault(http::Error::Timeout(String::new())), Fault::Retryable { .. }));
    assert!(matches!(fault(http::Error::Connect(String::new())), Fault::Retryable { .. }));
    assert!(matches!(fault(http::Error::Protocol(String::new())), Fault::Retryable { .. }));
    let error = serde_json::from_str::<u32>("x").unwrap_err();
    assert!(
        matches!(Fault::from(error), Fault::Permanent(text) if text.starts_with("invalid JSON"))
    );
}

#[test]
fn any_error_and_any_absence_can_become_a_fault() {
    let error = || "seven".parse::<u32>();
    let text = "`n`: invalid digit found in string";
    assert_eq!(error().or_invalid_input("`n`"), Err(Fault::invalid_input(text)));
    assert_eq!(error().or_retryable("`n`"), Err(Fault::retryable(text)));
    assert_eq!(error().or_permanent("`n`"), Err(Fault::permanent(text)));
    assert_eq!(None::<u32>.or_invalid_input("no `n`"), Err(Fault::invalid_input("no `n`")));
    assert_eq!(Some(1).or_permanent("no `n`"), Ok(1));
}
