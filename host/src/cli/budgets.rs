//! `budgets`: what principals may spend, and what is left of it.

use apflow_api::{BudgetList, ListBudgets, Page, RemoveBudget, SetBudget, ShownBudget};
use apflow_model::budget::{BudgetUnit, Period};
use apflow_model::budget_key::BudgetKey;
use apflow_model::money::{MicroUsd, Tokens};
use apflow_model::token::PrincipalName;
use clap::{Args, Subcommand};

use super::error::CliError;
use super::exit::Exit;
use super::operator::invoke;
use super::output::{Output, columns};
use super::page::note_more;
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(crate) enum BudgetsVerb {
    /// List what principals may spend, what they spent and what is left.
    List {
        /// How many, from 1 to 1000.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// The cursor that the page before ended with.
        #[arg(long)]
        cursor: Option<BudgetKey>,
    },
    /// Show the budgets of one principal.
    Show {
        /// The name of the principal.
        principal: String,
    },
    /// Set what a principal may spend, or change it. Tasks go on that waited for more.
    Set(Cap),
    /// Remove one budget of a principal. Tasks go on that waited for it.
    Remove {
        /// The name of the principal.
        principal: PrincipalName,
        /// What it counts: `tokens` or `micro_usd`.
        unit: BudgetUnit,
        /// How long it lasts: all, day, week or month.
        #[arg(default_value_t)]
        period: Period,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Cap {
    /// The name of the principal.
    principal: PrincipalName,
    /// How many model tokens.
    #[arg(long, required_unless_present = "micro_usd", conflicts_with = "micro_usd")]
    tokens: Option<u64>,
    /// How much money, in millionths of a US dollar: 5000000 are 5 dollars.
    #[arg(long)]
    micro_usd: Option<u64>,
    /// In which period: day, week or month of UTC, or all for one that never begins anew.
    #[arg(long, default_value_t)]
    per: Period,
    /// The cost policy that says what happens on the way to the cap.
    #[arg(long)]
    policy: Option<String>,
}

pub(crate) async fn run(
    config: &Config,
    verb: BudgetsVerb,
    output: &Output,
) -> Result<Exit, CliError> {
    match verb {
        BudgetsVerb::List { limit, cursor } => {
            let page = Page { limit: Some(limit), cursor };
            list(&invoke(config, ListBudgets { principal: None, page }).await?, output);
        }
        BudgetsVerb::Show { principal } => {
            let principal = Some(principal);
            let page = Page::default();
            list(&invoke(config, ListBudgets { principal, page }).await?, output);
        }
        BudgetsVerb::Set(Cap { principal, tokens, micro_usd, per, policy }) => {
            let unit = if tokens.is_some() { BudgetUnit::Tokens } else { BudgetUnit::MicroUsd };
            let cap = tokens.or(micro_usd).unwrap_or_default();
            let set = SetBudget { principal, unit, period: per, cap, policy };
            show(&invoke(config, set).await?, output);
        }
        BudgetsVerb::Remove { principal, unit, period } => {
            let removed = invoke(config, RemoveBudget { principal, unit, period }).await?;
            let key = BudgetKey::of(&removed.budget);
            output.result(&removed, || format!("`{key}` is removed"));
        }
    }
    Ok(Exit::Ok)
}

fn list(listed: &BudgetList, output: &Output) {
    output.result(listed, || {
        if listed.budgets.is_empty() {
            return "there is no budget: each may spend as much as its jobs allow".to_owned();
        }
        table(&listed.budgets)
    });
    note_more(listed.cursor.as_ref(), output);
}

fn show(shown: &ShownBudget, output: &Output) {
    output.result(shown, || table(std::slice::from_ref(shown)));
}

fn table(budgets: &[ShownBudget]) -> String {
    let head = ["PRINCIPAL", "PERIOD", "CAP", "SPENT", "RESERVED", "LEFT", "UNTIL", "POLICY"];
    let row = |shown: &ShownBudget| {
        let ShownBudget { budget, left } = shown;
        let amount = |amount: u64| match budget.unit {
            BudgetUnit::Tokens => format!("{} tokens", Tokens(amount)),
            BudgetUnit::MicroUsd => MicroUsd(amount).to_string(),
        };
        vec![
            budget.owner.clone(),
            budget.period.to_string(),
            amount(budget.cap),
            amount(budget.gone()),
            amount(budget.reserved),
            amount(*left),
            budget.ends_at.map_or_else(|| "-".to_owned(), |end| end.to_string()),
            budget.policy.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    };
    columns(&head, budgets.iter().map(row).collect(), &[2, 3, 4, 5])
}
