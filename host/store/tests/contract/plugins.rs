//! Installed plugins, by name.

use apflow_model::fair::Limits;
use apflow_model::manifest::Manifest;
use apflow_model::plugin::{Descriptor, Digest, Plugin, World};
use apflow_model::tool::Tool;
use apflow_store::StoreError;
use serde_json::json;

use crate::host::{Host, at};

pub(crate) fn plugin(name: &str, version: &str) -> Plugin {
    let manifest = format!(
        "name: {name}\nversion: {version}\ndescription: Does it.\ncomponent: a.wasm\n\
         capabilities: {{ http: [\"https://*\"], clocks: true }}\nlimits: {{ timeout: 5s }}\n"
    );
    Plugin {
        digest: Digest([7; 32]),
        bound_to: Digest([7; 32]),
        world: World::Executor,
        manifest: Manifest::parse(&manifest).unwrap(),
        descriptor: Descriptor {
            id: name.into(),
            name: "A plugin".into(),
            description: "Does it.".into(),
            version: version.into(),
            input_schema: json!({"type": "object"}),
            output_schema: json!(true),
            tags: vec!["a".into()],
        },
        tool: None,
        builtin: false,
        loaded_at: at(1),
        quarantined_at: None,
    }
}

#[tokio::test]
async fn a_plugin_is_found_as_it_was_put() {
    let host = Host::start().await;
    let mut command = plugin("b_command", "2.0.0");
    (command.world, command.builtin) = (World::Command, true);
    for plugin in [&command, &plugin("a_executor", "1.0.0")] {
        host.store.put_plugin(plugin.clone()).await.unwrap();
    }
    assert_eq!(host.store.find_plugin("b_command").await.unwrap(), Some(command.clone()));
    assert_eq!(host.store.find_plugin("c").await.unwrap(), None);
    let listed = host.store.list_plugins().await.unwrap();
    assert_eq!(listed, [plugin("a_executor", "1.0.0"), command]);
}

/// A tool that is a command.
pub(crate) fn tool(name: &str) -> Plugin {
    let text = format!(
        "name: {name}\nversion: 1.0.0\ndescription: Does it.\ncategory: data\n\
         input_schema: {{ arguments: [{{ name: a, type: string }}] }}\n\
         run: {{ command: a.wasm, argv: [\"={{a}}\"] }}\ncache: {{ ttl: 5m }}\n"
    );
    let tool = Tool::parse(&text, None).unwrap();
    let manifest = tool.manifest().unwrap();
    let descriptor = Descriptor::of_tool(&tool);
    let own = Some(tool);
    let bound_to = Digest([9; 32]);
    Plugin {
        world: World::Command,
        bound_to,
        manifest,
        descriptor,
        tool: own,
        ..plugin("x", "1.0.0")
    }
}

#[tokio::test]
async fn a_tool_is_found_as_it_was_put_and_can_become_a_plugin_again() {
    let host = Host::start().await;
    host.store.put_plugin(tool("a")).await.unwrap();
    assert_eq!(host.store.find_plugin("a").await.unwrap(), Some(tool("a")));
    host.store.put_plugin(plugin("a", "1.0.0")).await.unwrap();
    assert_eq!(host.store.find_plugin("a").await.unwrap(), Some(plugin("a", "1.0.0")));
}

#[tokio::test]
async fn a_newer_version_takes_the_place_of_the_older() {
    let host = Host::start().await;
    host.store.put_plugin(plugin("a", "1.0.0")).await.unwrap();
    host.store.put_plugin(plugin("a", "1.1.0")).await.unwrap();
    assert_eq!(host.store.list_plugins().await.unwrap(), [plugin("a", "1.1.0")]);
}

#[tokio::test]
async fn a_plugin_that_could_not_be_read_back_is_not_stored() {
    let host = Host::start().await;
    host.store.put_plugin(plugin("a", "1.0.0")).await.unwrap();
    for levels in [120, 127, 128, 500] {
        let mut deep = plugin("a", "2.0.0");
        deep.descriptor.input_schema =
            (0..levels).fold(json!(true), |schema, _| json!({"items": schema}));
        let put = host.store.put_plugin(deep.clone()).await;
        let found = host.store.find_plugin("a").await.unwrap().unwrap();
        if levels == 120 {
            assert_eq!((put.is_ok(), found), (true, deep));
            continue;
        }
        let error = put.unwrap_err();
        assert!(matches!(&error, StoreError::Corrupt { what } if what.contains("descriptor")));
        assert_ne!(found, deep, "{error}");
    }
}

#[tokio::test]
async fn a_plugin_that_cannot_be_read_does_not_hide_the_others() {
    let host = Host::start().await;
    for name in ["a", "b", "c"] {
        host.store.put_plugin(plugin(name, "1.0.0")).await.unwrap();
    }
    host.spoil("UPDATE plugin SET digest = 'abc' WHERE name = 'b'").await;
    let listed = host.store.list_plugins().await.unwrap();
    assert_eq!(listed, [plugin("a", "1.0.0"), plugin("c", "1.0.0")]);
    let found = host.store.find_plugin("b").await;
    assert!(matches!(found, Err(StoreError::Corrupt { .. })));
    host.store.put_plugin(plugin("b", "1.0.1")).await.unwrap();
    assert_eq!(host.store.list_plugins().await.unwrap().len(), 3, "it was put in its place");
}

#[tokio::test]
async fn a_removed_plugin_is_gone() {
    let host = Host::start().await;
    host.store.put_plugin(plugin("a", "1.0.0")).await.unwrap();
    let removed = host.store.remove_plugin("a").await.unwrap();
    assert_eq!(removed, Some(plugin("a", "1.0.0")));
    assert_eq!(host.store.remove_plugin("a").await.unwrap(), None);
    assert!(host.store.list_plugins().await.unwrap().is_empty());
}

#[tokio::test]
async fn each_change_of_a_plugin_is_another_revision() {
    let host = Host::start().await;
    let revision = async || host.store.find_plugin_at("a").await.unwrap().1;
    let (found, mut last) = host.store.find_plugin_at("a").await.unwrap();
    assert_eq!(found, None);
    assert_eq!(revision().await, last, "a look changes nothing");
    let is_news = async |last: &mut _| {
        let now = revision().await;
        assert_eq!(host.claim_within(1, 1, Limits::default()).await.plugins, now);
        std::mem::replace(last, now) != now
    };
    host.store.put_plugin(plugin("a", "1.0.0")).await.unwrap();
    assert!(is_news(&mut last).await, "it was put");
    assert_eq!(host.store.find_plugin_at("a").await.unwrap().0, Some(plugin("a", "1.0.0")));
    host.store.put_plugin(plugin("a", "1.0.1")).await.unwrap();
    assert!(is_news(&mut last).await, "it was replaced");
    host.spoil("UPDATE component SET quarantined_at = 1").await;
    assert!(is_news(&mut last).await, "it was quarantined");
    host.store.remove_plugin("a").await.unwrap();
    assert!(is_news(&mut last).await, "it was removed");
    assert!(!is_news(&mut last).await);
}
