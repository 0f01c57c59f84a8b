//! Write apflow-host plugins: one typed function becomes a sandboxed component.
