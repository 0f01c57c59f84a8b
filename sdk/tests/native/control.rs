//! An attempt sees that it is cancelled and how much time it has.

use std::time::Duration;

use apflow_sdk::testing::{Answer, Host};
use apflow_sdk::{Fault, control, http::Request, wait};

#[test]
fn a_cancelled_attempt_ends_by_a_question_mark() {
    let host = Host::new();
    host.within(|| {
        assert_eq!(control::check(), Ok(()));
        host.cancel();
        assert!(control::is_cancelled());
        assert_eq!(control::check(), Err(Fault::Cancelled));
    });
}

#[test]
fn a_cancellation_can_come_while_the_executor_waits() {
    async fn work(url: String) -> Result<String, Fault> {
        control::check()?;
        let text = Request::get(url).send_async().await?.text();
        control::check()?;
        Ok(text)
    }
    let url = "https://example.com/";
    let answer = Answer::text(200, "late").after(Duration::from_secs(3));
    let host = Host::new().expect("GET", url, answer).cancelled_after(Duration::from_secs(2));
    assert_eq!(host.run(work, format!("{url:?}")), Err(Fault::Cancelled));
}

#[test]
fn the_deadline_comes_nearer_while_the_executor_waits() {
    Host::new().deadline(Duration::from_secs(10)).within(|| {
        wait::block_on(wait::sleep(Duration::from_secs(4)));
        assert_eq!(control::deadline(), Duration::from_secs(6));
        wait::block_on(wait::sleep(Duration::from_secs(40)));
        assert_eq!(control::deadline(), Duration::ZERO);
    });
}
