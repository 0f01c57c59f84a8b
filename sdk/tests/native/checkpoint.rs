//! A retried attempt goes on from the last step that was saved.

use apflow_sdk::checkpoint::{self, Error};
use apflow_sdk::{Fault, testing::Host};

#[test]
fn what_was_saved_last_is_loaded() {
    let host = Host::new();
    host.within(|| {
        assert_eq!(checkpoint::load::<u32>(), Ok(None));
        checkpoint::save("page", &1).unwrap();
        checkpoint::save("page", &2).unwrap();
        assert_eq!(checkpoint::load::<u32>(), Ok(Some(2)));
    });
    assert_eq!(host.checkpoints().len(), 2);
}

#[test]
fn a_checkpoint_of_an_earlier_attempt_names_its_step() {
    Host::new().checkpoint_bytes("upload", [1, 2]).within(|| {
        let saved = checkpoint::load_saved().unwrap().unwrap();
        assert_eq!((saved.step.as_str(), saved.value.as_slice()), ("upload", [1, 2].as_slice()));
    });
}

#[test]
fn a_checkpoint_of_another_type_is_not_readable() {
    Host::new().checkpoint("page", "two").within(|| {
        let error = checkpoint::load::<u32>().unwrap_err();
        assert!(matches!(&error, Error::NotReadable(text) if text.contains("`page`")), "{error}");
        assert!(matches!(Fault::from(error), Fault::Permanent(_)));
    });
}

#[test]
fn a_refusal_reaches_the_plugin_as_it_is() {
    for (error, is_retryable) in [
        (Error::TooLarge { bytes_max: 10 }, false),
        (Error::TooMany { count_max: 10 }, false),
        (Error::Fenced, true),
        (Error::Unavailable("the disk is full".to_owned()), true),
    ] {
        let host = Host::new().refuse_checkpoints(error.clone());
        assert_eq!(host.within(|| checkpoint::save("page", &1)), Err(error.clone()));
        assert_eq!(matches!(Fault::from(error), Fault::Retryable { .. }), is_retryable);
    }
}

#[test]
#[should_panic(expected = "no host refuses by `NotReadable`")]
fn a_refusal_that_no_host_gives_fails_the_test() {
    drop(Host::new().refuse_checkpoints(Error::NotReadable("never".to_owned())));
}
