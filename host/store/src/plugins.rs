//! Installed plugins, by name.
//!
//! It does not hold the components' bytes, which are files named by their digest, and not what the
//! operator grants, which stands in `grants.lock`.

use apflow_model::clock::Timestamp;
use apflow_model::plugin::Plugin;

use crate::cache;
use crate::connection::{Connection, Query, Row, query};
use crate::error::StoreError;
use crate::quarantine;
use crate::row;
use crate::store::Store;
use crate::tool_rules::{self, ToolRule};
use crate::tool_runs;
use crate::write::Write;

/// How often plugins have changed: what was read of one holds as long as this number stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PluginRevision(pub(crate) i64);

impl Store {
    /// Stores a plugin under its manifest's name, in the place of what had that name before.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] when it could not be read back, for example because a schema is
    /// nested too deep, and [`StoreError::Database`]; nothing is stored then.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn put_plugin(&self, plugin: Plugin) -> Result<(), StoreError> {
        self.write(Put::new(plugin)?).await
    }

    /// Finds the plugin with this name.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn find_plugin(&self, name: &str) -> Result<Option<Plugin>, StoreError> {
        let mut sql = Query::build(SHOW);
        sql.push(" WHERE name = ").push_bind(name);
        let found = self.readers().fetch_optional(sql).await?;
        found.as_ref().map(read).transpose()
    }

    /// Finds the plugin with this name, and the revision that it was found at.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] and [`StoreError::Corrupt`].
    pub async fn find_plugin_at(
        &self,
        name: &str,
    ) -> Result<(Option<Plugin>, PluginRevision), StoreError> {
        const SQL: &str = "\
            SELECT plugin.*, component.quarantined_at, plugin_revision.n AS revision \
            FROM plugin_revision LEFT JOIN plugin ON plugin.name = $1 \
            LEFT JOIN component ON component.digest = plugin.digest";
        let found = self.readers().fetch_optional(query(SQL).bind(name)).await?;
        let found = found.ok_or_else(|| StoreError::corrupt("plugins have no revision"))?;
        let revision = PluginRevision(row::column(&found, "revision")?);
        let is_there = row::column::<Option<&str>>(&found, "name")?.is_some();
        Ok((is_there.then(|| read(&found)).transpose()?, revision))
    }

    /// Lists all plugins by name.
    ///
    /// One whose row cannot be read is logged and left out, so that it does not take the others
    /// with it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn list_plugins(&self) -> Result<Vec<Plugin>, StoreError> {
        let mut sql = Query::build(SHOW);
        sql.push(" ORDER BY name");
        let rows = self.readers().fetch_all(sql).await?;
        Ok(rows.iter().filter_map(read_or_log).collect())
    }

    /// Removes the plugin with this name. Returns what was there.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], and [`StoreError::Corrupt`] when its row cannot be read; it stays
    /// then, until another is put in its place.
    ///
    /// # Cancel safety
    ///
    /// Once queued, the write happens even when the returned future is dropped.
    pub async fn remove_plugin(&self, name: &str) -> Result<Option<Plugin>, StoreError> {
        self.write(Remove { name: name.to_owned() }).await
    }
}

const SHOW: &str = "\
    SELECT plugin.*, component.quarantined_at FROM plugin \
    LEFT JOIN component ON component.digest = plugin.digest";

fn read_or_log(row: &Row) -> Option<Plugin> {
    match read(row) {
        Ok(plugin) => Some(plugin),
        Err(error) => {
            let name = row::column::<&str>(row, "name").unwrap_or_default();
            tracing::error!(%name, %error, "a plugin cannot be used until it is loaded again");
            None
        }
    }
}

fn read(row: &Row) -> Result<Plugin, StoreError> {
    let texts: Texts<&str> = Texts {
        digest: row::column(row, "digest")?,
        world: row::column(row, "world")?,
        manifest: row::column(row, "manifest")?,
        descriptor: row::column(row, "descriptor")?,
        tool: row::column(row, "tool")?,
        bound_to: row::column(row, "bound_to")?,
    };
    let read = texts.read(row::column(row, "builtin")?, row::moment(row, "loaded_at")?)?;
    Ok(Plugin { quarantined_at: row::perhaps_moment(row, "quarantined_at")?, ..read })
}

/// The columns of a plugin whose texts must make sense.
struct Texts<T> {
    digest: T,
    world: T,
    manifest: T,
    descriptor: T,
    tool: Option<T>,
    bound_to: Option<T>,
}

impl Texts<String> {
    fn write(plugin: &Plugin) -> Result<Self, StoreError> {
        Ok(Self {
            digest: plugin.digest.to_string(),
            world: plugin.world.name().to_owned(),
            manifest: row::text(&plugin.manifest)?,
            descriptor: row::text(&plugin.descriptor)?,
            tool: plugin.tool.as_ref().map(row::text).transpose()?,
            bound_to: (plugin.bound_to != plugin.digest).then(|| plugin.bound_to.to_string()),
        })
    }
}

impl<T: AsRef<str>> Texts<T> {
    fn read(&self, builtin: bool, loaded_at: Timestamp) -> Result<Plugin, StoreError> {
        // Its words are its serde form, so that a new world needs no change here.
        let world = serde_json::Value::from(self.world.as_ref());
        let digest = |text: &T| text.as_ref().parse().map_err(StoreError::corrupt);
        let tool = self.tool.as_ref().map(|tool| row::parse(tool.as_ref(), "tool"));
        Ok(Plugin {
            digest: digest(&self.digest)?,
            bound_to: digest(self.bound_to.as_ref().unwrap_or(&self.digest))?,
            world: serde_json::from_value(world)
                .map_err(|error| StoreError::corrupt(format!("`world`: {error}")))?,
            manifest: row::parse(self.manifest.as_ref(), "manifest")?,
            descriptor: row::parse(self.descriptor.as_ref(), "descriptor")?,
            tool: tool.transpose()?,
            builtin,
            loaded_at,
            quarantined_at: None,
        })
    }
}

/// The row of a plugin, which is known to be readable.
struct Put {
    name: String,
    version: String,
    texts: Texts<String>,
    builtin: bool,
    loaded_at: Timestamp,
    rule: ToolRule,
}

impl Put {
    fn new(plugin: Plugin) -> Result<Self, StoreError> {
        let (texts, rule) = (Texts::write(&plugin)?, ToolRule::of(&plugin));
        let Plugin { manifest, builtin, loaded_at, .. } = plugin;
        // Not everything that can be written can be read: `serde_json` reads no more than 127
        // levels, for one. What is refused here cannot be in the way of every later start.
        texts.read(builtin, loaded_at)?;
        let version = manifest.version.to_string();
        Ok(Self { name: manifest.name, version, texts, builtin, loaded_at, rule })
    }
}

impl Write for Put {
    type Output = ();

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO plugin (name, version, digest, world, manifest, \
                           descriptor, builtin, loaded_at, tool, bound_to) \
                           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
                           ON CONFLICT (name) DO UPDATE SET version = excluded.version, \
                           digest = excluded.digest, world = excluded.world, \
                           manifest = excluded.manifest, descriptor = excluded.descriptor, \
                           builtin = excluded.builtin, \
                           loaded_at = excluded.loaded_at, \
                           tool = excluded.tool, bound_to = excluded.bound_to";
        query(SQL)
            .bind(&self.name)
            .bind(&self.version)
            .bind(&self.texts.digest)
            .bind(&self.texts.world)
            .bind(&self.texts.manifest)
            .bind(&self.texts.descriptor)
            .bind(self.builtin)
            .bind(self.loaded_at.unix_ms())
            .bind(self.texts.tool.clone())
            .bind(self.texts.bound_to.clone())
            .execute(connection)
            .await?;
        quarantine::know(connection, &self.texts.digest).await?;
        // What it was is there no more.
        cache::forget_tool(connection, &self.name).await?;
        tool_rules::put(connection, &self.name, self.rule).await
    }
}

struct Remove {
    name: String,
}

impl Write for Remove {
    type Output = Option<Plugin>;

    fn is_change(removed: &Option<Plugin>) -> bool {
        removed.is_some()
    }

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Option<Plugin>, StoreError> {
        const SQL: &str = "DELETE FROM plugin WHERE name = $1 RETURNING *, \
                           (SELECT quarantined_at FROM component \
                            WHERE component.digest = plugin.digest) AS quarantined_at";
        let removed = query(SQL).bind(&self.name).fetch_optional(connection).await?;
        cache::forget_tool(connection, &self.name).await?;
        tool_rules::put(connection, &self.name, ToolRule::default()).await?;
        tool_runs::forget(connection, &self.name).await?;
        removed.as_ref().map(read).transpose()
    }
}
