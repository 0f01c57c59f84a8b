//! API tokens, and JSON web tokens that were revoked.

use apflow_model::id::TokenId;
use apflow_model::plugin::Digest;
use apflow_model::token::{ApiToken, Scopes};
use apflow_store::{NewToken, Store, TOKENS_MAX};

use crate::host::{Host, at};

fn new(name: &str, principal: &str, hash: u8) -> NewToken {
    NewToken {
        name: name.to_owned(),
        principal: principal.to_owned(),
        role: "agent".to_owned(),
        scopes: Scopes::try_from(vec!["jobs-read".to_owned()]).unwrap(),
        hint: "apf_012345".to_owned(),
        hash: Digest([hash; 32]),
        expires_at: at(1_000),
    }
}

async fn create(store: &Store, new: NewToken, ms: u64) -> ApiToken {
    store.create_token(new, at(ms)).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_token_is_found_by_its_hash_after_a_restart_too() {
    let host = Host::start().await;
    let made = create(&host.store, new("ci", "ada", 1), 5).await;
    assert_eq!((made.created_at, made.revoked_at, made.last_used_at), (at(5), None, None));
    let host = host.restart().await;
    assert_eq!(host.store.token_of(&Digest([1; 32])).await.unwrap(), Some(made.clone()));
    assert_eq!(host.store.token_of(&Digest([2; 32])).await.unwrap(), None);
    let later = create(&host.store, new("ci", "ada", 3), 0).await;
    assert!(later.id > made.id, "ids grow, even when the clock went back");
}

#[tokio::test]
async fn who_is_no_owner_finds_nothing_and_revokes_nothing() {
    let host = Host::start().await;
    let made = create(&host.store, new("ci", "ada", 1), 0).await;
    let (find, revoke) = (
        async |owner| host.store.find_token(made.id, owner).await.unwrap(),
        async |owner| host.store.revoke_token(made.id, owner, at(7)).await.unwrap(),
    );
    assert_eq!(find(Some("bob")).await, None);
    assert_eq!(revoke(Some("bob")).await, None);
    assert_eq!(find(None).await, Some(made.clone()));
    let revoked = revoke(Some("ada")).await.unwrap();
    assert_eq!(revoked, ApiToken { revoked_at: Some(at(7)), ..made });
    let again = host.store.revoke_token(revoked.id, None, at(9)).await.unwrap();
    assert_eq!(again, Some(revoked), "it was revoked once");
    assert_eq!(host.store.revoke_token(TokenId(7), None, at(9)).await.unwrap(), None);
}

#[tokio::test]
async fn tokens_are_listed_page_by_page() {
    let host = Host::start().await;
    for n in 0..5 {
        create(&host.store, new("ci", if n % 2 == 0 { "ada" } else { "bob" }, n), 0).await;
    }
    let list = async |owner, before, limit| {
        let page = host.store.list_tokens(owner, before, limit).await.unwrap();
        (page.tokens.iter().map(|token| token.id).collect::<Vec<_>>(), page.next)
    };
    let (all, none) = list(None, None, 5).await;
    assert!(all.len() == 5 && all.is_sorted_by(|newer, older| newer > older));
    assert_eq!(none, None);
    assert_eq!(list(None, None, 2).await, (all[..2].to_vec(), Some(all[1])));
    assert_eq!(list(None, Some(all[1]), 3).await, (all[2..].to_vec(), None));
    assert_eq!(list(Some("bob"), None, 5).await, (vec![all[1], all[3]], None));
    assert_eq!(list(Some("eve"), None, 5).await, (vec![], None));
}

#[tokio::test]
async fn the_last_use_never_goes_back() {
    let host = Host::start().await;
    let made = create(&host.store, new("ci", "ada", 1), 0).await;
    for ms in [50, 20] {
        host.store.use_token(made.id, at(ms)).await.unwrap();
        let found = host.store.find_token(made.id, None).await.unwrap().unwrap();
        assert_eq!(found.last_used_at, Some(at(50)));
    }
}

#[tokio::test]
async fn a_revoked_jwt_is_remembered_until_it_ends_by_itself() {
    let host = Host::start().await;
    let hash = Digest([9; 32]);
    let is_revoked = async || host.store.is_jwt_revoked(&hash).await.unwrap();
    assert!(!is_revoked().await);
    host.store.revoke_jwt(&hash, at(100)).await.unwrap();
    host.store.revoke_jwt(&hash, at(200)).await.unwrap();
    assert_eq!(host.store.forget_tokens(at(200)).await.unwrap(), 0);
    assert!(is_revoked().await);
    assert_eq!(host.store.forget_tokens(at(201)).await.unwrap(), 1);
    assert!(!is_revoked().await);
}

#[tokio::test]
async fn what_has_ended_is_forgotten() {
    let host = Host::start().await;
    let expired = create(&host.store, new("a", "ada", 1), 0).await;
    let mut long = new("b", "ada", 2);
    long.expires_at = at(9_000);
    let revoked = create(&host.store, long.clone(), 0).await;
    host.store.revoke_token(revoked.id, None, at(500)).await.unwrap();
    let active = create(&host.store, NewToken { hash: Digest([3; 32]), ..long }, 0).await;
    assert_eq!(host.store.forget_tokens(at(500)).await.unwrap(), 0);
    assert_eq!(host.store.forget_tokens(at(501)).await.unwrap(), 1);
    assert_eq!(host.store.forget_tokens(at(1_001)).await.unwrap(), 1);
    let left = host.store.list_tokens(None, None, 9).await.unwrap().tokens;
    assert_eq!(left, [active]);
    assert!(expired.id < left[0].id);
}

#[tokio::test]
async fn no_more_tokens_are_kept_than_there_is_room_for() {
    let host = Host::start().await;
    for first in (0..TOKENS_MAX).step_by(1_000) {
        let some = (first..first + 1_000).map(|n| {
            let mut hash = [0; 32];
            hash[..4].copy_from_slice(&n.to_be_bytes());
            let (store, new) =
                (host.store.clone(), NewToken { hash: Digest(hash), ..new("a", "a", 0) });
            tokio::spawn(async move { store.create_token(new, at(0)).await.unwrap().is_some() })
        });
        for stored in some.collect::<Vec<_>>() {
            assert!(stored.await.unwrap());
        }
    }
    assert_eq!(host.store.create_token(new("a", "a", 255), at(0)).await.unwrap(), None);
}
