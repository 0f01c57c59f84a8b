//! The verbs of apflow-host: one type an operation, one table of them all.
