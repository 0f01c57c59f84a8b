//! A plugin gets what was granted of a secret, and an error that says so otherwise.

use apflow_sdk::secret::{self, Error};
use apflow_sdk::{Fault, testing::Host};

#[test]
fn a_granted_secret_is_a_placeholder() {
    let host = Host::new().secret("api_key", "stands for it");
    assert_eq!(host.within(|| secret::get("api_key")), Ok("stands for it".to_owned()));
}

#[test]
fn a_secret_that_nobody_granted_is_denied_for_good() {
    let error = Host::new().within(|| secret::get("api_key")).unwrap_err();
    assert!(matches!(&error, Error::Denied(text) if text.contains("`api_key`")), "{error}");
    assert!(matches!(Fault::from(error), Fault::Permanent(_)));
    let away = Error::Unavailable("the safe is shut".to_owned());
    assert!(matches!(Fault::from(away), Fault::Retryable { .. }));
}
