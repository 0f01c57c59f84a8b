//! The attribute macro of apflow-sdk.
