//! The database of apflow-host: all SQL, and nothing else.
