//! One call of a model, from the reservation of its tokens to the charge for them.

use std::time::{Duration, Instant};

use apflow_sdk::budget::{self, ModelCall, Reservation, Tokens};
use apflow_sdk::http::{self, Incoming, Request};
use apflow_sdk::log::{self, Level};
use apflow_sdk::{Fault, Usage, secret};

use crate::call::Call;
use crate::frames::{FrameError, Frames, Framing};
use crate::models::{Model, Models};
use crate::patience::Patience;
use crate::protocol::{self, Sent};
use crate::refusal;
use crate::reply::{Broken, Reply};
use crate::usage::{self, Reported, Size, Used};

/// How often those who watch are told of an answer that is being written.
const TELL_EVERY: Duration = Duration::from_millis(250);
/// How much of the end of an answer they are told, in bytes.
const TOLD_BYTES_MAX: usize = 2_000;
/// How much is read of a refusal.
const REFUSAL_BYTES_MAX: usize = 16 << 10;
/// How large the body of an answer may be.
const BODY_BYTES_MAX: usize = 64 << 20;

/// An answer with what it took.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// The model that answered, with its provider.
    pub model: String,
    /// What it said.
    pub reply: Reply,
    /// What it used.
    pub used: Used,
}

/// Asks a model, or the one that a cost policy puts in its place.
///
/// The most that the call can use is reserved before. Once an answer has begun, what was used is
/// charged, however the answer ends: also when the host or this executor ends before it does.
///
/// # Errors
///
/// [`Fault::BudgetExhausted`] when the tokens are not there, [`Fault::Retryable`] for what may pass,
/// [`Fault::Cancelled`], and [`Fault::Permanent`] otherwise.
pub async fn ask(models: &Models, wanted: &str, call: &Call<'_>) -> Result<Answered, Fault> {
    let (size, output_max) = (call.size(), u64::from(call.input.max_tokens));
    // A provider that is not set up does not matter when the policy names another.
    let wanted = models.find(wanted).map_or_else(|_| wanted.to_owned(), |model| model.name);
    let (input, output) = (Tokens(size.tokens()), Tokens(output_max));
    let reservation = budget::reserve_call(ModelCall { model: &wanted, input, output })?;
    let chosen = reservation.model().unwrap_or_else(|| wanted.clone());
    let model = models.find(&chosen).map_err(|error| Fault::permanent(error.to_string()))?;
    if model.name != wanted {
        log::write(
            Level::Info,
            "another model is called",
            &[("wanted", &wanted), ("model", &model.name)],
        );
    }
    let mut answer = Answer {
        model: &model,
        reply: Reply::default(),
        has_begun: false,
        charging: Charging { reservation: &reservation, size, output_max, told: Usage::default() },
    };
    let ended = answer.receive(call, usage::bytes_max(output_max)).await;
    let Answer { reply, has_begun, .. } = answer;
    if !has_begun {
        return Err(ended.err().unwrap_or_else(|| Fault::retryable("there was no answer")));
    }
    let used = Used::of(reply.reported, size, reply.bytes(), output_max);
    let Used { input_tokens, output_tokens, cached_tokens, is_counted, .. } = used;
    reservation.commit(used.told());
    let fields: [(&str, &dyn std::fmt::Display); 5] = [
        ("model", &model.name),
        ("input_tokens", &input_tokens),
        ("output_tokens", &output_tokens),
        ("cached_tokens", &cached_tokens),
        ("is_counted", &is_counted),
    ];
    log::write(Level::Info, "charged", &fields);
    ended.map(|()| Answered { model: model.name, reply, used })
}

/// An answer that is on its way.
struct Answer<'a> {
    model: &'a Model<'a>,
    reply: Reply,
    /// Whether the provider has taken the call, and so will want to be paid.
    has_begun: bool,
    charging: Charging<'a>,
}

impl Answer<'_> {
    async fn receive(&mut self, call: &Call<'_>, bytes_max: u64) -> Result<(), Fault> {
        let key = self.model.provider.secret.as_deref().map(secret::get).transpose()?;
        let sent = Sent::new(call, self.model, key.as_deref());
        let timeout = Duration::try_from_secs_f64(call.input.timeout_seconds);
        let timeout = timeout.map_err(|error| Fault::invalid_input(error.to_string()))?;
        let request = Request::post(&sent.url).timeout(timeout).body_bytes_max(BODY_BYTES_MAX);
        let request =
            sent.headers.iter().fold(request, |all, (name, value)| all.header(name, value));
        let patience = Patience::begin();
        let opened = patience.unless_over(request.json(&sent.body).open_async()).await?;
        let mut incoming = opened.map_err(|error| self.lost(error))?;
        if !(200..300).contains(&incoming.status()) {
            return Err(self.refused(&mut incoming, patience).await);
        }
        self.has_begun = true;
        self.charging.tell(&self.reply);
        let framing = Framing::of(incoming.header("content-type"), sent.framing);
        let mut frames = Frames::new(framing);
        let mut telling = Telling::new(call.input.max_tokens);
        let whom = self.whom();
        let unread = |error: FrameError| Fault::permanent(format!("{whom}: {error}"));
        while !(frames.is_done() || self.reply.is_over) {
            let piece = patience.unless_over(incoming.chunk_async()).await?;
            let Some(piece) = piece.map_err(|error| self.lost(error))? else { break };
            for event in frames.push(&piece).map_err(unread)? {
                self.take(&event)?;
            }
            if self.reply.bytes() > bytes_max {
                let limit = call.input.max_tokens;
                return Err(Fault::permanent(format!(
                    "{whom} does not end: it was asked for {limit} tokens at most, and has sent \
                     {} bytes",
                    self.reply.bytes()
                )));
            }
            self.charging.tell(&self.reply);
            telling.tell(&self.reply);
        }
        if let Some(event) = frames.finish().map_err(unread)? {
            self.take(&event)?;
        }
        telling.tell_all(&self.reply);
        if self.reply.finish.is_none() {
            return Err(Fault::retryable(format!("{whom} broke its answer off")));
        }
        Ok(())
    }

    fn take(&mut self, event: &serde_json::Value) -> Result<(), Fault> {
        let whom = self.whom();
        let taken = protocol::take(self.model.provider.kind, &mut self.reply, event);
        taken.map_err(|broken| match broken {
            Broken::Failed(Fault::Retryable { message, retry_after }) => {
                Fault::Retryable { message: format!("{whom}: {message}"), retry_after }
            }
            Broken::Failed(fault) => Fault::permanent(format!("{whom}: {fault}")),
            Broken::Unknown(what) => Fault::permanent(format!(
                "{whom} does not speak the protocol that is set up for it: {what}"
            )),
        })
    }

    async fn refused(&self, incoming: &mut Incoming, patience: Patience) -> Fault {
        let (status, retry_after) = (incoming.status(), incoming.retry_after());
        let mut body = Vec::new();
        while body.len() < REFUSAL_BYTES_MAX
            && let Ok(Ok(Some(piece))) = patience.unless_over(incoming.chunk_async()).await
        {
            body.extend(piece);
        }
        refusal::of_status(&self.whom(), status, retry_after, &body)
    }

    /// The fault of an exchange that did not come to its end.
    fn lost(&self, error: http::Error) -> Fault {
        match Fault::from(error) {
            Fault::Retryable { message, retry_after } => {
                Fault::Retryable { message: format!("{}: {message}", self.whom()), retry_after }
            }
            // What was denied says by itself what would allow it.
            fault @ (Fault::InvalidInput(_)
            | Fault::Permanent(_)
            | Fault::Cancelled
            | Fault::BudgetExhausted(_)) => fault,
        }
    }

    fn whom(&self) -> String {
        format!("`{}` at {}", self.model.name, self.model.provider.base_url)
    }
}

/// Tells the host what an answer that is being written has used so far.
struct Charging<'a> {
    reservation: &'a Reservation,
    size: Size,
    output_max: u64,
    told: Usage,
}

impl Charging<'_> {
    fn tell(&mut self, reply: &Reply) {
        // What a provider reports in the midst of an answer may be of its beginning.
        let reported = Reported { output: None, ..reply.reported };
        let used = Used::of(reported, self.size, reply.bytes(), self.output_max).told();
        if used != self.told {
            self.reservation.tell(used);
            self.told = used;
        }
    }
}

/// Tells those who watch of an answer that is being written.
struct Telling {
    output_max: u32,
    last: Option<Instant>,
    /// How many bytes they know.
    told: u64,
}

impl Telling {
    fn new(output_max: u32) -> Self {
        Self { output_max, last: None, told: 0 }
    }

    /// Tells what is new, if that is not too soon.
    fn tell(&mut self, reply: &Reply) {
        if self.last.is_none_or(|last| last.elapsed() >= TELL_EVERY) {
            self.tell_all(reply);
        }
    }

    /// Tells what is new: how far it is, and its end, so that whoever missed a report sees it in the
    /// next.
    fn tell_all(&mut self, reply: &Reply) {
        let bytes = reply.bytes();
        if bytes == self.told {
            return;
        }
        let (told, all) = (usage::count(bytes), u64::from(self.output_max));
        #[expect(clippy::cast_precision_loss, reason = "it says about how far an answer is")]
        log::progress(told as f64 / all as f64, end_of(&reply.text));
        (self.told, self.last) = (bytes, Some(Instant::now()));
    }
}

/// The end of a text, from a character on.
fn end_of(text: &str) -> &str {
    let from = text.len().saturating_sub(TOLD_BYTES_MAX);
    let from = (from..=text.len()).find(|at| text.is_char_boundary(*at));
    from.and_then(|from| text.get(from..)).unwrap_or(text)
}
