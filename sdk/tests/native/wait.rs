//! Waits overlap; the virtual clock shows it.

use std::future::{pending, ready};
use std::time::Duration;

use apflow_sdk::testing::{Answer, Host};
use apflow_sdk::{Fault, http::Request, wait};

const SECOND: Duration = Duration::from_secs(1);

fn three_slow_servers() -> (Host, [String; 3]) {
    let urls = [3, 1, 2].map(|n| format!("https://example.com/{n}"));
    let host = urls.iter().zip([3, 1, 2]).fold(Host::new(), |host, (url, n)| {
        host.expect("GET", url, Answer::text(200, &n.to_string()).after(n * SECOND))
    });
    (host, urls)
}

#[test]
fn requests_that_are_joined_overlap() {
    async fn all(urls: Vec<String>) -> Result<Vec<String>, Fault> {
        let requests = urls.into_iter().map(|url| Request::get(url).send_async());
        let responses = wait::join_all(requests).await;
        responses.into_iter().map(|response| Ok(response?.text())).collect()
    }
    let (host, urls) = three_slow_servers();
    let output = host.run(all, serde_json::json!(urls)).unwrap().output;
    assert_eq!(output, serde_json::json!(["3", "1", "2"]));
    assert_eq!(host.elapsed(), 3 * SECOND);
}

#[test]
fn requests_one_after_the_other_do_not_overlap() {
    let (host, urls) = three_slow_servers();
    for url in urls {
        host.within(|| Request::get(url).send()).unwrap();
    }
    assert_eq!(host.elapsed(), 6 * SECOND);
}

#[test]
fn two_of_different_types_can_be_joined() {
    let host = Host::new();
    let both = host.within(|| {
        wait::block_on(wait::join(
            async {
                wait::sleep(2 * SECOND).await;
                "slow"
            },
            async {
                wait::sleep(SECOND).await;
                wait::sleep(SECOND).await;
                7
            },
        ))
    });
    assert_eq!(both, ("slow", 7));
    assert_eq!(host.elapsed(), 2 * SECOND);
}

#[test]
fn a_blocking_call_inside_an_async_one_works() {
    let host = Host::new();
    host.within(|| {
        wait::block_on(async {
            wait::block_on(wait::sleep(SECOND));
            wait::sleep(SECOND).await;
        });
    });
    assert_eq!(host.elapsed(), 2 * SECOND);
}

#[test]
fn what_is_ready_needs_no_host() {
    assert_eq!(wait::block_on(ready(1)), 1);
    assert_eq!(wait::block_on(wait::join_all([ready(1), ready(2)])), [1, 2]);
}

#[test]
#[should_panic(expected = "waits for something that cannot happen")]
fn a_wait_that_cannot_end_is_named() {
    Host::new().within(|| wait::block_on(pending::<()>()));
}
