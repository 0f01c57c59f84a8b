//! Tokens are set aside, given back or charged; none are lost.

use apflow_sdk::budget::{self, Error, ModelCall, Tokens};
use apflow_sdk::{Fault, Usage, testing::Host};

#[test]
fn a_dropped_reservation_gives_its_tokens_back() {
    let host = Host::new().budget(100);
    host.within(|| {
        let reservation = budget::reserve(Tokens(60)).unwrap();
        assert_eq!(reservation.amount(), Tokens(60));
        assert_eq!(budget::remaining(), Some(Tokens(40)));
        drop(reservation);
        assert_eq!(budget::remaining(), Some(Tokens(100)));
    });
    assert_eq!(host.spent(), Usage::default());
}

#[test]
fn a_commit_charges_what_was_used_and_gives_the_rest_back() {
    let host = Host::new().budget(100);
    host.within(|| budget::reserve(Tokens(60)).unwrap().commit(Usage::new(20, 5)));
    assert_eq!(host.remaining(), Some(Tokens(75)));
    assert_eq!(host.spent(), Usage::new(20, 5));
}

#[test]
fn what_was_told_is_charged_when_the_call_is_cut_off() {
    let host = Host::new().budget(100);
    host.within(|| {
        let reservation = budget::reserve(Tokens(60)).unwrap();
        reservation.tell(Usage::new(20, 5));
        reservation.tell(Usage::new(20, 9));
        drop(reservation);
        let reservation = budget::reserve(Tokens(60)).unwrap();
        reservation.tell(Usage::new(9, 9));
        reservation.commit(Usage::new(1, 1));
    });
    assert_eq!(host.within(budget::remaining), Some(Tokens(69)));
    assert_eq!(host.spent(), Usage::new(21, 10));
}

#[test]
fn use_beyond_the_reservation_is_charged_too() {
    let host = Host::new().budget(100);
    host.within(|| budget::reserve(Tokens(60)).unwrap().commit(Usage::new(90, 90)));
    assert_eq!(host.remaining(), Some(Tokens(0)));
}

#[test]
fn two_reservations_cannot_both_take_the_last_tokens() {
    let host = Host::new().budget(100);
    host.within(|| {
        let _first = budget::reserve(Tokens(60)).unwrap();
        let refused = budget::reserve(Tokens(41)).unwrap_err();
        assert_eq!(refused, Error::Exhausted { asked: Tokens(41), left: Tokens(40) });
        assert!(matches!(Fault::from(refused), Fault::BudgetExhausted(_)));
    });
}

#[test]
fn a_task_without_a_budget_may_reserve_anything() {
    Host::new().within(|| {
        assert_eq!(budget::remaining(), None);
        let reservation = budget::reserve(Tokens(u64::MAX)).unwrap();
        reservation.commit(Usage::new(1, 1));
        assert_eq!(budget::remaining(), None);
    });
}

#[test]
fn a_reservation_names_the_model_to_call() {
    let call = ModelCall { model: "a/big", input: Tokens(10), output: Tokens(20) };
    let named = |host: &Host| host.within(|| budget::reserve_call(call).unwrap().model().unwrap());
    assert_eq!(named(&Host::new()), "a/big");
    assert_eq!(named(&Host::new().downgraded_to("a/low")), "a/low");
    let refused = Host::new().blocked("no more").within(|| budget::reserve_call(call).unwrap_err());
    assert_eq!(refused, Error::Blocked("no more".to_owned()));
}
