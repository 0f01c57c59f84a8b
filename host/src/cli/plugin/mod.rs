//! `plugin`: what authors need: a new plugin, built, and tested.

mod build;
mod cargo;
mod differences;
mod examples;
mod new;
mod test;

use clap::Subcommand;

use super::error::CliError;
use super::exit::Exit;
use super::output::Output;
use build::Build;
use new::New;
use test::Test;

#[derive(Debug, Subcommand)]
pub(crate) enum PluginVerb {
    /// Make a folder with a plugin that says hello.
    New(New),
    /// Build a plugin with cargo, and check the component against its manifest.
    Build(Build),
    /// Run a plugin's own tests, then its examples in the sandbox.
    Test(Test),
}

pub(crate) async fn run(verb: PluginVerb, output: &Output) -> Result<Exit, CliError> {
    match verb {
        PluginVerb::New(asked) => new::run(&asked, output),
        PluginVerb::Build(asked) => build::run(&asked, output),
        PluginVerb::Test(asked) => Box::pin(test::run(&asked, output)).await,
    }
}
