//! Installed plugins, by name.
//!
//! It does not hold the components' bytes: those are files, named by their digest.

use apflow_model::plugin::Plugin;
use sqlx::sqlite::SqliteRow;
use sqlx::{SqliteConnection, query};

use crate::error::StoreError;
use crate::row;
use crate::store::Store;
use crate::writer::Write;

impl Store {
    /// Stores a plugin under its manifest's name, in the place of what had that name before.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn put_plugin(&self, plugin: Plugin) -> Result<(), StoreError> {
        self.write(Put { plugin }).await
    }

    /// Finds the plugin with this name.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn find_plugin(&self, name: &str) -> Result<Option<Plugin>, StoreError> {
        const SQL: &str = "SELECT * FROM plugin WHERE name = $1";
        let found = query(SQL).bind(name).fetch_optional(self.readers()).await?;
        found.as_ref().map(read).transpose()
    }

    /// Lists all plugins by name.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn list_plugins(&self) -> Result<Vec<Plugin>, StoreError> {
        let rows = query("SELECT * FROM plugin ORDER BY name").fetch_all(self.readers()).await?;
        rows.iter().map(read).collect()
    }

    /// Removes the plugin with this name. Returns what was there.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn remove_plugin(&self, name: &str) -> Result<Option<Plugin>, StoreError> {
        self.write(Remove { name: name.to_owned() }).await
    }
}

fn read(row: &SqliteRow) -> Result<Plugin, StoreError> {
    let digest = row::column::<&str>(row, "digest")?;
    // Its words are its serde form, so that a new world needs no change here.
    let world = serde_json::Value::from(row::column::<&str>(row, "world")?);
    Ok(Plugin {
        digest: digest.parse().map_err(StoreError::corrupt)?,
        world: serde_json::from_value(world)
            .map_err(|error| StoreError::corrupt(format!("`world`: {error}")))?,
        manifest: row::json(row, "manifest")?,
        descriptor: row::json(row, "descriptor")?,
        grants: row::json(row, "grants")?,
        builtin: row::column(row, "builtin")?,
        loaded_at: row::moment(row, "loaded_at")?,
    })
}

struct Put {
    plugin: Plugin,
}

impl Write for Put {
    type Output = ();

    async fn apply(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO plugin (name, version, digest, world, manifest, \
                           descriptor, grants, builtin, loaded_at) \
                           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
                           ON CONFLICT (name) DO UPDATE SET version = excluded.version, \
                           digest = excluded.digest, world = excluded.world, \
                           manifest = excluded.manifest, descriptor = excluded.descriptor, \
                           grants = excluded.grants, builtin = excluded.builtin, \
                           loaded_at = excluded.loaded_at";
        let plugin = &self.plugin;
        query(SQL)
            .bind(&plugin.manifest.name)
            .bind(plugin.manifest.version.to_string())
            .bind(plugin.digest.to_string())
            .bind(plugin.world.name())
            .bind(row::text(&plugin.manifest)?)
            .bind(row::text(&plugin.descriptor)?)
            .bind(row::text(&plugin.grants)?)
            .bind(plugin.builtin)
            .bind(plugin.loaded_at.unix_ms())
            .execute(connection)
            .await?;
        Ok(())
    }
}

struct Remove {
    name: String,
}

impl Write for Remove {
    type Output = Option<Plugin>;

    async fn apply(&self, connection: &mut SqliteConnection) -> Result<Option<Plugin>, StoreError> {
        const SQL: &str = "DELETE FROM plugin WHERE name = $1 RETURNING *";
        let removed = query(SQL).bind(&self.name).fetch_optional(connection).await?;
        removed.as_ref().map(read).transpose()
    }
}
