//! First-party plugin aggregate_results_executor.
