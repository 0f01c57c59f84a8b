//! Answers from the script of the host that is in place.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use super::script::{Script, Sleeper};
use super::{Answer, Host, INSTALLED, Line, Sent};
use crate::budget::Tokens;
use crate::checkpoint::{self, Saved};
use crate::http::{Call, Error, Response};
use crate::{Usage, budget, log};

fn find() -> Option<Host> {
    INSTALLED.with_borrow(|hosts| hosts.last().cloned())
}

#[expect(clippy::panic, reason = "natively there is nobody else to ask")]
fn installed() -> Host {
    match find() {
        Some(host) => host,
        None => panic!(
            "no host is installed on this thread: run the code in \
             `apflow_sdk::testing::Host::new().within(…)` or by `.run(…)`"
        ),
    }
}

fn with<R>(work: impl FnOnce(&mut Script) -> R) -> R {
    work(&mut installed().script.borrow_mut())
}

pub(crate) fn save(step: &str, value: &[u8]) -> Result<(), checkpoint::Error> {
    with(|script| {
        if let Some(error) = &script.refused {
            return Err(error.clone());
        }
        let attempt = script.task.attempt;
        script.checkpoints.push(Saved { step: step.to_owned(), attempt, value: value.to_owned() });
        Ok(())
    })
}

pub(crate) fn load() -> Result<Option<Saved>, checkpoint::Error> {
    with(|script| match &script.refused {
        Some(error) => Err(error.clone()),
        None => Ok(script.checkpoints.last().cloned()),
    })
}

pub(crate) fn remaining() -> Option<Tokens> {
    with(|script| script.left)
}

pub(crate) fn reserve(amount: Tokens) -> Result<Hold, budget::Error> {
    let host = installed();
    {
        let mut script = host.script.borrow_mut();
        if let Some(left) = script.left {
            let Some(rest) = left.0.checked_sub(amount.0) else {
                return Err(budget::Error::Exhausted { asked: amount, left });
            };
            script.left = Some(Tokens(rest));
        }
    }
    Ok(Hold { amount, host })
}

/// Tokens set aside; dropping it gives them back.
#[derive(Debug)]
pub(crate) struct Hold {
    amount: Tokens,
    host: Host,
}

impl Hold {
    pub(crate) fn amount(&self) -> Tokens {
        self.amount
    }

    pub(crate) fn commit(mut self, used: Usage) {
        let mut script = self.host.script.borrow_mut();
        script.spent.input.0 = script.spent.input.0.saturating_add(used.input.0);
        script.spent.output.0 = script.spent.output.0.saturating_add(used.output.0);
        if let Some(left) = &mut script.left {
            left.0 = left.0.saturating_add(self.amount.0).saturating_sub(used.total().0);
        }
        drop(script);
        // Settled: the drop of the reservation has nothing left to give back.
        self.amount = Tokens(0);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(left) = &mut self.host.script.borrow_mut().left {
            left.0 = left.0.saturating_add(self.amount.0);
        }
    }
}

/// Drops the line when no host is in place, so that helpers which only log need none.
pub(crate) fn write(level: log::Level, message: &str, fields: Vec<(String, String)>) {
    if let Some(host) = find() {
        host.script.borrow_mut().lines.push(Line { level, message: message.to_owned(), fields });
    }
}

/// Drops the report when no host is in place, as [`write`] does.
pub(crate) fn progress(fraction: f64, message: &str) {
    if let Some(host) = find() {
        host.script.borrow_mut().progress.push((fraction, message.to_owned()));
    }
}

pub(crate) fn is_cancelled() -> bool {
    with(|script| script.cancelled_at.is_some_and(|at| at <= script.now))
}

pub(crate) fn deadline() -> Duration {
    with(|script| script.deadline.saturating_sub(script.now))
}

pub(crate) fn sleep_until_something_is_ready() {
    let wakers = find().map(|host| host.script.borrow_mut().advance()).unwrap_or_default();
    assert!(!wakers.is_empty(), "the executor waits for something that cannot happen");
    for waker in wakers {
        waker.wake();
    }
}

/// Waits for the virtual clock.
pub(crate) async fn sleep(wait: Duration) {
    let host = installed();
    let due = host.script.borrow().now.saturating_add(wait);
    poll_fn(|context| {
        let mut script = host.script.borrow_mut();
        if script.now >= due {
            return Poll::Ready(());
        }
        script.sleepers.push(Sleeper { due, waker: context.waker().clone() });
        Poll::Pending
    })
    .await;
}

/// Looks the answer up, waits as long as it takes, and applies the request's own limits.
#[expect(clippy::panic, reason = "a request that no test expected fails the test")]
pub(crate) async fn exchange(call: Call) -> Result<Response, Error> {
    let Call { method, url, headers, body, timeout, body_bytes_max } = call;
    let sent = Sent { method, url: url.to_string(), headers, body, timeout };
    let answer = with(|script| {
        let answer = script.answer(&sent);
        script.sent.push(sent);
        answer
    });
    let Answer { result, delay } = match answer {
        Ok(answer) => answer,
        Err(text) => panic!("{text}"),
    };
    sleep(delay.min(timeout)).await;
    if delay > timeout {
        return Err(Error::Timeout(format!("the answer took over {} ms", timeout.as_millis())));
    }
    match result {
        Ok(response) if response.body.len() > body_bytes_max => {
            Err(Error::TooLarge(format!("the body has over `{body_bytes_max}` bytes")))
        }
        result => result,
    }
}
