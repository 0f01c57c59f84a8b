//! Verifies installed plugins: their bytes, what these import, their compiled code, and what was
//! consented to.
//!
//! It changes nothing, and runs nothing of them.

use std::io::ErrorKind;
use std::sync::Arc;

use apflow_model::consent::Difference;
use apflow_model::plugin::Plugin;
use apflow_model::verification::{Alteration, KeptCode, PluginVerification};
use apflow_sandbox::AlteredCode;

use crate::engine::Engine;
use crate::error::EngineError;

impl Engine {
    /// Looks whether an installed plugin still is what was checked and consented to.
    ///
    /// # Errors
    ///
    /// [`EngineError::UnknownPlugin`]; [`EngineError::Store`] and [`EngineError::DataDir`] when either
    /// cannot be read.
    pub async fn verify_plugin(
        self: &Arc<Self>,
        name: &str,
    ) -> Result<PluginVerification, EngineError> {
        let unknown = || EngineError::UnknownPlugin(name.to_owned());
        let mut plugin = self.store.find_plugin(name).await?.ok_or_else(unknown)?;
        loop {
            let (engine, looked_at) = (Arc::clone(self), plugin.clone());
            let looking = tokio::task::spawn_blocking(move || engine.verify(&looked_at));
            let verification = looking.await??;
            if verification.intact {
                return Ok(verification);
            }
            // The files of one that is replaced meanwhile go.
            let now = self.store.find_plugin(name).await?.ok_or_else(unknown)?;
            if now == plugin {
                return Ok(verification);
            }
            plugin = now;
        }
    }

    /// What is wrong with any installed plugin, as the doctor shows it.
    pub(crate) async fn altered_plugins(self: &Arc<Self>) -> Result<Vec<String>, EngineError> {
        let mut told = Vec::new();
        for plugin in self.store.list_plugins().await? {
            let name = plugin.manifest.name;
            let verification = match self.verify_plugin(&name).await {
                // It was removed meanwhile.
                Err(EngineError::UnknownPlugin(_)) => continue,
                verification => verification?,
            };
            let alterations = verification.alterations.into_iter();
            told.extend(alterations.map(|Alteration { what, .. }| format!("`{name}`: {what}")));
        }
        Ok(told)
    }

    fn verify(&self, plugin: &Plugin) -> Result<PluginVerification, EngineError> {
        let (code, altered_code) = self.verify_code(plugin);
        let mut alterations = self.verify_bytes(plugin)?;
        alterations.extend(altered_code);
        alterations.extend(self.verify_grants(plugin)?);
        Ok(PluginVerification {
            plugin: plugin.manifest.name.clone(),
            version: plugin.manifest.version.to_string(),
            digest: plugin.digest,
            intact: alterations.is_empty(),
            code,
            alterations,
        })
    }

    /// Looks at the bytes of the component, and at what they import.
    fn verify_bytes(&self, plugin: &Plugin) -> Result<Vec<Alteration>, EngineError> {
        let name = &plugin.manifest.name;
        let again = if plugin.builtin {
            "start `apflow-host serve`, which installs its own".to_owned()
        } else {
            format!(
                "`apflow-host load` `{name}` again from its source; if nobody changed the file, the \
                 disk is failing"
            )
        };
        let altered = |what: String| Ok(vec![alteration("component", what, &again)]);
        let file = format!("`plugins/{}.wasm` of the data directory", plugin.digest);
        let bytes = match self.unchanged_component(plugin) {
            Err(EngineError::DataDir { source, .. }) if source.kind() == ErrorKind::NotFound => {
                return altered(format!("its component is gone: there is no {file}"));
            }
            Err(EngineError::ChangedComponent(_)) => {
                return altered(format!("its component was changed: {file} has another sha256"));
            }
            bytes => bytes?,
        };
        let asked = self.linked_by(&plugin.manifest, plugin.tool.as_ref()).capabilities;
        let checked = apflow_sandbox::inspect(&bytes)
            .and_then(|found| apflow_sandbox::check_imports(&found.imports, &asked));
        let more =
            "`apflow-host load` it again with a manifest that asks for that, and consent to it";
        let excess = checked.err().map(|error| {
            alteration("imports", format!("what it was installed with does not fit: {error}"), more)
        });
        Ok(excess.into_iter().collect())
    }

    fn verify_code(&self, plugin: &Plugin) -> (KeptCode, Option<Alteration>) {
        match self.sandbox.kept_code(&plugin.digest, plugin.manifest.limits.fuel.is_some()) {
            None => (KeptCode::Missing, None),
            Some(Ok(())) => (KeptCode::Whole, None),
            Some(Err(AlteredCode { file, why })) => {
                let fix = format!(
                    "remove `code/{file}` of the data directory, as the host does before it compiles \
                     anew, and see who else may write there"
                );
                let what = format!("its compiled code is not of this host: {why}");
                (KeptCode::Altered, Some(alteration("code", what, &fix)))
            }
        }
    }

    /// Looks at what `grants.lock` says of it.
    fn verify_grants(&self, plugin: &Plugin) -> Result<Vec<Alteration>, EngineError> {
        let Plugin { manifest, bound_to, .. } = plugin;
        let name = &manifest.name;
        let altered = |what: String, fix: &str| alteration("grants", what, fix);
        let lock = match self.consents.current() {
            Err(EngineError::InvalidLock { faults, .. }) => {
                let fault = faults.first().map(ToString::to_string).unwrap_or_default();
                let what = format!("`grants.lock` is not valid, so it is granted nothing: {fault}");
                return Ok(vec![altered(what, "correct it, or restore it from a backup")]);
            }
            lock => lock?,
        };
        let Some(consent) = lock.find(name, bound_to) else {
            let other = lock.digests(name).next();
            let what = |other| {
                format!("`grants.lock` is about another component of this name, sha256 {other}")
            };
            let fix = format!("`apflow-host load` `{name}` again, and consent to what it asks for");
            return Ok(other.map(|other| altered(what(other), &fix)).into_iter().collect());
        };
        let mut alterations = Vec::new();
        let asked = &manifest.capabilities;
        let more = Difference::between(&consent.asks, &asked.lines()).more;
        if !more.is_empty() {
            let what = format!("it asks for more than was consented to: {}", more.join(", "));
            let fix = format!("`apflow-host load` `{name}` again, and consent to what it asks for");
            alterations.push(altered(what, &fix));
        }
        for grant in consent.grants.iter().filter(|grant| !grant.is_asked(asked)) {
            let what = format!("`grants.lock` grants it `{grant}`, for which it does not ask");
            alterations.push(altered(what, "take the line away: it has no effect"));
        }
        Ok(alterations)
    }
}

fn alteration(check: &str, what: String, fix: &str) -> Alteration {
    Alteration { check: check.to_owned(), what, fix: fix.to_owned() }
}
