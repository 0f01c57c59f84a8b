//! Models: who provides them by the settings and the environment, and what they cost by
//! `prices.yaml`.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use apflow_model::cost_policy::Pricing;
use apflow_model::price::Prices;
use apflow_model::provider::{ModelSettings, ProviderError, Providers, VARIABLE};
use apflow_model::reader::FileFault;
use apflow_model::secret::SecretRule;
use cap_std::ambient_authority;
use cap_std::fs::Dir;

/// The file in the folder of the settings.
pub(crate) const PRICES_FILE: &str = "prices.yaml";

/// The largest file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What keeps providers or prices from being known.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// `prices.yaml` cannot be opened, or is too large.
    Io(io::Error),
    /// `prices.yaml` has faults.
    Faults(Vec<FileFault>),
    /// A provider cannot be set up.
    Provider(ProviderError),
}

/// Who provides models, and what they cost.
#[derive(Debug, Clone)]
pub(crate) struct Models {
    /// Who provides them.
    pub(crate) providers: Providers,
    /// What they cost: what comes with the host, and what the operator says.
    prices: Arc<Prices>,
}

impl Models {
    /// Sets providers up. Their keys become secrets, and a variable tells plugins where they are.
    pub(crate) fn read(
        folder: &Path,
        settings: &ModelSettings,
        environment: &mut BTreeMap<String, String>,
        secrets: &mut Vec<SecretRule>,
    ) -> Result<Self, Unreadable> {
        let prices = Prices::shipped().with(read_prices(folder)?);
        let providers = Providers::new(settings, environment, secrets);
        let providers = providers.map_err(Unreadable::Provider)?;
        secrets.extend_from_slice(providers.keys());
        environment.insert(VARIABLE.to_owned(), providers.variable(&prices));
        Ok(Self { providers, prices: Arc::new(prices) })
    }

    /// What a call of a model costs.
    pub(crate) fn pricing(&self) -> Pricing {
        let prices = Arc::clone(&self.prices);
        Arc::new(move |model, tokens| prices.cost(model, tokens))
    }
}

/// Reads the operator's prices. None where there is no file.
fn read_prices(folder: &Path) -> Result<Prices, Unreadable> {
    let text = Dir::open_ambient_dir(folder, ambient_authority()).and_then(|folder| {
        let mut text = String::new();
        folder.open(PRICES_FILE)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
        Ok(text)
    });
    match text {
        Ok(text) if text.len() as u64 > FILE_BYTES_MAX => Err(Unreadable::Io(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {FILE_BYTES_MAX} bytes"),
        ))),
        Ok(text) => Prices::parse(&text).map_err(Unreadable::Faults),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Prices::default()),
        Err(error) => Err(Unreadable::Io(error)),
    }
}
