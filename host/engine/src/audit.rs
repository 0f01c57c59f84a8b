//! The audit: what calls leave behind, and finding out whether it is as it was written.
//!
//! It does not say what a call is: the verbs do.

use std::fmt;
use std::sync::Arc;

use apflow_model::audit::{Flaw, Head, Line, Record, Verification, Verifier};
use apflow_model::plugin::Digest;
use apflow_store::{AuditFilter, AuditPage, Store, StoreError};

use crate::engine::Engine;
use crate::error::EngineError;

impl Engine {
    /// Does some work, and records it in the same transaction as the first change that it makes. The
    /// record comes back when nothing was changed.
    pub async fn recorded<T>(record: Record, work: impl Future<Output = T>) -> (T, Option<Record>) {
        Store::recorded(record, work).await
    }

    /// Adds a line to the audit. When this returns, it survives a crash.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`]; nothing is added then.
    pub async fn record(&self, record: Record) -> Result<(), EngineError> {
        Ok(self.store.record(record).await?)
    }

    /// Adds a line to the audit that nobody waits for. A crash within 200 ms may lose it.
    pub async fn note(&self, record: Record) {
        self.store.note(record).await;
    }

    /// Adds a line of a call that only read, as [`Engine::note`] does, unless the operator wants
    /// none.
    pub async fn note_read(&self, record: Record) {
        if self.settings.audit.reads {
            self.note(record).await;
        }
    }

    /// Lists lines of the audit, newest first, with numbers below `before`. `limit` is brought into
    /// 1 to 1000. A page may hold fewer lines, and none, while there are more.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn list_audit(
        &self,
        filter: &AuditFilter,
        before: Option<u64>,
        limit: u32,
    ) -> Result<AuditPage, EngineError> {
        Ok(self.store.list_audit(filter, before, limit).await?)
    }

    /// Looks whether every line of the audit is there, and as it was written. One of them must be
    /// sealed with `wanted`, if that is given.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn verify_audit(&self, wanted: Option<Digest>) -> Result<Verification, EngineError> {
        loop {
            let start = self.store.audit_chain().await?.removed;
            let mut verifier = Verifier::new(start, wanted);
            let flaw = self.follow(&mut verifier).await?;
            let chain = self.store.audit_chain().await?;
            // Meanwhile lines may have gone at the front, or come at the end.
            let has_moved = chain.removed != start
                || (flaw.is_none()
                    && chain.last.n > verifier.head().n
                    && !self.store.audit_after(verifier.head().n).await?.is_empty());
            if !has_moved {
                return Ok(verifier.end(flaw, Some(chain.last)));
            }
        }
    }

    /// Follows the chain to its end, or to its first flaw.
    async fn follow(&self, verifier: &mut Verifier) -> Result<Option<Flaw>, EngineError> {
        loop {
            let lines = self.store.audit_after(verifier.head().n).await?;
            if lines.is_empty() {
                return Ok(None);
            }
            for line in lines {
                if let Err(flaw) = line.and_then(|line| verifier.follow(&line)) {
                    return Ok(Some(flaw));
                }
            }
        }
    }

    /// Hands out the lines of the audit after the line with this number, or after what was removed
    /// when that is later.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn export_audit(self: &Arc<Self>, after: u64) -> Result<Export, EngineError> {
        let chain = self.store.audit_chain().await?;
        let before = match after.checked_sub(1).filter(|_| after > chain.removed.n) {
            None => None,
            Some(before) => self.store.audit_after(before).await?.into_iter().next(),
        };
        let after = match before {
            Some(Ok(line)) if line.n == after => Head { n: line.n, hash: line.hash },
            _ => chain.removed,
        };
        Ok(Export { engine: Arc::clone(self), after, last: chain.last })
    }
}

/// Lines of the audit that are being handed out, in their order.
#[derive(Clone)]
pub struct Export {
    engine: Arc<Engine>,
    after: Head,
    last: Head,
}

impl Export {
    /// The line that they come after.
    pub fn after(&self) -> Head {
        self.after
    }

    /// The last of them, as the host keeps it.
    pub fn last(&self) -> Head {
        self.last
    }

    /// The next lines. None when there are no more.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails, and for a line that cannot be read.
    pub async fn next(&mut self) -> Result<Option<Vec<Line>>, EngineError> {
        let lines = self.engine.store.audit_after(self.after.n).await?;
        let unreadable = |flaw: Flaw| StoreError::Corrupt { what: flaw.to_string() };
        let mut lines = lines.into_iter().collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
        lines.retain(|line| line.n <= self.last.n);
        let Some(last) = lines.last() else { return Ok(None) };
        self.after = Head { n: last.n, hash: last.hash };
        Ok(Some(lines))
    }
}

impl fmt::Debug for Export {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Export").field("after", &self.after).finish_non_exhaustive()
    }
}
